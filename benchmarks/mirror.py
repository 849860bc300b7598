"""Can mirrored copies be told from the originals? What `tfl new` decides about horizontal flips, on sets of known kinds.

Run       TFL_TEST_DATA=<folder of flowers/, strawberry/, fashion_mnist/, blood_cells/> python benchmarks/mirror.py --json
Sets      drawn here: the letters b and d, the letters A H M T, arrows to the left and to the right, 150 images per class;
          with tfl: sample:digits, sample:strawberry; photos: flowers (five classes), strawberry leaves (two), and
          cells of blood, cut out of microscope pictures by their boxes (three); Fashion-MNIST (ten), whose shoes point left
Figures   told apart: the share of pairs (image, mirrored copy) whose original a linear model on features of mini finds, with its
          95% interval; named, named mirrored: the share of images, and of mirrored copies, that a linear probe of the classes
          names correctly; flip: the share of the seeds that use the flip. Means over seeds, which draw the sample
Reach     the flip is never used for digits, the letters b and d, arrows, and Fashion-MNIST; it is always used for flowers and
          sample:strawberry
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import document, figure, print_document

SIDE = 48
FLIPPED, NOT_FLIPPED = ("flowers", "sample:strawberry"), ("sample:digits", "letters b d", "arrows", "fashion_mnist")
CELLS = ("Platelets", "RBC", "WBC")


def main() -> None:
    options = parse()
    rows: list[dict[str, Any]] = []
    for name in options.sets or [name for name in SETS if name in DRAWN or options.photos is not None]:
        examples = SETS[name](options)
        for seed in range(options.seeds):
            rows.append({"set": name, "seed": seed, **measure(examples, seed)})
            print(rows[-1], file=sys.stderr, flush=True)
    print_document(document("mirror", figures_of(rows), rows), as_json=options.json)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the document, not a table")
    parser.add_argument("--photos", type=Path, default=os.environ.get("TFL_TEST_DATA"), help="the folder of the photos")
    parser.add_argument("--seeds", type=int, default=3, help="how many samples (default 3)")
    parser.add_argument("--sets", nargs="*", choices=list(SETS), help="some of the sets alone")
    return parser.parse_args()


def measure(examples: Any, seed: int) -> dict[str, Any]:
    """What the test of mirrored copies says, and the seconds that it takes."""
    import dataclasses

    from tfl.cli.mirror import mirror_test

    began = time.perf_counter()
    found = mirror_test(examples, seed=seed)
    return {**dataclasses.asdict(found), "seconds": round(time.perf_counter() - began, 2)}


def letters(*characters: str) -> Callable[[argparse.Namespace], Any]:
    """Makes `draw`: each letter at many sizes and places, turned by up to 12 degrees, with noise."""
    from PIL import ImageFont

    def glyph(draw: Any, label: int, rng: np.random.Generator) -> None:
        font = ImageFont.load_default(size=float(rng.integers(48, 80)))
        place = SIDE + rng.uniform(-10, 10, 2)
        draw.text(tuple(place), characters[label], font=font, fill=int(rng.integers(0, 90)), anchor="mm")

    return lambda _: drawn(characters, glyph)


def arrows(_: argparse.Namespace) -> Any:
    """Arrows of many lengths and places, to the left and to the right, turned by up to 12 degrees, with noise."""

    def arrow(draw: Any, label: int, rng: np.random.Generator) -> None:
        towards, length, head = 2 * label - 1, rng.uniform(20, 40), rng.uniform(8, 14)
        (x, y), ink, width = SIDE + rng.uniform(-8, 8, 2), int(rng.integers(0, 90)), int(rng.integers(3, 8))
        tip, back = x + towards * length, x + towards * (length - head)
        draw.line([(x - towards * length, y), (tip, y)], fill=ink, width=width)
        draw.line([(back, y - head), (tip, y), (back, y + head)], fill=ink, width=width)

    return drawn(("left", "right"), arrow)


def drawn(class_names: tuple[str, ...], mark: Callable[[Any, int, np.random.Generator], None], *, count: int = 150) -> Any:
    """Grey pictures of 48 px, `count` of each class, reduced from twice the size."""
    from PIL import Image, ImageDraw

    from tfl.data.examples import Examples

    rng, images = np.random.default_rng(0), []
    labels = np.tile(np.arange(len(class_names)), count)
    for label in labels.tolist():
        picture = Image.new("L", (2 * SIDE, 2 * SIDE), 220)
        mark(ImageDraw.Draw(picture), label, rng)
        small = picture.rotate(rng.uniform(-12, 12), fillcolor=220).resize((SIDE, SIDE))
        images.append(np.clip(np.asarray(small) + rng.normal(0, 8, (SIDE, SIDE)), 0, 255).astype(np.uint8))
    return Examples(class_names=class_names, labels=labels, arrays=np.stack(images), source="drawn")


def folder(name: str) -> Callable[[argparse.Namespace], Any]:
    def load(options: argparse.Namespace) -> Any:
        from tfl.data.source import load_source
        from tfl.recipe import Data

        return load_source(Data(name if name.startswith("sample:") else str(Path(options.photos) / name)))

    return load


def cells(options: argparse.Namespace) -> Any:
    """Cells of at least 12 px, cut out by their boxes and brought to 64 px; at most 400 of a kind."""
    from PIL import Image

    from tfl.data.examples import Examples

    base, found = Path(options.photos) / "blood_cells", []
    for file in sorted((base / "Annotations").glob("*.xml")):
        boxes = [box_of(thing) for thing in ElementTree.parse(file).iter("object")]
        picture = base / "JPEGImages" / f"{file.stem}.jpg"
        if picture.is_file():
            with Image.open(picture) as photo:
                found += [
                    (kind, np.asarray(photo.convert("RGB").crop(box).resize((64, 64))))
                    for kind, box in boxes
                    if is_cell(kind, box)
                ]
    order = np.random.default_rng(0).permutation(len(found))
    kept = [place for kind in CELLS for place in [at for at in order if found[at][0] == kind][:400]]
    labels = np.array([CELLS.index(found[at][0]) for at in kept])
    return Examples(class_names=CELLS, labels=labels, arrays=np.stack([found[at][1] for at in kept]), source="blood_cells")


def box_of(thing: ElementTree.Element) -> tuple[str, tuple[int, ...]]:
    sides = [int(float(thing.findtext(f"bndbox/{name}") or 0)) for name in ("xmin", "ymin", "xmax", "ymax")]
    return thing.findtext("name") or "", tuple(sides)


def is_cell(kind: str, box: tuple[int, ...]) -> bool:
    return kind in CELLS and min(box[2] - box[0], box[3] - box[1]) >= 12


DRAWN: dict[str, Callable[[argparse.Namespace], Any]] = {
    "letters b d": lambda options: letters("b", "d")(options),
    "letters A H M T": lambda options: letters("A", "H", "M", "T")(options),
    "arrows": arrows,
    "sample:digits": folder("sample:digits"),
    "sample:strawberry": folder("sample:strawberry"),
}
SETS: dict[str, Callable[[argparse.Namespace], Any]] = {
    **DRAWN,
    **{name: folder(name) for name in ("flowers", "strawberry", "fashion_mnist")},
    "blood_cells": cells,
}


def figures_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the seeds; the interval is that of the first seed's sample."""
    figures = []
    for name in dict.fromkeys(row["set"] for row in rows):
        some = [row for row in rows if row["set"] == name]
        for key, words in (("told_apart", "told apart"), ("named", "named"), ("named_mirrored", "named mirrored")):
            between = some[0]["interval"] if key == "told_apart" else None
            figures.append(figure(f"{name}, {words}", float(np.mean([row[key] for row in some])), "share", between=between))
        reach = {"at_least": 1.0} if name in FLIPPED else {"at_most": 0.0} if name in NOT_FLIPPED else {}
        figures.append(figure(f"{name}, flip", float(np.mean([row["flip"] for row in some])), "share of seeds", **reach))
        figures.append(figure(f"{name}, time", float(np.mean([row["seconds"] for row in some])), "s"))
    return figures


if __name__ == "__main__":
    main()
