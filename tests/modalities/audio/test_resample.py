"""Resampling in the graph agrees with soxr on sounds that both rates can hold."""

import numpy as np
import pytest
import soxr
import tensorflow as tf

from tfl.modalities.audio.resample import resample

RATES = (8000, 11025, 22050, 32000, 44100, 48000, 96000, 7999)


@pytest.fixture(scope="module")
def to_16k():
    return tf.function(lambda wave, rate: resample(wave, rate, 16000), reduce_retracing=True)


def band_limited(rate: int, *, below: float, seconds: float = 0.4) -> np.ndarray:
    rng = np.random.default_rng(rate)
    times = np.arange(round(rate * seconds)) / rate
    parts = [np.sin(2 * np.pi * hertz * times + phase) for hertz, phase in rng.uniform((50, 0), (below, 6.28), (20, 2))]
    return (np.sum(parts, axis=0) * np.hanning(len(times)) / 20).astype(np.float32)


@pytest.mark.parametrize("rate", RATES)
def test_within_50_db_of_soxr(to_16k, rate):
    wave = band_limited(rate, below=0.85 * min(rate, 16000) / 2)
    ours, theirs = to_16k(wave, rate).numpy(), soxr.resample(wave, rate, 16000, quality="VHQ")
    assert abs(len(ours) - len(theirs)) <= 1
    count = min(len(ours), len(theirs))
    error = np.sqrt(np.mean((ours[:count] - theirs[:count]) ** 2) / np.mean(theirs**2))
    assert 20 * np.log10(error) < -50


def test_the_same_rate_changes_nothing(to_16k):
    wave = band_limited(16000, below=7000)
    np.testing.assert_array_equal(to_16k(wave, 16000).numpy(), wave)


def test_what_the_lower_rate_cannot_hold_is_gone(to_16k):
    times = np.arange(24000) / 48000
    wave = (np.sin(2 * np.pi * 11000 * times) * np.hanning(len(times))).astype(np.float32)
    assert np.sqrt(np.mean(to_16k(wave, 48000).numpy() ** 2)) < 1e-4


@pytest.mark.parametrize("count", [0, 1, 2, 17])
def test_the_shortest_sounds_have_their_length(to_16k, count):
    assert len(to_16k(np.ones(count, np.float32), 8000)) == 2 * count


def test_the_end_does_not_run_into_the_start(to_16k):
    wave = np.zeros(4000, np.float32)
    wave[-10:] = 1.0
    assert np.abs(to_16k(wave, 8000).numpy()[:1000]).max() < 1e-3
