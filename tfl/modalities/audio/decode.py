"""From the bytes of a 16-bit WAV file to samples of one length at one rate, in the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfl.modalities.audio.resample import resample

if TYPE_CHECKING:
    import tensorflow as tf


def decode_wav(content: tf.Tensor, *, seconds: float, sample_rate: int) -> tf.Tensor:
    """The middle of a sound, all channels mixed into one.

    Args:
        content: The bytes of a WAV file with 16-bit PCM samples, a scalar string; any rate, any number of channels. Chunks of an
            odd length before the samples are not understood by the operation; `tfl.modalities.audio.convert` removes them.
        seconds: Length of the result. Of a longer sound the middle is taken; a shorter one stands in the middle of silence.
        sample_rate: Of the result, in Hz.

    Returns:
        `(samples,)` float32, -1 to 1.
    """
    import tensorflow as tf

    samples, rate = tf.audio.decode_wav(content)
    mono = tf.reduce_mean(samples, axis=1)
    longest = tf.cast(tf.math.ceil(seconds * tf.cast(rate, tf.float32)), tf.int32)
    mono = mono[tf.maximum(0, tf.size(mono) - longest) // 2 :][:longest]
    return fitted(resample(mono, rate, sample_rate), sample_count(seconds, sample_rate))


def sample_count(seconds: float, sample_rate: int) -> int:
    """How many samples a sound of that length has.

    Example:

    >>> from tfl.modalities.audio.decode import sample_count
    >>> sample_count(0.5, 16000)
    8000
    """
    return max(1, round(seconds * sample_rate))


def fitted(wave: tf.Tensor, count: int) -> tf.Tensor:
    """The middle `count` samples of a sound, or the sound in the middle of silence."""
    import tensorflow as tf

    wave = wave[tf.maximum(0, tf.size(wave) - count) // 2 :][:count]
    missing = count - tf.size(wave)
    return tf.ensure_shape(tf.pad(wave, [[missing // 2, missing - missing // 2]]), (count,))
