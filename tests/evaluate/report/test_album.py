"""The album of a run: samples, mistakes and explanations, on disk and named in report/album.json."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import tfl
from tfl.data.bundle import Bundle
from tfl.data.examples import Examples
from tfl.data.split import Split
from tfl.evaluate.report.album import save_album
from tfl.evaluate.report.verdicts import mistakes_of, verdict
from tfl.storage import write_json
from tfl.tasks.base import task_of


def _model(classes: int, size: tuple[int, int]) -> keras.Model:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((*size, 3))
    features = keras.layers.Conv2D(4, 5, strides=4, activation="relu", name="features")(keras.layers.Rescaling(1 / 255)(pixels))
    logits = keras.layers.Dense(classes, name="logits")(keras.layers.GlobalAveragePooling2D()(features))
    return keras.Model(pixels, keras.layers.Softmax(name="probabilities")(logits))


def _examples(classes: int, each: int, shape: tuple[int, ...] = (80, 120, 3)) -> Examples:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 255, (classes * each, *shape), dtype=np.uint8)
    labels = np.repeat(np.arange(classes), each)
    return Examples(class_names=tuple(f"class {number}" for number in range(classes)), labels=labels, arrays=images)


def _split(examples: Examples) -> Split:
    at = np.arange(len(examples))
    return Split(train=at[at % 3 == 0], val=at[at % 3 == 1], test=at[at % 3 == 2])


def _save(folder: Path, examples: Examples, probabilities: np.ndarray, **options: Any) -> dict[str, Any]:
    data = tfl.Data("folder", image_size=(32, 48))
    model = _model(len(examples.class_names), data.image_size)
    bundle = Bundle(examples=examples, split=_split(examples), data=data, seed=0, fingerprints=[""] * len(examples))
    save_album(folder, model, bundle, {"test": probabilities}, **{"layer": "features", "seed": 0, **options})
    return json.loads((folder / "report" / "album.json").read_text())


def _pictures(file: Path) -> list[Image.Image]:
    found = re.findall(r"base64,([^\"]+)", file.read_text(encoding="utf-8"))
    return [Image.open(io.BytesIO(base64.b64decode(one))) for one in found]


def _all_wrong(examples: Examples) -> np.ndarray:
    labels = examples.labels[_split(examples).test]
    count, classes = len(labels), len(examples.class_names)
    probabilities = np.full((count, classes), 0.1 / (classes - 1), np.float32)
    probabilities[np.arange(count), (labels + 1) % classes] = 0.9 - 0.001 * np.arange(count)
    return probabilities


@pytest.mark.slow
def test_samples_mistakes_and_explanations(tmp_path: Path) -> None:
    examples = _examples(3, 24)
    probabilities = _all_wrong(examples)
    document = _save(tmp_path, examples, probabilities)
    split = _split(examples)
    assert [row["class"] for row in document["samples"]] == list(examples.class_names)
    assert all(len(row["examples"]) == 6 for row in document["samples"])
    assert {picture["index"] for row in document["samples"] for picture in row["examples"]} <= set(split.train.tolist())
    assert [entry["index"] for entry in document["mistakes"]] == split.test[:12].tolist()  # surest first
    first = document["mistakes"][0]
    assert (first["label"], first["predicted"]) == ("class 0", "class 1") and first["probability"] == pytest.approx(0.9)
    assert {entry["index"] for entry in document["explanations"]} <= set(split.test.tolist())
    assert [sum(e["label"] == name for e in document["explanations"]) for name in examples.class_names] == [3, 3, 3]
    assert document["feature_map"] == [7, 11]
    for entry in [*document["mistakes"], *document["explanations"]]:
        shown = _pictures(tmp_path / entry["file"])
        assert [picture.size for picture in shown] == ([(48, 32)] * 2 if "group" in entry else [(120, 80)])
        assert entry["text"] == ("48 × 32 px" if "group" in entry else "120 × 80 px")


@pytest.mark.slow
def test_the_same_seed_shows_the_same_pictures(tmp_path: Path) -> None:
    examples = _examples(3, 24)
    probabilities = _all_wrong(examples)
    one, again = (_save(tmp_path / name, examples, probabilities) for name in ("a", "b"))
    other = _save(tmp_path / "c", examples, probabilities, seed=1)
    assert one == again and one["samples"] != other["samples"]


@pytest.mark.slow
def test_what_is_shown_is_the_picture_itself(tmp_path: Path) -> None:
    examples = _examples(2, 9, (8, 8))
    document = _save(tmp_path, examples, _all_wrong(examples))
    entry = document["mistakes"][0]
    (picture,) = _pictures(tmp_path / entry["file"])  # tiny pictures keep every pixel
    np.testing.assert_array_equal(np.asarray(picture)[..., 0], examples.arrays[entry["index"]])  # type: ignore[index]


@pytest.mark.slow
def test_many_classes_do_not_make_an_endless_page(tmp_path: Path) -> None:
    examples = _examples(60, 3, (16, 16, 3))
    document = _save(tmp_path, examples, _all_wrong(examples))
    assert len(document["samples"]) == 48
    assert len(document["explanations"]) <= 30 and len(document["mistakes"]) == 12


@pytest.mark.slow
def test_without_mistakes_there_are_none(tmp_path: Path) -> None:
    examples = _examples(2, 9)
    labels = examples.labels[_split(examples).test]
    assert _save(tmp_path, examples, np.eye(2, dtype=np.float32)[labels])["mistakes"] == []


@pytest.mark.slow
def test_the_report_shows_the_album(tmp_path: Path, new_run: Any) -> None:
    from tfl.evaluate.report.page import write_report

    run = new_run()
    examples = _examples(3, 9)
    document = _save(run.folder, examples, _all_wrong(examples))
    write_json(run.path("report", "album.json"), document)
    page = write_report(run.folder).read_text(encoding="utf-8")
    assert "the preview is missing" not in page
    assert page.count('<img src="data:image/') == sum(len(row["examples"]) for row in document["samples"]) + len(
        document["mistakes"]
    ) + 2 * len(document["explanations"])


def test_albums_of_older_runs_are_shown(tmp_path: Path, new_run: Any) -> None:
    from tfl.evaluate.report.page import write_report

    run = new_run()
    for left in run.path("report").glob("*"):
        left.unlink()
    Image.new("RGB", (80, 60), "red").save(run.path("report", "image-0.jpg"))
    one = {"file": "report/image-0.jpg", "width": 80, "height": 60, "index": 0, "name": "a/0.jpg", "label": "a"}
    said = {"predicted": "b", "probability": 0.9, "probability_of_label": 0.1}
    document = {
        **{"format": 1, "samples": [{"class": "a", "pictures": [one]}], "mistakes": [{**one, **said}]},
        **{"explanations": [{**one, **said, "overlay": "report/image-0.jpg"}], "feature_layer": "x", "feature_map": [3, 3]},
    }
    write_json(run.path("report", "pictures.json"), document)
    page = write_report(run.folder).read_text(encoding="utf-8")
    assert page.count('<img src="data:image/jpeg') == 4 and "a grid of 3 × 3 places" in page


def test_confident_mistakes_are_sorted_and_limited() -> None:
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.3, 0.7], [0.8, 0.2]])
    assert mistakes_of(task_of("classify"), probabilities, np.eye(2)[[1, 1, 1, 1]], limit=2).tolist() == [1, 3]


def test_mistakes_and_verdicts_of_labels_and_numbers() -> None:
    labels, numbers = task_of("multilabel"), task_of("regress")
    said, true = np.array([[0.9, 0.2], [0.4, 0.8], [0.7, 0.6]]), np.array([[1, 0], [1, 0], [0, np.nan]])
    assert mistakes_of(labels, said, true, limit=9).tolist() == [1, 2]  # 0.8 off, then 0.7
    assert verdict(labels, ("cat", "dog"), said[1], true[1]) == {"label": "cat", "predicted": "dog", "right": False}
    assert mistakes_of(numbers, np.array([[1.0], [9.0], [3.0]]), np.array([[1.0], [2.0], [4.0]]), limit=9).tolist() == [1, 2]
    assert verdict(numbers, ("age",), np.array([31.25]), np.array([30.0]))["predicted"] == "age 31.25"
