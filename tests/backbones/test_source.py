"""Model files with their classifier: what their classes are called, and what is refused."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from tfl.backbones.source import SourceModel
from tfl.backbones.source_names import names_beside
from tfl.errors import BackboneError

Layers = keras.layers


def source(*top: keras.layers.Layer, names: tuple[str, ...] | None = None) -> SourceModel:
    pixels = keras.Input((32, 32, 3))
    end = x = Layers.Conv2D(4, 3, strides=4)(pixels)
    for layer in top:
        x = layer(x)
    return SourceModel(title="mine.keras", model=keras.Model(pixels, x), backbone_output=end, class_names=names)


@pytest.mark.parametrize(
    ("top", "activation"),
    [
        ((Layers.GlobalAveragePooling2D(), Layers.Dense(3, activation="softmax")), "softmax"),
        ((Layers.Flatten(), Layers.Dense(3), Layers.Softmax()), "softmax"),
        ((Layers.Conv2D(3, 8), Layers.Reshape((3,)), Layers.Activation("softmax")), "softmax"),
        ((Layers.Flatten(), Layers.Dense(3)), "linear"),
        ((Layers.Conv2D(3, 8), Layers.Dropout(0.5), Layers.Flatten()), "linear"),
    ],
)
def test_what_a_classifier_ends_in(top: tuple[keras.layers.Layer, ...], activation: str) -> None:
    found = source(*top)
    assert found.activation == activation
    assert [node.operation for node in found.classifier_nodes()] == list(top)


@pytest.mark.parametrize(
    ("top", "words"),
    [
        ((), "has no classifier"),
        ((Layers.MaxPooling2D(),), "has no classifier"),
        ((Layers.Flatten(), Layers.Dense(3, activation="sigmoid")), "is not for one of several classes.*sigmoid"),
        ((Layers.Flatten(), Layers.Dense(1, activation="sigmoid")), "gives one value"),
        ((Layers.GlobalAveragePooling2D(),), "ends in the layer `global_average_pooling2d"),
        ((Layers.Flatten(), Layers.Dense(3), Layers.ReLU()), r"\(ReLU\)"),
    ],
)
def test_what_is_no_classifier_is_refused(top: tuple[keras.layers.Layer, ...], words: str) -> None:
    with pytest.raises(BackboneError, match=words):
        source(*top)


def test_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BackboneError, match=r"Received: 2 names\. Allowed: 3, one for each output"):
        source(Layers.Flatten(), Layers.Dense(3), names=("a", "b"))


def test_names_lie_next_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.keras"
    assert names_beside(file) is None
    (tmp_path / "labels.txt").write_text("\ufeffant\nbee \n\n", encoding="utf-8")
    assert names_beside(file) == ("ant", "bee")
    (tmp_path / "mine.txt").write_text("wasp\nfly\n")
    assert names_beside(file) == ("wasp", "fly")
    (tmp_path / "mine.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BackboneError, match=r"mine\.txt cannot be read"):
        names_beside(file)
