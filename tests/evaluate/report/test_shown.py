"""The album of a run: samples, mistakes and explanations, on disk and named in report/pictures.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import tfl
from tfl.data.examples import Examples
from tfl.data.split import Split
from tfl.evaluate.report.shown import confident_mistakes, save_pictures
from tfl.storage import write_json


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
    arguments: dict[str, Any] = {"data": data, "feature_layer": "features", "seed": 0, **options}
    save_pictures(folder, model, examples, _split(examples), {"test": probabilities}, **arguments)
    import json

    return json.loads((folder / "report" / "pictures.json").read_text())


def _all_wrong(examples: Examples) -> np.ndarray:
    labels = examples.labels[_split(examples).test]
    count, classes = len(labels), len(examples.class_names)
    probabilities = np.full((count, classes), 0.1 / (classes - 1), np.float32)
    probabilities[np.arange(count), (labels + 1) % classes] = 0.9 - 0.001 * np.arange(count)
    return probabilities


def test_samples_mistakes_and_explanations(tmp_path: Path) -> None:
    examples = _examples(3, 24)
    probabilities = _all_wrong(examples)
    document = _save(tmp_path, examples, probabilities)
    split = _split(examples)
    assert [row["class"] for row in document["samples"]] == list(examples.class_names)
    assert all(len(row["pictures"]) == 6 for row in document["samples"])
    assert {picture["index"] for row in document["samples"] for picture in row["pictures"]} <= set(split.train.tolist())
    assert [entry["index"] for entry in document["mistakes"]] == split.test[:12].tolist()  # surest first
    first = document["mistakes"][0]
    assert (first["label"], first["predicted"]) == ("class 0", "class 1") and first["probability"] == pytest.approx(0.9)
    assert {entry["index"] for entry in document["explanations"]} <= set(split.test.tolist())
    assert [sum(e["label"] == name for e in document["explanations"]) for name in examples.class_names] == [3, 3, 3]
    assert document["feature_map"] == [7, 11]
    for entry in [*document["mistakes"], *document["explanations"]]:
        for name in {entry["file"], entry.get("overlay", entry["file"])}:
            with Image.open(tmp_path / name) as picture:
                assert picture.size == (entry["width"], entry["height"])


def test_the_same_seed_shows_the_same_pictures(tmp_path: Path) -> None:
    examples = _examples(3, 24)
    probabilities = _all_wrong(examples)
    one, again = (_save(tmp_path / name, examples, probabilities) for name in ("a", "b"))
    other = _save(tmp_path / "c", examples, probabilities, seed=1)
    assert one == again and one["samples"] != other["samples"]


def test_what_is_shown_is_the_picture_itself(tmp_path: Path) -> None:
    examples = _examples(2, 9, (8, 8))
    document = _save(tmp_path, examples, _all_wrong(examples))
    entry = document["mistakes"][0]
    assert entry["file"].endswith(".png")  # tiny pictures keep every pixel
    with Image.open(tmp_path / entry["file"]) as picture:
        np.testing.assert_array_equal(np.asarray(picture)[..., 0], examples.arrays[entry["index"]])  # type: ignore[index]


def test_many_classes_do_not_make_an_endless_page(tmp_path: Path) -> None:
    examples = _examples(60, 3, (16, 16, 3))
    document = _save(tmp_path, examples, _all_wrong(examples))
    assert len(document["samples"]) == 48
    assert len(document["explanations"]) <= 30 and len(document["mistakes"]) == 12


def test_without_mistakes_there_are_none(tmp_path: Path) -> None:
    examples = _examples(2, 9)
    labels = examples.labels[_split(examples).test]
    assert _save(tmp_path, examples, np.eye(2, dtype=np.float32)[labels])["mistakes"] == []


def test_the_report_shows_the_album(tmp_path: Path, new_run: Any) -> None:
    from tfl.evaluate.report.page import write_report

    run = new_run()
    examples = _examples(3, 9)
    document = _save(run.folder, examples, _all_wrong(examples))
    write_json(run.path("report", "pictures.json"), document)
    page = write_report(run.folder).read_text(encoding="utf-8")
    assert "picture is missing" not in page
    assert page.count('<img src="data:image/') == sum(len(row["pictures"]) for row in document["samples"]) + len(
        document["mistakes"]
    ) + 2 * len(document["explanations"])


def test_confident_mistakes_are_sorted_and_limited() -> None:
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.3, 0.7], [0.8, 0.2]])
    assert confident_mistakes(probabilities, np.array([1, 1, 1, 1]), limit=2).tolist() == [1, 3]
