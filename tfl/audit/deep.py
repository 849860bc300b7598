"""The deep checks: what the features of a pretrained network say about labels, splits and costs; and those of the modality."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tfl.audit.checks.drift import drift_findings
from tfl.audit.checks.labels import Opinions, accuracy_without, label_finding, opinions, rank_labels, suspects
from tfl.audit.cost import leak_cost
from tfl.clock import Clock
from tfl.data.bundle import Bundle, derived_seed
from tfl.data.examples import Examples
from tfl.finding import LEAKS, Finding
from tfl.modalities.base import AuditChecks

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIRST = 1 / 64
_MANY = 20_000  # examples from which on a matrix gains from more than one thread


def look_deep(
    bundle: Bundle,
    features: NDArray[np.float32],
    units: NDArray[np.int64],
    findings: list[Finding],
    *,
    splits: NDArray[Any] | None,
    drawn: bool,
    checks: AuditChecks,
    clock: Clock,
) -> tuple[list[Finding], tuple[str, ...]]:
    """The findings of the quick checks with costs, and those of the deep ones; and the files by how doubtful their label is.

    Args:
        bundle: The examples.
        features: `(n, width)`.
        units: `(n,)` what is held out and resampled together: groups, and copies.
        findings: Of the quick checks.
        splits: `(n,)` the split of each; None where nothing is split.
        drawn: Whether tfl drew `splits`, so that there is no drift to look for.
        checks: Of the modality, for these examples.
        clock: Takes the time of each step.
    """
    examples, seed = bundle.examples, derived_seed(bundle.seed, "audit")
    with threadpool_limits(1 if len(features) < _MANY else None):
        with clock.step("labels"):
            said = opinions(features, examples.labels, units, seed=seed) if examples.targets is None else None
            more, doubtful = _labels(examples, features, said, seed=seed)
        if splits is not None:
            with clock.step("costs"):
                strength = _FIRST if said is None else said.strength
                findings = [_with_cost(finding, examples, features, splits, units, strength, seed) for finding in findings]
            with clock.step("drift"):
                more += [] if drawn else drift_findings(examples, features, splits, units, seed=seed)
    with clock.step("quality"):
        more += checks.deep_findings()
    return [*findings, *more], doubtful


def _labels(
    examples: Examples, features: NDArray[np.float32], said: Opinions | None, *, seed: int
) -> tuple[list[Finding], tuple[str, ...]]:
    if said is None:
        return [], ()
    wrong = suspects(said)
    finding = label_finding(examples, said, wrong, cost=accuracy_without(features, said, wrong, seed=seed, nouns=examples.nouns))
    ranking = tuple(examples.name_of(index) for index in rank_labels(said).tolist())
    return ([] if finding is None else [finding]), ranking


def _with_cost(
    finding: Finding,
    examples: Examples,
    features: NDArray[np.float32],
    splits: NDArray[Any],
    units: NDArray[np.int64],
    strength: float,
    seed: int,
) -> Finding:
    """A leak with what it costs where each example has one class; any other finding as it is."""
    if finding.kind not in LEAKS or examples.targets is not None:
        return finding
    inside = set(finding.files)
    copies = [split == "train" and examples.name_of(index) in inside for index, split in enumerate(splits.tolist())]
    cost = leak_cost(features, examples.labels, splits, np.array(copies, bool), units, strength=strength, seed=seed)
    return dataclasses.replace(finding, cost=cost)
