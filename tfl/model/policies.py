"""Keras dtype policies: which ones this machine computes in, and a network under another one."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfl.backbones import flat
from tfl.errors import BackboneError


def supported_precisions() -> tuple[str, ...]:
    """The policies that this machine computes in: float16 is slow on every CPU, bfloat16 on GPUs before compute capability 8."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return ("float32", "mixed_bfloat16")
    capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
    return ("float32", "mixed_float16") + (("mixed_bfloat16",) if capability >= (8, 0) else ())


def policy_of(model: keras.Model) -> str:
    """The policy that a network computes under: the one that some of its layers have next to float32, which inputs stay in.

    Example:

    >>> import keras
    >>> from tfl.model.policies import policy_of
    >>> policy_of(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, dtype="mixed_bfloat16")]))
    'mixed_bfloat16'
    """
    found = {layer.dtype_policy.name for layer in model.layers} - {"float32"}
    return "+".join(sorted(found)) or "float32"


def under_policy(model: keras.Model, policy: str) -> keras.Model:
    """A copy of a flat Functional model that computes under a dtype policy, with the same weights.

    What prepares the inputs stays float32, as in `tfl.backbones.flat.use_policy`; quantised layers keep their policy.

    Raises:
        BackboneError: A layer cannot be made again from its configuration.
    """
    preparing = set()
    for operation in flat.operations_inside(model):
        if not flat.prepares_inputs(operation):
            break
        preparing.add(operation.name)

    def copy(operation: Any) -> Any:
        config = operation.get_config()
        if isinstance(operation, keras.layers.Layer) and operation.dtype_policy.name in flat.POLICIES:
            config["dtype"] = "float32" if operation.name in preparing else policy
        return type(operation).from_config(config)

    try:
        made = keras.models.clone_model(model, clone_function=copy)
        for layer in model.layers:
            if layer.weights:
                made.get_layer(layer.name).set_weights(layer.get_weights())
    except Exception as error:  # whatever a layer of a user's own network does
        raise BackboneError(f"The network cannot be built again under {policy}: {error}") from error
    return made
