"""A network's forward pass as one graph, with its weights as constants: BatchNorm is folded into the convolution before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfl.backbones.inputs import structured

MOST_CONSTANT_BYTES = 2**30
"""A graph with constants is a protocol buffer, which cannot be larger than 2 GB."""


def constant_forward(model: keras.Model) -> Callable[[Any], list[tf.Tensor]]:
    """A batch of tensors to one float32 tensor for each output of the model, in inference mode.

    The weights are those of this moment. TensorFlow's optimiser folds what is constant, which changes results by rounding alone
    (`benchmarks/engines.py` has what it gains). On a GPU, and above `MOST_CONSTANT_BYTES`, they stay variables.

    Args:
        model: A Functional model. A model with several inputs takes a dictionary by input name.

    Example:

    >>> import keras, tensorflow as tf
    >>> from tfl.model.forward import constant_forward
    >>> inputs = keras.Input((4, 4, 3))
    >>> forward = constant_forward(keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)))
    >>> forward(tf.ones((2, 4, 4, 3)))[0].shape
    TensorShape([2, 3])
    """
    names = [one.name for one in model.inputs]
    dtypes = ["float32" if tf.as_dtype(one.dtype).is_floating else one.dtype for one in model.inputs]
    specs = [tf.TensorSpec((None, *one.shape[1:]), dtype) for one, dtype in zip(model.inputs, dtypes, strict=True)]

    def forward(*inputs: tf.Tensor) -> list[tf.Tensor]:
        given = structured(dict(zip(names, inputs, strict=True)))
        return [tf.cast(output, tf.float32) for output in tf.nest.flatten(model(given, training=False))]

    traced = tf.function(forward, input_signature=specs, autograph=False).get_concrete_function()
    size = sum(variable.shape.num_elements() * variable.dtype.size for variable in traced.graph.variables)
    if size > MOST_CONSTANT_BYTES or tf.config.list_logical_devices("GPU"):
        run = traced
    else:
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        run = convert_variables_to_constants_v2(traced)

    def call(values: Any) -> list[tf.Tensor]:
        given = values if isinstance(values, dict) else {names[0]: values}
        return list(run(*(tf.cast(given[name], dtype) for name, dtype in zip(names, dtypes, strict=True))))

    return call
