"""The audit checks of texts: what `tfl.modalities.text.audit` finds, and near copies."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfl.copy_sets import near_sets_of
from tfl.finding import Finding
from tfl.modalities.base import Audited
from tfl.modalities.text.audit import text_findings
from tfl.modalities.text.copies import near_sets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TextPrints:
    """The texts themselves, by which near copies are found.

    Args:
        texts: Sequence of strings.
    """

    texts: tuple[str, ...]

    def __add__(self, others: TextPrints) -> TextPrints:
        """These texts, and others behind them."""
        return TextPrints(self.texts + others.texts)

    def comparable(self) -> bool:
        """Whether there are any texts."""
        return bool(self.texts)

    def near_sets(
        self, fingerprints: Sequence[str], *, features: NDArray[np.floating] | None = None, also_equal: bool = False
    ) -> list[NDArray[np.int64]]:
        """See `tfl.modalities.text.copies.near_sets`; features are not asked."""
        return near_sets_of(fingerprints, near_sets(self.texts))


class TextChecks:
    """The checks of `tfl.modalities.base.AuditChecks` for texts.

    Args:
        audited: The texts.
    """

    def __init__(self, audited: Audited) -> None:
        self._examples = audited.examples

    @functools.cached_property
    def prints(self) -> TextPrints:
        """The texts of the examples."""
        contents = (self._examples.bytes_of(index) for index in range(len(self._examples)))
        return TextPrints(tuple(content.decode("utf-8", "replace") for content in contents))

    def findings(self) -> list[Finding]:
        """Short, garbled and foreign texts, and words that give their class away."""
        return [Finding.from_dict(found) for found in text_findings(self._examples)]

    def deep_findings(self) -> list[Finding]:
        """Nothing takes long."""
        return []
