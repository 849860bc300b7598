"""tfl on real photos, beside the plain Keras guide and training from nothing, in the same run.

Run       KERAS_HOME=<folder with ImageNet weights> TFL_TEST_DATA=<folder with strawberry/ and flowers/> \
              python benchmarks/real_photos.py --json [--only strawberry flowers few]
Network   MobileNetV2 alpha 0.35 at 224 px, ImageNet weights
Parts     strawberry  80/20 split, test accuracy of a tfl run, mean over three seeds of split and training
          flowers     Keras' `validation_split=0.2, seed=1`: the Keras transfer-learning guide (10 head epochs, then 10
                      fine-tuning epochs at 1e-5 on the whole network) against a tfl run, decode and features counted.
                      tfl takes its validation split from the guide's training photos; the guide's validation photos
                      are tfl's test photos, looked at once
          few         20 training photos a class of either set, up to 150 others per class to test, three seeds: ImageNet
                      weights against the same network from nothing, which learns in all layers for 100 epochs,
                      BatchNorm included, and keeps its best
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import dataclasses
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import document, figure, interval, print_document
from keras_guide import open_guide

import tfl

SIZE = (224, 224)
MOBILENET = tfl.Backbone("MobileNetV2", arguments={"alpha": 0.35})
FLIP = tfl.Augment(flip="horizontal", crop=0.6, rotate_deg=10.0, brightness=0.1)
TRANSFER = (
    tfl.Stage("head", train="head", epochs=15, learning_rate=2e-3),
    tfl.Stage(
        "finetune",
        train=tfl.top_blocks(12),
        epochs=12,
        learning_rate=1e-3,
        schedule="cosine",
        warmup_epochs=1.0,
        layer_decay=0.95,
        label_smoothing=0.1,
        augment=FLIP,
        views=6,
        batchnorm="train",
    ),
)
NOTHING = (
    tfl.Stage(
        "all", train="all", epochs=100, batch_size=16, learning_rate=1e-3, schedule="cosine", batchnorm="train", augment=FLIP
    ),
)


def run(recipe: tfl.Recipe, folder: Path) -> dict[str, Any]:
    """The metrics of one run, from a cold cache, with its wall-clock seconds."""
    from rich.console import Console

    from tfl.job import run_recipe

    with tempfile.TemporaryDirectory() as cache:
        os.environ["TFL_CACHE"] = cache
        started = time.perf_counter()
        finished = run_recipe(recipe, out=folder, console=Console(file=sys.stderr))
        return {**finished.read_json("metrics.json"), "wall_seconds": time.perf_counter() - started}


def guide(photos: Path) -> tuple[dict[str, float], tuple[list[str], list[str]]]:
    """The guide's accuracies and seconds, and the files it trained and evaluated on."""
    started = time.perf_counter()
    plain = open_guide(photos, size=SIZE)
    plain.compile_for_head()
    plain.fit(10)
    head, head_seconds = plain.history[-1], time.perf_counter() - started
    plain.compile_for_tuning()
    plain.fit(10)
    return {
        "head_accuracy": head,
        "head_seconds": head_seconds,
        "accuracy": plain.history[-1],
        "seconds": time.perf_counter() - started,
    }, plain.files


def flowers(root: Path, scratch: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    plain, (training, held_out) = guide(root / "flowers")
    table = scratch / "flowers.csv"
    with open(table, "w", newline="", encoding="utf-8") as handle:
        rows = csv.writer(handle)
        rows.writerow(("path", "label", "split"))
        for position, path in enumerate(sorted(training)):
            rows.writerow((path, Path(path).parent.name, "val" if position % 10 == 0 else "train"))
        rows.writerows((path, Path(path).parent.name, "test") for path in held_out)
    recipe = tfl.Recipe(name="flowers", data=tfl.Data(str(table)), backbone=MOBILENET, stages=TRANSFER, export=())
    ours = run(recipe, scratch / "flowers")
    accuracy, seconds = ours["test"]["accuracy"], ours["wall_seconds"]
    return [
        figure("guide accuracy after fine-tuning", plain["accuracy"], "share"),
        figure("tfl accuracy", accuracy, "share"),
        figure(
            "tfl accuracy over the guide's best",
            accuracy - max(plain["accuracy"], plain["head_accuracy"]),
            "share",
            at_least=0.05,
        ),
        figure("guide time", plain["seconds"], "s"),
        figure("tfl time", seconds, "s"),
        figure("tfl time over the guide's", seconds / plain["seconds"], "ratio", at_most=1.0),
    ], [{"set": "flowers", "guide": plain, "tfl": ours}]


def strawberry(root: Path, scratch: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    data = tfl.Data(str(root / "strawberry"), validation=0.1, test=0.2)
    base = tfl.Recipe(name="strawberry", data=data, backbone=MOBILENET, stages=TRANSFER, export=())
    rounds = [run(dataclasses.replace(base, seed=seed), scratch / f"strawberry-{seed}") for seed in range(3)]
    accuracy = statistics.mean(entry["test"]["accuracy"] for entry in rounds)
    return [figure("strawberry test accuracy, mean of 3 seeds", accuracy, "share", at_least=0.995)], [
        {"set": "strawberry", "seed": seed, "tfl": entry} for seed, entry in enumerate(rounds)
    ]


def few(root: Path, scratch: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    figures, rounds = [], []
    for name in ("strawberry", "flowers"):
        scores: dict[str, list[float]] = {"transfer": [], "nothing": []}
        for seed in range(3):
            data = tfl.Data(str(root / name), per_class=200, train_per_class=20, validation=0.15, test=0.75)
            recipe = tfl.Recipe(name=name, data=data, backbone=MOBILENET, stages=TRANSFER, seed=seed, export=())
            random = dataclasses.replace(
                recipe,
                backbone=dataclasses.replace(MOBILENET, weights=None),
                stages=NOTHING,
                monitor=tfl.Monitor(patience=None),  # from nothing, the first epochs say little: it gets all of them
            )
            for kind, each in (("transfer", recipe), ("nothing", random)):
                entry = run(each, scratch / f"few-{name}-{kind}-{seed}")
                scores[kind].append(entry["test"]["accuracy"])
                rounds.append({"set": name, "seed": seed, "kind": kind, "tfl": entry})
        low, high = interval(scores["transfer"])
        figures += [
            figure(f"{name}, 20 a class, transfer", statistics.mean(scores["transfer"]), "share", between=(low, high)),
            figure(
                f"{name}, 20 a class, from nothing",
                statistics.mean(scores["nothing"]),
                "share",
                between=interval(scores["nothing"]),
            ),
            figure(
                f"{name}, 20 a class, lowest transfer over highest from nothing",
                low - interval(scores["nothing"])[1],
                "share",
                at_least=0.0,
            ),
        ]
    return figures, rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--only", nargs="+", choices=("strawberry", "flowers", "few"), default=["strawberry", "flowers", "few"])
    options = parser.parse_args()
    root = Path(os.environ.get("TFL_TEST_DATA", ""))
    if not (root / "flowers").is_dir():
        parser.error("set TFL_TEST_DATA to the folder that holds strawberry/ and flowers/")
    parts = {"strawberry": strawberry, "flowers": flowers, "few": few}
    figures, rounds = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.only:
            with contextlib.redirect_stdout(sys.stderr):  # Keras prints there; the document alone belongs on standard output
                more_figures, more_rounds = parts[name](root, Path(scratch))
            figures += more_figures
            rounds += more_rounds
    print_document(document("real_photos", figures, rounds), as_json=options.json)


if __name__ == "__main__":
    main()
