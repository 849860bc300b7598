"""The audit checks of examples of several inputs: those of each input."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.finding import Finding
from tfl.modalities.base import Audited
from tfl.modalities.several.modality import batches_of_input

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tfl.modalities.several.modality import SeveralModality


class NoPrints:
    """Near copies are not looked for: two examples may well share one input."""

    def __add__(self, others: Any) -> NoPrints:
        """The same."""
        return self

    def comparable(self) -> bool:
        """Nothing can be compared."""
        return False

    def near_sets(
        self, fingerprints: Sequence[str], *, features: NDArray[np.floating] | None = None, also_equal: bool = False
    ) -> list[NDArray[np.int64]]:
        """There are none."""
        return []


class SeveralChecks:
    """The checks of `tfl.modalities.base.AuditChecks` for several inputs.

    Args:
        audited: The examples.
        modality: Theirs.
    """

    prints = NoPrints()

    def __init__(self, audited: Audited, modality: SeveralModality) -> None:
        self._audited, self._modality = audited, modality

    def findings(self) -> list[Finding]:
        """What each input's own checks find, with the name of the input before it."""
        found = []
        for name in self._modality.networks:
            part = self._modality.parts[name]
            examples, rows = self._audited.examples.of_input(name)
            if not len(examples):
                continue
            some = dataclasses.replace(examples, noun=part.noun, nouns=part.nouns)
            batches = functools.partial(batches_of_input, self._audited.batches, rows, name, part)
            checks = part.audit_checks(Audited(examples=some, batches=batches, room=self._audited.room))
            for one in checks.findings():
                files = tuple(f"#{rows[int(file[1:])]}" if file.startswith("#") else file for file in one.files)
                found.append(dataclasses.replace(one, note=f"{name}: {one.note}", files=files))
        return found

    def deep_findings(self) -> list[Finding]:
        """Nothing: recipes of several inputs have no deep audit."""
        return []
