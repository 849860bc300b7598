"""The head of a language model: a logit for each token behind each position, and how surprising the passage is.

The network's output is one number for each passage, its negative log-likelihood in nats, so that everything that trains, compares
and stores takes a language model as it takes any network. The logits of the next token are inside, in the layer `next_token`.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfl.backbones.inputs import inputs_of
from tfl.modalities.base import MASK
from tfl.modalities.passage.network import HIDDEN, NEXT_TOKEN, LanguageModel
from tfl.modalities.passage.tokens import TOKENS
from tfl.model.head import LOGITS
from tfl.recipe import Head


@keras.saving.register_keras_serializable("tfl")
class NextTokenLoss(keras.layers.Layer):
    """The negative log-likelihood of each passage, `(batch, 1)` float32, in nats: the sum over its tokens but the first.

    Called with logits `(batch, tokens, vocabulary)`, tokens and mask, each `(batch, tokens)` int32. The logits at a position
    predict the token behind it; tokens whose mask is 0 do not count.

    Example:

    >>> import numpy as np
    >>> from tfl.model.next_token import NextTokenLoss
    >>> tokens, mask = np.array([[2, 0, 1]], np.int32), np.array([[1, 1, 0]], np.int32)
    >>> NextTokenLoss()([np.zeros((1, 3, 4), np.float32), tokens, mask]).numpy().round(3)  # one token, log 4
    array([[1.386]], dtype=float32)
    """

    def call(self, inputs: Any) -> Any:
        """The sum for each passage."""
        logits, tokens, mask = inputs
        found = tf.nn.sparse_softmax_cross_entropy_with_logits(tokens[:, 1:], tf.cast(logits[:, :-1], tf.float32))
        return tf.reduce_sum(found * tf.cast(mask[:, 1:], tf.float32), axis=1, keepdims=True)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """One number a passage."""
        return (input_shape[0][0], 1)


def put_next_token(network: LanguageModel, head: Head, *, vocabulary: int, seed: int) -> tuple[Any, Any]:
    """The head on a causal network.

    Args:
        network: Its output layer's weights are taken over where it has any.
        head: Of the recipe: its dropout is used.
        vocabulary: Integer, how many tokens there are, where the network brings no output layer.
        seed: Of new weights and of the dropout.

    Returns:
        The inputs of the whole network, by name, and the negative log-likelihood of each passage.
    """
    inputs = inputs_of(network.model)
    inputs = dict(inputs) if isinstance(inputs, dict) else {TOKENS: inputs}
    if MASK not in inputs:
        inputs[MASK] = keras.Input((None,), dtype="int32", name=MASK)
    layers = keras.layers
    hidden = layers.Identity(name=HIDDEN)(network.model.output)
    if head.dropout:
        hidden = layers.Dropout(head.dropout, seed=seed + 1, name="head_dropout1")(hidden)
    bias = len(network.output) != 1
    start = keras.initializers.GlorotUniform(seed=seed + 1)
    vocabulary = network.output[0].shape[-1] if network.output else vocabulary
    output = layers.Dense(vocabulary, use_bias=bias, kernel_initializer=start, name=NEXT_TOKEN, dtype="float32")
    logits = output(hidden)
    if network.output:
        output.set_weights(network.output)
    return inputs, NextTokenLoss(name=LOGITS, dtype="float32")([logits, inputs[TOKENS], inputs[MASK]])


def next_token_model(model: keras.Model) -> keras.Model:
    """From tokens to the logits of the token behind each, `(batch, tokens, vocabulary)` float32; the weights are shared.

    Args:
        model: The network of a run of the task `generate`.
    """
    output = model.get_layer(NEXT_TOKEN).output
    inputs = {tensor.name: tensor for tensor in model.inputs}
    return keras.Model(inputs[TOKENS], output)
