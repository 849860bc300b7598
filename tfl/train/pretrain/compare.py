"""Whether a backbone is better than before: linear probes on the labelled training examples, cross-validated."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.bundle import Bundle, derived_seed
from tfl.data.split import tied_together
from tfl.features.pooled import head_inputs
from tfl.model.assemble import Assembled
from tfl.probes.folds import FOLDS, make_folds
from tfl.probes.linear import held_out
from tfl.recipe import PRETRAIN, Recipe
from tfl.train.evidence import Evidence, Gain
from tfl.train.pretrain.losses import spread

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console


def features_of(assembled: Assembled, bundle: Bundle, *, recipe: Recipe, console: Console | None = None) -> NDArray[np.float32]:
    """The pooled output of the last block for the training examples, `(n, width)`, through the store.

    Args:
        assembled: The network.
        bundle: The target's examples.
        recipe: Its pooling and its features.
        console: Where messages of the store are shown; None shows nothing.
    """
    options: dict[str, Any] = {"pooling": recipe.head.pooling, "features": recipe.features, "console": console}
    return head_inputs(assembled, bundle, "train", **options)


def compare(
    before: NDArray[np.float32], after: NDArray[np.float32], bundle: Bundle, *, recipe: Recipe, alpha: float
) -> dict[str, Any]:
    """What probes on the features before and after say of the same held-out training examples.

    Args:
        before, after: `(n, width)`, of the training examples.
        bundle: The target's examples.
        recipe: Its metric, class weights and seed.
        alpha: The largest p-value at which the new weights are kept; with 1 they are unless loss and metric are both worse.

    Returns:
        Plain data: `examples`, `folds`, `metric`, `alpha`; `before` and `after`, each with `value` (of the metric), `loss` and
        `spread`; `gain`; and `kept`, whether the new weights are kept.
    """
    labels, targets = bundle.labels("train"), bundle.targets_of("train")
    seed, balanced = derived_seed(recipe.seed, PRETRAIN, "probe"), recipe.class_weight == "balanced"
    units = tied_together(bundle.examples, bundle.fingerprints)[bundle.indices("train")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes with fewer examples than folds
        folds = make_folds(labels, np.unique(units, return_inverse=True)[1], most=FOLDS, seed=seed)
    metric = recipe.monitor.metric
    evidence = Evidence(bundle.task, targets, metric=metric, alpha=alpha, balanced=balanced, seed=seed)
    answers = [held_out(one, labels, folds, balanced=balanced).logits(bundle.class_count) for one in (before, after)]
    rows = [
        {
            "value": evidence.metric_of(logits, targets),
            "loss": float(evidence.losses(logits, targets).mean()),
            "spread": float(spread(features)),
        }
        for logits, features in zip(answers, (before, after), strict=True)
    ]
    gain = evidence.compare(answers[1], answers[0])
    return {
        "examples": len(labels),
        "folds": int(folds.max()) + 1,
        "metric": metric,
        "alpha": alpha,
        "before": rows[0],
        "after": rows[1],
        "gain": gain.as_json(),
        "kept": is_kept(gain, alpha),
    }


def is_kept(gain: Gain, alpha: float) -> bool:
    """Whether the stages begin from the new weights.

    Args:
        gain: Of the probes.
        alpha: As in `Pretrain`; 1 asks for no evidence.

    Example:

    >>> from tfl.train.evidence import Gain
    >>> from tfl.train.pretrain.compare import is_kept
    >>> gain = Gain(metric=-0.02, mean=0.1, interval=(-0.1, 0.3), p=0.2, holds=False)
    >>> is_kept(gain, 0.5), is_kept(gain, 1.0)
    (False, True)
    """
    return gain.holds if alpha < 1 else gain.metric >= 0 or gain.mean >= 0
