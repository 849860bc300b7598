"""A run that learns attributes, and the commands that ask it; and a pair of encoders, small and random."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import tfl
from tfl.cli.main import cli
from tfl.errors import BackboneError, DataError, RecipeError, RunError
from tfl.modalities.image.animals import ANIMALS
from tfl.modalities.image.sample import load_sample
from tfl.zero_shot.predictor import open_zero_shot

NAMES = list(ANIMALS)
SEEN, UNSEEN = tuple(NAMES[:10]), tuple(NAMES[10:])


def recipe_with(**parts):
    options = {
        "data": tfl.Sample("animals", image_size=(48, 48), labels=SEEN, per_class=12),
        "unseen_data": tfl.Sample("animals", labels=UNSEEN, per_class=8),
        "zero_shot": tfl.ZeroShot(ANIMALS),
        **parts,
    }
    return tfl.Recipe(
        name="animals",
        backbone=tfl.Backbone("mini"),
        head=tfl.Head(start="probe"),
        stages=(tfl.Stage("probe", epochs=0),),
        confidence=None,
        export=(),
        **options,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tfl.run(recipe_with(), out=tmp_path_factory.mktemp("zero_shot") / "run")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The unseen kinds alone, as a table."""
    names = list(dict.fromkeys(one for has in ANIMALS.values() for one in has))
    file = tmp_path_factory.mktemp("table") / "attributes.csv"
    rows = [(kind, *(int(name in ANIMALS[kind]) for name in names)) for kind in UNSEEN]
    with open(file, "w", newline="") as stream:
        csv.writer(stream).writerows([("class", *names), *rows])
    return file


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three of each unseen kind, in class folders."""
    folder, sample = tmp_path_factory.mktemp("photos"), load_sample("animals")
    for kind in UNSEEN:
        (folder / kind).mkdir()
        for at in np.flatnonzero(sample.labels == NAMES.index(kind))[-3:]:
            Image.fromarray(sample.images[at]).save(folder / kind / f"{at}.png")
    return folder


@pytest.mark.slow
def test_a_run_names_classes_that_it_was_not_trained_on(run):
    found = run.metrics["zero_shot"]
    assert found["accuracy"] > found["chance"] and len(found["rows"]) == len(UNSEEN)
    assert found["generalised"]["unseen"] >= found["uncalibrated"]["unseen"]
    assert set(run.read_json("zero_shot.json")["seen"]) == set(SEEN)
    page = (run.folder / "report.html").read_text()
    assert "Classes that were not trained on" in page and "Harmonic mean" in page


@pytest.mark.slow
def test_files_are_answered_with_classes_of_a_table_and_a_few_examples_help(run, table, photos):
    answers = []
    for more in ([], ["--examples", str(photos)]):
        command = ["predict", str(run.folder), str(photos), "--classes", str(table), "--format", "json", *more]
        result = CliRunner().invoke(cli, command)
        assert result.exit_code == 0, result.output
        rows = json.loads(result.stdout)["predictions"]
        assert all(set(row["probabilities"]) == set(UNSEEN) for row in rows) and len(rows) == 12
        answers.append(np.mean([row["label"] in row["file"] for row in rows]))
    assert answers[1] >= answers[0] and answers[1] > 0.8


@pytest.mark.slow
def test_a_run_with_other_attributes_or_without_any_says_so(run, table, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("class,size\nelephant,1\nmouse,0\n")
    with pytest.raises(DataError, match="other attributes"):
        open_zero_shot(run.folder, other)
    with pytest.raises(DataError, match="A prompt is for a pair of encoders"):
        open_zero_shot(run.folder, table, prompts=("a {}",))
    (run.folder / "zero_shot.json").rename(tmp_path / "kept.json")
    try:
        with pytest.raises(RunError, match="has not learned which attributes"):
            open_zero_shot(run.folder, table)
    finally:
        (tmp_path / "kept.json").rename(run.folder / "zero_shot.json")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"zero_shot": None}, "nothing says which they have"),
        ({"task": "multilabel", "unseen_data": None}, "names one of several classes"),
        ({"unseen_data": tfl.Data("other", input=tfl.Audio())}, "another kind of examples"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(parts, said):
    with pytest.raises(RecipeError, match=said):
        recipe_with(**parts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"unseen_data": tfl.Sample("animals", labels=("horse", "zebra"))}, r"classes that training sees.*horse"),
        ({"unseen_data": tfl.Sample("animals", labels=("zebra",))}, "two unseen classes"),
        ({"zero_shot": tfl.ZeroShot({"horse": ("legs",), "bee": ()})}, "does not describe every class"),
    ],
)
def test_classes_that_cannot_be_named_stop_a_run_before_it_has_a_folder(parts, said, tmp_path):
    with pytest.raises(DataError, match=said):
        tfl.run(recipe_with(**parts), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """The folder of a CLIP preset with one block each and random weights, which knows single letters."""
    hub = pytest.importorskip("keras_hub", reason="KerasHub (the extra `text`) is not installed")
    import keras

    letters = [letter + end for letter in "abcdefghijklmnopqrstuvwxyz.-" for end in ("", "</w>")]
    words = {token: at for at, token in enumerate(["<|startoftext|>", "<|endoftext|>", *letters])}
    small = {"hidden_dim": 16, "num_layers": 1, "num_heads": 2, "intermediate_dim": 16}
    keras.utils.set_random_seed(0)
    backbone = hub.models.CLIPBackbone(
        hub.models.CLIPVisionEncoder(patch_size=8, image_shape=(32, 32, 3), **small),
        hub.models.CLIPTextEncoder(vocabulary_size=len(words), embedding_dim=16, max_sequence_length=24, **small),
        projection_dim=12,
    )
    tokenizer = hub.models.CLIPTokenizer(vocabulary=words, merges=["#version: 0.2"])
    converter = hub.layers.CLIPImageConverter(image_size=(32, 32), scale=1 / 255.0)
    folder = tmp_path_factory.mktemp("clip")
    backbone.save_to_preset(str(folder))
    hub.models.CLIPPreprocessor(tokenizer, converter, sequence_length=24).save_to_preset(str(folder))
    return folder


@pytest.mark.slow
def test_a_pair_of_encoders_says_what_keras_hub_says(clip, photos, tmp_path):
    import keras_hub

    file = tmp_path / "classes.txt"
    file.write_text("zebra\nswan\ta long white bird\n")
    photo = sorted((photos / "zebra").glob("*.png"))[0]
    (row,) = open_zero_shot(clip, file, prompts=("a photo of a {}.",)).predict([photo])
    backbone = keras_hub.models.Backbone.from_preset(str(clip))
    prepare = keras_hub.models.CLIPPreprocessor.from_preset(str(clip))
    texts = ["a photo of a zebra.", "a photo of a a long white bird."]
    pixels = np.asarray(Image.open(photo))[None]
    inputs = prepare({"images": np.repeat(pixels, 2, axis=0), "prompts": texts})
    logits = np.asarray(backbone({name: inputs[name] for name in ("images", "token_ids")})["vision_logits"])[0]
    expected = np.exp(logits) / np.exp(logits).sum()
    assert [row["probabilities"]["zebra"], row["probabilities"]["swan"]] == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_what_is_no_pair_of_encoders_says_so(clip, tmp_path):
    file = tmp_path / "classes.txt"
    file.write_text("zebra\nswan\n")
    with pytest.raises(RecipeError, match="no place for the class"):
        open_zero_shot(clip, file, prompts=("a photo",))
    with pytest.raises(BackboneError, match="no pair of encoders"):
        open_zero_shot("mini", file)
    with pytest.raises(RunError, match="There is no folder"):
        open_zero_shot("no/such/folder", file)


def test_options_that_go_with_classes_alone_are_refused_without():
    result = CliRunner().invoke(cli, ["predict", "runs/leaves", "photo.jpg", "--examples", "few"])
    assert result.exit_code == 2 and "go with --classes" in result.output
