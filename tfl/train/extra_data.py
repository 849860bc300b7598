"""Whether examples of a related source help, and how many of them: decided by probes on held-out examples of the target.

    features of the frozen network ─▶ how like the target's each extra example is (`tfl.probes.likeness`)
    draws of 1, 3 and 10 extra examples per target example, by likeness or at random, and none
    ─▶ a linear probe under cross-validation over the target's training examples, the drawn ones in the training part of each fold
    ─▶ the draw with the lowest held-out loss, where a paired test finds it better than none (`tfl.train.evidence`)

The draw is fixed: what it holds trains like the target's own examples, in every stage. Instances of a source that are used again,
chosen by how like the target they are, are *instance transfer* (Pan and Yang 2010, *A Survey on Transfer Learning*).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tfl.data.bundle import Bundle, derived_seed
from tfl.data.extra_data import ExtraData
from tfl.data.split import tied_together
from tfl.features.pooled import head_inputs
from tfl.model.assemble import Assembled
from tfl.probes.folds import FOLDS, make_folds
from tfl.probes.likeness import Likeness, effective_number, likeness, weighted_order
from tfl.probes.linear import held_out
from tfl.recipe import Recipe
from tfl.train.evidence import Evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

LEVELS = (1, 3, 10)
"""So many extra examples are drawn for each training example of the target, class by class, as far as there are."""
ALPHA = 0.05
"""The largest p-value of the draw that is used, against none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw:
    """Some of the extra examples.

    Args:
        level: Int, how many were asked for, for each one of the target's.
        by: String, `likeness` where they are drawn in proportion to their weights, `chance` where at random.
        rows: Integer array, their positions, ascending.
    """

    level: int
    by: Literal["likeness", "chance"]
    rows: NDArray[np.int64]


_NONE = Draw(level=0, by="chance", rows=np.zeros(0, np.int64))


def choose_extra(
    assembled: Assembled, bundle: Bundle, extra: ExtraData, *, recipe: Recipe, console: Console | None = None
) -> dict[str, Any]:
    """Compares draws of the extra examples with none.

    Args:
        assembled: The network before the first stage.
        bundle: The target's examples.
        extra: The others.
        recipe: Its head, features, metric, class weights and seed.
        console: Where messages of the store are shown; None shows nothing.

    Returns:
        Plain data: `likeness` with `auc`, `distance` and `effective`; `tried`, the candidates, none first, each with `level`,
        `by`, `count`, `value` (of the metric), `loss` and `gain` over none; `level`, `by` and `count` of the one that is used;
        and `drawn`, the positions of its examples.
    """
    inputs: dict[str, Any] = {"pooling": recipe.head.pooling, "features": recipe.features, "console": console}
    own = head_inputs(assembled, bundle, "train", **inputs)
    others = head_inputs(assembled, extra.bundle, "train", **inputs)
    seed = derived_seed(recipe.seed, "extra")
    units = tied_together(bundle.examples, bundle.fingerprints)[bundle.indices("train")]
    alike = likeness(own, others, units=units, other_units=extra.units, seed=seed)
    comparison = _Comparison(bundle, extra, own, others, units, recipe=recipe, seed=seed)
    draws = [_NONE, *draws_of(bundle.labels("train"), extra.labels, alike, classes=bundle.class_count, seed=seed)]
    tried = [comparison.row(draw) for draw in draws]
    best = min(range(len(tried)), key=lambda at: tried[at]["loss"])
    kept = best if best and tried[best]["gain"]["holds"] else 0
    return {
        "likeness": {"auc": alike.auc, "distance": alike.distance, "effective": alike.effective},
        "metric": recipe.monitor.metric,
        "alpha": ALPHA,
        "examples": len(own),
        "folds": int(comparison.folds.max()) + 1,
        "tried": [{**row, "kept": at == kept} for at, row in enumerate(tried)],
        "best": best,
        "level": draws[kept].level,
        "by": draws[kept].by,
        "count": len(draws[kept].rows),
        "drawn": draws[kept].rows.tolist(),
    }


