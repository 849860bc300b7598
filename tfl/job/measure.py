"""How the network of a run does: on its splits, and by everything else that a recipe asks to be measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.bundle import Bundle
from tfl.evaluate.alone import measure_alone
from tfl.evaluate.baseline import baseline_metrics
from tfl.evaluate.confidence import Confidence, figures_of
from tfl.evaluate.forgetting import SourceTask
from tfl.evaluate.inputs import measure_inputs
from tfl.evaluate.predictor import Outputs, SplitPredictor, outputs_by_split, stored_features
from tfl.evaluate.report.alone import alone_facts
from tfl.evaluate.report.inputs import input_facts
from tfl.evaluate.report.source import forgetting_sentence
from tfl.evaluate.report.style import style_sentences
from tfl.evaluate.report.zero_shot import zero_shot_sentences
from tfl.evaluate.run_confidence import keep_confidence
from tfl.job.job import Job
from tfl.job.told import tell_lines
from tfl.language.measure import measure_style
from tfl.recipe import GENERATE
from tfl.tasks.heads import Heads
from tfl.zero_shot.run import learn_attributes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tfl.zero_shot.classes import Attributes


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What was measured of the network of a run.

    Args:
        outputs: What the network gives, by split.
        metrics: As `metrics.json` has them, without seconds.
        confidence: What makes calibrated answers; None where the recipe does not want it.
    """

    outputs: dict[str, Outputs]
    metrics: dict[str, Any]
    confidence: Confidence | None


def measure(job: Job) -> Measured:
    """Measures everything that the recipe asks for, and says what was found."""
    predictor = SplitPredictor(job.assembled.model)
    with job.clock.step("evaluate"):
        outputs = outputs_by_split(job.run, predictor, job.bundle)
        metrics = _by_split(job, outputs) | _inputs(job) | _loss_weights(job)
    if job.recipe.task == GENERATE:
        with job.clock.step("style"):
            metrics |= _style(job, outputs["test"])
    if job.recipe.each_alone:
        with job.clock.step("alone"):
            metrics |= _alone(job, outputs["test"])
    if job.further.source is not None:
        with job.clock.step("source"):
            metrics |= _forgetting(job, job.further.source)
    if job.further.attributes is not None:
        with job.clock.step("zero_shot"):
            metrics |= _zero_shot(job, job.further.attributes, predictor)
    with job.clock.step("confidence"):
        confidence = fit_confidence(job, predictor, outputs)
        metrics |= {"confidence": figures_of(confidence)} if confidence else {}
    return Measured(outputs=outputs, metrics=metrics, confidence=confidence)


def _by_split(job: Job, outputs: dict[str, Outputs]) -> dict[str, Any]:
    """The metrics of validation and test, and those of a baseline where there is one."""
    bundle, metrics = job.bundle, dict[str, Any]()
    for name, title in (("val", "validation"), ("test", "test")):
        predicted, true = outputs[name].predictions, bundle.targets_of(name)
        metrics[title] = bundle.task.evaluate(predicted, true, bundle.examples.class_names, seed=job.recipe.seed)
    baseline = baseline_metrics(bundle)
    return metrics if baseline is None else {**metrics, "baseline": baseline}


def _inputs(job: Job) -> dict[str, Any]:
    """What each of several inputs is worth."""
    found = measure_inputs(job.assembled, job.bundle, job.recipe) if job.assembled.branches else None
    if found is None:
        return {}
    facts = input_facts({"inputs": found})
    words = "{name}: alone {alone}, with a head of its own {own_head}; its absence costs {cost}"
    job.tell("inputs", facts["lead"], [words.format(**row) for row in facts["rows"]])
    return {"inputs": found}


def _loss_weights(job: Job) -> dict[str, Any]:
    """What the losses of several targets came to count, where training learns that."""
    task = job.bundle.task.bound_to(job.assembled.model)
    found = task.learnt_weights() if isinstance(task, Heads) else {}
    if not found:
        return {}
    job.tell("losses", "weights by uncertainty: " + ", ".join(f"{name} {value:.3g}" for name, value in found.items()))
    return {"loss_weights": found}


def _style(job: Job, outputs: Outputs) -> dict[str, Any]:
    """How the network writes before and after, without what was written."""
    document = measure_style(job.run, job.assembled.model, job.bundle, outputs.predictions[:, 0])
    job.tell("style", lines=style_sentences(document))
    return {"style": {name: document[name] for name in ("authors", "perplexity", "change", "copied", "whose")}}


def _alone(job: Job, outputs: Outputs) -> dict[str, Any]:
    """Each of several targets trained alone, beside all of them together."""
    found = measure_alone(job.run, job.bundle, outputs.logits, precision=job.precision, console=job.console)
    facts = alone_facts({"alone": found})
    words = "{name}: {metric} {together} together, {alone} alone; gain {gain}"
    job.tell("alone", facts["lead"], [words.format(**row) for row in facts["rows"]])
    return {"alone": found}


def _forgetting(job: Job, source: SourceTask) -> dict[str, Any]:
    """How well the classifier of the source does on its own task, before training and after."""
    found = source.measure(job.assembled)
    job.tell("source", forgetting_sentence(found, nouns=source.bundle.modality.nouns))
    return {"source": found}


def _zero_shot(job: Job, attributes: Attributes, predictor: SplitPredictor) -> dict[str, Any]:
    """How classes are named by their attributes."""

    def features_of(some: Bundle, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        if some is job.bundle and np.array_equal(indices, some.indices("train")):
            return _training_features(job, predictor, indices)[0]
        return predictor.predict(some, indices).features

    job.tell("zero-shot", "classes by their attributes")
    document = learn_attributes(job.run, job.recipe, job.bundle, job.further.unseen, attributes, features_of)
    tell_lines(job.console, zero_shot_sentences(document, nouns=job.nouns))
    return {"zero_shot": document["unseen"]} if document["unseen"] else {}


def fit_confidence(job: Job, predictor: SplitPredictor, outputs: dict[str, Outputs]) -> Confidence | None:
    """What makes calibrated probabilities, prediction sets and out-of-distribution scores, where the recipe wants it."""
    if job.recipe.confidence is None:
        return None

    def training(indices: NDArray[np.int64]) -> tuple[NDArray[np.float32], str]:
        return _training_features(job, predictor, indices)

    return keep_confidence(job.run, job.recipe.confidence, job.bundle, outputs, training, console=job.console)


def _training_features(job: Job, predictor: SplitPredictor, indices: NDArray[np.int64]) -> tuple[NDArray[np.float32], str]:
    """What the head reads of training examples, and where that is from."""
    stored = stored_features(job.run, list(job.plans.values())[-1], job.bundle, indices)
    if stored is not None:
        return stored, "from the features of the last stage"
    return predictor.predict(job.bundle, indices).features, f"in one pass over the {job.nouns}"
