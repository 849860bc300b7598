"""Networks as people write them, such as `MobileNet alpha=0.75`. Standard library only."""

from __future__ import annotations

import re

from tfl.errors import RecipeError
from tfl.fields import override
from tfl.recipe import Backbone

_FIELDS = ("weights", "preprocessing", "match", "adapter_width")
"""Words of a title that are fields of `Backbone`; all others are arguments of the network."""


def parse_backbone(text: str) -> Backbone:
    """The network that a title names: a name, then arguments as `tfl backbones --at-hand` prints them.

    Args:
        text: String such as `MobileNetV2`, `MobileNet alpha=0.75`, or the path of a model file.

    Raises:
        RecipeError: There is no name, or a value does not fit.

    Example:

    >>> from tfl.backbones.titles import parse_backbone
    >>> found = parse_backbone("MobileNet alpha=0.75")
    >>> found.name, dict(found.arguments)
    ('MobileNet', {'alpha': 0.75})
    """
    found = re.fullmatch(r"(.*?)((?:\s+[A-Za-z_]\w*=\S+)*)", text.strip(), re.S)
    name, settings = (found[1], found[2].split()) if found else (text, [])
    if not name or re.match(r"[A-Za-z_]\w*=", name):
        raise RecipeError("This network has no name.", received=text, allowed="a name, or a title such as `MobileNet alpha=0.75`")
    backbone = Backbone(name)
    for word in settings:
        key, _, value = word.partition("=")
        backbone = override(backbone, key if key in _FIELDS else f"arguments.{key}", value)
    return backbone


def title_of(backbone: Backbone) -> str:
    """The network in words, which `parse_backbone` reads.

    Example:

    >>> import tfl
    >>> from tfl.backbones.titles import title_of
    >>> title_of(tfl.Backbone("MobileNet", arguments={"alpha": 0.75}))
    'MobileNet alpha=0.75'
    """
    words = [f"{key}={value}" for key, value in backbone.arguments.items()]
    words += [] if backbone.weights in ("pretrained", "imagenet") else [f"weights={backbone.weights or 'none'}"]
    words += [] if backbone.preprocessing == "auto" else [f"preprocessing={backbone.preprocessing}"]
    words += [] if backbone.match == "exact" else [f"match={backbone.match}"]
    words += [f"adapter_width={backbone.adapter_width}"] if backbone.adapter_width else []
    return " ".join([backbone.name, *words])
