"""Which pretrained networks are at hand: their weights lie on this machine. Found from files alone, without TensorFlow."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfl.errors import DataError
from tfl.modalities.base import KINDS
from tfl.recipe import Backbone

CPU_FLOPS = 8e9
"""What a network may take for one example without an accelerator: about what ResNet50 takes at 224 px (7.7), of which two
cores do 39 a second (docs/performance.md)."""
_MOST_TIMES = 5
MOST_COMPARED = 4
"""So many networks are compared on the data where none is named."""


@dataclass(frozen=True, kw_only=True)
class AtHand:
    """A network whose pretrained weights lie on this machine.

    Args:
        backbone: As a recipe names it, with its arguments.
        file: The weights file, or the folder of a preset.
        input_size: The size that the weights were trained at: `(height, width)` in pixels, `(tokens,)` for texts.
        native: Whether a recipe that states no size gets these weights: not of files for other sizes than the network's own,
            which want `data.image_size=input_size`.
        accuracy: Published, in percent, on `benchmark`; None where nothing is published that the others could be compared with.
        benchmark: What `accuracy` was measured on, such as `ImageNet top-1`.
        parameters: Without a classifier; about, for texts. None where the files do not say it.
        flops: For one example of `input_size`, for texts of 128 tokens; None where the files do not say it.
    """

    backbone: Backbone
    file: Path
    input_size: tuple[int, ...]
    native: bool = True
    accuracy: float | None = None
    benchmark: str = ""
    parameters: int | None = None
    flops: float | None = None

    @property
    def title(self) -> str:
        """The network in words, such as `MobileNet alpha=0.75`."""
        return " ".join([self.backbone.name, *(f"{key}={value}" for key, value in self.backbone.arguments.items())])

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "name": self.backbone.name,
            "arguments": dict(self.backbone.arguments),
            "weights": self.backbone.weights,
            "file": str(self.file),
            "input_size": list(self.input_size),
            "native": self.native,
            "accuracy": self.accuracy,
            "benchmark": self.benchmark,
            "parameters": self.parameters,
            "flops": self.flops,
        }


def at_hand(kind: str, *, folders: Sequence[Path | str] = ()) -> tuple[AtHand, ...]:
    """The networks for a kind of example whose pretrained weights lie where Keras and KerasHub look, or in other folders.

    Files that were cut off while they were fetched do not count.

    Args:
        kind: Name of a modality.
        folders: Further folders with weights files under the names that Keras gives them, or with presets of KerasHub. The
            backbones of files found there name the file.

    Raises:
        DataError: There is no such modality.

    Example:

    >>> from tfl.modalities.at_hand import at_hand
    >>> "mini" in [found.backbone.name for found in at_hand("image")]
    True
    """
    if kind not in KINDS:
        raise DataError(f"There is no kind of example `{kind}`.", allowed=KINDS)
    module: Any = importlib.import_module(f"tfl.modalities.{kind}.at_hand")
    found: tuple[AtHand, ...] = tuple(module.at_hand([Path(folder).expanduser() for folder in folders]))
    return found


def best_at_hand(kind: str, *, folders: Sequence[Path | str] = (), most_flops: float = CPU_FLOPS) -> tuple[AtHand, ...]:
    """The networks at hand, the one to try first in front, by what is published of them; nothing is measured on the data.

    First come those of up to `most_flops` by their published accuracy; then those of up to five times that, the cheapest first;
    then those of which no accuracy is published, such as `mini`, the largest in front; last what takes still longer.

    Args:
        kind, folders: See `at_hand`.
        most_flops: What a network may take for one example. Defaults to what two cores can do; `math.inf` for an accelerator.

    Example:

    >>> from tfl.modalities.at_hand import best_at_hand
    >>> len(best_at_hand("image")) >= 1
    True
    """

    def place(found: AtHand) -> tuple[int, float]:
        flops = found.flops or 0.0
        if flops > _MOST_TIMES * most_flops:
            return 3, flops
        if found.accuracy is None:
            return 2, -flops
        return (0, -found.accuracy) if flops <= most_flops else (1, flops)

    return tuple(sorted(at_hand(kind, folders=folders), key=place))


def networks_to_compare(kind: str) -> tuple[AtHand, ...]:
    """The networks at hand that are worth a pass over the data: up to four, in the order of `best_at_hand`.

    Left out are those whose weights want another size than the network's own, and those of more than `CPU_FLOPS`.

    Args:
        kind: See `at_hand`.

    Example:

    >>> from tfl.modalities.at_hand import networks_to_compare
    >>> 1 <= len(networks_to_compare("image")) <= 4
    True
    """
    return tuple(one for one in best_at_hand(kind) if one.native and (one.flops or 0) <= CPU_FLOPS)[:MOST_COMPARED]
