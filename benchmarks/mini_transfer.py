"""Does `mini` transfer? Its weights against random weights of the same network, on a few training images per class.

Run       TFL_TEST_DATA=<folder with strawberry/ and flowers/> python benchmarks/mini_transfer.py --json
Sets      the drawn sample that ships; photos of strawberry leaves (two classes); photos of flowers (five classes)
Method    five seeds, 25 training images per class at 96 px, up to 100 others per class to test (strawberry, where
          the differences are smallest: up to 400). Two strategies each:
          probe       logistic regression on the means of each block's output; which block, and how strongly it is
                      regularised, is chosen by cross-validation on the training images
          fine-tune   100 steps of 16 images, mirrored at random, all layers, BatchNorm learning as well (with mini's
                      weights held in inference mode, flowers did worse: 0.46 against 0.55). Shipped weights go on from
                      a linear head fitted first
          Of each kind of weights the strategy with the higher mean over the seeds counts: both are in the output.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SEEDS, PER_CLASS, SIZE_PX = 5, 25, 96
TEST_PER_CLASS = {"sample": 100, "strawberry": 400, "flowers": 100}  # at most, of what is not trained on
STEPS, BATCH = 100, 16
RATES = {"random": 2e-3, "mini": 1e-3}  # of fine-tuning, by weights; random ones are measured first
STRATEGIES = ("probe", "fine-tune")
NO_OVERLAP_NEEDED = ("sample", "strawberry")


@dataclass(frozen=True)
class Split:
    """One seed's images, float32 0..255, and labels."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


# ----------------------------------------------------------------------------------------------------------- the images


def read_folder(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Every photo of a folder of class folders, at 96 px."""
    from PIL import Image

    images, labels = [], []
    for label, name in enumerate(sorted(path.name for path in folder.iterdir() if path.is_dir())):
        for file in sorted((folder / name).iterdir()):
            picture = Image.open(file).convert("RGB").resize((SIZE_PX, SIZE_PX), Image.Resampling.BOX)
            images.append(np.asarray(picture))
            labels.append(label)
    return np.stack(images), np.array(labels, np.int32)


def read_sample() -> tuple[np.ndarray, np.ndarray]:
    from PIL import Image

    from tfl.modalities.image.sample import load_sample

    sample = load_sample("strawberry")
    size = (SIZE_PX, SIZE_PX)
    small = [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in sample.images]
    return np.stack(small), sample.labels


def split(images: np.ndarray, labels: np.ndarray, *, seed: int, test_per_class: int) -> Split:
    """25 of each class to train, up to `test_per_class` of the others to test."""
    rng = np.random.default_rng(seed)
    order = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    train = np.concatenate([rows[:PER_CLASS] for rows in order])
    test = np.concatenate([rows[PER_CLASS : PER_CLASS + test_per_class] for rows in order])
    return Split(images[train].astype(np.float32), labels[train], images[test].astype(np.float32), labels[test])


# ------------------------------------------------------------------------------------------------------- the strategies


def build(kind: str, *, seed: int) -> Any:
    import keras

    from tfl.modalities.image.backbones.mini import build_mini

    keras.utils.set_random_seed(seed)
    return build_mini((SIZE_PX, SIZE_PX, 3), weights="pretrained" if kind == "mini" else None)


def block_means(backbone: Any, images: np.ndarray) -> list[np.ndarray]:
    """The mean over the picture of every block's output, one array a block."""
    import keras

    outputs = [layer.output for layer in backbone.layers if layer.name.endswith("_out")]
    pooled = [keras.layers.GlobalAveragePooling2D()(output) for output in outputs]
    return in_batches(keras.Model(backbone.input, pooled), images)


def in_batches(model: Any, images: np.ndarray) -> list[np.ndarray]:
    """A model's outputs on many images; traced once, whatever the size of the last batch."""
    import keras
    import tensorflow as tf

    run = tf.function(model, reduce_retracing=True)
    parts = [keras.tree.flatten(run(images[start : start + 100], training=False)) for start in range(0, len(images), 100)]
    return [np.concatenate(values) for values in zip(*parts, strict=True)]


def classifier(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500))


