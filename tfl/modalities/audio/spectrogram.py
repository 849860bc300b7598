"""Log-mel spectrograms in the graph, by librosa's conventions, and as the RGB input of a network for images.

Hann window, zeros before the start and after the end so that windows are centred, power spectrum, Slaney's mel scale and norm
(Slaney 1998, Auditory Toolbox), dB below the loudest value. `librosa.feature.melspectrogram` and `librosa.power_to_db` give the
same numbers.

With `transform="wavelet"` the power is that of `tfl.modalities.audio.wavelet`, and all else is the same.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from tfl.modalities.audio.wavelet import wavelet_power

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

    import tfl

LEAST_POWER = 1e-10
"""Smaller powers are raised to this before the logarithm, as in `librosa.power_to_db`."""
_LINEAR_HZ, _BREAK_HZ, _LOG_STEP = 200.0 / 3, 1000.0, math.log(6.4) / 27.0
"""Slaney's scale is linear, 66.7 Hz a mel, up to 1000 Hz, and logarithmic above."""


def window_samples(audio: tfl.Audio) -> int:
    """Length of the analysis window in samples."""
    return max(2, round(audio.window * audio.sample_rate))


def hop_samples(audio: tfl.Audio) -> int:
    """Distance between two windows in samples."""
    return max(1, round(audio.hop * audio.sample_rate))


def fft_samples(audio: tfl.Audio) -> int:
    """Length of the Fourier transform: the power of two that holds the window.

    Example:

    >>> import tfl
    >>> from tfl.modalities.audio.spectrogram import fft_samples
    >>> fft_samples(tfl.Audio(sample_rate=16000, window=0.025))
    512
    """
    return int(2 ** math.ceil(math.log2(window_samples(audio))))


def frame_count(audio: tfl.Audio, samples: int) -> int:
    """How many windows a sound of so many samples has."""
    return 1 + samples // hop_samples(audio)


def highest(audio: tfl.Audio) -> float:
    """The highest frequency of the mel bands, in Hz."""
    return audio.sample_rate / 2 if audio.high is None else audio.high


def mel_of(hertz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Frequencies in Hz on Slaney's mel scale.

    Example:

    >>> from tfl.modalities.audio.spectrogram import mel_of
    >>> float(mel_of(200.0))
    3.0
    """
    hertz = np.asarray(hertz, np.float64)
    above = _BREAK_HZ / _LINEAR_HZ + np.log(np.maximum(hertz, 1e-9) / _BREAK_HZ) / _LOG_STEP
    return np.where(hertz < _BREAK_HZ, hertz / _LINEAR_HZ, above)


def hertz_of(mels: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The inverse of `mel_of`."""
    mels = np.asarray(mels, np.float64)
    start = _BREAK_HZ / _LINEAR_HZ
    return np.where(mels < start, mels * _LINEAR_HZ, _BREAK_HZ * np.exp(_LOG_STEP * (mels - start)))


@functools.lru_cache(maxsize=16)
def mel_filters(audio: tfl.Audio) -> NDArray[np.float32]:
    """Triangular filters from the power spectrum to mel bands, `(bins, mels)`, each of area 1 in Hz."""
    edges = hertz_of(np.linspace(mel_of(audio.low), mel_of(highest(audio)), audio.mels + 2))
    bins = np.linspace(0.0, audio.sample_rate / 2, fft_samples(audio) // 2 + 1)
    rise = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    area = 2.0 / (edges[2:] - edges[:-2])
    return (np.maximum(0.0, np.minimum(rise, fall)) * area).astype(np.float32)


def hann(length: int) -> NDArray[np.float32]:
    """The periodic Hann window; that of `tf.signal` is another one where the length is odd."""
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)).astype(np.float32)


