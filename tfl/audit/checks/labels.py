"""Labels that are likely wrong: cleanlab (Northcutt, Jiang and Chuang 2021) on what cross-validated linear probes say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfl.audit.cost import cost_of
from tfl.data.examples import Examples
from tfl.extras import require_audit_library
from tfl.finding import Cost, Finding, plural
from tfl.probes.folds import FOLDS, make_folds
from tfl.probes.linear import held_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

KIND = "likely_wrong_labels"
_SURE, _DOUBTED = 0.5, 0.2


@dataclass(frozen=True, eq=False)
class Opinions:
    """What probes that have not seen an example say of its label.

    Args:
        indices: `(n,)` the examples that were asked about: those of classes with two pieces or more.
        probabilities: `(n, classes)`; columns as `classes`.
        labels: `(n,)` the labels given, as columns.
        classes: The label of each column.
        units: `(n,)` what is held out together.
        strength: The C of the probes.
    """

    indices: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: NDArray[np.int64]
    units: NDArray[np.int64]
    strength: float


def opinions(
    features: NDArray[np.floating], labels: NDArray[np.integer], units: NDArray[np.int64], *, seed: int
) -> Opinions | None:
    """Cross-validates a linear probe; None where there are not two classes with two pieces each.

    Args:
        features: `(n, width)`.
        labels: `(n,)`.
        units: `(n,)` what is held out together: groups, and copies.
        seed: Decides the folds.
    """
    pieces = {label: len(np.unique(units[labels == label])) for label in np.unique(labels)}
    classes = np.array([label for label, count in pieces.items() if count > 1], np.int64)
    if len(classes) < 2:
        return None
    indices = np.flatnonzero(np.isin(labels, classes))
    columns = np.searchsorted(classes, labels[indices])
    inside = np.unique(units[indices], return_inverse=True)[1]
    folds = make_folds(columns, inside, most=FOLDS, seed=seed)
    found = held_out(features[indices], columns, folds)
    return Opinions(indices, found.probabilities, columns, classes, inside, found.strength)


def rank_labels(said: Opinions) -> NDArray[np.int64]:
    """Every example that was asked about, the one whose label is the most doubtful first.

    By the probability of the given label, which found more planted errors than cleanlab's other scores did.
    """
    rank = require_audit_library("cleanlab.rank")
    scores = rank.get_label_quality_scores(said.labels, _clean(said.probabilities), method="self_confidence")
    return np.asarray(said.indices[np.argsort(scores, kind="stable")])


def suspects(said: Opinions) -> NDArray[np.int64]:
    """Those examples that cleanlab counts as wrong and that the probes are sure of, the most doubtful first.

    Where probes are often wrong themselves, cleanlab alone names a third of all examples.
    """
    wrong = require_audit_library("cleanlab.filter").find_label_issues(
        said.labels, _clean(said.probabilities), filter_by="prune_by_noise_rate", n_jobs=1
    )
    given = said.probabilities[np.arange(len(said.labels)), said.labels]
    sure = (said.probabilities.max(axis=1) >= _SURE) & (given <= _DOUBTED)
    chosen = set(said.indices[np.flatnonzero(wrong & sure)].tolist())
    return np.array([index for index in rank_labels(said).tolist() if index in chosen], np.int64)


def label_finding(examples: Examples, said: Opinions, wrong: NDArray[np.int64], *, cost: Cost | None) -> Finding | None:
    """`likely_wrong_labels`: the files, the worst first, with the label that the probes would give."""
    if not len(wrong):
        return None
    rows: Mapping[int, int] = {int(index): row for row, index in enumerate(said.indices)}
    captions, scores = [], []
    for index in wrong.tolist():
        chances = said.probabilities[rows[index]]
        given, likely = said.labels[rows[index]], int(chances.argmax())
        names = examples.class_names
        captions.append(
            f"labelled {names[said.classes[given]]}, looks like {names[said.classes[likely]]} ({chances[likely]:.0%})"
        )
        scores.append(float(chances[given]))
    note = (
        f"{plural(len(wrong), examples.noun, examples.nouns)} whose label is likely wrong, the most doubtful first; the score is "
        f"the probability that a probe which never saw the {examples.noun} gives its label. Look at them before you believe it."
    )
    return Finding(
        kind=KIND,
        severity="warning",
        files=tuple(examples.name_of(index) for index in wrong.tolist()),
        note=note,
        captions=tuple(captions),
        scores=tuple(scores),
        cost=cost,
    )


def _clean(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rows that sum to one in double precision, as cleanlab checks."""
    exact = np.clip(probabilities.astype(np.float64), 1e-12, None)
    return np.asarray(exact / exact.sum(axis=1, keepdims=True))


def accuracy_without(
    features: NDArray[np.floating], said: Opinions, wrong: NDArray[np.int64], *, seed: int, nouns: str = "examples"
) -> Cost | None:
    """What the suspected labels cost: probes trained with and without them, evaluated on the same other examples."""
    inside = ~np.isin(said.indices, wrong)
    columns, units = said.labels[inside], np.unique(said.units[inside], return_inverse=True)[1]
    pieces = [len(np.unique(units[columns == label])) for label in range(len(said.classes))]
    if not len(wrong) or min(pieces) < 2:
        return None
    folds = make_folds(columns, units, most=FOLDS, seed=seed)
    again = held_out(features[said.indices[inside]], columns, folds, first=said.strength)
    before = said.probabilities[inside].argmax(axis=1) == columns
    after = again.probabilities.argmax(axis=1) == columns
    return cost_of(f"Cross-validated accuracy of a linear probe on all other {nouns}", before, after, units, seed=seed)
