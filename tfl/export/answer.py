"""The graph that is exported: from tensors to the task's outputs, and to what says how far they can be relied on.

    tensors ─▶ network ─┬─▶ probabilities or values
                        ├─▶ logits ─▶ what the task adds, such as calibrated probabilities and prediction sets
                        └─▶ head_pool ─▶ nearest training examples ─▶ out_of_distribution_score ─▶ is_out_of_distribution

Stock Keras layers and operations only: it saves as `.keras`, and loads without tfl unless the network itself needs more. All
that is added computes in float32, whatever the network computes in.
"""

from __future__ import annotations

from typing import Any

import keras

from tfl.backbones.inputs import inputs_of, structured
from tfl.errors import BackboneError, ExportError
from tfl.evaluate.confidence import Confidence
from tfl.evaluate.explain import tensor_of
from tfl.modalities.base import Modality
from tfl.model.head import LOGITS, POOL
from tfl.tasks.base import Task
from tfl.tasks.heads import Heads

NETWORK, IS_LABEL = "network", "is_label"
THRESHOLD = 0.5
"""The probability from which on a label is given, where no threshold was fitted."""


def build_answer(model: keras.Model, confidence: Confidence | None, *, modality: Modality, task: Task) -> keras.Model:
    """A model with every output of an export.

    Args:
        model: From the tensors of the modality to the task's output `(batch, width)`, with a head of tfl's.
        confidence: Of the run; None leaves out what it adds.
        modality: What the network takes.
        task: What the network predicts.

    Returns:
        A Functional model from the tensors, by name where there are several, to a dictionary: the task's output, and with a
        `confidence` what the task adds to it, `out_of_distribution_score` float32 and `is_out_of_distribution` bool `(batch,)`.
        For several classes the former are `calibrated_probabilities` float32 and `prediction_set` bool `(batch, classes)`. It
        shares the weights of `model`.

    Raises:
        ExportError: The model has no such head, or another width than the confidence was fitted on.
    """
    tensors = structured({name: keras.Input(spec.shape, name=name, dtype=spec.dtype) for name, spec in modality.spec().items()})
    if confidence is None:
        network = keras.Model(inputs_of(model), model.output, name=NETWORK)
        outputs = task.named(_float32(network(tensors), task.output))
        return keras.Model(tensors, {**outputs, **_without_thresholds(outputs, task)}, name="answer")
    logits, features = _inside(model, confidence)
    network = keras.Model(inputs_of(model), [model.output, logits, features], name=NETWORK)
    main, logits, features = network(tensors)
    outputs = {
        **task.named(_float32(main, task.output)),
        **confidence.task.answer_tensors(confidence.values, _float32(logits, "logits")),
        **_out_of_distribution(_float32(features, "features"), confidence),
    }
    return keras.Model(tensors, outputs, name="answer")


def _without_thresholds(outputs: dict[str, Any], task: Task) -> dict[str, Any]:
    if isinstance(task, Heads):
        of_labels = [part.target for part in task if part.task.name == "multilabel"]
        return {f"{target}_{IS_LABEL}": keras.ops.greater_equal(outputs[target], THRESHOLD) for target in of_labels}
    if task.name != "multilabel":
        return {}
    return {IS_LABEL: keras.ops.greater_equal(outputs[task.output], THRESHOLD)}


def _inside(model: keras.Model, confidence: Confidence) -> tuple[Any, Any]:
    try:
        logits, features = tensor_of(model, LOGITS), tensor_of(model, POOL)
    except BackboneError as error:
        raise ExportError(
            f"Confidence needs the head of a tfl model: {error}", fix="Export it without, or train it with tfl run."
        ) from error
    if features.shape[-1] != confidence.bank.shape[1]:
        raise ExportError(
            "The model's features are not those that the confidence was fitted on.",
            received=f"{features.shape[-1]} numbers for each example",
            allowed=str(confidence.bank.shape[1]),
            fix="Fit it again: tfl evaluate RUN --confidence",
        )
    return logits, features


def _out_of_distribution(features: Any, confidence: Confidence) -> dict[str, Any]:
    """One minus the cosine to the k-th nearest training example."""
    rows = len(confidence.bank)
    unit = keras.layers.UnitNormalization(dtype="float32", name="unit_length")(features)
    bank = keras.layers.Dense(rows, use_bias=False, trainable=False, dtype="float32", name="training_examples")
    likeness = bank(unit)
    bank.set_weights([confidence.bank.T])
    if confidence.nearest == 1:
        nearest = keras.ops.max(likeness, axis=-1)
    else:
        nearest = keras.ops.min(keras.ops.top_k(likeness, confidence.nearest)[0], axis=-1)
    score = keras.ops.relu(keras.ops.subtract(1.0, nearest))
    return {
        "out_of_distribution_score": score,
        "is_out_of_distribution": keras.ops.greater(score, confidence.out_of_distribution_threshold),
    }


def _float32(tensor: Any, name: str) -> Any:
    return keras.layers.Identity(dtype="float32", name=f"{name}_float32")(tensor)
