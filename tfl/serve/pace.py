"""How fast the model answers, and so how long a new request is expected to wait."""

from __future__ import annotations

ROW_COST = 250_000
"""The network's share of the work on one example, in the cost of decoding: a small network on two cores. Where all requests are
alike it cancels out; it weighs large examples against small ones in one queue."""
_KEPT = 0.9
"""Share of the earlier batches that counts on after each batch: the latest ten or so decide, a second or two under load."""


def work_of(rows: int, cost: int) -> int:
    """The work on so many examples.

    Args:
        rows: Integer, examples.
        cost: Of decoding them, as `Shipping.cost` counts.

    Example:

    >>> from tfl.serve.pace import work_of
    >>> work_of(2, 12_000_000)
    12500000
    """
    return rows * ROW_COST + cost


class Pace:
    """A moving estimate of the time that a unit of work takes, from the batches that have ended.

    Where two batches overlap, each counts from the end of the one before, so the estimate is that of the whole server.

    Example:

    >>> from tfl.serve.pace import Pace
    >>> pace = Pace()
    >>> pace.batch_ended(100, began=0.0, ended=1.0)
    >>> pace.batch_ended(100, began=0.5, ended=2.0)
    >>> round(pace.seconds(300), 3)
    3.0
    """

    def __init__(self) -> None:
        self._seconds = self._work = 0.0
        self._last_end = float("-inf")

    def batch_ended(self, work: int, *, began: float, ended: float) -> None:
        """Learns from a batch.

        Args:
            work: Of the batch, by `work_of`.
            began, ended: On a monotonic clock, in seconds.
        """
        self._seconds = _KEPT * self._seconds + ended - max(began, self._last_end)
        self._work = _KEPT * self._work + work
        self._last_end = ended

    def seconds(self, work: int) -> float:
        """The expected time of so much work; 0 before the first batch has ended."""
        return work * self._seconds / self._work if self._work else 0.0
