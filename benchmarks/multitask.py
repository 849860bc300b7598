"""Several targets of each example predicted together, next to each target alone: the same network, stages and split.

Run       TFL_TEST_DATA=<folder with spoken_digits/> python benchmarks/multitask.py --json
Sets      leaves   `sample:leaf_tasks` with all of its targets filled in: disease (class), signs (labels), severity (number)
          spoken   recordings of spoken digits: which digit, and who speaks (both classes)
Cases     few      `--few` rows to train, every target known
          half     twice as many rows, each target missing in half of them at random: as many known targets as in `few`
Sides     alone    a network for each target (`each_alone` of the joint run): on the rows that have the target
          equal    one network, losses that count the same
          learnt   one network, `Head.loss_weights="uncertainty"`
Stage     one head for each target from a linear probe, then the top blocks of `mini` fine-tuned; validation on 60 rows, all known
Split     drawn by the seed and written into the table; the test rows are the same on every side, with every target known
Counted   the default metric of each target on the test rows, and the seconds that training took
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os
import random
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import document, figure, interval, keep, kept_rows, print_document
from stage_times import cold_store, quietly

VALIDATE, TEST = 60, 120
CASES = {"few": (1, 0.0), "half": (2, 0.5)}
"""How many times `--few` rows train, and the share of the targets that is missing in them."""
SIDES = ("equal", "learnt")
EQUAL = 0.03
"""By how much the mean score together may lie below that alone and still count as equal."""


def main() -> None:
    options = parse()
    rows = kept_rows(options.keep)
    done = {(row["set"], row["case"], row["seed"]) for row in rows}
    with quietly(), tempfile.TemporaryDirectory() as scratch:
        made = {name: SETS[name](Path(scratch), options) for name in options.sets}
        for seed in range(options.seeds):
            for name in options.sets:
                for case in CASES:
                    if (name, case, seed) not in done:
                        table = write(made[name], TARGETS[name], Path(scratch), case=case, seed=seed, few=options.few)
                        rows.append({"set": name, "case": case, "seed": seed, **measure(name, table, seed, options)})
                        keep(options.keep, rows[-1])
    print_document(document("multitask", figures_of(rows), rows), as_json=options.json)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the document, not a table")
    parser.add_argument("--data", type=Path, default=os.environ.get("TFL_TEST_DATA"), help="the folder with spoken_digits/")
    parser.add_argument("--seeds", type=int, default=3, help="how many splits (default 3)")
    parser.add_argument("--few", type=int, default=60, help="rows to train in the case `few` (default 60)")
    parser.add_argument("--epochs", type=int, default=15, help="of the fine-tuning (default 15)")
    parser.add_argument("--sets", nargs="*", choices=list(SETS), help="some of the sets alone")
    parser.add_argument("--keep", type=Path, help="a file that keeps finished rounds, for a benchmark that goes on later")
    options = parser.parse_args()
    options.sets = options.sets or [name for name in SETS if name != "spoken" or options.data is not None]
    return options


def leaves(folder: Path, options: argparse.Namespace) -> list[dict[str, str]]:
    """Leaves drawn as those of the sample, with every target known."""
    import numpy as np
    from PIL import Image

    from tfl.modalities.image.leaf_tasks import LEAVES, SEED, draw_leaf_with_signs
    from tfl.modalities.image.sample import SAMPLES

    names, rows = SAMPLES["leaf_tasks"].class_names, []
    for number in range(LEAVES):
        drawn, signs, severity = draw_leaf_with_signs(np.random.default_rng((SEED, number)), names[number % len(names)])
        Image.fromarray(drawn).save(folder / f"{number}.png")
        told = {"disease": names[number % len(names)], "signs": ";".join(signs) or "none", "severity": f"{100 * severity:.1f}"}
        rows.append({"path": f"{number}.png", **told})
    return rows


def spoken(folder: Path, options: argparse.Namespace) -> list[dict[str, str]]:
    """Recordings whose names say the digit and the speaker."""
    rows = []
    for file in sorted((options.data / "spoken_digits").rglob("*.wav")):
        digit, speaker = file.stem.split("_")[:2]
        rows.append({"path": str(file.absolute()), "digit": f"d{digit}", "speaker": speaker})
    return rows


SETS: dict[str, Callable[[Path, argparse.Namespace], list[dict[str, str]]]] = {"leaves": leaves, "spoken": spoken}
TARGETS = {
    "leaves": {"disease": "class", "signs": "labels", "severity": "number"},
    "spoken": {"digit": "class", "speaker": "class"},
}


def write(rows: list[dict[str, str]], targets: dict[str, str], folder: Path, *, case: str, seed: int, few: int) -> Path:
    """A table with some of the rows, split by the seed, with targets of training rows missing as the case says."""
    times, missing = CASES[case]
    draw = random.Random(seed)
    chosen = draw.sample(rows, TEST + VALIDATE + 2 * few)  # test and validation rows are the same in both cases
    splits = ["test"] * TEST + ["val"] * VALIDATE + ["train"] * times * few
    written = [dict(row, split=split) for row, split in zip(chosen, splits, strict=False)]
    training = [row for row in written if row["split"] == "train"]
    for target in targets:
        for row in draw.sample(training, round(missing * len(training))):
            row[target] = ""
    with open(folder / "rows.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(written[0]))
        writer.writeheader()
        writer.writerows(written)
    return folder / "rows.csv"


def recipe_of(table: Path, targets: dict[str, str], options: argparse.Namespace, seed: int) -> Any:
    """A head for each target from a probe, then the top of the network."""
    import tfl

    sounds = "digit" in targets
    size: dict[str, Any] = {"input": tfl.Audio(seconds=1.0)} if sounds else {"image_size": (96, 96)}
    tuned = {"learning_rate": 1e-3, "layer_decay": 0.7, "schedule": "cosine", "warmup_epochs": 1.0}
    return tfl.Recipe(
        name="multitask",
        data=tfl.Data(str(table), targets=targets, **size),
        backbone=tfl.Backbone("mini"),
        head=tfl.Head(start="probe", dropout=0.0),
        stages=(tfl.Stage("finetune", train="top:3", epochs=options.epochs, batch_size=16, **tuned),),
        monitor=tfl.Monitor("val_loss", patience=None, alpha=1.0),
        confidence=None,
        export=(),
        seed=seed,
    )


def measure(name: str, table: Path, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """The metric of each target on each side, and the seconds of training."""
    targets = TARGETS[name]
    recipe = recipe_of(table, targets, options, seed)
    sides: dict[str, Any] = {}
    with cold_store() as scratch:
        for side in SIDES:
            head = dataclasses.replace(recipe.head, loss_weights="uncertainty" if side == "learnt" else {})
            found = run(dataclasses.replace(recipe, head=head, each_alone=side == SIDES[0]), scratch / side)
            seconds = found["seconds"]
            rows = {target: found["test"]["targets"][target] for target in targets}
            sides[side] = {target: row[figure_of(row)] for target, row in rows.items()}
            sides[side]["seconds"] = seconds["finetune"]
            if side == SIDES[0]:
                sides["alone"] = {row["target"]: row["alone"] for row in found["alone"]["rows"]}
                sides["alone"]["seconds"] = seconds["alone"]
                spread = {target: row["per_target"][target]["target_deviation"] for target, row in rows.items() if "mae" in row}
            else:
                sides["weights"] = found["loss_weights"]
    return {"sides": sides, "deviation": spread}


def figure_of(row: dict[str, Any]) -> str:
    """The default metric of a task, by what its document has."""
    return next(name for name in ("mean_average_precision", "mae", "accuracy") if name in row)


def run(recipe: Any, folder: Path) -> Any:
    """The metrics of one run without its report."""
    from rich.console import Console

    from tfl.job import run_recipe

    return run_recipe(recipe, out=folder, report=False, console=Console(quiet=True)).read_json("metrics.json")


def score(row: dict[str, Any], side: str) -> float:
    """The mean over the targets of the share that is right; of a number one minus its error in deviations."""
    values = row["sides"][side]
    shares = [
        1 - value / row["deviation"][target] if target in row["deviation"] else value
        for target, value in values.items()
        if target != "seconds"
    ]
    return statistics.mean(shares)


def figures_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By set and case: each target on each side, and the mean score together against alone, paired by seed."""
    figures = []
    for name, case in dict.fromkeys((row["set"], row["case"]) for row in rows):
        own = [row for row in rows if (row["set"], row["case"]) == (name, case)]
        where = f"{name}, {case}"
        for target, kind in TARGETS[name].items():
            unit = {"class": "accuracy", "labels": "mean average precision", "number": "mean absolute error"}[kind]
            for side in ("alone", *SIDES):
                mean = statistics.mean(row["sides"][side][target] for row in own)
                figures.append(figure(f"{where}: {target} {side}", mean, unit))
        for side in SIDES:
            gains = [score(row, side) - score(row, "alone") for row in own]
            span = interval(gains) if len(gains) > 1 else None
            title = f"{where}: {side} against alone"
            figures.append(figure(title, statistics.mean(gains), "mean score", at_least=-EQUAL, between=span))
        ratio = [row["sides"]["alone"]["seconds"] / row["sides"]["equal"]["seconds"] for row in own]
        figures.append(figure(f"{where}: time of all alone over together", statistics.mean(ratio), "times"))
    return figures


if __name__ == "__main__":
    main()
