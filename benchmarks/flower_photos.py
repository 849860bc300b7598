"""What the benchmarks on flowers share: their options, the photos, the network and the depths."""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tfl

NETWORK = tfl.Backbone("MobileNetV2", arguments={"alpha": 0.35})
SMOKE_PHOTOS, SMOKE_SIZE = 200, 100
"""Keras has ImageNet weights of this network for 224 px, and takes them for sizes that are not one of its own, such as 100."""


def options_of(description: str | None, *, rounds: int, add: Callable[[Any], None] = lambda parser: None) -> argparse.Namespace:
    """The command line that these benchmarks have in common; `options.photos` is the folder of all photos."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"how often each side is measured (default {rounds})")
    parser.add_argument("--limit", type=int, help="so many photos, an equal share of each class; default all")
    parser.add_argument("--size", type=int, default=224, help="pixels a side (default 224)")
    parser.add_argument("--smoke", action="store_true", help="a run of a minute that shows that it works, and measures nothing")
    add(parser)
    options = parser.parse_args()
    if options.smoke:
        options.limit, options.size = options.limit or SMOKE_PHOTOS, SMOKE_SIZE
    options.photos = Path(os.environ.get("TFL_TEST_DATA", "")) / "flowers"
    if not options.photos.is_dir():
        parser.error("set TFL_TEST_DATA to the folder that holds flowers/, and KERAS_HOME to the one with ImageNet weights")
    return options


def choose_photos(photos: Path, limit: int | None, folder: Path) -> Path:
    """The photos themselves, or links to an equal share of each class; every file is read once, so that none is cold."""
    if limit is not None:
        classes = sorted(path for path in photos.iterdir() if path.is_dir())
        for chosen in classes:
            (folder / chosen.name).mkdir(parents=True)
            for file in sorted(chosen.iterdir())[: max(1, limit // len(classes))]:
                (folder / chosen.name / file.name).symlink_to(file.resolve())
        photos = folder
    for file in photos.glob("*/*"):
        file.read_bytes()
    return photos


def write_table(training: Sequence[str], held_out: Sequence[str], table: Path) -> Path:
    """A CSV source with the guide's own split: its training photos train, its validation photos validate.

    tfl wants a test split as well; it gets one photo a class of the guide's validation photos.
    """
    spared: dict[str, str] = {}
    for file in held_out:
        spared.setdefault(Path(file).parent.name, file)
    with open(table, "w", newline="", encoding="utf-8") as handle:
        rows = csv.writer(handle)
        rows.writerow(("path", "label", "split"))
        rows.writerows((file, Path(file).parent.name, "train") for file in training)
        rows.writerows((file, Path(file).parent.name, "test" if file in spared.values() else "val") for file in held_out)
    return table


def recipe_of(table: Path, *stages: tfl.Stage, size: int, seed: int = 0, engine: str = "keras") -> tfl.Recipe:
    """tfl's side: the same network and head, every epoch run, nothing exported."""
    return tfl.Recipe(
        name="flowers",
        data=tfl.Data(str(table), image_size=(size, size)),
        backbone=NETWORK,
        head=tfl.Head(dropout=0.2),
        stages=stages,
        monitor=tfl.Monitor("val_accuracy", patience=None),
        features=tfl.Features(engine=engine),  # type: ignore[arg-type]
        seed=seed,
        export=(),
    )


def top_of(block: int | None) -> str:
    """`Stage.train` for the head alone (None), or for all from block N up: MobileNetV2 has 16 and a last convolution."""
    return "head" if block is None else tfl.top_blocks(18 - block)
