"""What it costs to train a head on what an engine makes and to use it on what Keras makes: the reason for the tolerance.

Run       KERAS_HOME=<folder with ImageNet weights> TFL_TEST_DATA=<folder with flowers/> python benchmarks/engine_error.py --json
Features  of MobileNetV2 alpha 0.35 and MobileNet alpha 0.75 at 224 px, pooled after four blocks each, by OpenVINO in float32 and
          in bfloat16; the first stands for Keras, from which it differs by some millionths
Head      a logistic regression on standardised features, C = 0.003, trained on four fifths of the photos and evaluated on the
          rest; a round is another division
Figures   by how many points of accuracy a head trained on bfloat16 features and evaluated on float32 ones is worse than one that
          is trained on float32 ones; and the same with the difference between the two scaled to an error of 0.05, 0.1 and so on,
          as `tfl.features.engines.relative_error` counts it
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from flower_photos import choose_photos, options_of
from harness import document, figure, interval, print_document
from stage_times import quietly

import tfl

NETWORKS = (tfl.Backbone("MobileNetV2", arguments={"alpha": 0.35}), tfl.Backbone("MobileNet", arguments={"alpha": 0.75}))
ERRORS = (0.05, 0.1, 0.15, 0.25)
Features = dict[str, tuple[np.ndarray, np.ndarray]]


def compute(photos: Path, side: int) -> tuple[Features, np.ndarray]:
    """Features in float32 and in bfloat16 by network and block, and the labels, in one pass over the photos."""
    import keras

    dataset = keras.utils.image_dataset_from_directory(
        photos, image_size=(side, side), batch_size=32, shuffle=False, verbose=False
    )
    networks = {backbone.name: engines_of(backbone, side) for backbone in NETWORKS}
    made: dict[tuple[str, str], list[list[np.ndarray]]] = {(name, kind): [] for name in networks for kind in ("f32", "bf16")}
    labels = []
    for images, some in dataset.prefetch(2).as_numpy_iterator():
        labels.append(some)
        for name, (_, *engines) in networks.items():
            for kind, engine in zip(("f32", "bf16"), engines, strict=True):
                made[name, kind].append(engine(images))
    joined = {key: [np.concatenate(arrays) for arrays in zip(*batches, strict=True)] for key, batches in made.items()}
    found = {
        f"{name} {block}": (joined[name, "f32"][at], joined[name, "bf16"][at])
        for name, (blocks, *_) in networks.items()
        for at, block in enumerate(blocks)
    }
    return found, np.concatenate(labels)


def engines_of(backbone: tfl.Backbone, side: int) -> tuple[list[str], Any, Any]:
    """The names of four blocks, and what pools each of them in float32 and in bfloat16."""
    import keras

    from tfl.backbones.blocks import find_blocks
    from tfl.features.cut import tensor_at
    from tfl.features.openvino_engine import Converted
    from tfl.modalities.image.backbones.build import build_backbone

    model = build_backbone(backbone, image_size=(side, side))
    blocks = find_blocks(model)
    names = [blocks[at].name for at in (len(blocks) // 2, -4, -3, -1)]
    outputs = [keras.layers.GlobalAveragePooling2D()(tensor_at(model, name)) for name in names]
    converted = Converted(keras.Model(model.input, outputs))
    return names, converted.engine("float32"), converted.engine("bfloat16")


def accuracy(trained_on: np.ndarray, evaluated_on: np.ndarray, labels: np.ndarray, order: np.ndarray) -> float:
    """Of a head on one division of the photos."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, rest = order[: len(order) * 4 // 5], order[len(order) * 4 // 5 :]
    head = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=200)).fit(trained_on[train], labels[train])
    return float((head.predict(evaluated_on[rest]) == labels[rest]).mean())


def lost_points(exact: np.ndarray, other: np.ndarray, labels: np.ndarray, round_: int) -> dict[str, float]:
    """Points of accuracy lost by training on `other`, and on what lies between the two, by error."""
    from tfl.features.engines import relative_error

    order, error = np.random.default_rng(round_).permutation(len(labels)), relative_error([other], [exact])
    best = accuracy(exact, exact, labels, order)
    found = {"bfloat16": 100 * (best - accuracy(other, exact, labels, order)), "error": error}
    for wanted in ERRORS:
        between = exact + (other - exact) * (wanted / error)
        found[f"{wanted:g}"] = 100 * (best - accuracy(between, exact, labels, order))
    return found


def main() -> None:
    options = options_of(__doc__, rounds=3)
    with tempfile.TemporaryDirectory() as scratch, quietly():
        photos = choose_photos(options.photos, options.limit, Path(scratch) / "photos")
        features, labels = compute(photos, options.size)
        rows = [
            {"block": block, "round": number, **lost_points(*pair, labels, number)}
            for block, pair in features.items()
            for number in range(options.rounds)
        ]
    found = []
    for block in features:
        mine = [row for row in rows if row["block"] == block]
        found.append(figure(f"{block}: error of bfloat16", mine[0]["error"], "share"))
        found.append(figure(f"{block}: lost to it", statistics.mean(row["bfloat16"] for row in mine), "points"))
    for wanted in ERRORS:
        lost = [row[f"{wanted:g}"] for row in rows]
        found.append(figure(f"lost at an error of {wanted:g}", statistics.mean(lost), "points", between=interval(lost)))
    print_document(document("engine_error", found, rows), as_json=options.json)


if __name__ == "__main__":
    main()
