"""The continuous wavelet transform in the graph, with Morlet wavelets at frequencies in equal steps of pitch.

A wavelet is a wave under a Gaussian, as many cycles long at each frequency: high frequencies are told apart finely in time, low
ones in frequency, where a spectrogram has one window for all (Torrence and Compo 1998, *A Practical Guide to Wavelet Analysis*).
The transform is a product in the frequency domain, one wavelet after the other, so that memory does not grow with their number.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

    import tfl

OMEGA = 6.0
"""The wave's radians over one standard deviation of the Gaussian; 6 as in Torrence and Compo 1998, section 3b."""
_REACH = 4.0
"""Standard deviations of the Gaussian beyond which it is taken for zero."""


@functools.lru_cache(maxsize=16)
def frequencies(audio: tfl.Audio) -> NDArray[np.float64]:
    """The frequencies of the wavelets in Hz, `(mels,)`, each the same factor above the one before.

    Example:

    >>> import tfl
    >>> from tfl.modalities.audio.wavelet import frequencies
    >>> frequencies(tfl.Audio(transform="wavelet", mels=8, low=50.0, high=6400.0)).round(1).tolist()
    [50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0]
    """
    high = audio.sample_rate / 2 if audio.high is None else audio.high
    return np.geomspace(audio.low, high, audio.mels)


def fft_length(audio: tfl.Audio, samples: int) -> int:
    """The Fourier transform's length: a power of two that holds the sound, and silence as far as the longest wavelet reaches."""
    reach = _REACH * OMEGA * audio.sample_rate / (2.0 * math.pi * audio.low)
    return int(2 ** math.ceil(math.log2(samples + reach)))


def wavelet_power(waves: tf.Tensor, audio: tfl.Audio, *, hop: int) -> tf.Tensor:
    """The squared amplitude at each frequency, as means around places that are `hop` apart.

    Args:
        waves: `(batch, samples)` float32 at `audio.sample_rate`; the number of samples must be known.
        audio: Frequencies.
        hop: Samples between two places.

    Returns:
        `(batch, 1 + samples // hop, mels)` float32. A sine of amplitude `a` gives `a ** 2` at its frequency, whatever that is.
    """
    import tensorflow as tf

    samples = int(waves.shape[1])
    length, places = fft_length(audio, samples), 1 + samples // hop
    spectrum = tf.signal.rfft(waves, [length])
    bins = tf.constant(np.arange(length // 2 + 1) * (audio.sample_rate / length), tf.float32)
    sides = hop // 2, max(0, places * hop - samples - hop // 2)
    counts = np.pad(np.ones(samples), sides)[: places * hop].reshape(places, hop).sum(axis=1)
    shares = tf.constant(1.0 / np.maximum(counts, 1.0), tf.float32)

    def at(frequency: tf.Tensor) -> tf.Tensor:
        response = 2.0 * tf.exp(-0.5 * tf.square(OMEGA * (bins / frequency - 1.0)))
        analytic = tf.pad(spectrum * tf.cast(response, tf.complex64), [[0, 0], [0, length - length // 2 - 1]])
        wave = tf.signal.ifft(analytic)[:, :samples]
        power = tf.square(tf.math.real(wave)) + tf.square(tf.math.imag(wave))
        padded = tf.pad(power, [[0, 0], list(sides)])[:, : places * hop]
        return tf.reduce_sum(tf.reshape(padded, [-1, places, hop]), axis=2) * shares

    found = tf.map_fn(at, tf.constant(frequencies(audio), tf.float32), fn_output_signature=tf.float32)
    return tf.transpose(found, [1, 2, 0])
