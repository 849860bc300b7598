"""Another sample rate, in the graph: training, exports and the server share this one way.

The spectrum of the whole sound is cut or extended (the Fourier method, as `scipy.signal.resample`), after zeros were put behind
it so that its end does not run into its start. Just below the lower of both Nyquist frequencies the spectrum is faded out, which
keeps the ringing of steep edges short.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

FADE = 0.05
"""The share of the lower Nyquist frequency over which the spectrum is faded out; soxr's default quality keeps 0.913 of it."""
PADDING_S = 0.02
"""Zeros put behind a sound, in seconds: what rings beyond its end dies away there."""


def resample(wave: tf.Tensor, rate: tf.Tensor, wanted: int) -> tf.Tensor:
    """A sound at another sample rate.

    Args:
        wave: `(samples,)` float32.
        rate: Its sample rate in Hz, a scalar integer.
        wanted: The sample rate of the result in Hz.

    Returns:
        `(ceil(samples · wanted / rate),)` float32; `wave` itself where the rates are equal.
    """
    import tensorflow as tf

    rate = tf.cast(rate, tf.int32)
    return tf.cond(tf.equal(rate, wanted), lambda: wave, lambda: _resampled(wave, rate, wanted))


def _resampled(wave: tf.Tensor, rate: tf.Tensor, wanted: int) -> tf.Tensor:
    """By `wanted / rate` in lowest terms, so that the padded sound and the result both have a whole number of samples."""
    import tensorflow as tf

    divisor = _greatest_common_divisor(rate, wanted)
    down, up = rate // divisor, wanted // divisor
    count = tf.size(wave)
    padding = tf.cast(PADDING_S * tf.cast(rate, tf.float32), tf.int32) + 1
    periods = (count + padding + down - 1) // down
    long, short = periods * down, periods * up
    spectrum = tf.signal.rfft(wave, [long])
    kept = tf.minimum(long, short) // 2 + 1
    spectrum = spectrum[:kept] * tf.cast(_fade(kept), tf.complex64)
    scale = tf.cast(up, tf.float32) / tf.cast(down, tf.float32)
    result = tf.signal.irfft(tf.pad(spectrum, [[0, short // 2 + 1 - kept]]), [short]) * scale
    wanted_count = tf.math.ceil(tf.cast(count, tf.float64) * wanted / tf.cast(rate, tf.float64))
    return result[: tf.cast(wanted_count, tf.int32)]


def _fade(count: tf.Tensor) -> tf.Tensor:
    """One, then half a cosine down to zero over the last `FADE` of the bins."""
    import tensorflow as tf

    last = tf.cast(count - 1, tf.float32)
    place = (last - tf.range(tf.cast(count, tf.float32))) / (FADE * tf.maximum(last, 1.0))
    return 0.5 - 0.5 * tf.cos(math.pi * tf.minimum(place, 1.0))


def _greatest_common_divisor(number: tf.Tensor, other: int) -> tf.Tensor:
    """Euclid's algorithm."""
    import tensorflow as tf

    found, _ = tf.while_loop(
        lambda _, rest: rest > 0, lambda divisor, rest: (rest, divisor % rest), (number, tf.constant(other, tf.int32))
    )
    return found
