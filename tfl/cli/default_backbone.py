"""The network of a first recipe whose command line names none: the best whose weights are at hand, by what is published."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfl.backbones.weight_files import PAGE
from tfl.recipe import Backbone

if TYPE_CHECKING:
    from tfl.advice.networks import Compared

TO_FETCH = {"text": "distil_bert_base_en_uncased"}
"""Kinds of example for which no network ships with tfl, and what is taken where none is at hand."""
OVER_MINI = "3 to 7 points of accuracy"
"""What MobileNet alpha 0.75 has over mini, as linear probes on three sets with 25 examples per class: docs/measurements.md."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A network, and why it.

    Args:
        backbone: As the recipe names it.
        why: Sentences for a person.
        comment: The same as lines of the recipe, without `# `.
        minimum_size: Smallest height and width in pixels that it takes; 0 where that does not matter.
    """

    backbone: Backbone
    why: str
    comment: tuple[str, ...] = ()
    minimum_size: int = 0


def default_backbone(kind: str) -> Choice:
    """The network for a kind of example.

    Example:

    >>> from tfl.cli.default_backbone import default_backbone
    >>> default_backbone("image").backbone.weights
    'pretrained'
    """
    if kind == "audio":
        return Choice(
            backbone=Backbone("mini"),
            why="The network is mini: what is published of other networks, their accuracy on ImageNet, does not tell which suits "
            f"spectrograms ({PAGE}). Others: tfl backbones --at-hand",
            comment=("Ships with tfl. Others: `tfl backbones --at-hand`.",),
        )
    from tfl.modalities.at_hand import best_at_hand

    found = next((each for each in best_at_hand(kind) if each.native and each.accuracy is not None), None)
    if found is not None:
        facts = f"{found.accuracy}% {found.benchmark}"
        return Choice(
            backbone=found.backbone,
            why=f"The network is {found.title}: of those whose pretrained weights are on this machine, the best by what is "
            f"published ({facts}). Others: tfl backbones --at-hand",
            comment=(
                f"Of the networks whose weights are on this machine, the best by what is published ({facts});",
                "your data may decide otherwise. Others: `tfl backbones --at-hand`.",
            ),
            minimum_size=minimum_size(found.backbone.name),
        )
    if kind in TO_FETCH:
        return Choice(backbone=Backbone(TO_FETCH[kind]), why="")
    return Choice(
        backbone=Backbone("mini"),
        why=f"The network is mini, which ships with tfl: the weights of no other are on this machine. One that was trained on "
        f"ImageNet usually gives more: {OVER_MINI} were measured. With a network: tfl backbones MobileNetV2 --fetch; else {PAGE}",
        comment=(
            "Ships with tfl; the weights of no other network are on this machine. One that was trained on ImageNet usually",
            f"gives more ({OVER_MINI} were measured): `tfl backbones MobileNetV2 --fetch`, or {PAGE}.",
        ),
    )


def compared_choice(backbone: Backbone, rows: Sequence[Compared], *, nouns: str) -> Choice:
    """The network that probes on the data chose.

    Args:
        backbone: The network.
        rows: What was found of each, the one that is preferred in front.
        nouns: String, what messages call the examples.
    """
    found = ", ".join(f"{row.title} {row.value:.3f}" for row in rows if row.value is not None)
    skipped = ", ".join(f"{row.title} ({row.skipped})" for row in rows if row.skipped)
    chosen = next(row for row in rows if row.chosen)
    if chosen is rows[0]:
        verdict = f"linear probes on held-out {nouns} show no other at hand to be better"
    else:
        verdict = f"linear probes on held-out {nouns} show it to be better (p = {chosen.p:.2g}) than those before it at hand"
    facts = f"{chosen.metric}: {found}" + (f"; not compared: {skipped}" if skipped else "")
    return Choice(
        backbone=backbone,
        why=f"The network is {chosen.title}: {verdict} ({facts}). More: tfl advise, tfl backbones --at-hand",
        comment=tuple(textwrap.wrap(f"{verdict[0].upper()}{verdict[1:]} ({facts}).", 110, break_on_hyphens=False)),
        minimum_size=minimum_size(backbone.name),
    )


def minimum_size(name: str) -> int:
    """The smallest height and width in pixels that a network takes; 0 where nothing is known.

    Args:
        name: Of the network.
    """
    from tfl.modalities.image.backbones import catalog

    return catalog.entry(name).minimum_size if name in catalog.names() else 0