def hertz_at(audio: tfl.Audio, share: float) -> float:
    """The frequency in Hz at a share of the height of a spectrogram, from 0 (below) to 1 (on top).

    Example:

    >>> import tfl
    >>> from tfl.modalities.audio.spectrogram import hertz_at
    >>> round(hertz_at(tfl.Audio(), 0.5)), round(hertz_at(tfl.Audio(transform="wavelet"), 0.5))
    (1706, 400)
    """
    low, high = audio.low, highest(audio)
    if audio.transform == "wavelet":
        return float(low * (high / low) ** share)
    return float(hertz_of(mel_of(low) + share * (mel_of(high) - mel_of(low))))


def log_mel(waves: tf.Tensor, audio: tfl.Audio) -> tf.Tensor:
    """Log-mel spectrograms, or wavelet transforms, in dB below the loudest value of each sound.

    Args:
        waves: `(batch, samples)` float32 at `audio.sample_rate`.
        audio: Windows and bands, and which transform.

    Returns:
        `(batch, frames, mels)` float32, from `-audio.range_db` to 0. Silence is `-audio.range_db` throughout, where librosa
        gives 0.
    """
    import tensorflow as tf

    bands = wavelet_power(waves, audio, hop=hop_samples(audio)) if audio.transform == "wavelet" else _mel_power(waves, audio)
    loudest = tf.reduce_max(bands, axis=(1, 2), keepdims=True)
    decibels = (10.0 / math.log(10.0)) * tf.math.log(tf.maximum(bands, LEAST_POWER) / tf.maximum(loudest, LEAST_POWER))
    return tf.where(loudest > LEAST_POWER, tf.maximum(decibels, -audio.range_db), -audio.range_db)


def _mel_power(waves: tf.Tensor, audio: tfl.Audio) -> tf.Tensor:
    """The power in mel bands, `(batch, frames, mels)`."""
    import tensorflow as tf

    length, window, hop = fft_samples(audio), window_samples(audio), hop_samples(audio)
    before = length // 2 - (length - window) // 2
    padded = tf.pad(waves, [[0, 0], [before, length]])
    frames = tf.signal.frame(padded, window, hop)[:, : 1 + tf.shape(waves)[1] // hop]
    spectrum = tf.signal.rfft(frames * tf.constant(hann(window)), [length])
    power = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
    return tf.linalg.matmul(power, tf.constant(mel_filters(audio)))


def spectrogram_input(waves: tf.Tensor, audio: tfl.Audio, size: tuple[int, int]) -> tf.Tensor:
    """Spectrograms as the input of a network for images: time to the right, high frequencies on top.

    Args:
        waves: `(batch, samples)` float32 at `audio.sample_rate`; the number of samples must be known.
        audio: Windows, bands and range.
        size: (height, width) of the result.

    Returns:
        `(batch, height, width, 3)` float32, whole numbers from 0 (`audio.range_db` below the loudest value) to 255 (the loudest).
    """
    import tensorflow as tf

    levels = (log_mel(waves, audio) + audio.range_db) * (255.0 / audio.range_db)
    rows = interpolation(audio.mels, size[0])[::-1].copy()
    columns = interpolation(frame_count(audio, int(waves.shape[1])), size[1])
    resized = tf.linalg.matmul(
        tf.constant(rows), tf.linalg.matmul(levels, tf.constant(columns), transpose_a=True, transpose_b=True)
    )
    whole = tf.clip_by_value(tf.round(resized), 0.0, 255.0)
    return tf.ensure_shape(tf.repeat(whole[..., None], 3, axis=-1), (None, *size, 3))


@functools.lru_cache(maxsize=32)
def interpolation(count: int, wanted: int) -> NDArray[np.float32]:
    """A matrix `(wanted, count)` that resamples an axis linearly, over a triangle as wide as the step where it shrinks.

    As `tf.image.resize(..., "bilinear", antialias=True)` weighs.

    Example:

    >>> from tfl.modalities.audio.spectrogram import interpolation
    >>> interpolation(2, 4).tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    step = count / wanted
    centres = (np.arange(wanted) + 0.5) * step - 0.5
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(count)[None, :] - centres[:, None]) / max(1.0, step))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
