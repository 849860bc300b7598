"""Whether one network is better than another, by what both say of the same held-out examples.

The best of several epochs is better than the start by chance alone where few examples validate. A paired test asks how often a
gain at least as large would come of two networks that are equally good: their scores are exchanged at random, example by example
(a permutation test; where all differences have one size it is the sign test).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.recipe import lower_is_better
from tfl.tasks.base import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 9999
_AT_ONCE = 2**22
"""Logits whose losses are computed at once, for as many temperatures as that makes."""
_MOST_VALUES = 2**25
"""Exchanged signs in memory at once; the batches do not change the result."""
TEMPERATURES = tuple(2.0**power for power in np.arange(-2, 3.25, 0.25))
"""Of which the best one is taken before losses are compared: a network that is right as often, but too sure, is not worse."""


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How much better a candidate is than the one before it.

    Args:
        metric: Float, the gain in the monitored metric; above zero is better.
        mean: Float, the mean gain in calibrated loss.
        interval: Two floats, its 95% interval by Student's t.
        p: Float, the larger one of two paired one-sided tests: by exchanges of signs, and Student's t.
        holds: Bool, whether p is small enough, the gain large enough, and the metric did not fall.
    """

    metric: float
    mean: float
    interval: tuple[float, float]
    p: float
    holds: bool

    def words(self, metric: str, *, kept: bool | None = None) -> str:
        """It as the end of a sentence.

        Args:
            metric: String, the name of the metric.
            kept: Bool, whether the candidate is kept. Defaults to None, which is `holds`.
        """
        low, high = self.interval
        verdict = "kept" if (self.holds if kept is None else kept) else "not kept"
        change = -self.metric if lower_is_better(metric) else self.metric
        return f"{metric} {change:+.4f}, loss {-self.mean:+.4f} [{-high:+.4f}, {-low:+.4f}], p = {self.p:.2g}: {verdict}"

    def as_json(self) -> dict[str, Any]:
        """It as plain data."""
        return {"metric": self.metric, "mean": self.mean, "interval": list(self.interval), "p": self.p, "holds": self.holds}


