"""Accuracy on the official test split of spoken digits, with all clips and with few, by `recipes/spoken_digits.py`.

Run       TFL_TEST_DATA=<folder with spoken_digits/> KERAS_HOME=<folder with ImageNet weights> python
              benchmarks/audio_accuracy.py --json [--only all few] [--backbone mini]
Data      Free Spoken Digit Dataset, WAV at 8 kHz: test/ holds takes 0 to 4 of each digit and speaker (300 clips), train/ the
          others (2,700); the six speakers are the same in both
Parts     all  every training clip, a tenth of them to validate, drawn by the seed
          few  20 training clips of each digit, drawn by the seed, and 5 others of each to validate
Recipe    the shipped one with the rate of these clips; --backbone takes another network (MobileNet: alpha 0.75, ImageNet weights)
Seeds     three; means with the 95% interval by Student's t
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import document, figure, interval, print_document
from stage_times import cold_store, quietly

import tfl

RECIPE = Path(__file__).parents[1] / "recipes" / "spoken_digits.py"
NETWORKS = {
    "mini": tfl.Backbone("mini"),
    "MobileNet": tfl.Backbone("MobileNet", arguments={"alpha": 0.75}),
    "MobileNetV2": tfl.Backbone("MobileNetV2", arguments={"alpha": 0.35}),
}
SAMPLE_RATE = 8000
FEW, FEW_TO_VALIDATE = 20, 5
REACH = {"all": 0.97, "few": 0.90}
PARTS = tuple(REACH)


def write_table(table: Path, clips: Path, part: str, seed: int) -> Path:
    """A CSV source with the official test split, and the training and validation clips of a part."""
    rng = random.Random(seed)
    with open(table, "w", newline="", encoding="utf-8") as handle:
        rows = csv.writer(handle)
        rows.writerow(("path", "label", "split"))
        for digit in sorted(path.name for path in (clips / "train").iterdir()):
            files = sorted((clips / "train" / digit).iterdir())
            rng.shuffle(files)
            train, val = (FEW, FEW_TO_VALIDATE) if part == "few" else (len(files) - len(files) // 10, len(files) // 10)
            rows.writerows((file, digit, "train") for file in files[:train])
            rows.writerows((file, digit, "val") for file in files[train : train + val])
            rows.writerows((file, digit, "test") for file in sorted((clips / "test" / digit).iterdir()))
    return table


def run(recipe: tfl.Recipe, folder: Path) -> dict[str, Any]:
    """The test accuracy of one run, from an empty store."""
    from rich.console import Console

    from tfl.job import run_recipe

    with cold_store():
        began = time.perf_counter()
        finished = run_recipe(recipe, out=folder, console=Console(file=sys.stderr))
        seconds = time.perf_counter() - began
    metrics = finished.read_json("metrics.json")
    return {"accuracy": metrics["test"]["accuracy"], "seconds": round(seconds, 1), "metrics": metrics}


def measure(options: argparse.Namespace, scratch: Path) -> list[dict[str, Any]]:
    """Every part, seed after seed."""
    import dataclasses

    from tfl.recipe import load_recipe

    shipped = load_recipe(RECIPE)
    shipped = dataclasses.replace(shipped, backbone=NETWORKS[options.backbone], export=())
    if options.size:
        shipped = shipped.override("data.image_size", [options.size, options.size])
    rounds = []
    for part in options.only:
        for seed in range(2 if options.smoke else 3):
            table = write_table(scratch / f"{part}-{seed}.csv", options.clips, "few" if options.smoke else part, seed)
            data = dataclasses.replace(shipped.data, source=str(table))
            recipe = dataclasses.replace(shipped, data=data, seed=seed).override("data.input.sample_rate", SAMPLE_RATE)
            found = run(recipe.smoke() if options.smoke else recipe, scratch / f"{part}-{seed}")
            rounds.append({"part": part, "seed": seed, **found})
            print(part, seed, found["accuracy"], file=sys.stderr, flush=True)
    return rounds


def figures_of(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds, and what has to hold."""
    found = []
    for part in dict.fromkeys(row["part"] for row in rounds):
        rows = [row for row in rounds if row["part"] == part]
        scores = [row["accuracy"] for row in rows]
        name = f"{part}: test accuracy, mean of {len(scores)} seeds"
        found.append(figure(name, statistics.mean(scores), "share", at_least=REACH[part], between=interval(scores)))
        found.append(figure(f"{part}: one run", statistics.median(row["seconds"] for row in rows), "s"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="only these parts")
    parser.add_argument("--backbone", choices=tuple(NETWORKS), default="mini", help="the network (default mini)")
    parser.add_argument("--size", type=int, help="height and width of the spectrograms; default the recipe's")
    parser.add_argument("--smoke", action="store_true", help="a run of a minute that shows that it works, and measures nothing")
    options = parser.parse_args()
    options.clips = Path(os.environ.get("TFL_TEST_DATA", "")) / "spoken_digits"
    if not options.clips.is_dir():
        parser.error("set TFL_TEST_DATA to the folder that holds spoken_digits/ (train/ and test/ with a folder for each digit)")
    with tempfile.TemporaryDirectory() as scratch, quietly():
        rounds = measure(options, Path(scratch))
    print_document(document("audio_accuracy", figures_of(rounds), rounds), as_json=options.json)


if __name__ == "__main__":
    main()
