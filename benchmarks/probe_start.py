"""A head that starts from a probe next to one that starts at random, in the recipe that `tfl new` writes, and the probe alone.

Run       KERAS_HOME=<folder with ImageNet weights> TFL_TEST_DATA=<folder with flowers/, strawberry/, fashion_mnist/,
              spoken_digits/, sst2/> [TFL_TEST_TEXT=<folder of a BERT preset>] python benchmarks/probe_start.py --json
              [--only NAME ...]
Tasks     5, 20 and 60 images of each class of flowers and strawberry leaves; 20 of each digit of scikit-learn and of each piece
          of clothing; 20 clips of each spoken digit; 50 sentences of each class. A fifth of them validates; up to 100 others of
          each class are tested
Networks  MobileNet alpha 0.75 at 160 px, ImageNet weights, for photos; `mini` for digits, clothes and sounds; the preset for
          texts
Sides     random  the recipe as it is written
          probe   the same with head.start=probe
          alone   scikit-learn's logistic regression on the pooled last block, C by 5-fold cross-validation, trained on what both
                  others train and validate on
Seeds     three, of the draw and of everything else; means, and the paired differences with their 95% interval by Student's t
Kept      --kept FILE keeps each run's result, and goes on from there
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner
from harness import document, figure, interval, print_document
from stage_times import quietly

import tfl

MOBILENET = tfl.Backbone("MobileNet", arguments={"alpha": 0.75})
TESTED, SEEDS = 100, 3
SIDES = ("random", "probe", "alone")
TASKS = {
    **{f"flowers {count}": ("flowers", count) for count in (5, 20, 60)},
    **{f"strawberry {count}": ("strawberry", count) for count in (5, 20, 60)},
    "clothes 20": ("fashion_mnist", 20),
    "digits 20": ("digits", 20),
    "spoken 20": ("spoken_digits", 20),
    "sentences 50": ("sst2", 50),
}


def examples_of(name: str, folder: Path) -> dict[str, list[str]]:
    """The cells of a table by class: paths, or texts."""
    root = Path(os.environ["TFL_TEST_DATA"])
    found: dict[str, list[str]] = defaultdict(list)
    if name == "sst2":
        for line in (root / name / "train.tsv").read_text().splitlines():
            text, label = line.split("\t")
            found[label].append(text)
    elif name in ("digits", "fashion_mnist"):
        from PIL import Image

        from tfl.data.source import load_source

        source = "sample:digits" if name == "digits" else str(root / name)
        loaded = load_source(tfl.Data(source, image_size=(32, 32), per_class=160))
        for index, label in enumerate(loaded.labels):
            file = folder / f"{name}{index}.png"
            Image.fromarray(np.squeeze(loaded.arrays[index])).save(file)
            found[loaded.class_names[label]].append(str(file))
    else:
        for file in sorted((root / name).rglob("*")):
            if file.suffix.lower() in (".jpg", ".jpeg", ".png", ".wav"):
                found[file.parent.name].append(str(file))
    return found


def write_table(file: Path, examples: dict[str, list[str]], *, count: int, seed: int) -> None:
    """A table with the drawn examples to train, validate and test on."""
    rng = np.random.default_rng(seed)
    with open(file, "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["text" if "sentences" in file.stem else "path", "label", "split"])
        for label, cells in sorted(examples.items()):
            drawn = [cells[at] for at in rng.permutation(len(cells))[: count + TESTED]]
            validated = max(1, count // 5)
            splits = ["val"] * validated + ["train"] * (count - validated) + ["test"] * (len(drawn) - count)
            writer.writerows([cell, f"class {label}", split] for cell, split in zip(drawn, splits, strict=True))


def recipe_of(table: Path, seed: int) -> tfl.Recipe:
    """What `tfl new` writes for the table, with this benchmark's network."""
    from tfl.cli.main import cli

    name = table.stem.replace(" ", "_")
    (table.parent / f"{name}.py").unlink(missing_ok=True)
    text = "sentences" in name
    options = ["--backbone", os.environ["TFL_TEST_TEXT"]] if text else []
    with quietly():
        before = os.getcwd()
        os.chdir(table.parent)
        try:
            result = CliRunner().invoke(cli, ["new", name, "--data", str(table), *options])
        finally:
            os.chdir(before)
    if result.exit_code:
        raise SystemExit(result.output + result.stderr)
    recipe = dataclasses.replace(tfl.load_recipe(table.parent / f"{name}.py"), seed=seed, export=())
    if name.startswith(("flowers", "strawberry")):
        data = dataclasses.replace(recipe.data, image_size=(160, 160))
        recipe = dataclasses.replace(recipe, data=data, backbone=MOBILENET)
    return recipe


