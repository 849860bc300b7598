"""What a recipe for boxes may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfl.errors import RecipeError
from tfl.recipe.augment import Augment
from tfl.recipe.data import Data
from tfl.recipe.network import Head
from tfl.recipe.stages import Auto
from tfl.recipe.tasks import DETECT

if TYPE_CHECKING:
    from tfl.recipe.recipe import Recipe

_MOVING = ("rotate_deg", "randaugment", "mixup", "cutmix")


def check_detect(recipe: Recipe) -> None:
    """Whether nothing is asked for that boxes do not have.

    Raises:
        RecipeError: Something is.
    """
    if recipe.task != DETECT:
        return
    if recipe.data.kind != "image":
        raise RecipeError("Boxes lie on images.", received=f"data of the kind {recipe.data.kind}", allowed="images")
    _check_augment(recipe)
    data, head, plain, none = recipe.data, recipe.head, Head(), Data(recipe.data.source)
    told = {f"head.{name}": getattr(head, name) != getattr(plain, name) for name in ("pooling", "start", "probe", "strengths")}
    told |= {f"data.{name}": getattr(data, name) != getattr(none, name) for name in ("fit", "label_column", "test_fold", "audit")}
    told |= {f"stages.{stage.name}.label_smoothing": bool(stage.label_smoothing) for stage in recipe.fixed_stages}
    told |= {f"stages.{stage.name}.pseudo_labels": stage.pseudo_labels is not None for stage in recipe.fixed_stages}
    told |= {
        "stages=tfl.Auto(...)": isinstance(recipe.stages, Auto),
        "class_weight": recipe.class_weight is not None,
        "confidence": recipe.confidence is not None,
        "data.train_per_class": data.train_per_class is not None,
        "source_data": recipe.source_data is not None,
        "search.prior": recipe.search is not None and recipe.search.prior is not None,
    }
    if asked := [name for name, there in told.items() if there]:
        raise RecipeError(
            "This is not there for boxes (task `detect`).",
            received=", ".join(asked),
            allowed="stated stages; data.fit=stretch",
            fix="Leave it out.",
        )


def _check_augment(recipe: Recipe) -> None:
    """Changes that move the pixels have to move the boxes: flips do."""
    for stage in recipe.fixed_stages:
        one = stage.augment
        if isinstance(one, Augment) and (one.crop < 1 or any(getattr(one, name) for name in _MOVING)):
            raise RecipeError(
                f"The augmentation of stage `{stage.name}` moves or mixes what the boxes are around.",
                received=", ".join(name for name in ("crop", *_MOVING) if getattr(one, name) != getattr(Augment(), name)),
                allowed="flip, brightness, contrast, saturation, hue",
                fix="Leave the others out.",
            )
