"""The length is chosen from the training sounds, and said."""

import numpy as np
import pytest
from sound_files import tone, wav

import tfl
from tfl.data.examples import Examples
from tfl.errors import RecipeError
from tfl.modalities.audio.length import chosen_length, durations_of
from tfl.modalities.audio.modality import AudioModality, chosen, of_recipe, settled

RECIPE = tfl.Recipe(name="sounds", data=tfl.Data("x", input=tfl.Audio()), backbone=tfl.Backbone("mini", weights=None))


@pytest.mark.parametrize(
    "durations, seconds",
    [
        ([1.0] * 20, 1.0),
        ([0.634] * 20, 0.64),
        ([0.5] * 95 + [3.0] * 5, 0.5),
        ([60.0] * 9, 10.0),
        ([0.001] * 3, 0.05),
        ([1.04], 1.1),
    ],
)
def test_95_percent_are_covered(durations, seconds):
    assert chosen_length(durations)[0] == pytest.approx(seconds)


def test_what_is_cut_is_said():
    assert chosen_length([0.5] * 95 + [3.0] * 5)[1].endswith("of 0.5 to 3 s: 5 are cut to the middle, shorter ones are padded")
    assert "none is cut" in chosen_length([0.5] * 3)[1]


def sounds(lengths: list[float], splits: list[str] | None = None) -> Examples:
    contents = np.empty(len(lengths), object)
    contents[:] = [wav(tone(seconds=length)) for length in lengths]
    return Examples(
        class_names=("a",), labels=[0] * len(lengths), contents=contents, splits=None if splits is None else np.array(splits)
    )


def test_only_training_sounds_are_asked():
    assert durations_of(sounds([0.2, 0.9, 0.3], ["train", "test", "train"])) == pytest.approx([0.2, 0.3])
    assert durations_of(sounds([0.2, 0.9])) == pytest.approx([0.2, 0.9])


def test_files_that_cannot_be_read_have_no_say(tmp_path):
    (tmp_path / "good.wav").write_bytes(wav(tone(seconds=0.4)))
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    paths = np.array([str(tmp_path / name) for name in ("good.wav", "bad.wav", "missing.wav")])
    assert durations_of(Examples(class_names=("a",), labels=[0, 0, 0], paths=paths)) == pytest.approx([0.4])


def test_the_recipe_takes_the_length_and_keeps_a_stated_one():
    recipe, sentence = chosen(settled(RECIPE), sounds([0.4, 0.4]))
    assert recipe.data.input.seconds == 0.4
    assert sentence.startswith("length 0.4 s, chosen from 2 sounds")
    assert of_recipe(recipe).size_text() == "on 0.4 s at 16,000 Hz, as spectrograms of 96 × 96"
    stated = RECIPE.override("data.input.seconds", "2.5")
    assert chosen(stated, sounds([0.4])) == (stated, None)


def test_without_a_length_there_is_no_modality():
    with pytest.raises(RecipeError, match=r"data\.input\.seconds"):
        of_recipe(RECIPE)


def test_lengths_of_the_recipe_decide_the_identity():
    one, other = (
        AudioModality(tfl.Data("x", image_size=(32, 32), input=tfl.Audio(seconds=seconds))).identity() for seconds in (0.5, 0.6)
    )
    assert {name for name in one if one[name] != other[name]} == {"audio_seconds"}
