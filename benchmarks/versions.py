"""This version against an earlier one: the same recipes in turn, each run in a process of its own.

Run       git worktree add OLD COMMIT
          KERAS_HOME=<folder with ImageNet weights> TFL_TEST_DATA=<folder with flowers/> python benchmarks/versions.py
              --against OLD --json [--rounds N] [--per-class N]
Recipe    flowers, MobileNetV2 alpha 0.35 at 224 px: a head for 20 epochs, then six blocks with it for 6; from an empty store
Figures   new over old, the median over the rounds of each round's ratio: the pass over the images with the head's epochs, a
          fine-tuning epoch (the median of a run, without the first), the whole run, its peak memory, and `tfl --help`
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import document, figure, print_document

ROOT = Path(__file__).resolve().parents[1]
MOST = 1.03
RECIPE = """
import tfl
recipe = tfl.Recipe(
    name="versions",
    data=tfl.Data({source!r}, per_class={per_class}, image_size=(224, 224)),
    backbone=tfl.Backbone("MobileNetV2", arguments={{"alpha": 0.35}}),
    stages=(
        tfl.Stage("head", epochs=20, learning_rate=1e-3),
        tfl.Stage("finetune", train=tfl.top_blocks(6), epochs=6, learning_rate=1e-4),
    ),
    monitor=tfl.Monitor("val_accuracy", patience=None),
    precision="float32",
    jit_compile=False,
    export=(),
)
"""
COMMAND = "import sys; sys.argv[0] = 'tfl'; from tfl.cli.main import main; main()"


def run(checkout: Path, *words: str, cache: Path) -> tuple[float, float]:
    """Seconds and peak memory in MB of a command of the version in `checkout`."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "TFL_CACHE": str(cache)}
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words], env=environment, cwd=cache, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"tfl {' '.join(words)} failed in {checkout}.")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def measure(checkout: Path, recipe: Path) -> dict[str, float]:
    """The figures of one run."""
    with tempfile.TemporaryDirectory() as folder:
        cache, out = Path(folder), Path(folder) / "run"
        help_s = statistics.median(run(checkout, "--help", cache=cache)[0] for _ in range(3))
        whole_s, peak_mb = run(checkout, "run", str(recipe), "--out", str(out), cache=cache)
        seconds = json.loads((out / "seconds.json").read_text())
        rows = list(csv.DictReader((out / "history.csv").read_text().splitlines()))
    finetuning = [float(row["seconds"]) for row in rows if row["stage"] == "finetune"]
    return {
        "pass and head": seconds["features"] + seconds["head"],
        "fine-tuning epoch": statistics.median(finetuning[1:]),
        "whole run": whole_s,
        "peak memory": peak_mb,
        "tfl --help": help_s,
    }


def main() -> None:
    """Runs both versions in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--against", type=Path, required=True, help="a checkout of the earlier version")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--per-class", type=int, default=200)
    options = parser.parse_args()
    sides = {"new": ROOT, "old": options.against.resolve()}
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.py"
        source = str(Path(os.environ["TFL_TEST_DATA"]) / "flowers")
        recipe.write_text(RECIPE.format(source=source, per_class=options.per_class))
        for number in range(options.rounds):
            order = list(sides) if number % 2 == 0 else list(sides)[::-1]
            row = {side: measure(sides[side], recipe) for side in order}
            rounds.append(row)
            print(row, file=sys.stderr, flush=True)
    figures = []
    for name in rounds[0]["new"]:
        ratio = statistics.median(row["new"][name] / row["old"][name] for row in rounds)
        figures.append(figure(f"{name}, new over old", ratio, "ratio", at_most=MOST))
        unit = "MB" if name == "peak memory" else "s"
        figures.append(figure(f"{name}, new", statistics.median(row["new"][name] for row in rounds), unit))
    print_document(document("versions", figures, rounds), as_json=options.json)


if __name__ == "__main__":
    main()
