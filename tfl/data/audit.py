"""What is wrong with the files, found before anything trains: each is opened, measured, and decoded as training would.

The check is by content, never by name. Reading is spread over threads, decoding over tf.data; a set of some thousand
files takes little longer than decoding it once, and the tensors of that pass can be kept.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tfl.data.cached import CachedTensors
from tfl.data.examples import Examples, listed
from tfl.errors import BadImageError
from tfl.modalities.base import Checked, Modality

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

OnBad = Literal["error", "skip", "report"]
_AT_ONCE = 1024
_LEAVE_OUT = "leave such files out with `data.on_bad=skip` (on the command line: --skip-bad)."


@dataclass(frozen=True, kw_only=True, eq=False)
class AuditResult:
    """What the audit found.

    Attributes:
        examples: Those that can be used.
        kept: `(n,)` int64, where each of them was among the audited ones.
        fingerprints: SHA-256 of the content of each of them.
        findings: Dictionaries of `kind`, `severity` (`error`: left out; `warning`; `info`), `files` and `note`.
        cached: The tensors of each of them; None unless asked for and there is room.
    """

    examples: Examples
    kept: NDArray[np.int64]
    fingerprints: tuple[str, ...]
    findings: list[dict[str, Any]]
    cached: CachedTensors | None = None

    def take(self, rows: ArrayLike) -> AuditResult:
        """Some of the usable examples, with all that is known of them.

        Args:
            rows: Their positions among the usable ones.
        """
        at = np.asarray(rows, np.int64)
        return replace(
            self,
            examples=self.examples.take(at),
            kept=self.kept[at],
            fingerprints=tuple(self.fingerprints[int(index)] for index in at),
            cached=None if self.cached is None else self.cached.take(at),
        )


def audit(examples: Examples, *, modality: Modality, on_bad: OnBad = "error", keep: bool = False) -> AuditResult:
    """Checks every example; those that cannot be read are named in one error, or left out.

    Args:
        examples: What to check.
        modality: How a content is checked and decoded.
        on_bad: `error` raises; `skip` leaves bad files out and lists them in the findings; `report` does so whatever is left.
        keep: Whether to keep the decoded tensors, where the disk has room.

    Raises:
        BadImageError: There are bad files and `on_bad` is `error`, or nothing is left of a class.
    """
    if examples.arrays is not None:
        return _audit_arrays(examples, modality, keep)
    files = _look_at_all(examples, modality)
    cached = CachedTensors.of(len(examples), modality.spec()) if keep else None
    _decode_all(examples, files, modality, cached)
    bad = {index: file for index, file in enumerate(files) if file.trouble}
    if bad and on_bad == "error":
        raise _bad_files(examples, bad, modality)
    kept = np.array([index for index in range(len(files)) if index not in bad], np.int64)
    left = examples.take(kept)
    if on_bad != "report":
        _check_what_is_left(examples, left, bad, modality)
    fingerprints = tuple(str(files[index].about["fingerprint"]) for index in kept)
    findings = [*examples.findings, *_trouble_findings(examples, bad, modality)]
    findings += modality.file_findings(examples, files)
    if cached is not None and bad:
        cached = cached.take(kept)
    return AuditResult(examples=left, kept=kept, fingerprints=fingerprints, findings=findings, cached=cached)


def _audit_arrays(examples: Examples, modality: Modality, keep: bool) -> AuditResult:
    modality.check_arrays(examples.arrays, examples.source)
    with ThreadPoolExecutor(_threads()) as pool:
        fingerprints = tuple(pool.map(examples.fingerprint_of, range(len(examples))))
    cached = None
    if keep:
        from tfl.data.pipeline import cache_tensors

        cached = cache_tensors(examples, modality=modality)
    return AuditResult(
        examples=examples,
        kept=np.arange(len(examples)),
        fingerprints=fingerprints,
        findings=[*examples.findings],
        cached=cached,
    )


def _threads() -> int:
    return min(16, 2 * (os.cpu_count() or 1))


def _look_at_all(examples: Examples, modality: Modality) -> list[Checked]:
    found: list[Checked] = []
    with modality.checking(), ThreadPoolExecutor(_threads()) as pool:
        for start in range(0, len(examples), _AT_ONCE):  # a task that waits takes a kilobyte
            some = range(start, min(start + _AT_ONCE, len(examples)))
            found += pool.map(lambda index: _look_at(examples, index, modality), some)
    return found


def _look_at(examples: Examples, index: int, modality: Modality) -> Checked:
    """Reads the content once: its fingerprint, and what the modality says of it."""
    try:
        size = os.path.getsize(examples.name_of(index)) if examples.paths is not None else 0
        if size > modality.most_bytes:
            return Checked(trouble="too_large", detail=f"a file of {size / 1e9:.1f} GB")
        content = examples.bytes_of(index)
    except OSError as error:
        return Checked(trouble="unreadable", detail=error.strerror or str(error))
    found = modality.check(content)
    if found.trouble:
        return found
    return replace(found, about={**found.about, "fingerprint": hashlib.sha256(content).hexdigest()})


def _decode_all(examples: Examples, files: list[Checked], modality: Modality, cached: CachedTensors | None) -> None:
    """Decodes what looked well; what fails is marked in `files`. A header says nothing about a file that is cut short."""
    well = [index for index, file in enumerate(files) if not file.trouble]
    if not well:
        return
    from tfl.data.pipeline import decode_errors

    keep = None if cached is None else cached.write
    for index, message in decode_errors(examples, well, modality=modality, keep=keep).items():
        files[index] = Checked(trouble="undecodable", detail=message)


def _described(examples: Examples, index: int, file: Checked, modality: Modality) -> str:
    said = f"{examples.name_of(index)} {modality.troubles[file.trouble]}"
    return said + (f" ({file.detail})" if file.detail else "")


def _bad_files(examples: Examples, bad: dict[int, Checked], modality: Modality) -> BadImageError:
    count = f"{len(bad)} of the {len(examples)} files" if len(bad) < len(examples) else f"None of the {len(examples)} files"
    article = "an" if modality.noun[0] in "aeiou" else "a"
    verb = "cannot be used" if len(bad) < len(examples) else f"is {article} {modality.noun} that can be used"
    lines = [f"\n  {_described(examples, index, file, modality)}" for index, file in bad.items()]
    return BadImageError(
        f"{count} of {examples.source} {verb}:{listed(lines)}\n",
        allowed=modality.allowed,
        fix=_fix({file.trouble for file in bad.values()}, modality),
    )


def _fix(troubles: set[str], modality: Modality) -> str:
    fixes = [words for trouble, words in modality.trouble_fixes.items() if trouble in troubles]
    text = "; ".join(fixes) + f"; or {_LEAVE_OUT}" if fixes else _LEAVE_OUT
    return text[0].upper() + text[1:]


def _check_what_is_left(examples: Examples, left: Examples, bad: dict[int, Checked], modality: Modality) -> None:
    if len(bad) == len(examples):
        raise _bad_files(examples, bad, modality)
    if examples.targets is not None:
        return
    before = examples.counts()  # a class of `Recipe.extra_data` may have had none
    gone = [name for name, count in left.counts().items() if count == 0 < before[name]]
    if gone:
        inside = {index: file for index, file in bad.items() if examples.class_names[examples.labels[index]] in gone}
        lines = [f"\n  {_described(examples, index, file, modality)}" for index, file in inside.items()]
        raise BadImageError(
            f"Without the bad files, these classes of {examples.source} have no {modality.noun} left: "
            f"{listed(gone)}.{listed(lines)}\n",
            allowed=modality.allowed.partition(";")[0],
            fix=f"Add {modality.nouns}, or leave the class out with `data.labels`.",
        )


def _trouble_findings(examples: Examples, bad: dict[int, Checked], modality: Modality) -> list[dict[str, Any]]:
    by_kind: dict[str, list[int]] = defaultdict(list)
    for index, file in bad.items():
        by_kind[file.trouble].append(index)
    return [
        {
            "kind": kind,
            "severity": "error",
            "files": [examples.name_of(index) for index in indices],
            "note": "Left out. "
            + "; ".join(dict.fromkeys(_described(examples, index, bad[index], modality) for index in indices[:10]))
            + ".",
        }
        for kind, indices in sorted(by_kind.items())
    ]
