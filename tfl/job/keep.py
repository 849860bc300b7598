"""What is kept of a run: what went into it, its predictions, its network, its exports and what the report shows."""

from __future__ import annotations

from typing import Any

import keras

from tfl.backbones.inputs import inputs_of
from tfl.backbones.saving import remember_skipped_attributes
from tfl.backbones.weight_hash import weights_fingerprint
from tfl.data.bundle import Bundle
from tfl.data.listing import write_listing
from tfl.evaluate.boxes import write_boxes
from tfl.evaluate.confidence import Confidence
from tfl.evaluate.explain import explained_layer
from tfl.evaluate.predictions import write_predictions
from tfl.evaluate.predictor import Outputs
from tfl.evaluate.projection import write_projection
from tfl.evaluate.report.album import save_album
from tfl.evaluate.report.drawn import save_drawn
from tfl.export.ship import ship_model
from tfl.fields import as_plain
from tfl.job.job import Job
from tfl.job.measure import Measured
from tfl.model.assemble import Assembled
from tfl.recipe import DETECT, Recipe
from tfl.runs import MATCHING
from tfl.storage import write_atomically


def describe_weights(recipe: Recipe, assembled: Assembled, bundle: Bundle) -> dict[str, Any]:
    """The network that a run begins with, as its manifest has it."""
    decided = bundle.modality.network_about(recipe.backbone)
    network = assembled.backbone() if assembled.classifier is None else _with_classifier(assembled)
    found = assembled.matching
    matched = {} if found is None else {"imported": list(found.imported), "random": list(found.unmatched)}
    name = recipe.backbone.name
    return {"name": name, **as_plain(recipe.backbone), **decided, **matched, "sha256": weights_fingerprint(network)}


def _with_classifier(assembled: Assembled) -> keras.Model:
    """The network up to the probabilities of the source's classes."""
    classifier: Any = assembled.classifier
    return keras.Model(inputs_of(assembled.model), classifier.probabilities)


def keep_inputs(job: Job, *, data: dict[str, Any], weights: dict[str, Any]) -> None:
    """Writes what went into the run: its examples and its network.

    Args:
        job: The run.
        data: What describes the recipe's examples.
        weights: Of `describe_weights`.
    """
    run = job.run
    data["hashes"] = write_listing(run.folder, job.bundle)
    run.update_manifest(data=data, precision=job.precision, weights=weights)
    if job.assembled.matching is not None:
        run.write_json(MATCHING, job.assembled.matching.as_json())
    run.update_manifest(**{field: {"fingerprint": found} for field, found in job.further.fingerprints().items()})
    if job.repeats is not None:
        run.repeat_choices_of(job.repeats)


def keep_results(job: Job, measured: Measured, *, whole: bool) -> None:
    """Writes predictions, exports and, of a run that is kept `whole`, `model.keras` and what the report shows."""
    with job.clock.step("confidence"):
        _predictions(job, measured.outputs, measured.confidence)
    with job.clock.step("export"):
        _network(job, measured.confidence, whole=whole)
    shows = job.bundle.task.shows if whole else ""
    if shows == "boxes":
        with job.clock.step("report"):
            save_drawn(job.run.folder, job.bundle, measured.outputs["test"].predictions, seed=job.recipe.seed)
    elif shows:
        with job.clock.step("report"):
            keep_album(job, measured.outputs)
            keep_projection(job, measured.outputs)


def _predictions(job: Job, outputs: dict[str, Outputs], confidence: Confidence | None) -> None:
    bundle, predictions = job.bundle, {name: found.predictions for name, found in outputs.items()}
    if bundle.task.name == DETECT:
        write_boxes(job.run.folder, bundle.examples, bundle.split, predictions)
        return
    answers = None
    if confidence is not None:
        answers = {name: confidence.answer(found.logits, found.features) for name, found in outputs.items()}
    write_predictions(job.run.folder, bundle.examples, bundle.split, predictions, task=bundle.task, answers=answers)


def _network(job: Job, confidence: Confidence | None, *, whole: bool) -> None:
    """`model.keras` where the run is kept `whole`, and every export that the recipe names.

    Each export is compared with the model on the whole test split. One that is refused does not fail the run: it is told, and
    the manifest, the certificate and the report have the reason.
    """
    run, formats = job.run, job.recipe.export
    model = job.bundle.task.without_training(job.assembled.model)
    if whole:
        remember_skipped_attributes()
        write_atomically(run.path("model.keras"), lambda scratch: model.save(scratch))
    if not formats:
        return
    job.tell("export", ", ".join(formats))
    ship_model(
        run,
        model,
        formats,
        run.path("export"),
        bundle=job.bundle,
        confidence=confidence,
        tell=lambda words: job.console.print(f"         {words}", markup=False),
    )


def keep_album(job: Job, outputs: dict[str, Outputs]) -> None:
    """The examples that the report shows, with what the network looks at."""
    model, blocks = job.assembled.model, [block.name for block in job.assembled.blocks]
    layer = None if job.assembled.branches else explained_layer(model, blocks)
    predictions = {name: found.predictions for name, found in outputs.items()}
    save_album(job.run.folder, model, job.bundle, predictions, layer=layer, seed=job.recipe.seed)


def keep_projection(job: Job, outputs: dict[str, Outputs]) -> None:
    """The map of the test and validation examples."""
    splits = ("test", "val")
    features = {name: outputs[name].features for name in splits}
    write_projection(job.run.folder, features, {name: job.bundle.indices(name) for name in splits}, seed=job.recipe.seed)
