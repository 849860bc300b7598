"""Texts as the text encoder of a pair reads them: tokens of one length by the preprocessor of its preset, and no padding mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tfl.modalities.base import TensorSpec
from tfl.modalities.text.modality import TOKENS, VERSION, TextModality

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

Tokens = Callable[["tf.Tensor"], "tf.Tensor"]


@dataclass(frozen=True)
class PairedTexts(TextModality):
    """Texts for an encoder that was trained together with one of another kind of examples.

    Args:
        backbone, length: As of `TextModality`; `length` is that of the preset.
        tokens: From texts `(batch,)` to token ids `(batch, length)`; a graph operation.
        tokenizer: A hash of what decides them.
        words: Integer, the size of the vocabulary.
    """

    tokens: Tokens | None = None
    tokenizer: str = ""
    words: int = 1

    def identity(self) -> dict[str, Any]:
        """Versions, the hash of the tokenizer and the length."""
        from importlib.metadata import version

        versions = ", ".join(f"{name} {version(name)}" for name in ("keras-hub", "tensorflow", "tensorflow-text"))
        return {"tokenise": f"{VERSION}, {versions}", "tokenizer": self.tokenizer, "length": self.settled_length}

    def spec(self) -> dict[str, TensorSpec]:
        """`token_ids`, `(length,)` int32."""
        return {TOKENS: TensorSpec((self.settled_length,), "int32")}

    def finish(self, tensors: tf.Tensor) -> Any:
        """Tokens of a batch of texts, `(batch, length)` int32."""
        import tensorflow as tf

        if self.tokens is None:
            raise ValueError("These texts have no tokenizer.")
        return tf.ensure_shape(tf.cast(self.tokens(tensors), tf.int32), (None, self.settled_length))

    def sample_tensors(self, count: int, *, seed: int = 0) -> Any:
        """Random tokens, `(count, length)` int32."""
        import numpy as np

        shape = (count, self.settled_length)
        made: NDArray[np.int32] = np.random.default_rng(seed).integers(0, self.words, shape).astype(np.int32)
        return made
