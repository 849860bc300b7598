"""The audit checks of sounds: what `tfl.modalities.audio.audit` finds, and near copies."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tfl.copy_sets import near_sets_of
from tfl.finding import Finding
from tfl.modalities.audio.audit import compared_waves, level_findings, near_copies
from tfl.modalities.base import Audited

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class AudioPrints:
    """The samples of each sound at a low rate, by which near copies are found.

    Args:
        waves: By position, `(samples,)` float32; a sound that cannot be read has none.
        count: How many sounds there are.
    """

    waves: dict[int, NDArray[np.float32]]
    count: int

    def __add__(self, others: AudioPrints) -> AudioPrints:
        """These sounds, and others behind them."""
        moved = {self.count + index: wave for index, wave in others.waves.items()}
        return AudioPrints({**self.waves, **moved}, self.count + others.count)

    def comparable(self) -> bool:
        """Whether there are any sounds."""
        return bool(self.waves)

    def near_sets(
        self, fingerprints: Sequence[str], *, features: NDArray[np.floating] | None = None, also_equal: bool = False
    ) -> list[NDArray[np.int64]]:
        """See `tfl.modalities.audio.audit.near_copies`; features are not asked."""
        return near_sets_of(fingerprints, near_copies(self.waves))


class AudioChecks:
    """The checks of `tfl.modalities.base.AuditChecks` for sounds.

    Args:
        audited: The sounds.
    """

    def __init__(self, audited: Audited) -> None:
        self._examples: Any = audited.examples

    @functools.cached_property
    def prints(self) -> AudioPrints:
        """Made in one pass over the sounds."""
        return AudioPrints(compared_waves(self._examples), len(self._examples))

    def findings(self) -> list[Finding]:
        """`silent`, `clipped`, `very_short` and `offset`."""
        return [Finding.from_dict(found) for found in level_findings(self._examples)]

    def deep_findings(self) -> list[Finding]:
        """Nothing takes long."""
        return []
