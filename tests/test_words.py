"""What knows one kind of example is in its modality's folder: nothing else speaks of images, pixels, photos or pictures."""

import re
from pathlib import Path

import pytest

OUTSIDE = ("tfl/modalities/", "tfl/cli/", "tfl/recipe/", "tfl/styling/", "tfl/__init__.py")
"""The rooms of the kinds of examples, the shorthand of recipes, the command line, and style transfer, which is of pictures."""
OF_BOXES = (
    *("tfl/data/box", "tfl/tasks/box", "tfl/tasks/detect.py", "tfl/model/detector.py"),
    *("tfl/evaluate/boxes.py", "tfl/evaluate/report/drawn.py", "tfl/evaluate/report/sections/detect.py"),
)
"""The task `detect`: boxes lie on images, and on nothing else."""
WORDS = re.compile(r"image|pixel|photo|picture", re.IGNORECASE)
ALLOWED = re.compile(
    r"image_size|modalities\.image|BadImageError|[Ii]mage[Nn]et|image/(jpeg|png|svg)|`?image_bytes`?|scikit-image|tf\.image\."
    r"|\"image\"|test images'"
)
"""Names that programs use: the recipe's shorthand, a module, an error, an input of a signature; and proper names."""
MODULES = sorted(path for path in Path("tfl").rglob("*.py") if not str(path).startswith((*OUTSIDE, *OF_BOXES)))


def lines_with_words(path: Path) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()}"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if WORDS.search(ALLOWED.sub("", line))
    ]


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_nothing_outside_the_modalities_knows_a_kind_of_example(path: Path) -> None:
    assert not lines_with_words(path)
