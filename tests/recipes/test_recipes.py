"""Every recipe runs, on a few images: those that need a user's folder get one laid out as their docstring says."""

import io
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import tfl
from tfl.cli.main import cli
from tfl.modalities.samples import load as load_sample
from tfl.runs import Run

pytestmark = pytest.mark.slow

NO_EXPORT = ("--set", "export=")
TOP = ("--set", "stages.finetune.train=top:3")
"""For recipes that train more blocks than the small network has."""


@pytest.fixture
def small(small_network):
    """The options for the small network of the suite: what a recipe does with another one is what it does with `mini`."""
    return ("--set", f"backbone={small_network}", "--set", "data.image_size=32,32")


def smoke(recipe, out, *options):
    result = CliRunner().invoke(cli, ["run", f"recipes/{recipe}.py", "--smoke", "--out", str(out), *options])
    assert result.exit_code == 0, result.output + result.stderr
    run = Run.open(out)
    assert run.manifest["status"] == "done"
    assert run.path("report.html").is_file()
    return run


def draw(path, tint, rng, *, grey=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.clip(rng.normal(tint, 40, (56, 64, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels[..., 0] if grey else pixels).save(path)


@pytest.mark.usefixtures("pictures")
def test_strawberry_disease(tmp_path, small):
    run = smoke("strawberry_disease", tmp_path / "run", *small, *TOP)
    assert "drawn, not photographed" in run.path("report.html").read_text()
    assert run.path("export", "saved_model", "1", "saved_model.pb").is_file()


def test_handwritten_digits_trains_on_at_most_ten_images_a_class(tmp_path, small):
    run = smoke("handwritten_digits", tmp_path / "run", *small, *NO_EXPORT)
    assert all(count <= 10 for count in run.manifest["data"]["counts"]["train"].values())


def test_leaves_at_night_adapts_to_the_dark_ones(tmp_path, small):
    run = smoke("leaves_at_night", tmp_path / "run", *small, "--set", "adapt.minutes=0.02", *NO_EXPORT)
    assert run.read_json("adapt.json")["tried"][0]["name"] == "source_only"
    assert 0 < run.read_json("metrics.json")["target"]["count"] <= 80


def test_chest_xray(tmp_path, small):
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2), ("test", 3)):
        for name, factor in (("NORMAL", 1), ("PNEUMONIA", 2)):
            for i in range(count * factor):
                draw(tmp_path / "chest_xray" / split / name / f"{i}.jpeg", 90 + 60 * factor, rng, grey=True)
    run = smoke("chest_xray", tmp_path / "run", "--data", str(tmp_path / "chest_xray"), *small, *NO_EXPORT)
    assert run.manifest["data"]["counts"]["test"] == {"NORMAL": 3, "PNEUMONIA": 6}


@pytest.mark.usefixtures("few_draws")
def test_author_style_learns_from_the_others_first(tmp_path):
    run = smoke("author_style", tmp_path / "run", "--set", "backbone.arguments.blocks=1", "--set", "backbone.arguments.width=32")
    assert set(run.read_json("ledger.json")) == {"general", "author"}
    assert run.read_json("style.json")["whose"]["accuracy"] > 0.5


def test_reviews(tmp_path):
    pytest.importorskip("keras_hub")
    run = smoke("reviews", tmp_path / "run", "--set", "data.input.length=16")
    assert "templated, not written by people" in run.path("report.html").read_text()
    assert run.path("export", "saved_model", "1", "saved_model.pb").is_file()


def test_wild_animals(tmp_path, small):
    rng = np.random.default_rng(0)
    for split, count in (("training", 6), ("validation", 3)):
        for label in range(10):
            for i in range(count):
                draw(tmp_path / "animals" / split / f"n{label}" / f"{i}.jpg", 20 * label + 20, rng)
    options = (*small, "--set", "stages.more.train=top:3", *NO_EXPORT)
    run = smoke("wild_animals", tmp_path / "run", "--data", str(tmp_path / "animals"), *options)
    assert len(run.class_names) == 10


def test_spoken_digits(tmp_path, small):
    run = smoke("spoken_digits", tmp_path / "run", *small, "--set", "data.per_class=4")
    assert run.recipe.data.input.seconds == 1.0
    assert run.path("export", "saved_model", "1", "saved_model.pb").is_file()


@pytest.mark.real_photos
def test_fashion_then_digits(tmp_path, photos, small):
    source = smoke("fashion_source", tmp_path / "fashion", "--data", str(photos / "fashion_mnist"), *small)
    options = ("--set", f"backbone={source.path('model.keras')}", "--set", "data.image_size=32,32", *NO_EXPORT)
    assert len(smoke("handwritten_digits", tmp_path / "digits", *options).class_names) == 10


def test_zero_shot_animals_names_kinds_that_it_was_not_trained_on(tmp_path, small):
    run = smoke("zero_shot_animals", tmp_path / "run", *small, *NO_EXPORT)
    assert {row["name"] for row in run.read_json("metrics.json")["zero_shot"]["rows"]} == {"zebra", "swan", "bull", "butterfly"}


@pytest.mark.usefixtures("pictures")
def test_age(tmp_path, small):
    run = smoke("age", tmp_path / "run", *small, *TOP, *NO_EXPORT)
    assert run.class_names == ("age",) and "mae" in run.read_json("metrics.json")["test"]


def test_blood_cells(tmp_path, small):
    run = smoke("blood_cells", tmp_path / "run", "--set", "head.hidden=16", *small, *TOP, *NO_EXPORT)
    assert set(run.read_json("metrics.json")["test"]["per_kind"]) == {"platelet", "red_cell", "white_cell"}
    assert run.manifest["data"]["note"] == "drawn, not photographed"


@pytest.mark.usefixtures("pictures")
def test_same_person(tmp_path, small):
    run = smoke("same_person", tmp_path / "run", *small, "--set", "data.per_class=4")
    index = tfl.embed(str(run.folder), "sample:other_people", tmp_path / "others.npy")
    measured = tfl.verify(index, far=0.05)
    assert len(index) == 120 and measured.held_out == "labels" and 0 <= measured.equal_error_rate < 0.5


def test_rare_language_takes_a_multilingual_preset_and_texts_in_another_language(tmp_path):
    models = pytest.importorskip("keras_hub").models
    sentencepiece = pytest.importorskip("sentencepiece")
    smoke("rare_language", tmp_path / "tiny", "--set", "data.input.length=16")
    texts = [load_sample(name)["contents"] for name in ("reviews", "reviews_esperanto")]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([content.decode() for content in np.concatenate(texts)]),
        model_writer=model,
        vocab_size=200,
        minloglevel=2,
    )
    small = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32, "max_sequence_length": 64}
    preset = tmp_path / "xlm_roberta"
    models.XLMRobertaBackbone(vocabulary_size=210, **small).save_to_preset(str(preset))
    models.XLMRobertaTokenizer(proto=model.getvalue()).save_to_preset(str(preset))
    others = ("--set", "extra_data=sample:reviews", "--set", "extra_data.per_class=30")
    run = smoke("rare_language", tmp_path / "run", "--set", f"backbone={preset}", *others, "--set", "data.input.length=16")
    assert run.read_json("extra.json") and run.recipe.extra_data.source == "sample:reviews"


def test_every_recipe_is_run_here():
    text = Path(__file__).read_text()
    recipes = [path.stem for path in Path("recipes").glob("*.py") if "recipe = tfl.Recipe(" in path.read_text()]
    assert [name for name in recipes if f'smoke("{name}"' not in text] == []


def test_leaf_with_note(tmp_path, small_network):
    pytest.importorskip("keras_hub")
    options = (f"backbone.photo={small_network}", "data.inputs.photo.size=32,32", "data.inputs.note.length=16")
    run = smoke("leaf_with_note", tmp_path / "run", *(part for option in options for part in ("--set", option)), *NO_EXPORT)
    assert "What each input is worth" in run.path("report.html").read_text()


def test_unlabelled_first(tmp_path, small):
    run = smoke("unlabelled_first", tmp_path / "run", *small, *NO_EXPORT)
    assert run.read_json("pretrain.json")["epochs"] == 1


@pytest.mark.usefixtures("pictures", "few_draws")
def test_leaf_tasks(tmp_path, small):
    run = smoke("leaf_tasks", tmp_path / "run", *small)
    assert "Together and alone" in run.path("report.html").read_text()
    assert run.path("export", "saved_model", "1", "saved_model.pb").is_file()
