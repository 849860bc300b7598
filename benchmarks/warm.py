"""Warm starts on new rows: what is forgotten, and whether replay, EWC and stopping in time keep it, over seeds.

Run       python benchmarks/warm.py --json [--seeds 5] [--only MODEL ...] [--limit ROWS] [--kept FILE]
Tables    drawn     machines before and after their sensors were replaced (`tfl.warm_start.samples`), other rows for each seed
          rotated   scikit-learn's 8 × 8 digits as they are, and others of them turned by 90 degrees: ten classes
Sides     old, new, both   trained from nothing on those rows
          one step         a warm start after one step; last step: after 32
          stopped          a warm start at the step that validation rows chose; so `replay`, `ewc`
Counted   accuracy on old and on new test rows; their mean is compared with the obvious alternative, a warm start for 32 steps
Textbook  old alone 94 on old and 80 on new; both 95 and 90; one step of a warm start 65 and 90: of logistic regression on `drawn`
          the mean is to be within 6 points of each
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from harness import document, figure, interval, keep, kept_rows, print_document

MODELS = ("logistic", "svm", "boosting", "net")
TEXTBOOK = {"old": (94, 80), "both": (95, 90), "one step": (65, 90)}
LAST = 32
SIDES = ("old", "new", "both", "one step", "last step", "stopped", "replay", "ewc")


def tables_of(name: str, seed: int, folder: Path, limit: int | None) -> tuple[Path, Path]:
    """The old and the new table of a set, as CSV files."""
    if name == "drawn":
        from tfl.warm_start.samples import drawn_table

        pair = [drawn_table(each, seed=seed) for each in ("machines_old", "machines_new")]
    else:
        from sklearn.datasets import load_digits

        digits = load_digits()
        order = np.random.default_rng(seed).permutation(len(digits.target))
        columns = (*(f"p{at}" for at in range(64)), "state")
        pair = []
        for rows, turns in ((order[:1100], 0), (order[1100:], 1)):
            pixels = np.rot90(digits.images[rows], turns, axes=(1, 2)).reshape(len(rows), 64)
            pair.append(
                (columns, [[*map(str, row), f"digit {label}"] for row, label in zip(pixels, digits.target[rows], strict=True)])
            )
    files = (folder / f"{name}_{seed}_old.csv", folder / f"{name}_{seed}_new.csv")
    for file, (columns, rows) in zip(files, pair, strict=True):
        with open(file, "w", newline="") as handle:
            csv.writer(handle).writerows([columns, *rows[:limit]])
    return files


def measure(name: str, seed: int, model: str, folder: Path, limit: int | None) -> dict[str, Any]:
    """The accuracies of every side, on old and on new test rows."""
    import tfl

    old, new = tables_of(name, seed, folder, limit)
    out = tempfile.mkdtemp(dir=folder)
    done = tfl.warm(old, new, out, target="state", models=(model,), seed=seed, steps=(1, 2, 4, 8, 16, LAST)).document
    found: dict[str, Any] = {}
    for row in done["rows"]:
        side = (
            row["way"]
            if row["step"] == 0
            else {1: "one step", LAST: "last step"}.get(row["step"])
            if row["way"] == "warm"
            else None
        )
        if side:
            found[side] = [row["test"]["old"], row["test"]["new"]]
    ways = ("stopped", "replay", "ewc")  # in the order of the stops
    for side, row in zip(ways, done["stops"], strict=False):
        found[side] = [row["test"]["old"], row["test"]["new"]]
    return {"set": name, "seed": seed, "model": model, "sides": found}


def figures_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds by set, model and side; gains over a warm start that is not stopped; the textbook's figures."""
    found: dict[tuple[str, str, str], list[list[float]]] = defaultdict(list)
    for row in rows:
        for side, values in row["sides"].items():
            found[row["set"], row["model"], side].append(values)
    figures: list[dict[str, Any]] = []
    for (name, model, side), values in found.items():
        for at, part in enumerate(("old", "new")):
            each = [one[at] for one in values]
            span = interval(each) if len(each) > 1 else None
            figures.append(figure(f"{name}, {model}, {side}: {part} rows", statistics.mean(each), "accuracy", between=span))
    for (name, model, side), values in found.items():
        if side in ("stopped", "replay", "ewc"):
            gains = [
                100 * (sum(one) - sum(other)) / 2 for one, other in zip(values, found[name, model, "last step"], strict=True)
            ]
            span = interval(gains) if len(gains) > 1 else None
            figures.append(
                figure(
                    f"{name}, {model}: gain of {side} over {LAST} steps",
                    statistics.mean(gains),
                    "points",
                    between=span,
                    at_least=0,
                )
            )
    for side, wanted in TEXTBOOK.items():
        if values := found.get(("drawn", "logistic", side)):
            for at, part in enumerate(("old", "new")):
                off = abs(100 * statistics.mean(one[at] for one in values) - wanted[at])
                figures.append(figure(f"textbook, {side}: off {wanted[at]} on {part} rows", off, "points", at_most=6))
    return figures


def main() -> None:
    """Measures each set, seed and model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--limit", type=int, help="at most so many rows of each table")
    parser.add_argument("--kept", type=Path, help="keeps each result as a line of JSON, and goes on from there")
    options = parser.parse_args()
    rows = kept_rows(options.kept)
    done = {(row["set"], row["seed"], row["model"]) for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            for name in ("drawn", "rotated"):
                for model in options.only:
                    if (name, seed, model) not in done:
                        rows.append(measure(name, seed, model, Path(folder), options.limit))
                        keep(options.kept, rows[-1])
    print_document(document("warm", figures_of(rows), rows), as_json=options.json)


if __name__ == "__main__":
    main()
