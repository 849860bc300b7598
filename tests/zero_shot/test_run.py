"""A run that learns attributes, and the commands that ask it; and a pair of encoders, small and random."""

import base64
import contextlib
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


@pytest.fixture(scope="module")
def all_kinds(tmp_path_factory):
    """All kinds as a table, the unseen ones first, one of the seen ones in capitals."""
    names = list(dict.fromkeys(one for has in ANIMALS.values() for one in has))
    file = tmp_path_factory.mktemp("table") / "all.csv"
    rows = [
        (kind.upper() if kind == SEEN[0] else kind, *(int(name in ANIMALS[kind]) for name in names)) for kind in (*UNSEEN, *SEEN)
    ]
    with open(file, "w", newline="") as stream:
        csv.writer(stream).writerows([("class", *names), *rows])
    return file


def invoke(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.mark.slow
def test_an_export_names_seen_and_unseen_classes_as_predict_does(run, all_kinds, photos):
    done = invoke("export", run.folder, "--classes", all_kinds, "--format", "saved_model", "--format", "onnx", "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["holds"] and document["test_images"] == run.metrics["test"]["count"]
    own, exported = (
        json.loads(invoke("predict", model, photos, "--format", "json", *more).stdout)["predictions"]
        for model, more in ((run.folder, ("--classes", all_kinds)), (run.folder / "export", ()))
    )
    assert len(own) == 12
    for one, other in zip(own, exported, strict=True):
        assert list(other["probabilities"]) == [*UNSEEN, SEEN[0].upper(), *SEEN[1:]]
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
    client = pytest.importorskip("fastapi.testclient")
    from tfl.serve.app import create_app
    from tfl.serve.models import Models

    with contextlib.closing(Models.open(run.folder)) as models:
        photo = sorted((photos / UNSEEN[0]).glob("*.png"))[0]
        instances = [{"b64": base64.b64encode(photo.read_bytes()).decode()}]
        said = client.TestClient(create_app(models)).post("/v1/models/animals:predict", json={"instances": instances}).json()
    assert said["predictions"][0]["label"] == next(row["label"] for row in own if row["file"] == str(photo))


@pytest.mark.slow
def test_examples_of_seen_and_unseen_classes_are_evaluated(run, all_kinds, photos, tmp_path):
    folder, sample = tmp_path / "both", load_sample("animals")
    for kind in (*UNSEEN, *SEEN[:2]):
        (folder / kind).mkdir(parents=True)
        for at in np.flatnonzero(sample.labels == NAMES.index(kind))[-6:]:
            Image.fromarray(sample.images[at]).save(folder / kind / f"{at}.png")
    result = invoke("evaluate", run.folder, "--data", folder, "--classes", all_kinds, "--quick", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    figures = document["metrics"]["zero_shot"]
    assert document["metrics"]["count"] == 36 and figures["chance"] == 1 / 14
    assert (figures["unseen"]["count"], figures["seen"]["count"], figures["seen"]["classes"]) == (24, 12, 2)
    rows = json.loads(invoke("predict", run.folder, folder, "--classes", all_kinds, "--format", "json").stdout)["predictions"]
    right = [row["label"].lower() == row["file"].split("/")[-2] for row in rows if row["file"].split("/")[-2] in UNSEEN]
    assert figures["unseen"]["accuracy"] == pytest.approx(np.mean(right))
    low, high = figures["unseen"]["interval"]
    assert low < figures["unseen"]["accuracy"] < high
    shown = invoke("evaluate", run.folder, "--data", photos, "--classes", all_kinds, "--quick")
    assert shown.exit_code == 0 and "classes that were not trained on" in shown.stdout and "harmonic" not in shown.stdout
    assert "classes of " in (run.folder / "report.html").read_text()
    other = invoke("evaluate", run.folder, "--data", "sample:digits", "--classes", all_kinds)
    assert other.exit_code == 2 and "does not name" in other.stderr
    assert "name them with --data" in invoke("evaluate", run.folder, "--classes", all_kinds).stderr


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


@pytest.mark.slow
def test_a_pair_of_encoders_says_what_keras_hub_says(small_clip, photos, tmp_path):
    import keras_hub

    file = tmp_path / "classes.txt"
    file.write_text("zebra\nswan\ta long white bird\n")
    photo = sorted((photos / "zebra").glob("*.png"))[0]
    (row,) = open_zero_shot(small_clip, file, prompts=("a photo of a {}.",)).predict([photo])
    backbone = keras_hub.models.Backbone.from_preset(str(small_clip))
    prepare = keras_hub.models.CLIPPreprocessor.from_preset(str(small_clip))
    texts = ["a photo of a zebra.", "a photo of a a long white bird."]
    pixels = np.asarray(Image.open(photo))[None]
    inputs = prepare({"images": np.repeat(pixels, 2, axis=0), "prompts": texts})
    logits = np.asarray(backbone({name: inputs[name] for name in ("images", "token_ids")})["vision_logits"])[0]
    expected = np.exp(logits) / np.exp(logits).sum()
    assert [row["probabilities"]["zebra"], row["probabilities"]["swan"]] == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_a_pair_of_encoders_is_exported_and_evaluated(small_clip, photos, tmp_path):
    import keras

    file, out = tmp_path / "classes.txt", tmp_path / "out"
    file.write_text("\n".join(UNSEEN))
    prompt = ("--prompt", "a photo of a {}.")
    done = invoke(
        "export", small_clip, "--classes", file, *prompt, "--format", "saved_model", "--format", "keras", "--out", out, "--json"
    )
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["holds"] and set(document["exports"]) == {"saved_model", "keras"}
    own, exported = (
        json.loads(invoke("predict", model, photos, "--format", "json", *more).stdout)["predictions"]
        for model, more in ((small_clip, ("--classes", file, *prompt)), (out, ()))
    )
    loaded = keras.saving.load_model(out / "keras" / "model.keras")
    assert [row["probabilities"] for row in own] == [pytest.approx(row["probabilities"], abs=1e-5) for row in exported]
    assert loaded(np.zeros((1, 32, 32, 3), "float32"))["probabilities"].shape == (1, 4)
    result = invoke("evaluate", small_clip, "--classes", file, *prompt, "--data", photos, "--json")
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)["metrics"]
    right = np.mean([row["label"] == row["file"].split("/")[-2] for row in own])
    assert figures["zero_shot"]["unseen"]["accuracy"] == pytest.approx(right) and figures["zero_shot"]["seen"] is None
    wrong = invoke("export", small_clip, "--classes", file, "--format", "saved_model")
    assert wrong.exit_code == 2 and "--out FOLDER" in wrong.stderr


@pytest.mark.slow
def test_what_is_no_pair_of_encoders_says_so(small_clip, tmp_path):
    file = tmp_path / "classes.txt"
    file.write_text("zebra\nswan\n")
    with pytest.raises(RecipeError, match="no place for the class"):
        open_zero_shot(small_clip, file, prompts=("a photo",))
    with pytest.raises(BackboneError, match="no pair of encoders"):
        open_zero_shot("mini", file)
    with pytest.raises(RunError, match="There is no folder"):
        open_zero_shot("no/such/folder", file)


def test_options_that_go_with_classes_alone_are_refused_without():
    result = CliRunner().invoke(cli, ["predict", "runs/leaves", "photo.jpg", "--examples", "few"])
    assert result.exit_code == 2 and "go with --classes" in result.output