class Evidence:
    """Compares candidates on held-out examples.

    Args:
        task: What is predicted.
        targets: Array of shape `(n, width)`, of the examples.
        metric: String, the monitored metric.
        balanced: Bool, whether every class has the same total weight.
        alpha: Float, the largest p-value that counts as evidence.
        least: Float, the smallest mean gain that is worth a change. Defaults to 0.
        seed: Int, of the permutation test.

    Example:

    >>> import numpy as np
    >>> from tfl.train.evidence import Evidence
    >>> from tfl.tasks.base import task_of
    >>> truth = np.eye(2, dtype=np.float32)[np.arange(40) % 2]
    >>> evidence = Evidence(task_of("classify"), truth, metric="val_accuracy", alpha=0.05)
    >>> evidence.compare(4 * truth, 0 * truth).holds, evidence.compare(0 * truth, 4 * truth).holds
    (True, False)
    """

    def __init__(
        self,
        task: Task,
        targets: NDArray[np.float32],
        *,
        metric: str,
        alpha: float,
        least: float = 0.0,
        balanced: bool = False,
        seed: int = 0,
    ) -> None:
        self.task, self.targets, self.metric, self.seed = task, targets, metric, seed
        self.alpha, self.least = alpha, least
        self.weights = task.balanced_weights(targets) if balanced else None

    def compare(
        self,
        logits: NDArray[np.floating],
        before: NDArray[np.floating],
        rows: NDArray[np.integer] | None = None,
        *,
        alpha: float | None = None,
        by_loss_alone: bool = False,
    ) -> Gain:
        """The gain of one candidate over another.

        Args:
            logits: Array of shape `(m, width)`, of the candidate.
            before: Array of shape `(m, width)`, of the other one, on the same examples.
            rows: Integer array of shape `(m,)`, which of the examples these are. Defaults to all of them.
            alpha: Float, in the place of the `alpha` that was given at first. Defaults to None: that one.
            by_loss_alone: Bool, whether the candidate may be better though the metric fell. Defaults to False.
        """
        targets = self.targets if rows is None else self.targets[rows]
        gains = self.losses(before, targets) - self.losses(logits, targets)
        metric = (self.metric_of(logits, targets) - self.metric_of(before, targets)) * (-1 if lower_is_better(self.metric) else 1)
        mean, p = float(gains.mean()), max(p_value(gains, np.zeros(len(gains)), seed=self.seed), _p_of_mean(gains))
        holds = p <= (self.alpha if alpha is None else alpha) and (by_loss_alone or metric >= 0) and mean >= self.least
        return Gain(metric=metric, mean=mean, interval=_interval(gains), p=p, holds=holds)

    def metric_of(self, logits: NDArray[np.floating], targets: NDArray[np.float32]) -> float:
        """The monitored metric of logits `(m, width)` on targets of the same shape."""
        return float(self.task.validate(np.asarray(logits, np.float32), targets)[self.metric])

    def losses(self, logits: NDArray[np.floating], targets: NDArray[np.float32]) -> NDArray[np.float64]:
        """The loss of each example `(m,)`; for classes and labels with the temperature that makes their mean smallest. Several
        targets are compared as they are.
        """
        import tensorflow as tf

        weights = None if self.weights is None else tf.constant(self.weights, tf.float32)
        rows = np.asarray(logits, np.float32)

        def at(temperatures: Sequence[float]) -> NDArray[np.float64]:
            scaled: Any = tf.constant(np.concatenate([rows / np.float32(temperature) for temperature in temperatures]))
            truth: Any = tf.constant(np.tile(targets, (len(temperatures), 1)), tf.float32)
            return np.asarray(self.task.loss(truth, scaled, weights=weights), np.float64).reshape(len(temperatures), -1)

        if not self.task.has_temperature:
            return at([1.0])[0]
        at_once = max(1, _AT_ONCE // max(rows.size, 1))
        parts = [at(TEMPERATURES[start : start + at_once]) for start in range(0, len(TEMPERATURES), at_once)]
        return min(np.concatenate(parts), key=lambda losses: float(losses.mean()))


def _p_of_mean(gains: NDArray[np.float64]) -> float:
    """Of Student's t test, which doubts a mean that few examples make; exchanges of signs alone do not."""
    from scipy.stats import ttest_1samp

    if np.ptp(gains) == 0:
        return 0.0 if gains[0] > 0 else 1.0
    return float(ttest_1samp(gains, 0.0, alternative="greater").pvalue)


def _interval(gains: NDArray[np.float64]) -> tuple[float, float]:
    from scipy.stats import t

    if len(gains) < 2:
        return (float("-inf"), float("inf"))
    half = float(t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains)))
    return float(gains.mean()) - half, float(gains.mean()) + half


def p_value(scores: NDArray[np.floating], before: NDArray[np.floating], *, seed: int = 0) -> float:
    """How likely a mean gain at least as large as this one is where both networks are equally good; one-sided.

    Args:
        scores: Array of shape `(n,)`, of the network that may be better.
        before: Array of shape `(n,)`, of the other one, on the same examples.
        seed: Int, of the random exchanges where there are too many to try all. Defaults to 0.

    Example:

    >>> import numpy as np
    >>> from tfl.train.evidence import p_value
    >>> p_value(np.array([1.0, 1, 1, 1, 0]), np.array([0.0, 0, 1, 1, 0]))  # two gained, none lost: one of four sign patterns
    0.25
    """
    gains = np.asarray(scores, np.float64) - np.asarray(before, np.float64)
    moved = gains[gains != 0]
    if not len(moved):
        return 1.0
    if np.ptp(np.abs(moved)) < 1e-12:
        from scipy.stats import binomtest

        return float(binomtest(int((moved > 0).sum()), len(moved), alternative="greater").pvalue)
    from scipy.stats import permutation_test

    found = permutation_test(
        (moved,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _MOST_VALUES // len(moved)),
        alternative="greater",
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)
