"""Whether the 90% interval of the accuracy that `tfl advise` expects holds, on drawn classes and logistic regression.

Run       python benchmarks/expected_accuracy.py --json [--draws 60]
Data      Gaussian classes of unit variance in 30 dimensions, whose means are 0.15, 0.3 or 0.5 standard deviations from the origin
          in each dimension; 2, 5 or 10 classes with 5, 10, 20 or 50 examples each; 3,000 test examples
Coverage  the share of draws whose test accuracy, after training on all examples, is inside the interval that five-fold
          cross-validation gives; by the variance that other training examples add, `tfl.advice.advice.SET_VARIANCE`:
          `none` (0), the one that tfl has, and `nadeau_bengio` (folds / (folds - 1), 2003)
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np
from harness import document, figure, print_document
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from tfl.advice.advice import SET_VARIANCE, expected_accuracy

CLASSES, PER_CLASS, DISTANCES = (2, 5, 10), (5, 10, 20, 50), (0.15, 0.3, 0.5)
DIMENSIONS, TEST, FOLDS = 30, 3000, 5
VARIANCES = {"none": 0.0, "tfl": SET_VARIANCE, "nadeau_bengio": FOLDS / (FOLDS - 1)}


def draw(rng: np.random.Generator, classes: int, per_class: int, distance: float) -> float:
    """How far the test accuracy of one draw is from the expected one, in half widths of its interval."""
    means = rng.normal(0, distance, (classes, DIMENSIONS))
    labels, asked = np.repeat(np.arange(classes), per_class), rng.integers(0, classes, TEST)
    rows, test = (means[of] + rng.normal(0, 1, (len(of), DIMENSIONS)) for of in (labels, asked))
    probe = LogisticRegression(C=0.1, max_iter=200)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    found = expected_accuracy(cross_val_predict(probe, rows, labels, cv=folds), labels, classes=classes)
    accuracy = float((probe.fit(rows, labels).predict(test) == asked).mean())
    half = found.high - found.mean if found.high < 1 else found.mean - found.low
    return abs(accuracy - found.mean) / half


def measure(draws: int) -> list[dict[str, Any]]:
    """A row for each number of classes, of examples, and distance."""
    rng, rows = np.random.default_rng(0), []
    for classes in CLASSES:
        for per_class in PER_CLASS:
            for distance in DISTANCES:
                away = np.array([draw(rng, classes, per_class, distance) for _ in range(draws)])
                inside = {
                    name: float((away <= math.sqrt((1 + more) / (1 + SET_VARIANCE))).mean()) for name, more in VARIANCES.items()
                }
                rows.append({"classes": classes, "per_class": per_class, "distance": distance, **inside})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--draws", type=int, default=60)
    options = parser.parse_args()
    rows = measure(options.draws)
    figures = [figure(f"coverage, {name}", float(np.mean([row[name] for row in rows])), "share of draws") for name in VARIANCES]
    print_document(document("expected_accuracy", figures, rows), as_json=options.json)


if __name__ == "__main__":
    main()
