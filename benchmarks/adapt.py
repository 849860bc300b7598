"""Adaptation to unlabelled examples of another domain: the method that is chosen without target labels, and each by hand.

Run       TFL_TEST_DATA=<folder with flowers/ and spoken_digits/> python benchmarks/adapt.py --json
Sets      speakers  spoken digits of five speakers → those of a sixth, another one for each seed
          digits    scikit-learn's 8 × 8 scans → the drawn digits of `sample:drawn_digits`
          flowers   photos of five flowers → other photos of them as if at night: darker, bluish, noisy and blurred
Sides     source_only   a linear head on the frozen network `mini`, trained on the source
          by hand       each method of `tfl.Adapt` alone, what `methods=(NAME,)` comes to
          chosen        what `tfl.Adapt()` takes; the labels of the target are used for these figures alone
Figures   accuracy on all target examples, which are those that were adapted to; means and 95% intervals over seeds. `--keep FILE`
          writes each round there when it is done, and does not run again what the file has.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import document, figure, interval, keep, kept_rows, print_document
from stage_times import quietly

SIDE, DIGITS_SIDE, SOURCE, TARGET = 64, 32, 60, 50
"""Pixels of photos and spectrograms, and of digits; photos of each flower."""
CLIPS = {"source": 8, "target": 20}
"""Recordings of each digit by each speaker."""
NEAR = 0.01
"""How far the chosen network may be below the best method by hand."""


def main() -> None:
    options = parse()
    rows = kept_rows(options.keep)
    with quietly(), tempfile.TemporaryDirectory() as scratch:
        for seed in range(options.seeds):
            for name in options.sets:
                if any(row["set"] == name and row["seed"] == seed for row in rows):
                    continue
                row = {"set": name, "seed": seed, **measure(SETS[name](Path(scratch), seed, options), seed, scratch, options)}
                rows.append(row)
                keep(options.keep, row)
    chosen = [row for row in rows if row["set"] in options.sets and row["seed"] < options.seeds]
    print_document(document("adapt", figures_of(chosen), chosen), as_json=options.json)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the document, not a table")
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("TFL_TEST_DATA"), help="folder of flowers/ and spoken_digits/"
    )
    parser.add_argument("--seeds", type=int, default=3, help="how many (default 3)")
    parser.add_argument("--minutes", type=float, default=60.0, help="of `Adapt`, for a slow or busy machine (default 60)")
    parser.add_argument("--methods", nargs="+", help="some of the methods alone")
    parser.add_argument("--keep", type=Path, help="a file of finished rounds")
    parser.add_argument("--sets", nargs="*", choices=list(SETS), help="some of the sets alone")
    options = parser.parse_args()
    options.sets = options.sets or [name for name in SETS if name == "digits" or options.data is not None]
    return options


def speakers(folder: Path, seed: int, options: argparse.Namespace) -> tuple[Any, Any]:
    """Recordings of all speakers but one, and of that one; both data."""
    import tfl

    files = sorted((options.data / "spoken_digits" / "train").rglob("*.wav"))
    names = sorted({file.stem.split("_")[1] for file in files})
    other, draw = names[seed % len(names)], random.Random(seed)
    for side, count in CLIPS.items():
        for name in names:
            for digit in "0123456789" if (name == other) == (side == "target") else "":
                own = [file for file in files if file.stem.startswith(f"{digit}_{name}_")]
                for file in draw.sample(own, min(count, len(own))):
                    place = folder / f"speakers-{side}-{seed}" / digit / file.name
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.symlink_to(file.absolute())
    sound = tfl.Audio(sample_rate=8000, seconds=0.6, hop=0.0095)
    source, target = (str(folder / f"speakers-{side}-{seed}") for side in CLIPS)
    return tfl.Data(source, input=sound), tfl.Data(target, input=tfl.Audio())


def digits(folder: Path, seed: int, options: argparse.Namespace) -> tuple[Any, Any]:
    """Scans and drawings."""
    import tfl

    return tfl.Sample("digits", image_size=(DIGITS_SIDE, DIGITS_SIDE), per_class=50), tfl.Sample("drawn_digits")


def flowers(folder: Path, seed: int, options: argparse.Namespace) -> tuple[Any, Any]:
    """Photos by day, and others at night."""
    import numpy as np
    from PIL import Image

    import tfl
    from tfl.modalities.image.other_domain import at_night

    draw = random.Random(seed)
    for name in sorted(path.name for path in (options.data / "flowers").iterdir() if path.is_dir()):
        files = draw.sample(sorted((options.data / "flowers" / name).glob("*.jpg")), SOURCE + TARGET)
        for at, file in enumerate(files):
            side = "source" if at < SOURCE else "target"
            place = folder / f"flowers-{side}-{seed}" / name / f"{at}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            photo = np.asarray(Image.open(file).convert("RGB").resize((96, 96)))
            Image.fromarray(photo if side == "source" else at_night(photo[None], seed=1000 * seed + at)[0]).save(place)
    source, target = (str(folder / f"flowers-{side}-{seed}") for side in ("source", "target"))
    return tfl.Data(source, image_size=(SIDE, SIDE)), tfl.Data(target)


SETS: dict[str, Callable[[Path, int, argparse.Namespace], tuple[Any, Any]]] = {
    "digits": digits,
    "flowers": flowers,
    "speakers": speakers,
}


def measure(data: tuple[Any, Any], seed: int, scratch: str, options: argparse.Namespace) -> dict[str, Any]:
    """The target accuracy of every candidate in one run, and which was chosen."""
    from rich.console import Console

    import tfl
    from tfl.job import run_recipe

    adapt = tfl.Adapt(minutes=options.minutes)
    if options.methods:
        adapt = dataclasses.replace(adapt, methods=tuple(options.methods))
    recipe = tfl.Recipe(
        name="adapt",
        data=data[0],
        target_data=data[1],
        backbone=tfl.Backbone("mini"),
        head=tfl.Head(start="probe"),
        stages=(tfl.Stage("probe", epochs=0),),
        adapt=adapt,
        confidence=None,
        export=(),
        seed=seed,
    )
    folder = Path(tempfile.mkdtemp(dir=scratch))
    found = run_recipe(recipe, out=folder / "run", report=False, console=Console(quiet=True)).read_json("adapt.json")
    accuracy = {row["name"]: row["accuracy"] for row in found["tried"]}
    alone = {name: value for name, value in accuracy.items() if " + " not in name and name != "source_only"}
    return {
        "chosen": found["chosen"],
        "accuracy": accuracy,
        "gain": accuracy[found["chosen"]] - accuracy["source_only"],
        "below_best_by_hand": max(alone.values()) - accuracy[found["chosen"]],
        "regret": found["regret"]["regret"],
        "count": found["regret"]["count"],
        "skipped": found["skipped"],
    }


def figures_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds, and what has to hold."""
    found = []
    for name in dict.fromkeys(row["set"] for row in rows):
        own = [row for row in rows if row["set"] == name]
        methods = [one for one in own[0]["accuracy"] if " + " not in one and all(one in row["accuracy"] for row in own)]
        for method in methods:
            found.append(figure(f"{name}: {method}", statistics.mean(row["accuracy"][method] for row in own), "accuracy"))
        found.append(figure(f"{name}: chosen", statistics.mean(row["accuracy"][row["chosen"]] for row in own), "accuracy"))
        gains = [row["gain"] for row in own]
        span = interval(gains) if len(own) > 1 else None
        found.append(figure(f"{name}: gain of the chosen over source_only", statistics.mean(gains), "accuracy", between=span))
        if span is not None:
            found.append(figure(f"{name}: lower edge of the gain", span[0], "accuracy", at_least=0.0))
        below = statistics.mean(row["below_best_by_hand"] for row in own)
        found.append(figure(f"{name}: chosen below the best method by hand", below, "accuracy", at_most=NEAR))
        found.append(figure(f"{name}: regret of the choice", statistics.mean(row["regret"] for row in own), "accuracy"))
    return found


if __name__ == "__main__":
    main()
