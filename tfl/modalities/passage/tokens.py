"""From bytes of UTF-8 to whole numbers. Each byte is its own token, so that every script and every text can be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

START, PAD, VOCABULARY = 256, 257, 258
"""The token that begins a passage, the one that fills it up, and how many there are: 256 bytes and these two."""
TOKENS = "token_ids"


def byte_tokens(texts: tf.Tensor, length: int) -> dict[str, tf.Tensor]:
    """A start token and the bytes of each text, cut and padded.

    Args:
        texts: `(batch,)` strings.
        length: Integer, tokens of each row, the start token included.

    Returns:
        `token_ids` and `padding_mask` (1 where a token is in use), each `(batch, length)` int32.
    """
    import tensorflow as tf

    from tfl.modalities.base import MASK

    found = tf.cast(tf.io.decode_raw(texts, tf.uint8, fixed_length=length - 1), tf.int32)
    used = tf.range(length - 1)[None] < tf.strings.length(texts)[:, None]
    start = tf.fill([tf.shape(found)[0], 1], START)
    tokens = tf.concat([start, tf.where(used, found, PAD)], axis=1)
    mask = tf.concat([tf.ones_like(start), tf.cast(used, tf.int32)], axis=1)
    return {TOKENS: tf.ensure_shape(tokens, (None, length)), MASK: tf.ensure_shape(mask, (None, length))}