def probe(kind: str, data: Split, *, seed: int) -> float:
    """Test accuracy of the linear probe at the block that does best within the training images."""
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,import-not-found,unused-ignore]

    backbone = build(kind, seed=seed)
    means = block_means(backbone, np.concatenate([data.train_images, data.test_images]))
    count = len(data.train_labels)
    train, test = [values[:count] for values in means], [values[count:] for values in means]
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    choices = [(block, strength) for block in range(len(train)) for strength in (0.003, 0.03, 0.3)]
    with threadpool_limits(1):  # the matrices are small: threads would only get in each other's way
        scores = [cross_val_score(classifier(c), train[b], data.train_labels, cv=folds).mean() for b, c in choices]
    block, strength = choices[int(np.argmax(scores))]
    fitted = classifier(strength).fit(train[block], data.train_labels)
    return float(fitted.score(test[block], data.test_labels))


def fine_tune(kind: str, data: Split, *, seed: int) -> float:
    """Test accuracy after 100 steps on all layers."""
    import keras

    backbone = build(kind, seed=seed)
    features = keras.layers.GlobalAveragePooling2D()(backbone.output)
    head = keras.layers.Dense(int(data.train_labels.max()) + 1, name="head")
    model = keras.Model(backbone.input, head(features))
    if kind == "mini":
        start_from_probe(head, block_means(backbone, data.train_images)[-1], data.train_labels)
    train_steps(model, data, rate=RATES[kind], seed=seed)
    predicted = in_batches(model, data.test_images)[0].argmax(-1)
    return float((predicted == data.test_labels).mean())


def start_from_probe(head: Any, features: np.ndarray, labels: np.ndarray) -> None:
    """Set the head to a logistic regression on the features, so that fine-tuning does not begin with noise."""
    pipeline = classifier(0.03).fit(features, labels)
    scaler, regression = pipeline[0], pipeline[1]
    coefficients, intercept = regression.coef_, regression.intercept_
    if len(coefficients) == 1:  # two classes: scikit-learn keeps one row
        coefficients, intercept = np.stack([-coefficients[0], coefficients[0]]) / 2, np.stack([-intercept[0], intercept[0]]) / 2
    kernel = (coefficients / scaler.scale_).T
    head.set_weights([kernel, intercept - scaler.mean_ @ kernel])


