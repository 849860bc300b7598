"""Drawn leaves with a templated note and two columns: what to do about a plant, for trying tfl and for tests.

What the leaf has is seen on the photo (spots or mildew), how near the harvest is stands in the note, or in the column
`days_to_harvest`; what to do depends on both, so that no input decides alone. One note in six says nothing about the harvest, and
one row in six has no number; the column `bed` has nothing to do with it. The same code makes the same examples everywhere.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import DataError
from tfl.modalities.files import array_content
from tfl.modalities.image.sample import load_sample as load_images
from tfl.modalities.several.packed import as_sources

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 20261128
NOTE = "leaves drawn, notes templated"
COLUMN_OF = {"image": "photo", "text": "note"}
"""The column of each kind of input."""
_ACTIONS = {
    ("leaf_spot", False): "copper",
    ("leaf_spot", True): "remove_leaves",
    ("powdery_mildew", False): "sulphur",
    ("powdery_mildew", True): "milk",
}
CLASS_NAMES = tuple(_ACTIONS.values())
_UNSAID = 1 / 6
_BEDS = ("north", "south", "tunnel")
_STARTS = ("", "", "seen today , ", "bed five , ", "after the rain , ", "from the far side , ", "as asked , ")
_NEAR = (
    *("first fruit is red and we will pick soon", "we have to pick next week", "fruit is nearly ripe", "the harvest is near"),
    *("the first berries go to the market in a few days", "ripe berries under the leaves", "they want to begin with the harvest"),
)
_FAR = (
    *("still in flower , no fruit yet", "fruit is small and green", "the harvest is far off", "there is no fruit on it so far"),
    *("the plants have just come into flower", "green berries alone", "it will be weeks before anyone picks here"),
)
_NOTHING = (
    *("have a look at this one", "sent by the neighbour", "the soil is dry here", "the third plant of the row"),
    "not sure what it is",
)
_ENDS = ("", "", " , please call", " . the others look fine", " . more on the lower leaves", " . it was warm all week")


@dataclass(frozen=True, kw_only=True)
class SampleParts:
    """A sample of several inputs, in memory.

    Attributes:
        parts: By column, `(n,)` contents as bytes, or cells as text.
        labels: `(n,)` int32, indices into `class_names`.
        class_names: The name of each label.
        note: What kind of examples these are, to be shown wherever they are used.
    """

    parts: dict[str, Any]
    labels: NDArray[np.int32]
    class_names: tuple[str, ...]
    note: str


def load_sample(name: str) -> SampleParts:
    """A sample by name; `leaves_with_notes` is the only one.

    Raises:
        DataError: There is no such sample.

    Example:

    >>> from tfl.modalities.several.sample import load_sample
    >>> sample = load_sample("leaves_with_notes")
    >>> len(sample.labels), sorted(sample.parts)
    (300, ['bed', 'days_to_harvest', 'note', 'photo'])
    """
    if name != "leaves_with_notes":
        raise DataError("There is no such sample of several inputs.", received=name, allowed="leaves_with_notes")
    leaves = load_images("strawberry")
    diseases = [leaves.class_names[label] for label in leaves.labels]
    draw = random.Random(SEED)
    rows = []
    for disease in dict.fromkeys(disease for disease, _ in _ACTIONS):
        found = [at for at, one in enumerate(diseases) if one == disease]
        for number, at in enumerate(found):
            near = number % 2 == 1
            rows.append((array_content(leaves.images[at]), *_said(draw, near=near), CLASS_NAMES.index(_ACTIONS[disease, near])))
    photos, notes, days, beds, labels = zip(*rows, strict=True)
    parts = {"photo": as_sources(photos), "note": as_sources(notes), "days_to_harvest": list(days), "bed": list(beds)}
    return SampleParts(parts=parts, labels=np.array(labels, np.int32), class_names=CLASS_NAMES, note=NOTE)


def _said(draw: random.Random, *, near: bool) -> tuple[bytes, str, str]:
    """The note, the days to the harvest, and the bed."""
    words = draw.choice(_NOTHING if draw.random() < _UNSAID else _NEAR if near else _FAR)
    note = draw.choice(_STARTS) + words + draw.choice(_ENDS)
    days = draw.randint(0, 20) if near else draw.randint(12, 60)
    return note.encode(), "" if draw.random() < _UNSAID else str(days), draw.choice(_BEDS)
