"""Objects found by transfer, against the same network from random weights: mean average precision, and on other pictures apart.

Run       KERAS_HOME=<folder with models/> TFL_TEST_DATA=<folder with blood_cells/> python benchmarks/detection.py
              --json [--only SET ...] [--sides SIDE ...] [--seeds 3] [--kept FILE]
Sets      cells   `sample:cells`, drawn; `mini`, 128 px; elsewhere is `sample:cells_dark`, other pictures with little light
          blood   364 photos of blood in the form of Pascal VOC, divided by their ImageSets; MobileNet with alpha 0.75, 288 x 384
                  px; elsewhere are the test photos as if at night (`at_night`: darkened, blurred, noisy)
Sides     transfer   recipes/blood_cells.py: the head on a frozen network, then the upper blocks as well
          frozen     its first stage alone, for as many epochs as both stages have
          scratch    random weights: all of the network trains, for as many epochs as both stages have
Figures   mAP@50 and mAP@50:95 of the test split by the rules of COCO, the time of the whole run with its report, and the time of
          the processor, which on two cores is up to twice as much and does not depend on what else runs
Kept      --kept FILE keeps each result as a line of JSON, and goes on from there
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import document, figure, interval, keep, kept_rows, print_document
from stage_times import quietly

SETS, SIDES = ("cells", "blood"), ("transfer", "frozen", "scratch")
REACH = {"blood": 0.80}
"""mAP@50 that transfer is to reach, and within so many minutes of two cores."""
MINUTES = 30


def main() -> None:
    options = parse()
    rows = kept_rows(options.kept)
    done = {(row["set"], row["side"], row["seed"]) for row in rows}
    with quietly(), tempfile.TemporaryDirectory() as scratch:
        for name in options.only:
            for seed in range(options.seeds):
                for side in options.sides:
                    if (name, side, seed) not in done:
                        rows.append(measure(name, side, seed, Path(scratch), options))
                        keep(options.kept, rows[-1])
    print_document(document("detection", figures_of(rows), rows), as_json=options.json)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the document, not a table")
    parser.add_argument("--data", type=Path, default=os.environ.get("TFL_TEST_DATA"), help="the folder with blood_cells/")
    parser.add_argument("--seeds", type=int, default=3, help="how many (default 3)")
    parser.add_argument("--limit", type=int, default=0, help="epochs of each stage at most; 0 for those of the recipe")
    parser.add_argument("--only", nargs="*", choices=SETS, help="some of the sets alone")
    parser.add_argument("--sides", nargs="*", choices=SIDES, default=list(SIDES), help="some of the sides alone")
    parser.add_argument("--kept", type=Path)
    options = parser.parse_args()
    options.only = options.only or [name for name in SETS if name != "blood" or options.data is not None]
    return options


def measure(name: str, side: str, seed: int, scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One run, and its model on the pictures from elsewhere."""
    from rich.console import Console

    from tfl.job import run_recipe

    folder = scratch / f"{name}-{side}-{seed}"
    recipe, began, worked = recipe_of(name, side, seed, options), time.perf_counter(), time.process_time()
    metrics: Any = run_recipe(recipe, out=folder, console=Console(quiet=True)).read_json("metrics.json")
    seconds, worked = time.perf_counter() - began, time.process_time() - worked
    other = "sample:cells_dark" if name == "cells" else str(night_of(options.data / "blood_cells", scratch / "night"))
    found = evaluated(folder, other)
    shutil.rmtree(folder)
    return {
        "set": name,
        "side": side,
        "seed": seed,
        "seconds": seconds,
        "processor_seconds": worked,
        **{figure_: metrics["test"][figure_] for figure_ in ("map_50", "map_50_95")},
        "elsewhere": found["metrics"]["map_50"],
        "classes": {kind: row["map_50"] for kind, row in metrics["test"]["per_kind"].items()},
    }


def recipe_of(name: str, side: str, seed: int, options: argparse.Namespace) -> Any:
    """The recipe of one side."""
    import tfl
    from tfl.recipe.files import load_recipe

    recipe = load_recipe(Path(__file__).parents[1] / "recipes" / "blood_cells.py")
    recipe = dataclasses.replace(recipe, seed=seed, export=())
    if name == "blood":
        data = tfl.Data(str(options.data / "blood_cells"), image_size=(288, 384))
        recipe = dataclasses.replace(recipe, data=data, backbone=tfl.Backbone("MobileNet", arguments={"alpha": 0.75}))
    head, finetune = recipe.stages
    both = head.epochs + finetune.epochs
    if side == "frozen":
        recipe = dataclasses.replace(recipe, stages=(dataclasses.replace(head, epochs=both),))
    if side == "scratch":
        stage = dataclasses.replace(head, name="all", train="all", epochs=both, batchnorm="train")
        recipe = dataclasses.replace(recipe, stages=(stage,), backbone=dataclasses.replace(recipe.backbone, weights=None))
    if options.limit:
        stages = tuple(dataclasses.replace(stage, epochs=min(stage.epochs, options.limit)) for stage in recipe.stages)
        recipe = dataclasses.replace(recipe, stages=stages)
    return recipe


def night_of(source: Path, folder: Path) -> Path:
    """The test photos of a folder in the form of Pascal VOC as if at night, with their boxes."""
    import numpy as np
    from PIL import Image

    from tfl.modalities.image.other_domain import at_night

    if folder.is_dir():
        return folder
    for part in ("Annotations", "JPEGImages"):
        (folder / part).mkdir(parents=True)
    for at, stem in enumerate((source / "ImageSets" / "Main" / "test.txt").read_text().split()):
        pixels = np.asarray(Image.open(source / "JPEGImages" / f"{stem}.jpg").convert("RGB"))
        Image.fromarray(at_night(pixels[None], seed=at)[0]).save(folder / "JPEGImages" / f"{stem}.jpg", quality=95)
        shutil.copy(source / "Annotations" / f"{stem}.xml", folder / "Annotations")
    return folder


def evaluated(run: Path, source: str) -> Any:
    """What `tfl evaluate RUN --data SOURCE` says."""
    from click.testing import CliRunner

    from tfl.cli.main import cli

    result = CliRunner().invoke(cli, ["evaluate", str(run), "--data", source, "--quick", "--json"])
    if result.exit_code:
        sys.exit(result.output)
    return json.loads(result.stdout)


def figures_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the seeds of each side of each set."""
    figures = []
    for name in dict.fromkeys(row["set"] for row in rows):
        for side in dict.fromkeys(row["side"] for row in rows if row["set"] == name):
            own = [row for row in rows if (row["set"], row["side"]) == (name, side)]
            reach = {"at_least": REACH[name]} if side == "transfer" and name in REACH else {}
            words = f"{name}, {side}"
            figures.append(mean_of(f"{words}: mAP@50", [row["map_50"] for row in own], "share", **reach))
            figures.append(mean_of(f"{words}: mAP@50:95", [row["map_50_95"] for row in own], "share"))
            figures.append(mean_of(f"{words}: mAP@50 elsewhere", [row["elsewhere"] for row in own], "share"))
            figures.append(mean_of(f"{words}: the whole run", [row["seconds"] / 60 for row in own], "minutes"))
            within = {"at_most": 2.0 * MINUTES} if reach else {}
            figures.append(mean_of(f"{words}: processor", [row["processor_seconds"] / 60 for row in own], "minutes", **within))
    return figures


def mean_of(name: str, values: list[float], unit: str, **reach: float) -> dict[str, Any]:
    between = interval(values) if len(values) > 1 else None
    return figure(name, statistics.mean(values), unit, between=between, **reach)


if __name__ == "__main__":
    main()
