"""The graph that leaves the house: from pixels to probabilities, and to what says how far to trust them.

    pixels ─▶ network ─┬─▶ probabilities
                       ├─▶ logits ─▶ / temperature ─▶ calibrated_probabilities ─▶ prediction_set
                       └─▶ head_pool ─▶ nearest training images ─▶ out_of_distribution_score ─▶ is_out_of_distribution

Stock Keras layers and operations only: it saves as `.keras`, loads without tfl, and converts to every format. All that is added
computes in float32, whatever the network computes in.
"""

from __future__ import annotations

from typing import Any

import keras

from tfl.errors import BackboneError, ExportError
from tfl.evaluate.confidence import Confidence
from tfl.evaluate.explain import tensor_of
from tfl.model.head import LOGITS, POOL

PIXELS, NETWORK = "pixels", "network"
EXTRA = ("calibrated_probabilities", "prediction_set", "out_of_distribution_score", "is_out_of_distribution")
"""The outputs beside `probabilities`, where there is a `Confidence`."""


def build_answer(model: keras.Model, confidence: Confidence | None) -> keras.Model:
    """A model with every answer that an export gives.

    Args:
        model: From pixels 0..255, `(batch, height, width, 3)`, to probabilities `(batch, classes)`, with a head of tfl's.
        confidence: Of the run; None leaves out all but the probabilities.

    Returns:
        A Functional model from `pixels` to a dictionary: `probabilities` float32 `(batch, classes)`, and with a `confidence`
        `calibrated_probabilities` float32 and `prediction_set` bool `(batch, classes)`, `out_of_distribution_score` float32 and
        `is_out_of_distribution` bool `(batch,)`. It shares the weights of `model`.

    Raises:
        ExportError: The model has no such head, or another width than the confidence was fitted on.
    """
    pixels = keras.Input(model.input_shape[1:], name=PIXELS, dtype="float32")
    if confidence is None:
        network = keras.Model(model.input, model.output, name=NETWORK)
        return keras.Model(pixels, {"probabilities": _float32(network(pixels), "probabilities")}, name="answer")
    logits, features = _inside(model, confidence)
    network = keras.Model(model.input, [model.output, logits, features], name=NETWORK)
    probabilities, logits, features = network(pixels)
    outputs = {
        "probabilities": _float32(probabilities, "probabilities"),
        **confidence.task.answer_tensors(confidence.values, _float32(logits, "logits")),
        **_out_of_distribution(_float32(features, "features"), confidence),
    }
    return keras.Model(pixels, outputs, name="answer")


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
            received=f"{features.shape[-1]} numbers per image",
            allowed=str(confidence.bank.shape[1]),
            fix="Fit it again: tfl evaluate RUN --confidence",
        )
    return logits, features


def _out_of_distribution(features: Any, confidence: Confidence) -> dict[str, Any]:
    """One minus the cosine to the k-th nearest training image."""
    rows = len(confidence.bank)
    unit = keras.layers.UnitNormalization(dtype="float32", name="unit_length")(features)
    bank = keras.layers.Dense(rows, use_bias=False, trainable=False, dtype="float32", name="training_images")
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
