"""Which networks for sounds have their weights on this machine: those for images, which see spectrograms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tfl.modalities.at_hand import AtHand
from tfl.modalities.image import at_hand as of_images


def at_hand(folders: Sequence[Path]) -> Iterator[AtHand]:
    """See `tfl.modalities.at_hand.at_hand`."""
    return of_images.at_hand(folders)