class _Comparison:
    """Probes on the target's training examples, each trained on the other folds and on a draw of the extra examples.

    Arguments are those of `choose_extra`, `own` and `others` the features of both, and `units` what is held out together.
    """

    def __init__(
        self,
        bundle: Bundle,
        extra: ExtraData,
        own: NDArray[np.float32],
        others: NDArray[np.float32],
        units: NDArray[np.integer],
        *,
        recipe: Recipe,
        seed: int,
    ) -> None:
        self.bundle, self.own, self.others, self.metric = bundle, own, others, recipe.monitor.metric
        self.labels, self.extra_labels, self.targets = bundle.labels("train"), extra.labels, bundle.targets_of("train")
        self.balanced = recipe.class_weight == "balanced"
        self.evidence = Evidence(bundle.task, self.targets, metric=self.metric, balanced=self.balanced, alpha=ALPHA, seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of classes with fewer examples than folds
            self.folds = make_folds(self.labels, np.unique(units, return_inverse=True)[1], most=FOLDS, seed=seed)
        self._none = self._answers(_NONE)

    def row(self, draw: Draw) -> dict[str, Any]:
        """What a draw comes to, as plain data; `gain` is None for none."""
        logits = self._answers(draw) if len(draw.rows) else self._none
        return {
            "level": draw.level,
            "by": draw.by,
            "count": len(draw.rows),
            "value": self.bundle.task.validate(logits, self.targets)[self.metric],
            "loss": float(self.evidence.losses(logits, self.targets).mean()),
            "gain": self.evidence.compare(logits, self._none).as_json() if len(draw.rows) else None,
        }

    def _answers(self, draw: Draw) -> NDArray[np.float32]:
        """Logits of the target's examples, `(n, classes)`."""
        found = held_out(
            np.concatenate([self.own, self.others[draw.rows]]),
            np.concatenate([self.labels, self.extra_labels[draw.rows]]),
            np.concatenate([self.folds, np.full(len(draw.rows), -1)]),
            balanced=self.balanced,
        )
        return found.logits(self.bundle.class_count)[: len(self.own)]


def draws_of(
    labels: NDArray[np.integer], extra_labels: NDArray[np.integer], alike: Likeness, *, classes: int, seed: int
) -> Iterator[Draw]:
    """The draws that are compared, none of them twice.

    Of each class come `level` extra examples for each one of the target's, so that classes keep their shares as far as there are
    enough; by likeness at most as many as the class's extra examples are worth (`tfl.probes.likeness.effective_number`), since a
    draw of nearly all has lost the weights.

    Args:
        labels, extra_labels: Integer arrays, the classes of the target's training examples and of the extra ones.
        alike: Has the weights of the extra examples.
        classes: Int, how many classes there are.
        seed: Int, of the draws.

    Example:

    >>> import numpy as np
    >>> from tfl.probes.likeness import Likeness
    >>> alike = Likeness(weights=np.ones(40), auc=0.5, distance=0.0, effective=40.0)
    >>> found = draws_of(np.array([0, 0, 1, 1]), np.arange(40) % 2, alike, classes=2, seed=0)
    >>> [(draw.level, draw.by, len(draw.rows)) for draw in found]
    [(1, 'likeness', 4), (1, 'chance', 4), (3, 'likeness', 12), (3, 'chance', 12), (10, 'likeness', 40)]
    """
    wanted = np.bincount(labels, minlength=classes)
    orders = {
        "likeness": weighted_order(alike.weights, seed=derived_seed(seed, "likeness")),
        "chance": weighted_order(np.ones(len(extra_labels)), seed=derived_seed(seed, "chance")),
    }
    seen: set[bytes] = set()
    for level in LEVELS:
        for by, order in orders.items():
            chosen = []
            for label in range(classes):
                of_class = order[extra_labels[order] == label]
                count = level * int(wanted[label])
                if by == "likeness" and len(of_class):
                    count = min(count, math.ceil(effective_number(alike.weights[of_class])))
                chosen.append(of_class[:count])
            rows = np.sort(np.concatenate(chosen))
            if len(rows) and rows.tobytes() not in seen:
                seen.add(rows.tobytes())
                yield Draw(level=level, by=by, rows=rows)  # type: ignore[arg-type]
