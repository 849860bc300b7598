"""`tfl advise` next to three rules of thumb: how much accuracy its choice leaves, and whether its intervals hold.

Run       KERAS_HOME=<folder with ImageNet weights> TFL_TEST_DATA=<folder> [TFL_TEST_TEXT=<folder of a BERT preset>]
              python benchmarks/advice.py --json [--only TASK ...] [--seeds 1] [--minutes 3] [--kept FILE] [--answers FILE]
Tasks     those of `benchmarks/best_answer.py` that can be learnt twice as large, with its networks and sizes
Sides     advise    the recipe that `tfl advise` writes, run
          probe     always probe: scikit-learn's logistic regression on the last block
          guide     always fine-tune everything: the Keras guide
          table     the four-field table: by the number of examples, and by whether the last block's probe is as good as that of
                    the best block; `guide`, `probe`, or a probe of several blocks
Regret    the best side's test accuracy minus a side's, in points; accuracy as in `best_answer.py`, whose results of the
          other sides are read from --answers where they are there, and that of `auto` for the advised recipe where it is the same
          recipe
Coverage  the share of tasks whose test accuracy of the advised recipe is inside the 90% interval; and of those where the accuracy
          of a probe trained on twice as many labels is inside the band of the forecast
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from best_answer import TASKS, ByHand, _possible, measure, recipe_of, run_auto, table_of
from harness import document, figure, interval, keep, kept_rows, print_document
from stage_times import quietly

SIDES = ("advise", "probe", "guide", "table")


def advised(name: str, seed: int, folder: Path, *, minutes: float, known: float | None) -> dict[str, Any]:
    """The advice for a task, what came of it, and the forecast for twice as many labels beside the probe that had them.

    `known` is the accuracy of the recipe that `tfl new` writes, which is not run again where the advice is the same recipe.
    """
    from rich.console import Console

    from tfl.advice.advice import four_fields
    from tfl.advice.advise import advise

    recipe, began = recipe_of(table_of(name, seed, folder), name, seed), time.perf_counter()
    with quietly():
        found = advise(recipe, [recipe.backbone], minutes=minutes, console=Console(quiet=True))
    seconds = time.perf_counter() - began
    same = (found.recipe.backbone, found.recipe.stages) == (recipe.backbone, recipe.stages)
    accuracy = known if same and known is not None else run_auto(found.recipe, folder)
    best, network = found.advice.best, found.advice.networks[0]
    count = sum(found.advice.counts.values())
    strategy = four_fields(count=count, similar=network.last_over_best >= 0.98)[1]
    choice = "guide" if strategy == "finetune" else "probe" if network.last_over_best >= 0.98 else "blocks"
    row = {
        "task": name,
        "seed": seed,
        "side": "advise",
        "accuracy": accuracy,
        "seconds": seconds,
        "expected": dataclasses.asdict(best.expected),
        "strategy": best.strategy,
        "table": choice,
    }
    if found.advice.curve is not None:
        row |= doubled(name, seed, folder, found, recipe)
    return row


def doubled(name: str, seed: int, folder: Path, found: Any, recipe: Any) -> dict[str, Any]:
    """The forecast of the advised probe's accuracy with twice as many labels, and what was found with them; nothing where the
    source does not hold so many."""
    task = TASKS[name]
    counts = (task.counts,) if isinstance(task.counts, int) else task.counts
    larger = dataclasses.replace(task, counts=2 * counts[0] if len(counts) == 1 else tuple(2 * one for one in counts))
    key = f"{name}, doubled"
    TASKS[key] = larger
    try:
        table = table_of(key, seed, folder)
        with open(table) as handle:
            trained = sum(line.rstrip().endswith(",train") for line in handle)
        if trained < 1.9 * sum(found.advice.counts.values()):
            return {}
        with quietly():
            by_hand = ByHand(recipe_of(table, key, seed))
            accuracy = by_hand.tapped(found.advice.best.taps, balanced=recipe.class_weight == "balanced")
    finally:
        del TASKS[key]
    return {"forecast": found.advice.curve["twice"], "doubled": accuracy}


def figures_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Regrets, and how often intervals hold."""
    by: dict[tuple[str, int], dict[str, float]] = {}
    advice = [row for row in rows if row["side"] == "advise"]
    for row in rows:
        by.setdefault((row["task"], row["seed"]), {})[row["side"]] = row["accuracy"]
    for row in advice:
        sides = by[row["task"], row["seed"]]
        if row["table"] in sides:
            sides["table"] = sides[row["table"]]
    whole = [sides for sides in by.values() if all(side in sides for side in SIDES)]
    figures = []
    regrets = {side: [100 * (max(sides.values()) - sides[side]) for sides in whole] for side in SIDES}
    for side in SIDES:
        if whole:
            span = interval(regrets[side]) if len(whole) > 1 else None
            figures.append(figure(f"mean regret: {side}", statistics.mean(regrets[side]), "points", between=span))
    if whole:
        mean = {side: statistics.mean(values) for side, values in regrets.items()}
        figures.append(figure("mean regret of the advice", mean["advise"], "points", at_most=1))
        rest = min(mean[side] for side in SIDES[1:])
        figures.append(figure("the best rule's mean regret over the advice's", rest - mean["advise"], "points", at_least=0))
    inside = [row["expected"]["low"] <= row["accuracy"] <= row["expected"]["high"] for row in advice]
    if inside:
        figures.append(figure("outcomes inside the 90% interval", 100 * statistics.mean(inside), "%", at_least=85))
        error = [100 * (row["accuracy"] - row["expected"]["mean"]) for row in advice]
        figures.append(figure("outcome minus expected accuracy, mean", statistics.mean(error), "points"))
    ahead = [row["forecast"]["low"] <= row["doubled"] <= row["forecast"]["high"] for row in advice if "forecast" in row]
    if ahead:
        figures.append(
            figure("forecasts of twice as many labels inside the band", 100 * statistics.mean(ahead), "%", at_least=90)
        )
    figures.append(figure("tasks and seeds compared", len(whole), ""))
    return figures


def main() -> None:
    """Measures the tasks that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--only", nargs="+", choices=list(TASKS), default=[name for name in TASKS if _possible(name)])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--kept", type=Path, help="keeps each result as a line of JSON, and goes on from there")
    parser.add_argument("--answers", type=Path, help="lines that best_answer.py kept, for the other sides")
    options = parser.parse_args()
    rows = kept_rows(options.kept)
    given = [json.loads(line) for line in options.answers.read_text().splitlines()] if options.answers else []
    known = {(row["task"], row["seed"]): row["accuracy"] for row in given if row["side"] == "auto"}
    done = {(row["task"], row["seed"], row["side"]) for row in rows}
    rows += [
        row
        for row in given
        if row["side"] in ("probe", "guide", "blocks") and (row["task"], row["seed"], row["side"]) not in done
    ]
    done = {(row["task"], row["seed"], row["side"]) for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TFL_CACHE"] = str(Path(folder) / "cache")
        for seed in range(options.seeds):
            for name in options.only:
                for side in ("advise", "probe", "blocks", "guide"):
                    if (name, seed, side) in done:
                        continue
                    if side == "advise":
                        earlier = known.get((name, seed))
                        rows.append(advised(name, seed, Path(folder), minutes=options.minutes, known=earlier))
                    else:
                        rows.append(measure(name, seed, side, Path(folder)))
                    keep(options.kept, rows[-1])
    chosen = [row for row in rows if row["task"] in options.only and row["seed"] < options.seeds]
    print_document(document("advice", figures_of(chosen), chosen), as_json=options.json)


if __name__ == "__main__":
    main()
