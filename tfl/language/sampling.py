"""Continuations of a prompt by nucleus sampling, in one compiled function."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from tfl.modalities.passage.tokenizer import Tokenizer
from tfl.model.next_token import next_token_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

AT_ONCE = 16
"""Tokens that are written before anything is shown."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next byte is drawn.

    Args:
        temperature: Float, what logits are divided by; 0 takes the likeliest byte.
        top_p: Float, only the likeliest bytes that together have this probability are drawn (Holtzman et al. 2020).
        seed: Integer, of the draws: with the same seed the same is written.
    """

    temperature: float = 0.8
    top_p: float = 0.95
    seed: int = 0


class Sampler:
    """Writes with a language model.

    Args:
        model: Keras model, the network of a run of the task `generate`.
        tokenizer: Its tokenizer.
        context: Integer, tokens that the network sees at once, the start token included: as many as it was trained on. Of a
            longer text it sees the end.
    """

    def __init__(self, model: keras.Model, tokenizer: Tokenizer, *, context: int) -> None:
        self._next, self.context, self._tokenizer = next_token_model(model), context, tokenizer
        written = [at for at, piece in enumerate(tokenizer.pieces) if piece]
        self._numbers = None if written == list(range(len(written))) else tf.constant(written, tf.int32)
        self._count = len(written)
        tokens, number = tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((), tf.int32)
        places, real = tf.TensorSpec((None,), tf.int32), tf.TensorSpec((), tf.float32)
        self._write = tf.function(self._steps, input_signature=(tokens, places, number, number, real, real, number))

    def write(self, prompts: Sequence[bytes], length: int, sampling: Sampling) -> list[bytes]:
        """The continuation of each prompt, of `length` bytes, all side by side; the prompts are not part of it."""
        longest = max(map(len, self._tokenizer.pieces))
        parts = list(self.stream(prompts, length, sampling, at_once=length if longest == 1 else AT_ONCE))
        return [b"".join(part[row] for part in parts) for row in range(len(prompts))]

    def stream(
        self, prompts: Sequence[bytes], length: int, sampling: Sampling, *, at_once: int = AT_ONCE
    ) -> Iterator[list[bytes]]:
        """The continuations, some bytes at a time.

        With another `at_once` the network sees rows of another width, whose sums are rounded otherwise: what is drawn may differ.

        Args:
            prompts: Texts in UTF-8; an empty one begins as a passage begins.
            length: Integer, bytes of each continuation.
            sampling: How the next byte is drawn.
            at_once: Integer, tokens in each part.
        """
        rows = [[self._tokenizer.start, *self._tokenizer.ids(prompt)[-(self.context - 1) :]] for prompt in prompts]
        sizes, done = [0] * len(rows), 0
        while min(sizes) < length:
            count = min(at_once, length - min(sizes))
            written = self._some(rows, done, count, sampling)
            done += count
            part = []
            for at, (row, found) in enumerate(zip(rows, written, strict=True)):
                row += found.tolist()
                del row[1 : len(row) - self.context + 1]
                text = b"".join(self._tokenizer.pieces[token] for token in found.tolist())[: length - sizes[at]]
                sizes[at] += len(text)
                part.append(text)
            yield part

    def _some(self, rows: list[list[int]], done: int, count: int, sampling: Sampling) -> NDArray[np.int32]:
        width = min(self.context, max(map(len, rows)) + count)
        tokens = np.full((len(rows), width), self._tokenizer.pad, np.int32)
        for at, row in enumerate(rows):
            tokens[at, : len(row)] = row
        places = np.array([len(row) for row in rows], np.int32)
        found = self._write(tokens, places, done, count, sampling.temperature, sampling.top_p, sampling.seed)
        return np.asarray(found, np.int32)

    def _steps(self, tokens: Any, used: Any, first: Any, count: Any, temperature: Any, top_p: Any, seed: Any) -> Any:
        written = tf.TensorArray(tf.int32, size=count)
        width = tf.shape(tokens)[1]
        rows = tf.range(tf.shape(tokens)[0])
        for step in tf.range(count):
            tf.autograph.experimental.set_loop_options(
                shape_invariants=[(tokens, tf.TensorShape((None, None))), (used, tf.TensorShape((None,)))]
            )
            logits = tf.gather(self._next(tokens, training=False), used - 1, batch_dims=1)
            logits = logits[:, : self._count] if self._numbers is None else tf.gather(logits, self._numbers, axis=1)
            drawn = drawn_tokens(logits, temperature, top_p, tf.stack([seed, first + step]))
            drawn = drawn if self._numbers is None else tf.gather(self._numbers, drawn)
            full = used >= width  # the oldest token behind the start token makes room
            moved = tf.concat([tokens[:, :1], tokens[:, 2:], tokens[:, -1:]], axis=1)
            tokens = tf.where(full[:, None], moved, tokens)
            used = tf.where(full, width - 1, used)
            tokens = tf.tensor_scatter_nd_update(tokens, tf.stack([rows, used], axis=1), drawn)
            used += 1
            written = written.write(step, drawn)
        return tf.transpose(written.stack())


def drawn_tokens(logits: Any, temperature: Any, top_p: Any, seed: Any) -> Any:
    """One token for each row of logits `(batch, tokens)`, `(batch,)` int32.

    Args:
        logits: Float tensor.
        temperature, top_p: See `Sampling`.
        seed: Integer tensor of shape `(2,)`.

    Example:

    >>> import tensorflow as tf
    >>> from tfl.language.sampling import drawn_tokens
    >>> drawn_tokens(tf.constant([[0.0, 3.0, 2.9]]), 1.0, 0.5, tf.constant([0, 0])).numpy()  # the likeliest has more than half
    array([1], dtype=int32)
    """
    scaled = tf.cast(logits, tf.float32) / tf.maximum(tf.cast(temperature, tf.float32), 1e-6)
    ordered = tf.sort(scaled, direction="DESCENDING")
    before = tf.cumsum(tf.nn.softmax(ordered), axis=-1, exclusive=True)
    least = tf.reduce_min(tf.where(before < top_p, ordered, float("inf")), axis=-1, keepdims=True)
    kept = tf.where(scaled >= least, scaled, -1e30)
    drawn = tf.random.stateless_categorical(kept, 1, seed=seed, dtype=tf.int32)[:, 0]
    return tf.where(temperature > 0, drawn, tf.argmax(logits, axis=-1, output_type=tf.int32))


def as_text(content: bytes) -> str:
    """Bytes as text; those that are no UTF-8 become replacement characters, and a letter that is cut off at the end is left out.

    Example:

    >>> from tfl.language.sampling import as_text
    >>> as_text("да".encode()[:3])
    'д'
    """
    return codecs.getincrementaldecoder("utf-8")("replace").decode(content)
