"""Several targets, each trained alone beside all of them together, on the same examples of the test split.

A target alone is a network with one head: the same backbone, head, stages, seed and split, on the training and validation
examples that have the target. What is frozen is stored, so that the networks of the targets compute none of it again. Its folder
in the run, `alone/TARGET`, is a run as well, by which an interrupted comparison goes on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.bundle import Bundle, derived_seed
from tfl.evaluate.predictor import SplitPredictor
from tfl.model.assemble import assemble_for
from tfl.runs import Run
from tfl.tasks.heads import Part
from tfl.train.stage import train_stage
from tfl.train.stage_plan import plan_stages
from tfl.train.stopping import Stop

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from tfl.tasks.base import Task

FOLDER = "alone"
_DRAWS = 1000
_MOST_ROWS = 2_000_000
"""Of all draws together: of larger test splits fewer are drawn."""


def measure_alone(
    run: Run, bundle: Bundle, logits: NDArray[np.float32], *, precision: str, console: Console, stop: Callable[[], Stop] = Stop
) -> dict[str, Any]:
    """Trains each target alone, and compares.

    Args:
        run: Its recipe's stages are those of each target; the folders `alone/TARGET` are made in it.
        bundle: The data, whose task has several targets.
        logits: `(n, width)`, what the network of all targets says of the test examples.
        precision: Name of the dtype policy.
        console: Where progress is shown.
        stop: Makes what hears Ctrl-C and SIGTERM while a stage trains.

    Returns:
        `rows`, for each target `target`, `metric` and `higher_is_better`, `count` (test examples that have it), `together` and
        `alone`, and `gain`, by how much the metric is better together, with its 95% `interval` (paired bootstrap).
    """
    task: Any = bundle.task
    rows = []
    for part in task:
        own, known = of_target(bundle, part)
        console.print(f"\n[bold]alone[/]    {part.target}: {len(own.indices('train'))} to train", highlight=False)
        alone = _logits_alone(run, own, part, precision=precision, console=console, stop=stop)
        rows.append(_row(part, logits[known], alone, own.targets_of("test"), seed=run.recipe.seed))
    return {"rows": rows}


def of_target(bundle: Bundle, part: Part) -> tuple[Bundle, NDArray[np.bool_]]:
    """The data of one of several targets, and which of the test examples have it.

    All examples stay, so that each keeps its features in the store and its place in the order; those without the target are in no
    split.
    """
    there = part.known(bundle.targets)
    split = bundle.split
    kept = {name: bundle.indices(name)[there[bundle.indices(name)]] for name in ("train", "val", "test")}
    one_class = part.task.name == "classify"
    targets = part.of(bundle.targets)
    labels = np.where(there, np.nan_to_num(targets).argmax(axis=1), 0).astype(np.int32) if one_class else np.zeros(0, np.int32)
    examples = dataclasses.replace(
        bundle.examples, class_names=part.names, labels=labels, targets=None if one_class else targets, heads={}
    )
    own = dataclasses.replace(bundle, examples=examples, split=dataclasses.replace(split, **kept), task=part.task)
    return own, there[bundle.indices("test")]


def _logits_alone(
    run: Run, bundle: Bundle, part: Part, *, precision: str, console: Console, stop: Callable[[], Stop]
) -> NDArray[np.float32]:
    """What the network of one target says of the test examples that have it."""
    recipe, folder = run.recipe.alone(part.target), run.path(FOLDER, part.target)
    own = Run.open(folder) if (folder / "manifest.json").is_file() else Run.create(folder, recipe, command=[])
    assembled = assemble_for(recipe, bundle, precision=precision)
    weights = None if recipe.class_weight is None else bundle.task.balanced_weights(bundle.targets_of("train"))
    with own.lock():
        for plan in plan_stages(assembled, recipe).values():
            train_stage(
                own, assembled, plan.stage, bundle, recipe=recipe, plan=plan, class_weights=weights, console=console, stop=stop()
            )
        own.update_manifest(status="done")
    return SplitPredictor(assembled.model).predict(bundle, bundle.indices("test")).logits


def _row(
    part: Part, together: NDArray[np.float32], alone: NDArray[np.float32], targets: NDArray[np.float32], *, seed: int
) -> dict[str, Any]:
    metric = part.task.default_metric
    own = part.of(together)
    gain, interval = paired_gain(part.task, own, alone, targets, metric=metric, seed=derived_seed(seed, "alone", part.target))
    return {
        "target": part.target,
        "task": part.task.name,
        "metric": metric.removeprefix("val_"),
        "higher_is_better": bool(part.task.metrics[metric]),
        "count": len(targets),
        "together": float(part.task.validate(own, targets)[metric]),
        "alone": float(part.task.validate(alone, targets)[metric]),
        "gain": gain,
        "interval": interval,
    }


def paired_gain(
    task: Task,
    logits: NDArray[np.floating],
    others: NDArray[np.floating],
    targets: NDArray[np.float32],
    *,
    metric: str,
    seed: int,
) -> tuple[float, list[float]]:
    """By how much a metric is better by some logits than by others, and the 95% interval over draws of the examples (bootstrap).

    Args:
        task: What is predicted, fitted to the training targets.
        logits, others: `(n, width)`, of the same examples.
        targets: `(n, width)`.
        metric: One of `task.metrics`.
        seed: Of the draws.
    """
    sign, drawn, count = 1 if task.metrics[metric] else -1, np.random.default_rng(seed), len(targets)

    def gain(rows: NDArray[np.int64] | slice) -> float:
        one, other = (task.validate(np.asarray(some[rows], np.float32), targets[rows])[metric] for some in (logits, others))
        return float(sign * (one - other))

    gaps = [gain(drawn.integers(0, count, count)) for _ in range(max(100, min(_DRAWS, _MOST_ROWS // max(count, 1))))]
    low, high = np.nanquantile(gaps, (0.025, 0.975))
    return gain(slice(None)) + 0.0, [float(low) + 0.0, float(high) + 0.0]  # no -0.0
