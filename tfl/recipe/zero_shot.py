"""Classes that no training example shows: `ZeroShot`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from tfl.errors import RecipeError
from tfl.fields import check_fields


@dataclass(frozen=True)
class ZeroShot:
    """Names classes that were never seen in training by their attributes; see `Recipe.zero_shot`.

    After the last stage it is learned from the features of the training images which attributes they show. A class is then known
    by its attributes alone.

    Args:
        attributes: The path of a table, `.csv` or `.tsv`, with one class per row: its name, and a number from 0 to 1 for each
            attribute; or a dictionary with the attributes that each class has. It describes all classes of `data`, those of
            `unseen_data`, and any others.
        method: `dap`, direct attribute prediction (Lampert et al. 2014): a logistic regression for each attribute; `eszsl`
            (Romera-Paredes and Torr 2015): a bilinear map between features and attributes in closed form; `auto` takes the one
            that names held-out seen classes best.
        calibrated: Whether the logits of seen classes are lowered where unseen ones can be the answer as well (calibrated
            stacking, Chao et al. 2016), by as much as suits held-out seen classes. Without it nearly everything is taken for a
            class that was seen.
    """

    attributes: str | Mapping[str, tuple[str, ...]] = dataclasses.field(hash=False)
    _: KW_ONLY
    method: Literal["auto", "dap", "eszsl"] = "auto"
    calibrated: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.attributes:
            raise RecipeError(
                "`ZeroShot.attributes` describes no class.",
                allowed='a table such as "attributes.csv", or {"zebra": ("striped", "hooves"), ...}',
            )

    @classmethod
    def from_text(cls, text: str) -> ZeroShot:
        """What `--set zero_shot=attributes.csv` means."""
        return cls(text)
