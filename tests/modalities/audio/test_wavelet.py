"""Wavelet transforms agree with sums over time, stand upright in the network's input, and are read again by an export's lines."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from sound_files import tone

import tfl
from tfl.errors import RecipeError
from tfl.modalities.audio.golden import golden_sounds
from tfl.modalities.audio.modality import AudioModality
from tfl.modalities.audio.preview import preview_sound
from tfl.modalities.audio.shipping import AudioShipping
from tfl.modalities.audio.wavelet import OMEGA, frequencies, wavelet_power

AUDIO = tfl.Audio(transform="wavelet", sample_rate=8000, mels=12, low=60.0, high=3000.0, seconds=0.5)
MODALITY = AudioModality(tfl.Data("x", image_size=(40, 60), input=AUDIO))


def by_hand(wave: np.ndarray, frequency: float, rate: int) -> np.ndarray:
    """The squared amplitude at each sample: the sound times a wave under a Gaussian, summed over time."""
    deviation = OMEGA * rate / (2 * np.pi * frequency)
    times = np.arange(-int(6 * deviation), int(6 * deviation) + 1)
    wavelet = np.exp(-0.5 * (times / deviation) ** 2 + 2j * np.pi * frequency * times / rate)
    whole = np.convolve(wave, 2 * wavelet / (deviation * np.sqrt(2 * np.pi)))
    return np.abs(whole[int(6 * deviation) :][: len(wave)]) ** 2


@pytest.mark.parametrize("samples, hop", [(2000, 80), (2047, 80), (30, 80)])
def test_the_transform_is_the_sum_over_time(samples, hop):
    wave = np.random.default_rng(0).normal(size=samples).astype(np.float32)
    found = wavelet_power(tf.constant(wave[None]), AUDIO, hop=hop).numpy()[0]
    assert found.shape == (1 + samples // hop, 12)
    for number, frequency in enumerate(frequencies(AUDIO)[:-1]):  # sampled over time, the highest one folds over at 4 kHz
        whole = by_hand(wave, frequency, 8000)
        wanted = [whole[max(0, at - hop // 2) : at - hop // 2 + hop].mean() for at in range(0, samples + 1, hop)]
        np.testing.assert_allclose(found[:, number], wanted, rtol=2e-3, atol=1e-4 * whole.max())


def test_it_is_that_of_pywavelets():
    pywt = pytest.importorskip("pywt")
    wave = np.random.default_rng(1).normal(size=4000).astype(np.float32)
    scales = 8000 / frequencies(AUDIO)  # in samples a cycle, as the centre frequency of this wavelet is 1
    found, _ = pywt.cwt(wave, scales, f"cmor{2 * (OMEGA / (2 * np.pi)) ** 2}-1.0", method="fft", precision=14)
    theirs = (2 * np.abs(found) / np.sqrt(scales)[:, None]) ** 2
    ours = wavelet_power(tf.constant(wave[None]), AUDIO, hop=1).numpy()[0, :4000].T
    inside = slice(800, -800)  # they end their wavelets at 8 periods, and sample high ones coarsely
    assert np.corrcoef(ours[:7, inside].ravel(), theirs[:7, inside].ravel())[0, 1] > 0.999
    np.testing.assert_allclose(ours[:7, inside].mean(axis=1), theirs[:7, inside].mean(axis=1), rtol=0.02)


def test_a_tone_is_as_bright_at_every_pitch_and_high_ones_are_on_top():
    places = frequencies(AUDIO)
    waves = np.stack([0.5 * np.sin(2 * np.pi * places[at] * np.arange(4000) / 8000) for at in (3, 9)]).astype(np.float32)
    power = wavelet_power(tf.constant(waves), AUDIO, hop=80).numpy()[:, 20:30]
    np.testing.assert_allclose([power[0, :, 3], power[1, :, 9]], 0.25, rtol=0.02)
    low, high = MODALITY.finish(tf.constant([wav(tone(100, seconds=0.5, rate=8000)), wav(tone(2500, seconds=0.5, rate=8000))]))
    assert np.argmax(low[..., 0].numpy().mean(axis=1)) > 30 > 5 > np.argmax(high[..., 0].numpy().mean(axis=1))


def wav(samples: np.ndarray) -> bytes:
    from sound_files import wav as written

    return written(samples, 8000)


def test_the_lines_of_an_export_give_the_same_picture():
    shipping = AudioShipping(MODALITY)
    content = golden_sounds()["rate_8000.wav"]
    ours = MODALITY.finish(tf.constant([content])).numpy()[0]
    assert np.abs(shipping.read(content) - ours).max() <= 1
    reading = shipping.how_to_read()
    assert reading is not None and "wavelet transform" in reading.note and "12 Morlet wavelets" in reading.note
    again = AudioShipping.of_about(shipping.about())
    assert again.modality.audio == AUDIO and again.modality.size == (40, 60)


def test_the_preview_has_frequencies_in_equal_steps_of_pitch():
    html = preview_sound(golden_sounds()["chirp.wav"], MODALITY).html
    assert ">60 Hz<" in html and ">424 Hz<" in html and ">3 kHz<" in html
    assert "wavelet transforms of 40 × 60" in MODALITY.size_text()


def test_only_wavelets_have_another_identity():
    mel = AudioModality(dataclasses.replace(MODALITY.data, input=dataclasses.replace(AUDIO, transform="mel")))
    assert "audio_transform" not in mel.identity()
    assert MODALITY.identity() == {**mel.identity(), "audio_transform": "wavelet"}


def test_wavelets_without_an_end_are_refused():
    with pytest.raises(RecipeError, match=r"low=0 Hz.*low >= 1 Hz"):
        tfl.Audio(transform="wavelet", low=0.0)
    with pytest.raises(RecipeError, match=r"wavelt.*mel"):
        tfl.Audio(transform="wavelt")
