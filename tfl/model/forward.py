"""A network's forward pass as one graph, with its weights as constants: BatchNorm is folded into the convolution before it."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

MOST_CONSTANT_BYTES = 2**30
"""A graph with constants is a protocol buffer, which cannot be larger than 2 GB."""


def constant_forward(model: keras.Model) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """Pixels `(batch, height, width, 3)` float32 to one float32 tensor for each output, in inference mode.

    The weights are those of this moment. TensorFlow's optimiser folds what is constant, which changes results by rounding alone
    (`benchmarks/engines.py` has what it gains). On a GPU, and above `MOST_CONSTANT_BYTES`, they stay variables.

    Example:

    >>> import keras, tensorflow as tf
    >>> from tfl.model.forward import constant_forward
    >>> inputs = keras.Input((4, 4, 3))
    >>> forward = constant_forward(keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)))
    >>> forward(tf.ones((2, 4, 4, 3)))[0].shape
    TensorShape([2, 3])
    """
    pixels = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)

    def forward(images: tf.Tensor) -> list[tf.Tensor]:
        return [tf.cast(output, tf.float32) for output in tf.nest.flatten(model(images, training=False))]

    traced = tf.function(forward, input_signature=[pixels], autograph=False).get_concrete_function()
    size = sum(variable.shape.num_elements() * variable.dtype.size for variable in traced.graph.variables)
    if size > MOST_CONSTANT_BYTES or tf.config.list_logical_devices("GPU"):
        return traced
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(traced)
