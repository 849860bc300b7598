"""Vectors of two kinds of examples in one space: a pair of encoders that were trained together, such as CLIP.

What one encoder makes is compared with what the other makes, so that an index of one kind is searched by examples of the other.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tfl.embeddings.network import SHARED, VectorNetwork
from tfl.embeddings.sources import data_of_kind
from tfl.embeddings.wanted import Wanted
from tfl.modalities.image.pair import ENCODED, load_pair

if TYPE_CHECKING:
    from tfl.modalities.image.pair import Pair

PROJECTED = "projected"
"""What its pooling is called: the encoder's own."""


class SharedNetwork(VectorNetwork):
    """One encoder of a pair. Make one with `shared_network`.

    Args:
        wanted: The pair, and the kind of examples.
        pair: Both encoders, loaded.
    """

    def __init__(self, wanted: Wanted, pair: Pair) -> None:
        encoder = pair.encoder_of(wanted.recipe.data.kind)
        super().__init__(wanted, encoder.network, SHARED, PROJECTED, modality=encoder.modality)
        self._pair, self._others = pair, dict[str, VectorNetwork]()

    def for_kind(self, kind: str) -> VectorNetwork:
        """The encoder of examples of another kind, or this one."""
        if kind == self.modality.kind:
            return self
        if kind not in self._others:
            recipe = dataclasses.replace(self.recipe, data=data_of_kind("unknown", kind))
            self._others[kind] = SharedNetwork(dataclasses.replace(self.wanted, recipe=recipe, kinds=(kind,)), self._pair)
        return self._others[kind]


def shared_network(wanted: Wanted) -> SharedNetwork:
    """The encoder of a pair for the kind of examples that is wanted.

    Raises:
        BackboneError: The preset is no pair of encoders, or cannot be loaded.
        WeightsNotFoundError: It is not on this machine and cannot be fetched.
    """
    return SharedNetwork(wanted, load_pair(wanted.recipe.backbone.name))


def kinds_in(about: dict[str, Any]) -> tuple[str, ...]:
    """The kinds of examples that can be compared with the vectors of a file, its own first."""
    own = str(about["kind"])
    return (own, *(kind for kind in ENCODED if kind != own)) if about.get("block") == SHARED else (own,)
