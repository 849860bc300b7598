"""Log-mel spectrograms agree with librosa's, and stand upright in the network's input."""

import librosa
import numpy as np
import pytest
import tensorflow as tf
from sound_files import tone

import tfl
from tfl.errors import RecipeError
from tfl.modalities.audio.spectrogram import (
    fft_samples,
    frame_count,
    hertz_of,
    hop_samples,
    interpolation,
    log_mel,
    mel_filters,
    mel_of,
    spectrogram_input,
    window_samples,
)

SETTINGS = [
    tfl.Audio(),
    tfl.Audio(sample_rate=8000, mels=40, window=0.032, hop=0.016),
    tfl.Audio(sample_rate=22050, mels=96, window=0.0464, hop=0.0107, low=0.0, high=9000.0, range_db=60.0),
    tfl.Audio(sample_rate=44100, mels=128, window=0.046, hop=0.01),
]


def reference(wave: np.ndarray, audio: tfl.Audio) -> np.ndarray:
    power = librosa.feature.melspectrogram(
        y=wave,
        sr=audio.sample_rate,
        n_fft=fft_samples(audio),
        win_length=window_samples(audio),
        hop_length=hop_samples(audio),
        n_mels=audio.mels,
        fmin=audio.low,
        fmax=audio.high,
    )
    return librosa.power_to_db(power, ref=np.max, top_db=audio.range_db).T


@pytest.mark.slow
@pytest.mark.parametrize("audio", SETTINGS, ids=lambda audio: f"{audio.sample_rate}")
def test_decibels_are_those_of_librosa(audio):
    rng = np.random.default_rng(0)
    chirp = librosa.chirp(fmin=100, fmax=audio.sample_rate / 2.2, sr=audio.sample_rate, duration=0.7)
    waves = np.stack([chirp * 0.4 + 0.01 * rng.normal(size=len(chirp)), rng.normal(size=len(chirp)) * 0.1]).astype(np.float32)
    ours = log_mel(tf.constant(waves), audio).numpy()
    for wave, found in zip(waves, ours, strict=True):
        wanted = reference(wave, audio)
        assert found.shape == wanted.shape == (frame_count(audio, len(wave)), audio.mels)
        np.testing.assert_allclose(found, wanted, atol=1e-3)


@pytest.mark.slow
@pytest.mark.real_photos
def test_decibels_of_recorded_speech_are_those_of_librosa(photos):
    audio = tfl.Audio(sample_rate=8000)
    files = sorted((photos / "spoken_digits" / "test").glob("*/*.wav"))[::30]
    for file in files:
        wave = tf.audio.decode_wav(file.read_bytes())[0].numpy()[:, 0]
        np.testing.assert_allclose(log_mel(wave[None], audio).numpy()[0], reference(wave, audio), atol=1e-3)
    assert len(files) == 10


def test_filters_and_scale_are_those_of_librosa():
    audio = tfl.Audio(mels=80)
    np.testing.assert_allclose(mel_filters(audio).T, librosa.filters.mel(sr=16000, n_fft=512, n_mels=80, fmin=20.0), atol=1e-7)
    hertz = np.array([0.0, 20.0, 999.0, 1000.0, 4000.0])
    np.testing.assert_allclose(mel_of(hertz), librosa.hz_to_mel(hertz), rtol=1e-12)
    np.testing.assert_allclose(hertz_of(mel_of(hertz)), hertz, atol=1e-9)


def test_silence_is_black_and_a_quiet_sound_looks_like_a_loud_one():
    audio = tfl.Audio()
    loud = tone(seconds=0.3).astype(np.float32)
    silent, quiet, full = spectrogram_input(tf.constant(np.stack([0 * loud, loud / 64, loud])), audio, (64, 31)).numpy()
    assert silent.max() == 0
    assert full.max() == 255
    np.testing.assert_allclose(quiet, full, atol=1)


def test_high_frequencies_are_on_top_and_time_runs_to_the_right():
    audio = tfl.Audio(seconds=1.0)
    wave = np.concatenate([tone(200, seconds=0.5), tone(6000, seconds=0.5)]).astype(np.float32)
    grey = spectrogram_input(wave[None], audio, (48, 64)).numpy()[0, ..., 0]
    left, right = grey[:, :28].mean(axis=1), grey[:, 36:].mean(axis=1)
    assert left.argmax() > 40 > 12 > right.argmax()


def test_the_input_is_whole_numbers_in_three_equal_channels():
    audio, rng = tfl.Audio(), np.random.default_rng(1)
    found = spectrogram_input(rng.normal(size=(3, 4000)).astype(np.float32), audio, (40, 24)).numpy()
    assert found.shape == (3, 40, 24, 3)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, found.astype(np.uint8))
    np.testing.assert_array_equal(found[..., 0], found[..., 2])


def test_a_sound_has_the_same_spectrogram_in_every_batch():
    audio, waves = tfl.Audio(), np.random.default_rng(2).normal(size=(5, 3000)).astype(np.float32)
    whole = spectrogram_input(waves, audio, (32, 32)).numpy()
    alone = np.concatenate([spectrogram_input(wave[None], audio, (32, 32)).numpy() for wave in waves])
    assert np.abs(whole - alone).max() <= 1
    assert (whole != alone).mean() < 1e-3


@pytest.mark.parametrize("count, wanted", [(64, 96), (64, 20), (101, 101), (7, 3)])
def test_resizing_is_that_of_tensorflow(count, wanted):
    rows = np.random.default_rng(3).normal(size=(count, 5)).astype(np.float32)
    theirs = tf.image.resize(rows[:, :, None], (wanted, 5), antialias=True).numpy()[..., 0]
    np.testing.assert_allclose(interpolation(count, wanted) @ rows, theirs, atol=1e-4)


def test_bands_that_cannot_be_are_refused():
    with pytest.raises(RecipeError, match=r"low=5000, high=None Hz.*low < high <= 4000 Hz"):
        tfl.Audio(sample_rate=8000, low=5000.0)
    with pytest.raises(RecipeError, match=r"high=8000 Hz.*4000 Hz, for sample_rate=8000"):
        tfl.Audio(sample_rate=8000, high=8000.0)
