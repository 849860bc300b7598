"""Whether XLA compiles a stage's steps: as asked, or as measured on them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Literal

import numpy as np
import tensorflow as tf

from tfl.errors import TrainingError
from tfl.features.identity import graph_hash
from tfl.model.timing import best_seconds
from tfl.train.batches import Epoch, MemoryEpoch, StreamEpoch
from tfl.train.loop import Loop

if TYPE_CHECKING:
    from rich.console import Console

LEAST_GAIN = 1.1
"""Steps that XLA compiled have to be this many times as fast to be chosen: it rounds otherwise, and compiles anew each stage."""
_STEPS = 4
_OPEN_SIDE = 64
"""Length of random sequences where the network leaves it open."""
_measured: dict[tuple[object, ...], bool] = {}
"""Trials of a search train the same layers again and again: measured once a process."""


def choose_compilation(
    asked: bool | Literal["auto"], loop: Loop, *, streams: bool, stage_name: str, console: Console | None = None
) -> bool:
    """Whether XLA compiles the steps of `loop`, which is left as it was, weights and optimiser included.

    Args:
        asked: `recipe.jit_compile`; `auto` measures both on a random batch, and leaves it off where XLA cannot compile them.
        loop: Of the stage.
        streams: Whether the stage's batches come from a dataset; otherwise from arrays in memory.
        stage_name: For messages.
        console: Where to say what was measured and chosen; None says nothing.

    Raises:
        TrainingError: XLA was asked for and cannot compile the steps.
    """
    if asked is False:
        return False
    epoch = _epoch_of(loop, streams=streams)
    key = (graph_hash(loop.model), loop.batch_size, str(loop.inputs), streams)
    if asked == "auto" and key in _measured:
        return _measured[key]
    with _Untouched(loop):
        try:
            _run(loop, epoch, jit_compile=True)
        except (tf.errors.ResourceExhaustedError, MemoryError):
            raise
        except (tf.errors.OpError, NotImplementedError) as error:
            if asked is True:
                raise TrainingError(
                    f"XLA cannot compile the steps of stage `{stage_name}`: {_first_line(error)}",
                    fix="Set jit_compile=False, or jit_compile=auto.",
                ) from error
            chosen, said = False, f"off, as XLA cannot compile the steps: {_first_line(error)}"
        else:
            if asked is True:
                return True
            chosen, said = _measure(loop, epoch)
    if console is not None:
        console.print(f"Stage {stage_name}: jit_compile {said}", highlight=False, markup=False)
    _measured[key] = chosen
    return chosen


def _measure(loop: Loop, epoch: Epoch) -> tuple[bool, str]:
    runs = {jit: functools.partial(_run, loop, epoch, jit_compile=jit) for jit in (False, True)}
    seconds = best_seconds({str(jit): run for jit, run in runs.items()})
    count = loop.batch_size * _STEPS
    with_xla, without = count / seconds["True"], count / seconds["False"]
    chosen = with_xla >= LEAST_GAIN * without
    return chosen, f"{'on' if chosen else 'off'}: measured {without:.0f} examples/s without XLA, {with_xla:.0f} with it."


def _run(loop: Loop, epoch: Epoch, *, jit_compile: bool) -> None:
    loop.jit_compile = jit_compile
    loop.train(epoch)


def _epoch_of(loop: Loop, *, streams: bool) -> Epoch:
    """Some full batches of random inputs, as the stage would get them."""
    rng, width = np.random.default_rng(0), int(loop.model.output_shape[-1])

    def random_input(spec: tf.TensorSpec) -> tf.Tensor:
        shape = (loop.batch_size, *(side or _OPEN_SIDE for side in spec.shape[1:]))
        if not spec.dtype.is_floating:
            return tf.ones(shape, spec.dtype)
        return tf.cast(rng.uniform(0, 255 if streams else 1, shape).astype("float32"), spec.dtype)

    inputs = tf.nest.map_structure(random_input, loop.inputs)
    targets = tf.one_hot(rng.integers(0, width, loop.batch_size), width)
    if streams:
        return StreamEpoch(tf.data.Dataset.from_tensors((inputs, targets)).repeat(_STEPS))
    return MemoryEpoch(inputs, targets, np.tile(np.arange(loop.batch_size, dtype=np.int32), _STEPS))


class _Untouched:
    """Puts every weight, random state and the optimiser's variables back to what they were."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def __enter__(self) -> None:
        self._jit_compile = self._loop.jit_compile
        self._variables = [*self._loop.model.variables, *self._loop.optimizer.variables]
        self._values = [variable.numpy() for variable in self._variables]

    def __exit__(self, *_: object) -> None:
        self._loop.jit_compile = self._jit_compile
        for variable, value in zip(self._variables, self._values, strict=True):
            variable.assign(value)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
