"""The probes that `tfl.Auto` compares: the last block alone, and several blocks side by side."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.advice.probe import on_all_cores
from tfl.data.bundle import Bundle
from tfl.features.extract import extract
from tfl.features.pooled import joined, pooled_models, refuse_too_wide
from tfl.model.assemble import Assembled
from tfl.probes.head import linear_head
from tfl.probes.linear import held_out
from tfl.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

SPREAD = (1, 2, 4, 6, 8)
"""Blocks counted from the top: what is compared with first. Several blocks side by side are better than the last one alone on
most tasks (`benchmarks/best_answer.py`)."""
LAST, BEST = 3, 5
WIDEST = 8192
"""Every block is read side by side where that makes no longer vectors."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbeCandidate:
    """A linear probe and what it says of examples that it was not trained on.

    Args:
        name: String, for messages.
        taps: Strings, the blocks that the head reads; empty for the last one alone.
        vectors: Array of shape `(n, width)`, what the head reads, before standardisation.
        logits: Array of shape `(m, outputs)` float32, of the cross-validation, for the examples that a fold holds out.
        strengths: Floats, its penalties, as `LinearHead.strengths` has them.
        seconds: Float, the time that its regressions took.
    """

    name: str = ""
    taps: tuple[str, ...]
    vectors: NDArray[np.float32]
    logits: NDArray[np.float32]
    strengths: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Probes:
    """The linear probes on one network.

    Args:
        candidates: Those that are compared as heads, `SPREAD` first.
        blocks: The probe of each block alone, input side first.
        pass_seconds: Float, what the pass over the examples took.
    """

    candidates: tuple[ProbeCandidate, ...]
    blocks: tuple[ProbeCandidate, ...]
    pass_seconds: float = 0.0


def probe_candidates(
    assembled: Assembled,
    bundle: Bundle,
    rows: NDArray[np.integer],
    folds: NDArray[np.integer],
    units: NDArray[np.integer],
    *,
    recipe: Recipe,
    losses: Callable[[NDArray[np.floating]], NDArray[np.float64]],
    console: Console | None = None,
    progress: Callable[[int], None] | None = None,
) -> Probes:
    """The probes; one pass over the examples makes the features of all. Regressions run side by side.

    Args:
        assembled: The network, whose head reads the last block.
        bundle: The data.
        rows: Integer array of shape `(n,)`, the examples, as indices into `bundle.examples`.
        folds: Integer array of shape `(n,)`, the fold in which each is held out; -1 for one that is never held out.
        units: Integer array of shape `(n,)`; examples of one unit are held out together.
        recipe: Its head, features and class weights.
        losses: Callable, the loss of each example that is held out, for logits `(m, outputs)`.
        console: Where messages are shown; None shows nothing.
        progress: Called after each batch with the number of examples that are done.

    Raises:
        RecipeError: The head's pooling makes vectors that are too long.
    """
    refuse_too_wide(assembled, recipe.head.pooling)
    models = pooled_models(assembled, recipe.head.pooling)
    passed = time.perf_counter()
    stored: Any = extract(models, bundle, rows, features=recipe.features, console=console, progress=progress)
    passed = time.perf_counter() - passed
    vectors = [np.asarray(one.read_all(), np.float32) for one in stored]
    names = [block.name for block in assembled.blocks]
    balanced = recipe.class_weight == "balanced"

    def candidate(places: Sequence[int]) -> ProbeCandidate:
        began, alone = time.perf_counter(), len(places) == 1
        inputs = joined([vectors[place] for place in places], taps=not alone)
        logits, strengths = held_out_logits(inputs, bundle, rows, folds, units, balanced=balanced)
        taps = () if places == every[-1:] else tuple(names[place] for place in places)
        seconds = time.perf_counter() - began
        return ProbeCandidate(taps=taps, vectors=inputs, logits=logits[folds >= 0], strengths=strengths, seconds=seconds)

    every = list(range(len(names)))
    spread = sorted({max(len(names) - down, 0) for down in SPREAD})
    first, last, upper, *others = on_all_cores(candidate, [spread, every[-1:], every[-LAST:], *([place] for place in every[:-1])])
    order = np.argsort([float(losses(other.logits).mean()) for other in others], kind="stable")
    second = [sorted({*(int(place) for place in order[:BEST]), every[-1]})]
    if sum(vector.shape[1] for vector in vectors) <= WIDEST:
        second.append(every)
    named = {
        f"{len(spread)} blocks of the upper half": first,
        "the last block": last,
        f"the last {len(every[-LAST:])} blocks": upper,
        **dict(zip((f"the {BEST} best blocks and the last", "every block"), on_all_cores(candidate, second), strict=False)),
    }
    return Probes(
        candidates=tuple(dataclasses.replace(found, name=name) for name, found in named.items()),
        blocks=tuple(dataclasses.replace(found, name=name) for name, found in zip(names, (*others, last), strict=True)),
        pass_seconds=passed,
    )


def held_out_logits(
    inputs: NDArray[np.float32],
    bundle: Bundle,
    rows: NDArray[np.integer],
    folds: NDArray[np.integer],
    units: NDArray[np.integer],
    *,
    balanced: bool,
) -> tuple[NDArray[np.float32], tuple[float, ...]]:
    """Logits by the probes of the folds, and the penalties."""
    if bundle.task.name == "classify":
        found = held_out(inputs, np.asarray(bundle.examples.labels)[rows], folds, balanced=balanced)
        return found.logits(bundle.class_count), (found.strength,)
    scaled, task = bundle.task.scaled(bundle.targets[rows]), bundle.task.name
    strengths = linear_head(inputs, scaled, units, task=task, balanced=balanced).strengths
    logits = np.zeros(scaled.shape, np.float32)
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        head = linear_head(inputs[~held], scaled[~held], units[~held], task=task, balanced=balanced, strengths=strengths)
        logits[held] = inputs[held] @ head.kernel + head.bias
    return logits, strengths
