"""Which of several pretrained networks suits some data: a linear probe on the last block of each, on the same sample."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.advise.auto import stratified_sample
from tfl.advise.probe_candidates import held_out_logits
from tfl.data.bundle import derived_seed
from tfl.data.split import tied_together
from tfl.features.pooled import head_inputs
from tfl.model.assemble import assemble_for
from tfl.prepare import prepare
from tfl.probes.folds import FOLDS, make_folds
from tfl.recipe import Backbone, Recipe
from tfl.train.evidence import Evidence

if TYPE_CHECKING:
    from rich.console import Console

SAMPLE = 600
"""About so many examples are looked at."""


@dataclass(frozen=True, kw_only=True)
class NetworkScore:
    """How a linear probe on a network did on held-out examples.

    Args:
        backbone: `Backbone`, the network.
        metric: String, the monitored metric of the recipe.
        value: Float, its value under cross-validation.
        loss: Float, the mean calibrated loss, which decides between networks.
        examples: Int, how many were looked at.
        seconds: Float, the time that the network and its probe took.
    """

    backbone: Backbone
    metric: str
    value: float
    loss: float
    examples: int
    seconds: float


def compare_networks(recipe: Recipe, backbones: Sequence[Backbone], *, console: Console | None = None) -> list[NetworkScore]:
    """Probes each network on a sample of the recipe's training and validation examples; the best first.

    The examples are brought to each network's own size, unless the recipe states one. The features are stored, so that a run with
    the same network finds them.

    Args:
        recipe: Its data, task and monitor; its backbone does not count.
        backbones: Sequence of `Backbone`, the networks.
        console: rich `Console` for what is found in the data. Defaults to None, which prints nothing.

    Raises:
        BackboneError: A network cannot be built.

    Example:

    >>> import tfl
    >>> from tfl.advise.networks import compare_networks
    >>> data = tfl.Sample("digits", image_size=(32, 32), per_class=12)
    >>> recipe = tfl.Recipe(name="digits", data=data, backbone=tfl.Backbone("mini"))
    >>> found = compare_networks(recipe, [tfl.Backbone("mini", weights=None), tfl.Backbone("mini")])
    >>> [score.backbone.weights for score in found]
    ['pretrained', None]
    """
    return sorted((_score(recipe, backbone, console) for backbone in backbones), key=lambda score: score.loss)


def _score(recipe: Recipe, backbone: Backbone, console: Console | None) -> NetworkScore:
    from rich.console import Console

    began = time.perf_counter()
    prepared = prepare(dataclasses.replace(recipe, backbone=backbone), console or Console(quiet=True))
    bundle, task = prepared.bundle, prepared.bundle.task
    every = np.concatenate([bundle.indices("train"), bundle.indices("val")])
    rows = np.sort(stratified_sample(every, task.strata(bundle.examples), count=SAMPLE, seed=recipe.seed))
    units = np.unique(tied_together(bundle.examples, bundle.fingerprints)[rows], return_inverse=True)[1]
    folds = make_folds(task.strata(bundle.examples)[rows], units, most=FOLDS, seed=derived_seed(recipe.seed, "networks"))
    assembled = assemble_for(prepared.recipe, bundle)
    vectors = head_inputs(assembled, bundle, rows, pooling=recipe.head.pooling, features=recipe.features, console=console)
    balanced, metric = recipe.class_weight == "balanced", recipe.monitor.metric
    logits, _ = held_out_logits(vectors, bundle, rows, folds, units, balanced=balanced)
    targets: Any = bundle.targets[rows]
    evidence = Evidence(task, targets, metric=metric, alpha=1.0, balanced=balanced)
    return NetworkScore(
        backbone=backbone,
        metric=metric,
        value=task.validate(logits, targets)[metric],
        loss=float(evidence.losses(logits, targets).mean()),
        examples=len(rows),
        seconds=time.perf_counter() - began,
    )
