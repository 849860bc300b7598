"""From texts to tokens, by a KerasHub tokenizer and packer as graph operations: the one way for training, export and server."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tfl.modalities.text.presets import load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

SPECIAL = 2
"""Tokens that are put around each text: `[CLS]` or `<s>` before, `[SEP]` or `</s>` after it."""


@dataclass(frozen=True, eq=False)
class Tokenise:
    """The tokenizer of a preset.

    Args:
        tokenizer: A KerasHub tokenizer with start, end and padding tokens.
    """

    tokenizer: Any

    def __call__(self, texts: tf.Tensor, length: int) -> dict[str, tf.Tensor]:
        """Tokens between a start and an end token, cut and padded to `length`.

        Args:
            texts: `(batch,)` strings of UTF-8; bytes that are no UTF-8 become replacement characters.
            length: Integer, tokens of each row, special tokens included.

        Returns:
            `token_ids`, `padding_mask` (1 where a token is in use) and `segment_ids` (all 0), each `(batch, length)` int32.
        """
        import keras_hub
        import tensorflow as tf

        packer = keras_hub.layers.MultiSegmentPacker(
            sequence_length=length,
            start_value=self.tokenizer.start_token_id,
            end_value=self.tokenizer.end_token_id,
            pad_value=self.tokenizer.pad_token_id,
        )
        token_ids, segment_ids = packer((self.tokenizer(as_utf8(texts)),))
        token_ids = tf.ensure_shape(tf.cast(token_ids, tf.int32), (None, length))
        return {
            "token_ids": token_ids,
            "padding_mask": tf.cast(token_ids != self.tokenizer.pad_token_id, tf.int32),
            "segment_ids": tf.ensure_shape(tf.cast(segment_ids, tf.int32), (None, length)),
        }

    def counts(self, texts: list[bytes], *, batch: int = 1024) -> NDArray[np.int64]:
        """How many tokens each text has, special tokens included, `(n,)`."""
        import numpy as np
        import tensorflow as tf

        count = tf.function(lambda some: self.tokenizer(as_utf8(some)).row_lengths(), input_signature=[_TEXTS()], autograph=False)
        found = [count(tf.constant(texts[start : start + batch])).numpy() for start in range(0, len(texts), batch)]
        return SPECIAL + np.concatenate([np.zeros(0, np.int64), *found])

    def words(self, token_ids: NDArray[np.integer]) -> list[str]:
        """Each token as text, the marks of its tokenizer included (`##ing`, `Ġthe`, `▁the`)."""
        return [str(self.tokenizer.id_to_token(int(token))) for token in token_ids]

    def identity(self) -> str:
        """SHA-256 of the tokenizer's vocabulary and settings."""
        config = {key: value for key, value in self.tokenizer.get_config().items() if key not in ("name", "trainable")}
        digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
        for word in self.tokenizer.get_vocabulary():
            digest.update(str(word).encode("utf-8", "replace") + b"\n")
        return digest.hexdigest()


def as_utf8(texts: tf.Tensor) -> tf.Tensor:
    """Strings of valid UTF-8 without a byte order mark."""
    import tensorflow as tf

    valid = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    return tf.strings.regex_replace(valid, "^\ufeff", "")


def _TEXTS() -> Any:  # noqa: N802  (a constant that needs TensorFlow)
    import tensorflow as tf

    return tf.TensorSpec([None], tf.string)


@functools.lru_cache(maxsize=4)
def tokenise_of(name: str) -> Tokenise:
    """The tokenizer of a preset, loaded once in a process.

    Args:
        name: A preset's name, address or folder.

    Raises:
        BackboneError: The preset has no tokenizer that can be loaded.
        MissingExtraError: KerasHub is not installed.
        WeightsNotFoundError: It is not on this machine and cannot be fetched.
    """
    import tensorflow as tf

    with tf.init_scope():  # its tables must not belong to a graph that asks for it first
        return Tokenise(_kept_alive(load_tokenizer(name)))


def _kept_alive(tokenizer: Any) -> Any:
    """The tokenizer, where it is one of SentencePiece with a named resource.

    An unnamed one belongs to TensorFlow's cache of kernels, which `tf.random.set_seed` empties: no dataset would find it then.
    """
    resource = getattr(getattr(tokenizer, "_sentence_piece", None), "_model_resource", None)
    if resource is not None:
        from tensorflow_text.python.ops.sentencepiece_tokenizer import gen_sentencepiece_tokenizer as operations

        model = resource._model
        digest = hashlib.sha256(model.numpy() if hasattr(model, "numpy") else model).hexdigest()
        resource._resource_handle = operations.sentencepiece_op(model=model, shared_name=f"tfl_{digest}")
    return tokenizer
