"""A sound can be heard and seen in a page without other files, and in one line."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from sound_files import encoded, tone, wav

import tfl
from tfl.modalities.audio.modality import AudioModality
from tfl.modalities.audio.preview import coloured, line_about
from tfl.modalities.audio.wav import read_wav_header

MODALITY = AudioModality(tfl.Data("x", image_size=(40, 60), input=tfl.Audio(seconds=0.5)))


def parts(html: str) -> dict[str, bytes]:
    return {mime: base64.b64decode(data) for mime, data in re.findall(r'"data:([a-z/]+);base64,([^"]+)"', html)}


def test_a_player_and_a_spectrogram_with_axes():
    content = wav(tone(1000))
    html = MODALITY.preview(content).html
    assert html.count("<audio controls") == 1
    found = parts(html)
    assert found["audio/wav"] == content
    assert Image.open(io.BytesIO(found["image/png"])).size == (60, 40)
    for word in (">0 s<", ">0.5 s<", ">20 Hz<", ">8 kHz<", "Spectrogram, 0 to 0.5 s"):
        assert word in html
    assert "http" not in html


def test_of_a_long_file_what_the_network_hears_is_played():
    header = read_wav_header(parts(MODALITY.preview(wav(tone(seconds=3.0, rate=44100), 44100)).html)["audio/wav"])
    assert (header.rate, header.frames) == (16000, 8000)


def test_a_small_mp3_is_played_as_it_is():
    content = encoded(tone(), 16000, "MP3")
    assert parts(MODALITY.preview(content).html)["audio/mpeg"] == content


def test_attribution_turns_its_places_cyan():
    heat = np.zeros((40, 60), np.float32)
    heat[10:20, 10:30] = 1.0
    images = [
        np.asarray(Image.open(io.BytesIO(parts(MODALITY.preview(wav(tone()), attribution=each).html)["image/png"])))
        for each in (None, heat)
    ]
    changed = (images[0] != images[1]).any(axis=-1)
    assert changed[10:20, 10:30].all()
    assert changed.sum() == 200


def test_colours_grow_brighter():
    ramp = coloured(np.arange(256.0)[None])[0] @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(ramp) >= -0.5).all()


@pytest.mark.parametrize(
    "samples, line",
    [
        (np.zeros(8000), "0.5 s · 16,000 Hz · mono · ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁ · silent"),
        (np.stack([np.full(8000, 0.5)] * 2, axis=1), "0.5 s · 16,000 Hz · stereo · ████████████████████████ · peak -6.0 dB"),
    ],
)
def test_one_line(samples, line):
    assert line_about(wav(samples)) == line
    assert MODALITY.preview(wav(samples)).text == line
