"""Groups that the source names, such as one patient or one plant, and that its own splits tear apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.examples import Examples
from tfl.finding import Finding, of_groups, plural

if TYPE_CHECKING:
    from numpy.typing import NDArray


def group_findings(examples: Examples, splits: NDArray[Any] | None) -> list[Finding]:
    """`straddling_groups`: examples of one group in several splits, so that the test asks about what was trained on.

    Args:
        examples: Those of a source that names groups; others have no such finding.
        splits: `(n,)` the split of each, empty where it is in none; None where nothing is split yet.
    """
    if examples.groups is None or splits is None:
        return []
    of_each = np.unique(examples.groups, return_inverse=True)[1]
    order = np.argsort(of_each, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(of_each[order])) + 1)
    torn = [some for some in members if len({str(name) for name in splits[some]} - {""}) > 1]
    if not torn:
        return []
    count = sum(len(some) for some in torn)
    note = (
        f"{plural(len(torn), 'group')} of {plural(count, examples.noun, examples.nouns)} in several splits: the test asks "
        "about what was trained on, so scores look better than they are."
    )
    return [
        of_groups(
            "straddling_groups",
            "error",
            [[examples.name_of(int(index)) for index in some] for some in torn],
            note,
            captions=[
                f"{_named(examples, some)}: {', '.join(sorted({str(name) for name in splits[some]} - {''}))}" for some in torn
            ],
        )
    ]


def _named(examples: Examples, members: NDArray[np.int64]) -> str:
    return "" if examples.groups is None else str(examples.groups[members[0]])
