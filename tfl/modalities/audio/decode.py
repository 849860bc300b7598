"""From the bytes of 16-bit WAV files to samples of one length at one rate, in the graph."""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING

import numpy as np

from tfl.modalities.audio.resample import resample

if TYPE_CHECKING:
    import tensorflow as tf


_HEADER = 44
"""Bytes of the shortest header: what it holds stands at fixed places."""


def decode_wavs(contents: tf.Tensor, *, seconds: float, sample_rate: int) -> tf.Tensor:
    """`decode_wav` of each of some files, all at once where they have one channel, the wanted rate and the shortest header.

    Args:
        contents: `(batch,)` strings.
        seconds, sample_rate: As of `decode_wav`.

    Returns:
        `(batch, samples)` float32, -1 to 1; the same numbers on both ways.
    """
    import tensorflow as tf

    count = sample_count(seconds, sample_rate)
    one_by_one = functools.partial(decode_wav, seconds=seconds, sample_rate=sample_rate)
    found = tf.cond(
        _as_wanted(contents, sample_rate),
        lambda: _all_at_once(contents, count, longest=_longest(seconds, sample_rate)),
        lambda: tf.map_fn(one_by_one, contents, fn_output_signature=tf.TensorSpec([count], tf.float32)),
    )
    return tf.ensure_shape(found, (None, count))


def _as_wanted(contents: tf.Tensor, sample_rate: int) -> tf.Tensor:
    """Whether each of the files is mono PCM of 16 bits at that rate, with samples and nothing else behind the shortest header."""
    import tensorflow as tf

    form = struct.pack("<4sIHHIIHH4s", b"fmt ", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16, b"data")
    sizes = tf.strings.length(contents) - _HEADER
    start = tf.strings.substr(contents, 0, _HEADER)
    head = tf.strings.substr(tf.strings.join([start, bytes(_HEADER)]), 0, _HEADER)  # whole also where a file is cut short
    fits = [
        tf.equal(tf.strings.substr(head, 0, 4), b"RIFF"),
        tf.equal(tf.strings.substr(head, 8, 4 + len(form)), b"WAVE" + form),
        tf.equal(tf.io.decode_raw(tf.strings.substr(head, 40, 4), tf.int32)[:, 0], sizes),
        sizes > 0,
        tf.equal(sizes % 2, 0),
    ]
    return tf.reduce_all(tf.stack(fits))


def _all_at_once(contents: tf.Tensor, count: int, *, longest: int) -> tf.Tensor:
    """The samples between the header and the end, cut and padded as strings."""
    import tensorflow as tf

    sizes = (tf.strings.length(contents) - _HEADER) // 2
    kept = tf.minimum(sizes, count)
    starts = tf.maximum(0, sizes - longest) // 2
    before = (count - kept) // 2
    silence = tf.fill(tf.shape(contents), bytes(2 * count))
    parts = [
        tf.strings.substr(silence, tf.zeros_like(before), 2 * before),
        tf.strings.substr(contents, _HEADER + 2 * starts, 2 * kept),
    ]
    samples = tf.io.decode_raw(tf.strings.join(parts), tf.int16, fixed_length=2 * count)  # zeros behind what is shorter
    return tf.cast(samples, tf.float32) / 32768.0


def _longest(seconds: float, sample_rate: int) -> int:
    """How many samples `decode_wav` keeps of a longer sound before it is resampled, counted in float32 as it does."""
    return int(np.ceil(np.float32(seconds) * np.float32(sample_rate)))


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
