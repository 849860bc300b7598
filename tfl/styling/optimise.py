"""The optimisation: Adam on the pixels, one compiled step, whose state can be kept and taken up again."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from tfl.errors import RunError
from tfl.styling.losses import Targets, total

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tfl.styling.options import StyleOptions

_GREY, _NOISE = 127.5, 40.0


@dataclass
class Optimisation:
    """A picture on its way.

    Args:
        maps: A frozen model from pixels to the maps of the blocks that count.
        targets: What the losses compare with.
        start: `(1, height, width, 3)`, 0..255.
        options: Weights and rate.
    """

    maps: keras.Model
    targets: Targets
    start: NDArray[np.float32]
    options: StyleOptions
    steps: int = 0
    rows: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.picture = keras.Variable(self.start, dtype="float32", name="picture")
        self.optimizer = keras.optimizers.Adam(self.options.learning_rate)
        self.optimizer.build([self.picture])
        self.names = [name for name, _ in self._losses(tf.convert_to_tensor(self.start)).items()]
        self._step = tf.function(self._one_step, autograph=False)

    @property
    def columns(self) -> list[str]:
        """What a row of losses holds: the weighted sum, and each loss."""
        return ["total", *self.names]

    def _losses(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.targets.losses(pixels, self.maps(pixels, training=False))

    def _row(self, losses: Mapping[str, tf.Tensor]) -> tf.Tensor:
        weights = {name: getattr(self.options, name) for name in ("content_weight", "style_weight", "variation_weight")}
        return tf.stack([total(losses, **weights), *losses.values()])

    def _one_step(self) -> tf.Tensor:
        pixels = tf.convert_to_tensor(self.picture.value)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(pixels)
            row = self._row(self._losses(pixels))
            loss = row[0]
        self.optimizer.apply([tape.gradient(loss, pixels)], [self.picture])
        self.picture.assign(tf.clip_by_value(self.picture.value, 0.0, 255.0))
        return row

    def step(self) -> None:
        """One step; the losses of the picture before it become a row."""
        self.rows.append([float(value) for value in self._step().numpy()])
        self.steps += 1

    def finish(self) -> list[float]:
        """The losses of the picture as it is."""
        return [float(value) for value in self._row(self._losses(tf.convert_to_tensor(self.picture.value))).numpy()]

    def seconds_of_a_step(self) -> float:
        """What a step takes, tried twice, the first with what the compilation takes; the picture stays as it is."""
        before, count = self._values(), len(self.rows)
        self._step()
        began = time.perf_counter()
        self._step().numpy()
        seconds = time.perf_counter() - began
        self._assign(before)
        del self.rows[count:]
        return seconds

    def pixels(self) -> NDArray[np.float32]:
        """The picture, `(height, width, 3)`, 0..255."""
        return np.asarray(self.picture.value[0], np.float32)

    def state(self) -> bytes:
        """Everything that the next step depends on, and the rows so far."""
        buffer = io.BytesIO()
        values: dict[str, Any] = {f"value_{at}": value for at, value in enumerate(self._values())}
        np.savez(buffer, steps=self.steps, rows=np.asarray(self.rows, np.float64), columns=np.array(self.columns), **values)
        return buffer.getvalue()

    def resume(self, state: bytes, where: str) -> None:
        """Takes up a kept state.

        Args:
            state: Of `state()`.
            where: Where it comes from, for the message.

        Raises:
            RunError: It is damaged, or of other blocks or another size.
        """
        try:
            with np.load(io.BytesIO(state), allow_pickle=False) as kept:
                values = [kept[f"value_{at}"] for at in range(len(self._values()))]
                columns, rows, steps = list(kept["columns"]), kept["rows"].tolist(), int(kept["steps"])
        except (ValueError, KeyError, OSError, zipfile.BadZipFile, EOFError) as error:
            raise RunError(f"{where} is damaged: {error}.", fix="Start again in another folder.") from error
        if columns != self.columns or [value.shape for value in values] != [value.shape for value in self._values()]:
            raise RunError(f"{where} is of other blocks or of another size.", fix="Start again in another folder.")
        self._assign(values)
        self.rows, self.steps = rows, steps

    def _variables(self) -> list[Any]:
        return [self.picture, *self.optimizer.variables]

    def _values(self) -> list[NDArray[Any]]:
        return [np.array(variable.value) for variable in self._variables()]

    def _assign(self, values: list[NDArray[Any]]) -> None:
        for variable, value in zip(self._variables(), values, strict=True):
            variable.assign(value)


def starting_pixels(photo: NDArray[np.float32], options: StyleOptions) -> NDArray[np.float32]:
    """`(1, height, width, 3)`: the photo, or grey noise of a deviation of 40 drawn by the seed."""
    if options.start == "content":
        return photo[None].astype(np.float32)
    noise = np.random.default_rng(options.seed).standard_normal((1, *photo.shape), np.float32)
    return np.clip(_GREY + _NOISE * noise, 0, 255).astype(np.float32)