def probe_alone(recipe: tfl.Recipe) -> float:
    """Test accuracy of a linear probe on the last block, trained on the training and validation examples."""
    from rich.console import Console
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from tfl.features.extract import extract
    from tfl.features.pooled import pooled_models
    from tfl.modalities.base import settled
    from tfl.model.assemble import assemble_for
    from tfl.prepare import prepare

    prepared = prepare(settled(recipe), Console(quiet=True))
    bundle = prepared.bundle
    model = pooled_models(assemble_for(prepared.recipe, bundle), recipe.head.pooling)[-1]
    everything: Any = extract([model], bundle, np.arange(len(bundle.examples)), features=recipe.features)[0]
    vectors, labels = np.asarray(everything[:], np.float32), np.asarray(bundle.examples.labels)
    known, test = np.concatenate([bundle.indices("train"), bundle.indices("val")]), bundle.indices("test")
    probe = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=np.logspace(-5, 2, 15), cv=5, max_iter=300))
    return float((probe.fit(vectors[known], labels[known]).predict(vectors[test]) == labels[test]).mean())


def measure(task: str, seed: int, side: str, folder: Path) -> float:
    """The test accuracy of one side."""
    name, count = TASKS[task]
    table = folder / f"{task} {seed}.csv"
    if not table.exists():
        write_table(table, examples_of(name, folder), count=count, seed=seed)
    recipe = recipe_of(table, seed)
    if side == "alone":
        return probe_alone(recipe)
    with quietly():
        run = tfl.run(recipe.override("head.start", side), tempfile.mkdtemp(dir=folder))
    return float(run.metrics["test"]["accuracy"])


def figures_of(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means by task and side, and the differences."""
    found: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        found[row["task"]][row["side"]][row["seed"]] = row["accuracy"]
    figures = []
    for task, sides in found.items():
        for side in SIDES:
            if sides[side]:
                figures.append(figure(f"{task}: {side}", statistics.mean(sides[side].values()), "test accuracy"))
        for other in ("random", "alone"):
            both = sorted(set(sides["probe"]) & set(sides[other]))
            gains = [sides["probe"][seed] - sides[other][seed] for seed in both]
            if len(gains) > 1:
                figures.append(figure(f"{task}: probe - {other}", statistics.mean(gains), "share", between=interval(gains)))
    for other in ("random", "alone"):
        gains = [
            sides["probe"][seed] - sides[other][seed]
            for sides in found.values()
            for seed in sides["probe"]
            if seed in sides[other]
        ]
        if len(gains) > 1:
            figures.append(figure(f"all tasks: probe - {other}", statistics.mean(gains), "share", between=interval(gains)))
    return figures


def main() -> None:
    """Measures the tasks that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--only", nargs="+", choices=TASKS, default=[task for task in TASKS if _possible(task)])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--kept", type=Path)
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.kept.read_text().splitlines()] if options.kept and options.kept.exists() else []
    done = {(row["task"], row["seed"], row["side"]) for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TFL_CACHE"] = str(Path(folder) / "cache")
        for seed in range(options.seeds):
            for task in options.only:
                for side in SIDES:
                    if (task, seed, side) in done:
                        continue
                    row = {"task": task, "seed": seed, "side": side, "accuracy": measure(task, seed, side, Path(folder))}
                    rows.append(row)
                    print(row, file=sys.stderr, flush=True)
                    if options.kept:
                        with open(options.kept, "a") as handle:
                            handle.write(json.dumps(row) + "\n")
    print_document(document("probe_start", figures_of(rows), rows), as_json=options.json)


def _possible(task: str) -> bool:
    return not task.startswith("sentences") or "TFL_TEST_TEXT" in os.environ


if __name__ == "__main__":
    main()
