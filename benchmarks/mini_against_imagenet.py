"""What `mini` leaves on the table: a linear probe on each network whose weights are at hand, on the same few examples.

Run       TFL_TEST_DATA=<folder with strawberry/, flowers/, fashion_mnist/ and spoken_digits/> \
              KERAS_HOME=<folder with ImageNet weights> python benchmarks/mini_against_imagenet.py --json
Networks  mini, and those of NETWORKS, each at the size that its weights were trained at
Sets      photos of strawberry leaves (two classes) and of flowers (five), pictures of clothes of 28 px (ten), and spoken digits
          as spectrograms (ten)
Method    five seeds, 25 training examples a class, up to 100 others a class to test, the same for every network. Logistic
          regression on the means of one block's output; which block of the upper half, and how strongly it is regularised, is
          chosen by cross-validation on the training examples. Differences are paired by seed
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from harness import document, figure, interval, print_document

import tfl

SEEDS, PER_CLASS, TEST_PER_CLASS = 5, 25, 100
NETWORKS = {
    "mini": tfl.Backbone("mini"),
    "MobileNet alpha 0.75": tfl.Backbone("MobileNet", arguments={"alpha": 0.75}),
    "MobileNetV2 alpha 0.35": tfl.Backbone("MobileNetV2", arguments={"alpha": 0.35}),
}
STRENGTHS = (0.003, 0.03, 0.3)
BATCH = 50


def sources(root: Path, size: int | None) -> dict[str, tfl.Data]:
    """The data of each set; `size` in pixels stands for the network's own."""
    asked = None if size is None else (size, size)
    return {
        "strawberry": tfl.Data(str(root / "strawberry"), image_size=asked),
        "flowers": tfl.Data(str(root / "flowers"), image_size=asked),
        "clothes": tfl.Data(str(root / "fashion_mnist"), image_size=asked),
        "spoken digits": tfl.Data(
            str(root / "spoken_digits" / "train"), input=tfl.Audio(seconds=1.0, sample_rate=8000), image_size=asked
        ),
    }


def pool_of(examples: Any) -> np.ndarray:
    """Positions of the examples that the seeds draw from, the same for every network."""
    labels, rng = np.asarray(examples.labels), np.random.default_rng(0)
    wanted = PER_CLASS + TEST_PER_CLASS
    return np.concatenate([rng.permutation(np.flatnonzero(labels == label))[: 2 * wanted] for label in np.unique(labels)])


def block_means(recipe: tfl.Recipe, examples: Any) -> list[np.ndarray]:
    """The mean over the map of every block's output, one array a block."""
    import keras
    import tensorflow as tf

    from tfl.backbones.blocks import find_blocks
    from tfl.modalities.base import modality_of

    modality = modality_of(recipe)
    keras.utils.set_random_seed(0)
    network = modality.build_backbone(recipe.backbone)
    ends = [network.get_layer(block.name).output for block in find_blocks(network)]
    model = keras.Model(network.input, [keras.layers.GlobalAveragePooling2D()(end) for end in ends])
    run = tf.function(model, reduce_retracing=True)
    parts = []
    for start in range(0, len(examples), BATCH):
        contents = [modality.convert(examples.bytes_of(n)) for n in range(start, min(start + BATCH, len(examples)))]
        outputs = run(modality.encode(tf.constant(contents)), training=False)
        parts.append([np.asarray(one) for one in keras.tree.flatten(outputs)])
    return [np.concatenate(values) for values in zip(*parts, strict=True)]


def draw(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions to train on and to test on."""
    rng = np.random.default_rng(seed)
    order = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    train = np.concatenate([rows[:PER_CLASS] for rows in order])
    return train, np.concatenate([rows[PER_CLASS : PER_CLASS + TEST_PER_CLASS] for rows in order])


def accuracy(means: list[np.ndarray], labels: np.ndarray, seed: int) -> tuple[float, int]:
    """Test accuracy of the probe at the block that does best within the training examples, and that block."""
    from mini_transfer import classifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,import-not-found,unused-ignore]

    train, test = draw(labels, seed)
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    upper = range(len(means) // 2, len(means))
    choices = [(block, strength) for block in upper for strength in STRENGTHS]
    with threadpool_limits(1):
        scores = [cross_val_score(classifier(c), means[b][train], labels[train], cv=folds).mean() for b, c in choices]
        block, strength = choices[int(np.argmax(scores))]
        fitted = classifier(strength).fit(means[block][train], labels[train])
        return float(fitted.score(means[block][test], labels[test])), block


def measure(root: Path, names: list[str], only: list[str], size: int | None) -> list[dict[str, Any]]:
    from tfl.data.source import load_source
    from tfl.modalities.base import settled

    rounds = []
    for set_name, data in sources(root, size).items():
        if set_name not in only:
            continue
        examples = load_source(data)
        examples = examples.take(pool_of(examples))
        labels = np.asarray(examples.labels)
        for name in names:
            recipe = settled(tfl.Recipe(name="probe", data=data, backbone=NETWORKS[name]))
            means = block_means(recipe, examples)
            for seed in range(SEEDS):
                value, block = accuracy(means, labels, seed)
                row = {"set": set_name, "network": name, "seed": seed, "accuracy": value, "block": f"{block + 1} of {len(means)}"}
                print(row, file=sys.stderr, flush=True)
                rounds.append(row)
    return rounds


def figures_of(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means, and what each network has over mini, paired by seed."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in rounds:
        found.setdefault((row["set"], row["network"]), []).append(row["accuracy"])
    figures = []
    for (set_name, name), values in found.items():
        figures.append(figure(f"{set_name}: {name}, accuracy", float(np.mean(values)), "share", between=interval(values)))
        if name != "mini" and (base := found.get((set_name, "mini"))):
            ahead = [ours - theirs for ours, theirs in zip(values, base, strict=True)]
            title = f"{set_name}: {name} over mini"
            figures.append(figure(title, float(np.mean(ahead)), "share", between=interval(ahead)))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--networks", nargs="+", choices=tuple(NETWORKS), default=list(NETWORKS))
    sets = tuple(sources(Path("."), None))
    parser.add_argument("--only", nargs="+", choices=sets, default=list(sets))
    parser.add_argument("--size", type=int, help="pixels of every network, in place of its own")
    options = parser.parse_args()
    rounds = measure(Path(os.environ["TFL_TEST_DATA"]), options.networks, options.only, options.size)
    print_document(document("mini_against_imagenet", figures_of(rounds), rounds), as_json=options.json)


if __name__ == "__main__":
    main()
