"""A linear probe at every block (Alain and Bengio 2016): which block's features serve this task best, in one pass.

The pooled output of a block is given to a logistic regression, as Kornblith et al. (2019) compare networks by, but under
cross-validation over the training and validation examples. Test examples are never used.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from sklearn.metrics import accuracy_score, f1_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tfl.advice.profile import Metric, Profile, make_profile
from tfl.data.bundle import Bundle, derived_seed
from tfl.data.split import tied_together
from tfl.features.extract import extract
from tfl.features.pooled import pooled_models, refuse_too_wide
from tfl.features.store import Features as Stored
from tfl.modalities.base import settled
from tfl.model.assemble import Assembled, assemble_for
from tfl.probes.folds import FOLDS, make_folds
from tfl.probes.linear import FIRST, HeldOut, held_out
from tfl.recipe import Features, Recipe
from tfl.train.precision import choose_precision
from tfl.vectors import side_by_side

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

T = TypeVar("T")
TOGETHER = 3
"""So many of the best blocks are also tried side by side."""


def probe_recipe(
    recipe: Recipe,
    bundle: Bundle,
    *,
    console: Console | None = None,
    progress: Callable[[int], None] | None = None,
) -> Profile:
    """Probes every block of the recipe's backbone, those above its taps included.

    Pooling, class weights, precision and the storage of features are the recipe's; *best* goes by the macro-F1 where its
    monitor does, else by the accuracy.

    Args:
        recipe: `Recipe` that the probes are run for.
        bundle: `Bundle`, the data of the recipe.
        console: rich `Console` for messages and progress. Defaults to None, which prints nothing.
        progress: Callable, called after each batch with the number of examples that are done. Defaults to None.

    Raises:
        BackboneError: The network cannot be built.

    Example:

    >>> import tfl
    >>> from rich.console import Console
    >>> from tfl.advice.probe import probe_recipe
    >>> from tfl.job import prepare_data
    >>> recipe = tfl.Recipe(
    ...     name="digits", data=tfl.Sample("digits", image_size=(32, 32), per_class=10), backbone=tfl.Backbone("mini")
    ... )
    >>> profile = probe_recipe(recipe, prepare_data(recipe, Console(quiet=True))[0])
    >>> len(profile.rows), profile.examples, 0.5 < profile.best.accuracy <= 1
    (8, 80, True)
    """
    recipe = settled(recipe)
    whole = dataclasses.replace(
        recipe, head=dataclasses.replace(recipe.head, taps=(), start="random", probe="logistic", strengths=())
    )
    precision = choose_precision(whole, lambda: assemble_for(whole, bundle), modality=bundle.modality, console=console)
    assembled = assemble_for(whole, bundle, precision=precision)
    if console is not None and (note := bundle.modality.network_note(recipe.backbone)) is not None:
        console.print(f"network  {recipe.backbone.name} {bundle.modality.size_text()}, {note}", markup=False)
    return probe(
        assembled,
        bundle,
        features=recipe.features,
        pooling=recipe.head.pooling,
        class_weight=recipe.class_weight,
        metric="macro_f1" if recipe.monitor.metric == "val_macro_f1" else "accuracy",
        console=console,
        progress=progress,
    )


def probe(
    assembled: Assembled,
    bundle: Bundle,
    *,
    features: Features | None = None,
    pooling: str = "avg",
    class_weight: Literal["balanced"] | None = None,
    metric: Metric = "accuracy",
    folds: int = FOLDS,
    console: Console | None = None,
    progress: Callable[[int], None] | None = None,
) -> Profile:
    """Probes every block of a network as it is: one pass over the training and validation examples, then the regressions.

    Folds are stratified; examples of one group, and exact duplicates, are held out together and resampled together. The
    regressions run side by side, one to a core.

    Args:
        assembled: `Assembled`, the network.
        bundle: `Bundle`, the data, and the seed of the folds.
        features: `Features`, how the outputs are computed and stored. Defaults to None, which is `Features()`.
        pooling: String, how a feature map becomes a vector.
        class_weight: String, `balanced` for the same total weight of every class in the regressions, or None.
        metric: String, `accuracy` or `macro_f1`: the metric that *best* refers to.
        folds: Int, the largest number of folds; fewer are used if a class has fewer examples.
        console, progress: As of `probe_recipe`.

    Raises:
        RecipeError: The pooling makes vectors that are too long.
        TflError: A block's features are not finite.
    """
    began = time.perf_counter()
    indices = np.concatenate([bundle.indices("train"), bundle.indices("val")])
    refuse_too_wide(assembled, pooling)
    models = pooled_models(assembled, pooling)
    stored: Any = extract(models, bundle, indices, features=features or Features(), console=console, progress=progress)
    computed = time.perf_counter()
    labels = np.asarray(bundle.examples.labels)[indices]
    units = np.unique(tied_together(bundle.examples, bundle.fingerprints)[indices], return_inverse=True)[1]
    held = make_folds(labels, units, most=folds, seed=derived_seed(bundle.seed, "probe"))
    balanced = class_weight == "balanced"

    def fitted(places: Sequence[int], first: float = FIRST) -> HeldOut:
        vectors = [np.asarray(stored[place].read_all(), np.float32) for place in places]
        return held_out(vectors[0] if len(places) == 1 else side_by_side(vectors), labels, held, balanced=balanced, first=first)

    found = on_all_cores(fitted, [[place] for place in range(len(stored))])
    rows = [_about(assembled, [place], stored, probe_) for place, probe_ in enumerate(found)]
    few = _best_few([probe_.probabilities.argmax(axis=1) for probe_ in found], labels, metric)
    if len(few) > 1:
        with threadpool_limits(1):
            found.append(fitted(few, found[few[-1]].strength))
        rows.append(_about(assembled, few, stored, found[-1]))
    predicted = np.stack([probe_.probabilities.argmax(axis=1) for probe_ in found])
    seconds = {"features": computed - began, "probes": time.perf_counter() - computed}
    about: dict[str, Any] = {"classes": bundle.class_count, "folds": int(held.max()) + 1, "seconds": seconds}
    about |= {"train_examples": len(bundle.indices("train")), "nouns": bundle.modality.nouns}
    return make_profile(rows, predicted, labels, units, metric=metric, seed=derived_seed(bundle.seed, "resample"), **about)


def on_all_cores(fit: Callable[[Sequence[int]], T], jobs: Sequence[Sequence[int]]) -> list[T]:
    """One regression to a core: matrices this small gain nothing from more, and libraries that wait for each other lose."""
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(fit, jobs))


def _best_few(predicted: Sequence[NDArray[np.integer]], labels: NDArray[np.integer], metric: Metric) -> list[int]:
    scores = [
        accuracy_score(labels, answers) if metric == "accuracy" else f1_score(labels, answers, average="macro", zero_division=0)
        for answers in predicted
    ]
    return sorted(int(place) for place in np.argsort(-np.asarray(scores), kind="stable")[:TOGETHER])


def _about(assembled: Assembled, places: Sequence[int], stored: Sequence[Stored], found: HeldOut) -> dict[str, Any]:
    blocks = [assembled.blocks[place] for place in places]
    return {
        "block": " + ".join(block.name for block in blocks),
        "taps": tuple(block.name for block in blocks),
        "output_shape": blocks[-1].output_shape,
        "features": sum(stored[place].shape[1] for place in places),
        "C": found.strength,
        "compute": sum(block.flops_share for block in assembled.blocks[: places[-1] + 1]),
    }
