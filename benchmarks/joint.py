"""Several inputs joined, next to each input alone, on tasks in which no input decides alone.

Run       TFL_TEST_DATA=<folder with flowers/> python benchmarks/joint.py --json
Sets      leaves   `sample:leaves_with_notes`: leaves drawn, notes templated, and two columns
          flowers  photos of five flowers with captions made from the labels: a caption names the right flower with
                   probability 0.6, else another at random
Sides     joint    all inputs of a set, joined by `concat`, `mean` and `gated`
          alone    each input with the same network, the same head, stage and split, as a recipe of its own; for columns, which
                   have no network, the linear head of the joint run's `metrics.json`
Networks  frozen: `mini` for photos, `tiny` with random weights for texts, so that nothing is downloaded
Split     drawn by the seed and written into the table: every side has the same 60, 20 and 20 percent
Counted   `computed`: examples to train and to validate that go through a frozen network in the joint run after the runs alone,
          whose features were stored (those of the test split are not); and the cost of a missing input in test accuracy, with
          `Head.drop_input` and without
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import document, figure, interval, print_document
from stage_times import cold_store, quietly

SIDE, EPOCHS = 96, 20
RIGHT = 0.6
JOINS = ("concat", "mean", "gated")
GAIN = 0.05
"""By which the joined inputs are to be better than the best single one."""
_CAPTIONS = (
    "a photo of a {}",
    "{} in the garden",
    "my neighbour's {} this morning",
    "i think this is a {}",
    "{} , seen from above",
)


def main() -> None:
    options = parse()
    rows: list[dict[str, Any]] = []
    with quietly(), tempfile.TemporaryDirectory() as scratch:
        for name in options.sets:
            for seed in range(options.seeds):
                folder = Path(scratch) / f"{name}-{seed}"
                table, columns = SETS[name](folder, seed, options)
                rows.append({"set": name, "seed": seed, **measure(table, columns, seed)})
                print(rows[-1], file=sys.stderr, flush=True)
    print_document(document("joint", figures_of(rows), rows), as_json=options.json)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the document, not a table")
    parser.add_argument("--photos", type=Path, default=os.environ.get("TFL_TEST_DATA"), help="the folder with flowers/")
    parser.add_argument("--seeds", type=int, default=5, help="how many splits (default 5)")
    parser.add_argument("--limit", type=int, default=100, help="photos of each flower (default 100)")
    parser.add_argument("--sets", nargs="*", choices=list(SETS), help="some of the sets alone")
    options = parser.parse_args()
    options.sets = options.sets or [name for name in SETS if name != "flowers" or options.photos is not None]
    return options


def leaves(folder: Path, seed: int, options: argparse.Namespace) -> tuple[Path, tuple[str, ...]]:
    """The sample as a table with a split drawn by the seed."""
    from tfl.modalities.several.sample import load_sample

    sample = load_sample("leaves_with_notes")
    folder.mkdir()
    rows = []
    for at, label in enumerate(sample.labels):
        (folder / f"{at}.png").write_bytes(sample.parts["photo"][at])
        note, days, bed = (sample.parts[name][at] for name in ("note", "days_to_harvest", "bed"))
        rows.append((f"{at}.png", note.decode(), days, bed, sample.class_names[label]))
    return write(folder, ("photo", "note", "days_to_harvest", "bed", "label"), rows, seed), ("days_to_harvest", "bed")


def flowers(folder: Path, seed: int, options: argparse.Namespace) -> tuple[Path, tuple[str, ...]]:
    """Some photos of each flower with captions made from the labels, with noise."""
    folder.mkdir()
    draw = random.Random(seed)
    names = sorted(path.name for path in (options.photos / "flowers").iterdir() if path.is_dir())
    rows = []
    for name in names:
        files = sorted((options.photos / "flowers" / name).glob("*.jpg"))
        for file in draw.sample(files, options.limit):
            said = name if draw.random() < RIGHT else draw.choice([other for other in names if other != name])
            rows.append((file.absolute(), draw.choice(_CAPTIONS).format(said), name))
    return write(folder, ("photo", "note", "label"), rows, seed), ()


SETS = {"leaves": leaves, "flowers": flowers}


def write(folder: Path, header: tuple[str, ...], rows: list[tuple[Any, ...]], seed: int) -> Path:
    """The rows with a column `split`: of each class 60, 20 and 20 percent, by the seed."""
    draw, counts = random.Random(seed + 1000), dict[str, int]()
    order = draw.sample(range(len(rows)), len(rows))
    splits = [""] * len(rows)
    for at in order:
        number = counts[rows[at][-1]] = counts.get(rows[at][-1], -1) + 1
        splits[at] = ("train", "val", "train", "test", "train")[number % 5]
    with open(folder / "rows.csv", "w", newline="") as file:
        csv.writer(file).writerows([(*header, "split"), *((*row, split) for row, split in zip(rows, splits, strict=True))])
    return folder / "rows.csv"


def recipe_of(table: Path, columns: tuple[str, ...], seed: int) -> Any:
    """All inputs side by side, on frozen networks."""
    import tfl

    inputs: dict[str, Any] = {"photo": tfl.Image(size=(SIDE, SIDE)), "note": tfl.Text()}
    if columns:
        inputs["columns"] = tfl.Table(columns=columns)
    return tfl.Recipe(
        name="joint",
        data=tfl.Data(str(table), inputs=inputs),
        backbone={"photo": tfl.Backbone("mini"), "note": tfl.Backbone("tiny", weights=None)},
        head=tfl.Head(start="probe"),
        stages=(tfl.Stage("head", epochs=EPOCHS),),
        confidence=None,
        export=(),
        seed=seed,
    )


def measure(table: Path, columns: tuple[str, ...], seed: int) -> dict[str, Any]:
    """The test accuracy of each side, from an empty store: the inputs alone first, then joined."""
    import tfl
    from tfl.modalities.several.modality import single_recipe

    recipe = recipe_of(table, columns, seed)
    plain = {"stages": recipe.stages, "confidence": None, "export": ()}
    with cold_store() as scratch:
        row: dict[str, Any] = {}
        for name in ("photo", "note"):
            one = dataclasses.replace(single_recipe(recipe, name), head=tfl.Head(start="probe"), **plain)
            row[name] = run(one, scratch / name)["test"]["accuracy"]
        with counting() as computed:
            found = run(recipe, scratch / "concat")
        row |= {"concat": found["test"]["accuracy"], "computed": max(0, sum(computed) - 2 * found["inputs"]["count"])}
        worth = {one["name"]: one for one in found["inputs"]["rows"]}
        row |= {"columns": worth["columns"]["own_head"]} if columns else {}
        row["cost"] = {name: one["cost"] for name, one in worth.items()}
        for join in ("mean", "gated"):
            head = tfl.Head(join=join)
            stages = (tfl.Stage("head", epochs=3 * EPOCHS, learning_rate=3e-3),)
            row[join] = run(dataclasses.replace(recipe, head=head, stages=stages), scratch / join)["test"]["accuracy"]
        for drop in (0.0, 0.2):
            head = tfl.Head(drop_input=drop)
            stages = (tfl.Stage("head", epochs=3 * EPOCHS, learning_rate=3e-3),)
            found = run(dataclasses.replace(recipe, head=head, stages=stages), scratch / f"drop-{drop}")
            row[f"drop {drop}"] = {"accuracy": found["test"]["accuracy"]} | {
                one["name"]: one["without"] for one in found["inputs"]["rows"]
            }
    return row


def run(recipe: Any, folder: Path) -> Any:
    """The metrics of one run without its report."""
    from rich.console import Console

    from tfl.job import run_recipe

    return run_recipe(recipe, out=folder, report=False, console=Console(quiet=True)).read_json("metrics.json")


class counting:  # noqa: N801 - used as a function
    """Counts the examples that go through frozen networks within the block."""

    def __enter__(self) -> list[int]:
        from tfl.features.engines import KerasEngine

        self._engine, self._call = KerasEngine, KerasEngine.__call__
        rows: list[int] = []

        def call(engine: Any, inputs: Any, before: Any = self._call) -> Any:
            made = before(engine, inputs)
            rows.append(len(made[0]))
            return made

        KerasEngine.__call__ = call  # type: ignore[method-assign]
        return rows

    def __exit__(self, *error: object) -> None:
        self._engine.__call__ = self._call  # type: ignore[method-assign]


def figures_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the seeds, and by how much all inputs are better than the best single one, seed by seed."""
    figures = []
    for name in dict.fromkeys(row["set"] for row in rows):
        own = [row for row in rows if row["set"] == name]
        alone = [side for side in ("photo", "note", "columns") if side in own[0]]
        for side in (*alone, *JOINS):
            figures.append(mean_of(f"{name}: {side}", [row[side] for row in own], "accuracy"))
        for side in JOINS:
            gains = [row[side] - max(row[one] for one in alone) for row in own]
            figures.append(mean_of(f"{name}: {side} over the best single input", gains, "accuracy", at_least=GAIN))
        figures.append(
            figure(
                f"{name}: computed by the joint run after the others", sum(row["computed"] for row in own), "examples", at_most=0
            )
        )
        for side in own[0]["cost"]:
            figures.append(mean_of(f"{name}: cost of a missing {side}", [row["cost"][side] for row in own], "accuracy"))
        for drop in ("drop 0.0", "drop 0.2"):
            for part in own[0][drop]:
                words = "all inputs" if part == "accuracy" else f"without {part}"
                figures.append(mean_of(f"{name}: {drop}, {words}", [row[drop][part] for row in own], "accuracy"))
    return figures


def mean_of(name: str, values: list[float], unit: str, **reach: float) -> dict[str, Any]:
    between = interval(values) if len(values) > 1 else None
    return figure(name, statistics.mean(values), unit, between=between, **reach)


if __name__ == "__main__":
    main()
