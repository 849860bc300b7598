"""How photos are brought to the network's size: stretched, cropped or padded, and to how many pixels, by linear probes.

Run       KERAS_HOME=<folder with ImageNet weights> TFL_TEST_DATA=<folder with flowers/, strawberry/, blood_cells/>
              python benchmarks/photo_fit.py --json [--only TASK ...] [--sizes 160 224] [--seeds 3] [--kept FILE]
Tasks     those of `best_answer.py` that are photos of several shapes
Probe     `best_answer.py`'s: scikit-learn's logistic regression on the standardised, pooled last block of MobileNet alpha 0.75
Chosen    the way whose cross-validated accuracy on the training examples is highest, as a default could choose it
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from best_answer import TASKS, ByHand, recipe_of, table_of
from harness import document, figure, interval, keep, kept_rows, print_document

PHOTOS = ("flowers 5", "flowers 20", "flowers 100", "roses and tulips 10", "strawberry 10", "cells 30")
FITS = ("stretch", "crop", "pad")


class Fitted(ByHand):
    """The probe on one task with the photos brought to size in one way."""

    def both(self) -> tuple[float, float]:
        """The test accuracy, and the cross-validated accuracy on the training examples."""
        from sklearn.model_selection import StratifiedKFold, cross_val_score

        vectors, labels = self._vectors(self.network), self.labels[self.known]
        probe = self._regression(vectors, self.known)
        folds = StratifiedKFold(max(2, min(5, np.bincount(labels).min())), shuffle=True, random_state=1)
        rate = float(np.mean(probe[-1].C_))
        probe[-1].set_params(Cs=[rate], cv=2)
        held_out = cross_val_score(probe, vectors[self.known], labels, cv=folds)
        return self.probe(), float(held_out.mean())


def measure(name: str, seed: int, fit: str, size: int, folder: Path) -> dict[str, Any]:
    """One way on one task."""
    recipe = (
        recipe_of(table_of(name, seed, folder), name, seed).override("data.fit", fit).override("data.image_size", (size, size))
    )
    accuracy, held_out = Fitted(recipe).both()
    return {"task": name, "seed": seed, "fit": fit, "size": size, "accuracy": accuracy, "held_out": held_out}


def figures_of(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The mean gain of each way over stretching at the first size, and of choosing by cross-validation."""
    cells: dict[tuple[str, int], dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        cells[row["task"], row["seed"]][f"{row['fit']} {row['size']}"] = row
    figures: list[dict[str, Any]] = []
    for task in dict.fromkeys(task for task, _ in cells):
        of_task = [ways for (name, _), ways in cells.items() if name == task]
        for way in of_task[0]:
            figures.append(figure(f"{task}: {way}", statistics.mean(ways[way]["accuracy"] for ways in of_task), "test accuracy"))
    first = next(iter(next(iter(cells.values()))))
    gains: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (task, _), ways in cells.items():
        for way, row in ways.items():
            gains[way][task].append(100 * (row["accuracy"] - ways[first]["accuracy"]))
        best = max(ways.values(), key=lambda row: row["held_out"])
        gains["chosen"][task].append(100 * (best["accuracy"] - ways[first]["accuracy"]))
    for way, by_task in gains.items():
        means = [statistics.mean(values) for values in by_task.values()]
        between = interval(means) if len(means) > 1 else None
        figures.append(figure(f"{way} over {first}, mean of the tasks", statistics.mean(means), "points", between=between))
    return figures


def main() -> None:
    """Measures the tasks that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--only", nargs="+", choices=TASKS, default=PHOTOS)
    parser.add_argument("--sizes", nargs="+", type=int, default=(160, 224))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kept", type=Path)
    options = parser.parse_args()
    rows = kept_rows(options.kept)
    done = {(row["task"], row["seed"], row["fit"], row["size"]) for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TFL_CACHE"] = str(Path(folder) / "cache")
        for seed in range(options.seeds):
            for name in options.only:
                for size in options.sizes:
                    for fit in FITS:
                        if (name, seed, fit, size) in done:
                            continue
                        rows.append(measure(name, seed, fit, size, Path(folder)))
                        keep(options.kept, rows[-1])
    print_document(document("photo_fit", figures_of(rows), rows), as_json=options.json)


if __name__ == "__main__":
    main()
