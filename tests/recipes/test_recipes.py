"""Every recipe runs, on a few images: those that need a user's folder get one laid out as their docstring says."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tfl.cli.main import cli
from tfl.runs import Run

pytestmark = pytest.mark.slow

NO_EXPORT = ("--set", "export=")
MINI = ("--set", "backbone=mini", "--set", "data.image_size=48,48", *NO_EXPORT)


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
def test_strawberry_disease(tmp_path):
    run = smoke("strawberry_disease", tmp_path / "run")
    assert "drawn, not photographed" in run.path("report.html").read_text()
    assert run.path("export", "saved_model", "1", "saved_model.pb").is_file()


def test_handwritten_digits_trains_on_at_most_ten_images_a_class(tmp_path):
    run = smoke("handwritten_digits", tmp_path / "run", *NO_EXPORT)
    assert all(count <= 10 for count in run.manifest["data"]["counts"]["train"].values())


def test_leaves_at_night_adapts_to_the_dark_ones(tmp_path):
    run = smoke("leaves_at_night", tmp_path / "run", "--set", "data.image_size=48,48", "--set", "adapt.minutes=0.05", *NO_EXPORT)
    assert run.read_json("adapt.json")["tried"][0]["name"] == "source_only"
    assert 0 < run.read_json("metrics.json")["target"]["count"] <= 80


def test_chest_xray(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2), ("test", 3)):
        for name, factor in (("NORMAL", 1), ("PNEUMONIA", 2)):
            for i in range(count * factor):
                draw(tmp_path / "chest_xray" / split / name / f"{i}.jpeg", 90 + 60 * factor, rng, grey=True)
    run = smoke("chest_xray", tmp_path / "run", "--data", str(tmp_path / "chest_xray"), *MINI)
    assert run.manifest["data"]["counts"]["test"] == {"NORMAL": 3, "PNEUMONIA": 6}


def test_author_style_learns_from_the_others_first(tmp_path):
    run = smoke("author_style", tmp_path / "run")
    assert set(run.read_json("ledger.json")) == {"general", "author"}
    assert run.read_json("style.json")["whose"]["accuracy"] > 0.5


def test_reviews(tmp_path):
    pytest.importorskip("keras_hub")
    run = smoke("reviews", tmp_path / "run")
    assert "templated, not written by people" in run.path("report.html").read_text()
    assert run.path("export", "saved_model", "1", "saved_model.pb").is_file()


def test_wild_animals(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("training", 6), ("validation", 3)):
        for label in range(10):
            for i in range(count):
                draw(tmp_path / "animals" / split / f"n{label}" / f"{i}.jpg", 20 * label + 20, rng)
    run = smoke("wild_animals", tmp_path / "run", "--data", str(tmp_path / "animals"), *MINI, "--set", "stages.more.train=top:3")
    assert len(run.class_names) == 10


def test_spoken_digits(tmp_path):
    run = smoke("spoken_digits", tmp_path / "run", "--set", "data.per_class=8")
    assert run.recipe.data.input.seconds == 1.0
    assert run.path("export", "saved_model", "1", "saved_model.pb").is_file()


@pytest.mark.real_photos
def test_fashion_then_digits(tmp_path, photos):
    source = smoke("fashion_source", tmp_path / "fashion", "--data", str(photos / "fashion_mnist"))
    options = ("--set", f"backbone={source.path('model.keras')}", "--set", "data.image_size=32,32", *NO_EXPORT)
    assert len(smoke("handwritten_digits", tmp_path / "digits", *options).class_names) == 10


def test_zero_shot_animals_names_kinds_that_it_was_not_trained_on(tmp_path):
    run = smoke("zero_shot_animals", tmp_path / "run", "--set", "data.image_size=48,48", *NO_EXPORT)
    assert {row["name"] for row in run.read_json("metrics.json")["zero_shot"]["rows"]} == {"zebra", "swan", "bull", "butterfly"}


def test_every_recipe_is_run_here():
    text = Path(__file__).read_text()
    recipes = [path.stem for path in Path("recipes").glob("*.py") if "recipe = tfl.Recipe(" in path.read_text()]
    assert [name for name in recipes if f'smoke("{name}"' not in text] == []


def test_leaf_with_note(tmp_path):
    pytest.importorskip("keras_hub")
    run = smoke("leaf_with_note", tmp_path / "run", *NO_EXPORT)
    assert "What each input is worth" in run.path("report.html").read_text()


def test_unlabelled_first(tmp_path):
    run = smoke("unlabelled_first", tmp_path / "run", *NO_EXPORT)
    assert run.read_json("pretrain.json")["epochs"] == 1


@pytest.mark.usefixtures("pictures")
def test_leaf_tasks(tmp_path):
    run = smoke("leaf_tasks", tmp_path / "run")
    assert "Together and alone" in run.path("report.html").read_text()
    assert run.path("export", "saved_model", "1", "saved_model.pb").is_file()
