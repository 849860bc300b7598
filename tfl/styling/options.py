"""What decides the result of a style transfer: `StyleOptions`. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tfl.errors import BackboneError, RecipeError
from tfl.fields import check_fields, number
from tfl.recipe import Backbone

SMALLEST, LARGEST = 32, 2048
"""Pixels of the longer side of a result."""
USUAL = 256
"""Pixels of the longer side at most, where no size is asked for."""
MINUTES = 60.0


@dataclass(frozen=True, kw_only=True)
class StyleOptions:
    """Everything but the two pictures.

    The loss that the optimisation makes smaller is `content_weight` times the mean over `content_blocks`, plus `style_weight`
    times the mean over `style_blocks`, plus `variation_weight` times the total variation. Each is relative, so that the weights
    mean the same for every network: a style loss is 1 for the photo and 0 for the painting, a content loss is 0 for the photo and
    1 for a picture whose map is everywhere the mean of the photo's map, the total variation of the photo is 1.

    Args:
        backbone: A network with pretrained weights.
        content_blocks, style_blocks: Names of blocks; empty to choose them by measurement (`tfl.styling.choose`).
        size: Pixels of the longer side of the result; None for the photo's own, 256 at most.
        steps: Steps of the optimisation.
        content_weight, style_weight, variation_weight: Weights of the three parts of the loss.
        learning_rate: Of Adam, in values 0..255 of a pixel.
        start: `content` starts from the photo, `noise` from grey noise drawn by `seed`.
        every: An intermediate picture is kept after every so many steps.
        seed: Of the noise, and of the crops by which blocks are chosen.

    Raises:
        RecipeError: A value is out of range, or no part of the loss is left.
        BackboneError: The weights of the network are random.

    Example:

    >>> from tfl.styling.options import StyleOptions
    >>> StyleOptions(steps=50).size is None
    True
    """

    backbone: Backbone = field(default_factory=lambda: Backbone("mini"))
    content_blocks: tuple[str, ...] = ()
    style_blocks: tuple[str, ...] = ()
    size: int | None = number(None, at_least=SMALLEST, at_most=LARGEST)
    steps: int = number(300, at_least=1, at_most=100_000)
    content_weight: float = number(1.0, at_least=0)
    style_weight: float = number(10.0, at_least=0)
    variation_weight: float = number(0.1, at_least=0)
    learning_rate: float = number(4.0, at_least=1e-6, at_most=255)
    start: Literal["content", "noise"] = "content"
    every: int = number(50, at_least=1)
    seed: int = number(0, at_least=0, at_most=2**31 - 1)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.content_weight == self.style_weight == 0:
            raise RecipeError(
                "Neither content nor style counts.", received="content_weight=0, style_weight=0", allowed="one of them above 0"
            )
        if self.backbone.weights is None:
            raise BackboneError(
                "A network with random weights knows no style.",
                received=f"{self.backbone.name} weights=none",
                allowed="a network with pretrained weights, or with a weights file",
                fix="`tfl backbones --at-hand` lists those that are on this machine.",
            )
