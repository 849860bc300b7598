"""Test accuracy of the recipes in `recipes/`: as they state their stages, and by the default way, `--strategy auto`.

Run       python benchmarks/recipe_scores.py --json [--only RECIPE ...] [--ways stated auto] [--seeds 2 3 4]
              [--data RECIPE=SOURCE ...] [--kept FILE]
Recipes   those of classes whose data comes with tfl; others (`chest_xray`, `wild_animals`) with `--data`; `leaf_with_note` by
          its own stages alone, since `auto` takes one input
Kept      --kept FILE keeps each result as a line of JSON, and goes on from there
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import document, figure, interval, keep, kept_rows, print_document
from stage_times import quietly

import tfl
from tfl.strategies import with_strategy

RECIPES = Path(__file__).parent.parent / "recipes"
SHIPPED = ("strawberry_disease", "handwritten_digits", "spoken_digits", "reviews", "unlabelled_first", "leaf_with_note")
STATED_ALONE = ("leaf_with_note",)
WAYS = ("stated", "auto")


def measure(name: str, way: str, seed: int, source: str | None) -> dict[str, Any]:
    """Trains the recipe once; its test accuracy, and the seconds it took."""
    recipe = tfl.load_recipe(RECIPES / f"{name}.py")
    recipe = dataclasses.replace(recipe, seed=seed, export=())
    if source is not None:
        recipe = recipe.override("data.source", source)
    if way == "auto":
        recipe = with_strategy(recipe, "auto")
    began = time.perf_counter()
    with quietly(), tempfile.TemporaryDirectory() as folder:
        accuracy = tfl.run(recipe, Path(folder) / "run").metrics["test"]["accuracy"]
    return {"recipe": name, "way": way, "seed": seed, "accuracy": accuracy, "seconds": time.perf_counter() - began}


def figures_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The mean of each recipe and way, with its interval over the seeds, and the paired difference."""
    figures: list[dict[str, Any]] = []
    for name in dict.fromkeys(row["recipe"] for row in rows):
        by_way = {way: {row["seed"]: row for row in rows if (row["recipe"], row["way"]) == (name, way)} for way in WAYS}
        for way, found in by_way.items():
            if found:
                scores = [row["accuracy"] for row in found.values()]
                between = interval(scores) if len(scores) > 1 else None
                figures.append(figure(f"{name}: {way}", statistics.mean(scores), "test accuracy", between=between))
                seconds = statistics.median(row["seconds"] for row in found.values())
                figures.append(figure(f"{name}: {way}, median time", seconds, "s"))
        both = sorted(by_way["stated"].keys() & by_way["auto"].keys())
        gains = [100 * (by_way["auto"][seed]["accuracy"] - by_way["stated"][seed]["accuracy"]) for seed in both]
        if gains:
            between = interval(gains) if len(gains) > 1 else None
            figures.append(figure(f"{name}: auto over stated", statistics.mean(gains), "points", between=between))
    return figures


def main() -> None:
    """Measures the recipes that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--only", nargs="+", default=None)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(2, 3, 4))
    parser.add_argument("--data", nargs="+", default=(), metavar="RECIPE=SOURCE")
    parser.add_argument("--kept", type=Path)
    options = parser.parse_args()
    sources = dict(pair.split("=", 1) for pair in options.data)
    rows = kept_rows(options.kept)
    done = {(row["recipe"], row["way"], row["seed"]) for row in rows}
    for name in options.only or (*SHIPPED, *sources):
        for seed in options.seeds:
            for way in options.ways:
                if (name, way, seed) in done or (way == "auto" and name in STATED_ALONE):
                    continue
                rows.append(measure(name, way, seed, sources.get(name)))
                keep(options.kept, rows[-1])
    print_document(document("recipe_scores", figures_of(rows), rows), as_json=options.json)


if __name__ == "__main__":
    main()
