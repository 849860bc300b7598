"""The pictures of a report: samples of each class, the most confident mistakes, and where the network looked."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from tfl.evaluate.explain import grad_cam, tensor_of
from tfl.modalities.image.convert import readable_by_graph
from tfl.modalities.image.decode import decode_image
from tfl.modalities.image.preview import overlay
from tfl.modalities.image.resize import preprocess_bytes
from tfl.recipe import Data
from tfl.storage import write_atomically, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "report/pictures.json"
MISTAKES = 12
_SAMPLES, _EXPLAINED = 48, 30  # pictures in all, shared by the classes
_EDGE = 224  # pixels of a thumbnail's longer side: sharp at 112 CSS pixels on a phone's screen


def save_pictures(
    run_folder: Path | str,
    model: keras.Model,
    examples: Any,
    split: Any,
    probabilities: Mapping[str, NDArray[np.floating]],
    *,
    data: Data,
    feature_layer: str,
    seed: int,
) -> None:
    """Writes `report/pictures.json` and the thumbnails it names into a run folder.

    Args:
        run_folder: Where `report/` goes; an older one is replaced picture by picture.
        model: Pixels 0..255 to probabilities.
        examples: The `tfl.data.source.Examples` that were used.
        split: The `tfl.data.split.Split` of them.
        probabilities: `test` (and `val`): `(n, classes)`, rows in the order of the split's indices.
        data: The recipe's data: size and fit, for the pixels that the network sees.
        feature_layer: Grad-CAM looks at this layer's output.
        seed: Which images are shown.
    """
    album = _Album(Path(run_folder), examples, data.bits)
    test, rows = np.asarray(split.test), np.asarray(probabilities["test"], np.float32)
    generator = np.random.default_rng(seed)
    document = {
        "format": 1,
        "samples": _samples(album, np.asarray(split.train), generator),
        "mistakes": _mistakes(album, test, rows),
        "explanations": _explanations(album, model, test, rows, generator, data=data, feature_layer=feature_layer),
        "feature_layer": feature_layer,
        "feature_map": [int(edge) for edge in tensor_of(model, feature_layer).shape[1:3] if edge],
    }
    write_json(Path(run_folder) / NAME, document)


def confident_mistakes(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], *, limit: int = MISTAKES
) -> NDArray[np.intp]:
    """The rows that are wrong, the surest first, at most `limit`.

    Example:

    >>> import numpy as np
    >>> confident_mistakes(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), np.array([1, 1, 1])).tolist()
    [0, 1]
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(-probabilities.max(axis=1)[wrong], kind="stable")][:limit]


class _Album:
    """Thumbnails of one run, each written once."""

    def __init__(self, run_folder: Path, examples: Any, bits: int | None) -> None:
        self.run_folder, self.examples, self.bits = run_folder, examples, bits
        self.class_names = [str(name) for name in examples.class_names]

    def label_of(self, index: int) -> int:
        return int(self.examples.labels[index])

    def entry(self, index: int, **more: Any) -> dict[str, Any]:
        """The thumbnail of one image as it is in the source, and what is known of it."""
        pixels = decode_image(tf.constant(readable_by_graph(self.examples.bytes_of(index))), self.bits).numpy()
        return {
            **self.save(pixels, f"image-{index}"),
            "index": index,
            "name": str(self.examples.name_of(index)),
            "label": self.class_names[self.label_of(index)],
            **more,
        }

    def save(self, pixels: NDArray[np.uint8], stem: str) -> dict[str, Any]:
        """Writes one thumbnail: JPEG, or PNG where the picture is so small that each pixel shows."""
        picture = Image.fromarray(np.ascontiguousarray(pixels))
        picture.thumbnail((_EDGE, _EDGE), Image.Resampling.LANCZOS)
        tiny = max(picture.size) < 64
        name = f"report/{stem}.{'png' if tiny else 'jpg'}"
        content = io.BytesIO()
        picture.save(content, format="PNG" if tiny else "JPEG", **({} if tiny else {"quality": 85, "subsampling": 0}))
        write_atomically(self.run_folder / name, content.getvalue())
        return {"file": name, "width": picture.width, "height": picture.height}


def _of_each_class(
    labels: NDArray[np.integer], classes: int, generator: np.random.Generator, *, total: int, most: int
) -> list[NDArray[np.intp]]:
    """A few positions of each class, `most` at most and about `total` in all; the first classes only when there are many."""
    each = max(1, min(most, total // classes))
    shown = range(min(classes, total))
    return [np.sort(generator.permutation(np.flatnonzero(labels == label))[:each]) for label in shown]


def _samples(album: _Album, train: NDArray[np.integer], generator: np.random.Generator) -> list[dict[str, Any]]:
    labels = np.asarray(album.examples.labels)[train]
    chosen = _of_each_class(labels, len(album.class_names), generator, total=_SAMPLES, most=6)
    return [
        {"class": album.class_names[label], "pictures": [album.entry(int(train[at])) for at in positions]}
        for label, positions in enumerate(chosen)
    ]


def _mistakes(album: _Album, test: NDArray[np.integer], rows: NDArray[np.floating]) -> list[dict[str, Any]]:
    labels = np.asarray(album.examples.labels)[test]
    return [album.entry(int(test[at]), **_verdict(album, rows[at], int(labels[at]))) for at in confident_mistakes(rows, labels)]


def _verdict(album: _Album, row: NDArray[np.floating], label: int) -> dict[str, Any]:
    best = int(row.argmax())
    return {
        "predicted": album.class_names[best],
        "probability": float(row[best]),
        "probability_of_label": float(row[label]),
    }


def _explanations(
    album: _Album,
    model: keras.Model,
    test: NDArray[np.integer],
    rows: NDArray[np.floating],
    generator: np.random.Generator,
    *,
    data: Data,
    feature_layer: str,
) -> list[dict[str, Any]]:
    labels = np.asarray(album.examples.labels)[test]
    chosen = np.concatenate(_of_each_class(labels, len(album.class_names), generator, total=_EXPLAINED, most=3))
    images = _as_seen(album.examples, test[chosen], data)
    maps = grad_cam(model, images, rows[chosen].argmax(axis=1), feature_layer=feature_layer)
    shown: list[dict[str, Any]] = []
    for at, image, heat in zip(chosen, images, maps, strict=True):
        index, pixels = int(test[at]), np.clip(np.rint(image), 0, 255).astype(np.uint8)
        seen, warm = album.save(pixels, f"seen-{index}"), album.save(overlay(pixels, heat), f"cam-{index}")
        details = {"index": index, "name": str(album.examples.name_of(index)), "label": album.class_names[int(labels[at])]}
        shown.append({**seen, "overlay": warm["file"], **details, **_verdict(album, rows[at], int(labels[at]))})
    return shown


def _as_seen(examples: Any, indices: Sequence[int] | NDArray[np.integer], data: Data) -> NDArray[np.float32]:
    """The images as the network sees them: `(n, height, width, 3)` float32, 0..255."""
    contents = (tf.constant(readable_by_graph(examples.bytes_of(int(index)))) for index in indices)
    return np.stack([preprocess_bytes(one, data.settled_size, data.fit, data.bits).numpy() for one in contents])
