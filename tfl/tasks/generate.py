"""The text itself: a language model, which gives the next token; perplexity for each byte of UTF-8.

The one output of the network is the negative log-likelihood of a passage in nats, and the one target of a passage is how many
bytes it has: the perplexity for each byte, exp(sum of nats / sum of bytes), compares models of any tokenizer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfl.errors import DataError, TflError
from tfl.tasks.base import Examples, OneTarget, WithoutConfidence

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    from numpy.typing import NDArray


BLOCKS, DRAWS = 50, 1000
"""Contiguous blocks of passages that the bootstrap draws, at most, and how often it draws. Passages of one work that lie side by
side are alike, so that single passages would make the interval too narrow (Künsch 1989)."""


@dataclass(frozen=True)
class Generate(WithoutConfidence, OneTarget):
    """The text itself."""

    name: ClassVar[str] = "generate"
    output: ClassVar[str] = "nats"
    uncalibrated: ClassVar[str] = "A language model has no confidence to fit."
    metrics: ClassVar[Mapping[str, bool]] = {"val_perplexity": False, "val_loss": False}
    default_metric: ClassVar[str] = "val_perplexity"
    step_metric: ClassVar[str] = "bits_per_byte"

    figures: ClassVar[tuple[str, ...]] = ("perplexity", "bits_per_byte")
    each: ClassVar[str] = "per_target"
    columns: ClassVar[tuple[str, ...]] = ("perplexity", "bytes", "count")
    words: ClassVar[tuple[str, ...]] = ()
    shows: ClassVar[str] = ""
    truth_prefix: ClassVar[str | None] = "bytes_of_"
    output_prefix: ClassVar[str] = "nats_of_"

    def fitted(self, targets: NDArray[np.float32], names: Sequence[str] = ()) -> Generate:
        """The task itself.

        Raises:
            DataError: A passage is empty.
        """
        if len(targets) and np.min(targets) < 1:
            raise DataError("A passage is empty.", fix="This is a defect of the source.")
        return self

    def targets(self, examples: Examples) -> NDArray[np.float32]:
        """How many bytes each passage has, `(n, 1)`."""
        return np.asarray(examples.targets, np.float32)

    def scaled(self, targets: NDArray[np.float32]) -> NDArray[np.float64]:
        """There is nothing to which a linear head could be fitted.

        Raises:
            TflError: Always.
        """
        raise TflError("A language model has no linear probe.", fix="Compare depths by training: tfl tune.")

    def width(self, examples: Examples) -> int:
        """One number for each passage."""
        return 1

    def output_layers(self, *, name: str | None = None) -> list[keras.layers.Layer]:
        """Nothing is done to the negative log-likelihood."""
        import keras

        return [keras.layers.Identity(name=name or self.output, dtype="float32")]

    def loss(
        self, targets: tf.Tensor, logits: tf.Tensor, *, weights: tf.Tensor | None = None, label_smoothing: float = 0.0
    ) -> tf.Tensor:
        """Nats for each byte of each passage, `(n,)`; `weights` and `label_smoothing` mean nothing here."""
        return logits[:, 0] / targets[:, 0]

    def step_score(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Bits for each byte of each passage, `(n,)`."""
        return logits[:, 0] / targets[:, 0] / float(np.log(2))

    def balanced_weights(self, targets: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """None: there is nothing to balance."""
        return None

    def validate(self, logits: NDArray[np.float32], targets: NDArray[np.float32]) -> dict[str, float]:
        """`val_perplexity` for each byte, and `val_loss`, its logarithm.

        Example:

        >>> import numpy as np
        >>> found = TASK.validate(np.log([[2.0], [8.0]]), np.array([[1.0], [3.0]]))
        >>> round(found["val_perplexity"], 3), round(found["val_loss"], 3)
        (2.0, 0.693)
        """
        nats = float(np.sum(logits, dtype=np.float64) / np.sum(targets, dtype=np.float64))
        return {"val_perplexity": float(np.exp(min(nats, 700.0))), "val_loss": nats}

    def evaluate(
        self, outputs: NDArray[np.float32], targets: NDArray[np.float32], names: Sequence[str], *, seed: int = 0
    ) -> dict[str, Any]:
        """Perplexity and bits for each byte, with 95% intervals by a bootstrap over contiguous blocks of passages."""
        nats, interval = interval_of(outputs[:, 0], targets[:, 0], seed=seed)
        figures = {
            "perplexity": float(np.exp(min(nats, 700.0))),
            "perplexity_interval": [float(np.exp(min(one, 700.0))) for one in interval],
            "bits_per_byte": nats / float(np.log(2)),
            "bits_per_byte_interval": [one / float(np.log(2)) for one in interval],
            "bytes": int(targets.sum()),
            "count": len(targets),
        }
        own = {"perplexity": figures["perplexity"], "bytes": figures["bytes"], "count": figures["count"]}
        return {**figures, "per_target": {str(name): own for name in names}}

    def counts(self, targets: NDArray[np.float32], names: Sequence[str]) -> dict[str, int]:
        """How many passages there are."""
        return {str(name): len(targets) for name in names}

    def sentence(self, metrics: Mapping[str, Any], *, noun: str, nouns: str) -> str:
        """The perplexity.

        Example:

        >>> TASK.sentence({"perplexity": 2.5, "bits_per_byte": 1.3219, "count": 9}, noun="passage", nouns="passages")
        'Perplexity 2.500 for each byte, 1.322 bits, on 9 test passages.'
        """
        interval = metrics.get("perplexity_interval")
        spread = f" (95% interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
        bits = f"{metrics['bits_per_byte']:.3f} bits"
        return f"Perplexity {metrics['perplexity']:.3f} for each byte{spread}, {bits}, on {metrics['count']} test {nouns}."

    def word_cells(
        self,
        names: Sequence[str],
        outputs: NDArray[np.floating],
        targets: NDArray[np.floating],
        answers: Mapping[str, NDArray[Any]] | None = None,
    ) -> list[tuple[str, ...]]:
        """None: a passage has no words of its own."""
        return [()] * len(outputs)

    def summary(self, examples: Examples) -> str:
        """How much text there is."""
        return f" with {self.targets(examples).sum() / 1000:,.0f} kB of text"

    def strata(self, examples: Examples) -> NDArray[np.int32]:
        """One group: the source says which works are held out."""
        return np.zeros(len(examples), np.int32)


def interval_of(nats: NDArray[np.floating], sizes: NDArray[np.floating], *, seed: int = 0) -> tuple[float, tuple[float, float]]:
    """Nats for each byte, and their 95% interval by a bootstrap over contiguous blocks of passages.

    Args:
        nats, sizes: `(n,)`, of each passage in the order of the books: negative log-likelihood, and bytes.
        seed: Of the draws.

    Example:

    >>> import numpy as np
    >>> mean, (low, high) = interval_of(np.array([1.0, 3.0, 2.0, 2.0]), np.ones(4))
    >>> mean, low <= mean <= high
    (2.0, True)
    """
    parts = np.array_split(np.arange(len(nats)), min(BLOCKS, len(nats)))
    sums = np.array([[np.sum(nats[rows], dtype=np.float64), np.sum(sizes[rows], dtype=np.float64)] for rows in parts])
    drawn = sums[np.random.default_rng(seed).integers(0, len(sums), (DRAWS, len(sums)))].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))
    return float(sums[:, 0].sum() / sums[:, 1].sum()), (float(low), float(high))


TASK = Generate()
