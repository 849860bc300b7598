"""What headers say, found by content; and what is said of all files of a source together."""

import numpy as np
import pytest
from sound_files import encoded, tone, wav, with_chunk

from tfl.data.examples import Examples
from tfl.modalities.audio.check import MOST_SECONDS, TROUBLES, check_sound, file_findings
from tfl.modalities.audio.wav import write_wav

PIECE = tone(seconds=0.25, rate=22050)


@pytest.mark.parametrize(
    "kind, subtype", [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("FLAC", None), ("MP3", None), ("OGG", "VORBIS")]
)
def test_the_header_is_read(kind, subtype):
    checked = check_sound(encoded(np.stack([PIECE, PIECE], axis=1), 22050, kind, subtype))
    assert (checked.trouble, checked.format) == ("", kind.lower())
    assert checked.about["rate"] == 22050
    assert checked.about["channels"] == 2
    assert checked.about["seconds"] == pytest.approx(0.25, abs=1e-3)
    assert checked.cost == pytest.approx(len(PIECE) * 2 * 4, rel=0.01)


def test_an_mp3_without_tags_is_known_by_its_first_frame():
    content = encoded(PIECE, 22050, "MP3")
    frame = content[content.index(b"\xff\xf3") :] if content.startswith(b"ID3") else content
    assert check_sound(frame).format == "mp3"


@pytest.mark.parametrize(
    "content, trouble",
    [
        (b"", "zero_bytes"),
        (b"<html>no sound</html>", "not_a_sound"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not_a_sound"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "not_a_sound"),
        (b"RIFF\x24\0\0\0WEBPVP8 " + bytes(30), "not_a_sound"),
        (b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(40), "unsupported_format"),
        (b"MThd\0\0\0\x06" + bytes(20), "unsupported_format"),
        (b"fLaC" + bytes(60), "undecodable"),
        (b"OggS" + bytes(60), "undecodable"),
        (b"RIFF\x04\0\0\0WAVE", "undecodable"),
        (write_wav(np.zeros(0, np.int16), 8000), "no_samples"),
        (wav(PIECE)[:20] + b"\x55\0" + wav(PIECE)[22:], "undecodable"),
        (wav(PIECE)[:24] + b"\xff\xff\xff\x7f" + wav(PIECE)[28:], "undecodable"),
    ],
)
def test_what_cannot_be_used_is_named(content, trouble):
    assert check_sound(content).trouble == trouble
    assert trouble in TROUBLES


def test_a_sound_of_hours_is_refused_before_it_is_decoded():
    checked = check_sound(write_wav(np.zeros(int(MOST_SECONDS * 100) + 200, np.int16), 100))
    assert (checked.trouble, checked.detail) == ("too_long", "30.0 minutes")


def test_chunks_of_odd_length_are_skipped():
    assert check_sound(with_chunk(wav(PIECE, 22050), b"junk", b"abc")).about["seconds"] == pytest.approx(0.25, abs=1e-3)


def sounds_of(rates: list[int], labels: list[int]) -> Examples:
    contents = np.empty(len(rates), object)
    contents[:] = [wav(tone(seconds=0.05, rate=rate), rate) for rate in rates]
    return Examples(class_names=("cat", "dog"), labels=labels, contents=contents)


def findings_of(examples: Examples, sample_rate: int = 8000) -> dict[str, dict]:
    files = [check_sound(examples.bytes_of(index)) for index in range(len(examples))]
    return {one["kind"]: one for one in file_findings(examples, files, sample_rate=sample_rate)}


def test_rates_that_tell_classes_apart_are_a_warning():
    found = findings_of(sounds_of([8000] * 6 + [16000] * 5, [0] * 6 + [1] * 5))
    assert found["uneven_sample_rates"]["severity"] == "warning"
    assert found["uneven_sample_rates"]["files"] == [f"#{index}" for index in range(6, 11)]
    assert "most sounds have 8,000 Hz, `dog` 16,000 Hz" in found["uneven_sample_rates"]["note"]


def test_rates_that_are_spread_over_the_classes_are_none():
    assert findings_of(sounds_of([8000, 16000] * 5, [0, 0, 1, 1, 0, 0, 1, 1, 0, 1])) == {}


def test_a_recipe_above_all_rates_is_told():
    found = findings_of(sounds_of([8000] * 4, [0, 1, 0, 1]), sample_rate=16000)
    assert "--set data.input.sample_rate=8000" in found["low_sample_rates"]["note"]


def test_a_file_with_the_name_of_another_format_is_told(tmp_path):
    paths = [tmp_path / "a.mp3", tmp_path / "b.wav"]
    for path in paths:
        path.write_bytes(wav(PIECE))
    found = findings_of(Examples(class_names=("x",), labels=[0, 0], paths=np.array([str(path) for path in paths])))
    assert found["mistyped"]["note"] == "Read by content, not by name: a.mp3 is WAV."
