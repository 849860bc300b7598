"""The confidence of a run: fitted on its validation examples, measured on its test examples, and kept in its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tfl.evaluate.confidence import Confidence, fit_confidence, measure_confidence
from tfl.evaluate.neighbours import KEPT, choose_evenly, write_neighbours
from tfl.evaluate.out_of_distribution import bank_size
from tfl.evaluate.report.confidence import console_lines
from tfl.runs import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    import tfl
    from tfl.data.bundle import Bundle
    from tfl.evaluate.predictor import Outputs

TrainingFeatures = Callable[["NDArray[np.int64]"], "tuple[NDArray[np.float32], str]"]


def keep_confidence(
    run: Run,
    settings: tfl.Calibration,
    bundle: Bundle,
    outputs: Mapping[str, Outputs],
    training: TrainingFeatures,
    *,
    console: Console,
) -> Confidence:
    """Fits and measures; writes `confidence.json`, `confidence.npz` and `neighbours.npz`.

    Args:
        run: `Run`; the caller holds its lock.
        settings: `Calibration` of the recipe.
        bundle: `Bundle`, the data.
        outputs: Dictionary with the `Outputs` of `val` and `test`, in the order of the split.
        training: Callable from indices of training examples to the head's input for them, and to a phrase that says where it
            comes from.
        console: rich `Console` for the figures.
    """
    train, seed = bundle.indices("train"), run.recipe.seed
    strata = bundle.task.strata(bundle.examples)
    chosen = train[choose_evenly(strata[train], count=KEPT, seed=seed)]
    features, origin = training(chosen)
    compared = choose_evenly(strata[chosen], count=bank_size(bundle.class_count), seed=seed)
    val, test = outputs["val"], outputs["test"]
    fitted = fit_confidence(
        settings,
        logits=val.logits,
        features=val.features,
        targets=bundle.targets_of("val"),
        training_features=features[compared],
        task=bundle.task,
    )
    confidence = measure_confidence(fitted, "test", logits=test.logits, features=test.features, targets=bundle.targets_of("test"))
    confidence.save(run.folder)
    write_neighbours(run.folder, features, bundle, chosen)
    first, *rest = console_lines(confidence.figures, nouns=bundle.modality.nouns)
    console.print(f"\n[bold]confidence[/] {first}", highlight=False)
    for line in [*rest, f"compared with {len(compared)} of {len(train)} training {bundle.modality.nouns}, {origin}"]:
        console.print(f"         {line}", highlight=False, markup=False)
    return confidence
