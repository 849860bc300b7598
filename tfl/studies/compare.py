"""Which row of a column is the best, and which are not shown to be worse, by paired tests on the same test examples.

The row with the best mean is compared with each other row of its column. Both answered for the same test examples, matched by
content, under the same seeds. Two things vary: the seed, and which examples were drawn for the test. So the p-value is the larger
one of two tests, each two-sided:

- Student's t over the seeds' differences of the mean score, where there are two seeds or more. It asks whether another seed would
  show the difference too (Bouthillier et al. 2021, "Accounting for variance in machine learning benchmarks").
- A test by exchanges of signs, clustered by test example: the differences of each example are added up over the seeds, and each
  sum changes its sign as a whole. It asks whether other test examples would show the difference too (Fisher 1935, "The design of
  experiments"; for one seed and shares of right answers it is McNemar's exact test).

The p-values of a column are corrected by Holm (1979).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from tfl.evaluate.compare.paired import ALPHA, holm
from tfl.train.evidence import p_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

Mark = Literal["best", "tied", "worse"]
R = TypeVar("R", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of one run on its test examples.

    Args:
        contents: Tuple of strings, the fingerprint of the content of each test example.
        values: Array of shape `(n,)`, 1 or 0 for an example that was answered right or wrong, or its absolute error.
    """

    contents: tuple[str, ...]
    values: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Float, the mean over the examples."""
        return float(self.values.mean())


def mark_column(tests: Mapping[R, Mapping[int, Scores]], *, lower_is_better: bool = False) -> dict[R, dict[str, Any]]:
    """The marks of the rows of one column.

    Only rows with as many seeds as any other can be the best; each other row is compared on the seeds that it shares with it.

    Args:
        tests: Mapping from a row to its tests by seed; rows without any are left out.
        lower_is_better: Bool, whether a smaller value is the better one. Defaults to False.

    Returns:
        By row a dictionary: `mark` is `best` (every other row is worse, by corrected p-values below 0.05), `tied` (the row with
        the best mean, or one that is not shown to be worse than it) or `worse`; `behind`, the mean difference to the row with the
        best mean; `p` and `p_corrected`, None for that row itself. Empty where there are fewer than two rows.

    Example:

    >>> import numpy as np
    >>> from tfl.studies.compare import Scores, mark_column
    >>> names = tuple(map(str, range(40)))
    >>> good, poor = Scores(contents=names, values=np.ones(40)), Scores(contents=names, values=np.zeros(40))
    >>> [found["mark"] for found in mark_column({"lp_ft": {0: good}, "scratch": {0: poor}}).values()]
    ['best', 'worse']
    """
    rows = [row for row in tests if tests[row]]
    if len(rows) < 2:
        return {}
    most = max(len(tests[row]) for row in rows)
    sign = -1.0 if lower_is_better else 1.0
    top = max((row for row in rows if len(tests[row]) == most), key=lambda row: sign * _mean(tests[row]))
    others = [row for row in rows if row != top]
    gaps = [differences(tests[top], tests[row], sign=sign) for row in others]
    p_values = [paired_p(gap) for gap in gaps]
    corrected = holm(p_values)
    found: dict[R, dict[str, Any]] = {}
    for row, gap, p, p_corrected in zip(others, gaps, p_values, corrected, strict=True):
        mark: Mark = "worse" if p_corrected < ALPHA else "tied"
        behind = float(np.mean([each.mean() for each in gap.values()])) if gap else None
        found[row] = {"mark": mark, "behind": behind, "p": p, "p_corrected": p_corrected}
    alone = all(row["mark"] == "worse" for row in found.values())
    first = {"mark": "best" if alone else "tied", "behind": 0.0, "p": None, "p_corrected": None}
    return {row: first if row == top else found[row] for row in rows}


def differences(first: Mapping[int, Scores], second: Mapping[int, Scores], *, sign: float = 1.0) -> dict[int, _Gap]:
    """How much better the first row is on each test example that both have, by the seeds that both have.

    Args:
        first, second: Mappings from a seed to a test.
        sign: Float, -1 where a smaller value is the better one. Defaults to 1.
    """
    found = {}
    for seed in first.keys() & second.keys():
        ours, theirs = _by_content(first[seed]), _by_content(second[seed])
        shared = [key for key in ours if key in theirs]
        if shared:
            values = np.array([sign * (ours[key] - theirs[key]) for key in shared])
            found[seed] = _Gap(contents=tuple(key[0] for key in shared), values=values)
    return dict(sorted(found.items()))


def paired_p(gaps: Mapping[int, _Gap]) -> float:
    """The two-sided p-value of the differences of two rows; see the head of this module. 1 where nothing can be compared."""
    if not gaps:
        return 1.0
    sums: dict[str, float] = defaultdict(float)
    for gap in gaps.values():
        for content, value in zip(gap.contents, gap.values, strict=True):
            sums[content] += float(value)
    clustered = np.array(list(sums.values()))
    by_examples = p_value(clustered, np.zeros_like(clustered))
    one_sided = max(by_examples, _t_test([float(gap.values.mean()) for gap in gaps.values()]))
    return min(1.0, 2 * one_sided)


@dataclass(frozen=True, kw_only=True)
class _Gap:
    """The differences under one seed: the content of each example, and how much better the first row is there."""

    contents: tuple[str, ...]
    values: NDArray[np.float64]

    def mean(self) -> float:
        return float(self.values.mean())


def _t_test(means: Sequence[float]) -> float:
    """One-sided; 0, so that it does not count, for a single seed, which says nothing about others."""
    from scipy.stats import ttest_1samp

    if len(means) < 2:
        return 0.0
    if np.ptp(means) == 0:
        return 0.0 if means[0] > 0 else 1.0
    return float(ttest_1samp(means, 0.0, alternative="greater").pvalue)


def _by_content(test: Scores) -> dict[tuple[str, int], float]:
    """The values by content; the copies of one content are told apart by a number."""
    seen: dict[str, int] = defaultdict(int)
    found = {}
    for content, value in zip(test.contents, test.values, strict=True):
        found[(content, seen[content])] = float(value)
        seen[content] += 1
    return found


def _mean(tests: Mapping[int, Scores]) -> float:
    return float(np.mean([test.mean for test in tests.values()]))