def train_steps(model: Any, data: Split, *, rate: float, seed: int) -> None:
    """100 Adam steps with a cosine rate, on batches drawn without replacement, half of the images mirrored."""
    import keras
    import tensorflow as tf

    optimiser = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, STEPS))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # the default, 0.99, would still be at its starting values after so few steps
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(reduce_retracing=True)
    def step(images: Any, labels: Any) -> None:
        with tf.GradientTape() as tape:
            loss = loss_of(labels, model(images, training=True))
        optimiser.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    optimiser.build(model.trainable_variables)
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(len(data.train_labels)) for _ in range(STEPS * BATCH // len(data.train_labels) + 1)])
    for number in range(STEPS):
        rows = order[number * BATCH : (number + 1) * BATCH]
        images = data.train_images[rows]
        mirrored = rng.random(BATCH) < 0.5
        images[mirrored] = images[mirrored, :, ::-1]
        step(images, data.train_labels[rows])


# ------------------------------------------------------------------------------------------------------------ the figures


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half-width of its 95% t-interval."""
    from scipy import stats

    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values)), float(half)


def measure(sets: dict[str, tuple[np.ndarray, np.ndarray]], seeds: int, *, kept: Path | None) -> list[dict[str, Any]]:
    """Every accuracy, one row a set, kind of weights, strategy and seed; rows in the file `kept` are not measured again."""
    done = {} if kept is None or not kept.exists() else dict(json.loads(line) for line in kept.read_text().splitlines())
    rounds = []
    for kind, strategy, (name, (images, labels)) in itertools.product(RATES, STRATEGIES, sets.items()):
        fingerprint = fingerprint_of(kind, images, test_per_class=TEST_PER_CLASS[name])
        for seed in range(seeds):
            key = f"{name} {seed} {kind} {strategy} {fingerprint}"
            if key not in done:
                began = time.time()
                data = split(images, labels, seed=seed, test_per_class=TEST_PER_CLASS[name])
                accuracy = (probe if strategy == "probe" else fine_tune)(kind, data, seed=seed)
                row = {"set": name, "seed": seed, "weights": kind, "strategy": strategy, "accuracy": round(accuracy, 4)}
                done[key] = row | {"seconds": round(time.time() - began, 1)}
                print(done[key], file=sys.stderr, flush=True)
                if kept is not None:
                    kept.open("a").write(json.dumps([key, done[key]]) + "\n")
            rounds.append(done[key])
    return rounds


def fingerprint_of(kind: str, images: np.ndarray, *, test_per_class: int) -> str:
    """What a kept row depends on: the images, mini's weights, the settings."""
    from tfl.modalities.image.backbones.mini import WEIGHTS_FILE

    digest = hashlib.sha256(images.tobytes())
    digest.update(WEIGHTS_FILE.read_bytes() if kind == "mini" else b"")
    digest.update(repr((PER_CLASS, test_per_class, SIZE_PX, STEPS, BATCH, RATES[kind])).encode())
    return digest.hexdigest()[:16]


def figures_of(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means and intervals of all cells, then what has to hold: mini's best ahead of random's best."""
    figures: list[dict[str, Any]] = []
    for name in dict.fromkeys(row["set"] for row in rounds):
        best: dict[str, tuple[float, float]] = {}
        for kind in ("mini", "random"):
            cells = {}
            for strategy in STRATEGIES:
                chosen = [r["accuracy"] for r in rounds if (r["set"], r["weights"], r["strategy"]) == (name, kind, strategy)]
                cells[strategy] = interval(chosen)
                figures += [figure(f"{name}: {kind}, {strategy}, mean accuracy", cells[strategy][0])]
                figures += [figure(f"{name}: {kind}, {strategy}, half of the 95% interval", cells[strategy][1])]
            best[kind] = max(cells.values())
        lead = best["mini"][0] - best["random"][0]
        figures.append(figure(f"{name}: mini's best strategy ahead of random's best by", lead, reach=0.0))
        if name in NO_OVERLAP_NEEDED:
            gap = lead - best["mini"][1] - best["random"][1]
            figures.append(figure(f"{name}: gap between the 95% intervals", gap, reach=0.0))
    return figures


def figure(name: str, value: float, *, reach: float | None = None) -> dict[str, Any]:
    holds = None if reach is None else bool(value > reach)
    return {"name": name, "value": round(value, 4), "unit": "accuracy", "reach": reach, "holds": holds}


def print_table(document: dict[str, Any]) -> None:
    for row in document["figures"]:
        evaluated = "" if row["holds"] is None else f"   above {row['reach']}: {'yes' if row['holds'] else 'NO'}"
        print(f"{row['name']:<62}{row['value']:>8.4f}{evaluated}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Mini's weights against random weights of the same network.")
    parser.add_argument("--data", type=Path, default=os.environ.get("TFL_TEST_DATA"), help="holds strawberry/ and flowers/")
    parser.add_argument("--sets", nargs="+", default=["sample", "strawberry", "flowers"])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--kept", type=Path, help="a file to keep measured rows in: a stopped benchmark goes on from it")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    arguments = parser.parse_args()
    if arguments.data is None and set(arguments.sets) - {"sample"}:
        parser.error("name the folder that holds strawberry/ and flowers/: --data or TFL_TEST_DATA; or --sets sample")
    sets = {name: read_sample() if name == "sample" else read_folder(Path(arguments.data) / name) for name in arguments.sets}
    rounds = measure(sets, arguments.seeds, kept=arguments.kept)
    document = {
        "benchmark": "mini_transfer",
        "command": " ".join(["python benchmarks/mini_transfer.py", *sys.argv[1:]]),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "seconds": round(sum(row["seconds"] for row in rounds), 1),
        "figures": figures_of(rounds),
        "rounds": rounds,
    }
    print(json.dumps(document, indent=2)) if arguments.json else print_table(document)


if __name__ == "__main__":
    main()
