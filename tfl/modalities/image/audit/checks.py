"""What an audit asks about images: what their headers say, which ones are near copies, and, deep, which are poor."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfl.copy_sets import exact_sets
from tfl.finding import Finding
from tfl.modalities.base import Audited
from tfl.modalities.image.audit.copies import LEAST_COMPARED, near_sets
from tfl.modalities.image.audit.headers import Headers, header_findings, read_headers
from tfl.modalities.image.audit.thumbnails import Thumbnails, make_thumbnails

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ImagePrints:
    """A thumbnail and a perceptual hash of each image.

    Args:
        thumbnails: Of all images.
        large_enough: `(n,)` which images may be compared by what they show.
    """

    thumbnails: Thumbnails
    large_enough: NDArray[np.bool_]

    def __add__(self, others: ImagePrints) -> ImagePrints:
        """These, and behind them others."""
        both = (self.thumbnails, others.thumbnails)
        thumbnails = Thumbnails(
            pictures=np.concatenate([one.pictures[:] for one in both]),
            hashes=np.concatenate([one.hashes for one in both]),
            plain=np.concatenate([one.plain for one in both]),
        )
        return ImagePrints(thumbnails, np.concatenate([self.large_enough, others.large_enough]))

    def comparable(self) -> bool:
        """Whether any image is large enough to be compared by what it shows."""
        return bool(self.large_enough.any())

    def near_sets(
        self, fingerprints: Sequence[str], *, features: NDArray[np.floating] | None = None, also_equal: bool = False
    ) -> list[NDArray[np.int64]]:
        """See `tfl.modalities.image.audit.copies.near_sets`; equal images of less than 32 px a side on request."""
        sets = near_sets(fingerprints, self.thumbnails, features=features, large_enough=self.large_enough)
        return sets + exact_sets(self._contents()) if also_equal else sets

    def _contents(self) -> list[str]:
        """A hash of the pixels of each thumbnail; of one that shows nothing, its position."""
        return [
            str(row) if self.thumbnails.plain[row] else hashlib.sha256(picture.tobytes()).hexdigest()
            for row, picture in enumerate(np.asarray(self.thumbnails.pictures[:]))
        ]


class ImageChecks:
    """The checks of `tfl.modalities.base.AuditChecks` for images.

    Args:
        audited: The images, whose batches are `(b, height, width, 3)` uint8.
    """

    def __init__(self, audited: Audited) -> None:
        self._audited = audited

    @functools.cached_property
    def _headers(self) -> Headers:
        return read_headers(self._audited.examples)

    @functools.cached_property
    def _large_enough(self) -> NDArray[np.bool_]:
        """`(n,)` which images are not too small to say anything about what they show; those of unknown size pass."""
        sides = self._headers.sides.min(axis=1)
        return np.asarray((sides >= LEAST_COMPARED) | (sides == 0))

    @functools.cached_property
    def prints(self) -> ImagePrints:
        """Made in one pass over the pixels."""
        made = make_thumbnails(self._audited.batches(), len(self._audited.examples), room=self._audited.room)
        return ImagePrints(made, self._large_enough)

    def findings(self) -> list[Finding]:
        """`odd_modes`, `odd_sizes`, `odd_aspect_ratios` and `exif_rotated`."""
        return header_findings(self._audited.examples, self._headers)

    def deep_findings(self) -> list[Finding]:
        """`dark`, `overexposed`, `blank` and `blurred`; asks for the extra `audit`."""
        from tfl.modalities.image.audit.quality import quality_findings

        return quality_findings(self._audited.examples, self._audited.batches(), checked=self._large_enough)
