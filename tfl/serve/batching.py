"""Requests that come at the same time are answered by one call of the model.

A batch begins as soon as the one before it ends, with whatever waits: a request that comes alone is run alone, at once.
Only where the batch before held several requests, and so more are on their way, is a moment waited for them.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tfl.serve.limits import Limits
from tfl.serve.refusal import RefusedError

if TYPE_CHECKING:
    import numpy as np

Rows = Any
"""A list of contents of files, or an array with a row each."""
Outputs = Mapping[str, "np.ndarray"]
Run = Callable[[str, Rows], Outputs]


@dataclass(eq=False)
class Work:
    """One request: rows for a signature, and the future of its outputs.

    Attributes:
        signature: Which of the model's functions.
        rows: Contents of files, or an array `(rows, height, width, 3)`.
        weight: Pixels that decoding the rows takes.
    """

    signature: str
    rows: Rows
    weight: int = 0
    future: Future[Outputs] = field(default_factory=Future)


class BatcherClosedError(Exception):
    """The model is being unloaded: ask for the one that took its place."""


class Batcher:
    """A queue before a model, and the thread that empties it.

    Args:
        run: Calls a signature on rows and returns arrays with a row each. Raises `RefusedError` when a row is at fault.
        limits: Of a batch and of the queue.
        join: Makes one sequence of rows of several.
        on_batch: Told the rows of each batch.
    """

    def __init__(
        self, run: Run, *, limits: Limits, join: Callable[[list[Rows]], Rows], on_batch: Callable[[int], None] | None = None
    ) -> None:
        self._run, self._limits, self._join = run, limits, join
        self._on_batch = on_batch or (lambda rows: None)
        self._queue: deque[Work] = deque()
        self._waiting = self._last = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="tfl-batches", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        return self._waiting

    def submit(self, signature: str, rows: Rows, *, weight: int = 0) -> Future[Outputs]:
        """Puts rows in the queue.

        Raises:
            RefusedError: The queue is full.
            BatcherClosedError: The model takes nothing new.
        """
        work = Work(signature, rows, weight)
        with self._changed:
            if self._closed:
                raise BatcherClosedError
            if self._waiting and self._waiting + len(rows) > self._limits.max_waiting:
                raise RefusedError("UNAVAILABLE", f"Too many images wait for the model ({self._waiting}). Try again in a moment.")
            self._queue.append(work)
            self._waiting += len(rows)
            self._changed.notify()
        return work.future

    def close(self) -> None:
        """Takes nothing new, answers what waits, and ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next():
            live = [work for work in batch if work.future.set_running_or_notify_cancel()]
            try:
                if live:
                    self._on_batch(sum(len(work.rows) for work in live))
                self._answer(live)
            except Exception as error:  # the thread must live whatever a model returns
                _fail([work for work in live if not work.future.done()], error)
            batch = live = []  # nothing keeps the images while the thread waits

    def _next(self) -> list[Work]:
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            if self._last > 1:
                self._wait_for_more(time.monotonic() + self._limits.max_wait_s)
            batch = self._take()
            self._last = len(batch)
            return batch

    def _wait_for_more(self, until: float) -> None:
        while len(self._queue) < self._last and not self._closed and (left := until - time.monotonic()) > 0:
            self._changed.wait(left)

    def _take(self) -> list[Work]:
        """The first requests of the queue that go together: one signature, not too many rows, not too many pixels."""
        batch: list[Work] = []
        rows = weight = 0
        while self._queue:
            work = self._queue[0]
            rows, weight = rows + len(work.rows), weight + work.weight
            too_much = rows > self._limits.max_batch_size or weight > 2 * self._limits.max_pixels
            if batch and (too_much or work.signature != batch[0].signature):
                break
            batch.append(self._queue.popleft())
            self._waiting -= len(work.rows)
        return batch

    def _answer(self, batch: list[Work]) -> None:
        """Runs the batch; where a row is at fault, halves it, so that every good request is answered."""
        if not batch:
            return
        try:
            outputs = self._outputs(batch[0].signature, self._join([work.rows for work in batch]))
        except Exception as error:
            if len(batch) > 1 and isinstance(error, RefusedError) and error.code == "INVALID_ARGUMENT":
                self._answer(batch[: len(batch) // 2])
                self._answer(batch[len(batch) // 2 :])
                return
            _fail(batch, error)
            return
        ends = list(itertools.accumulate(len(work.rows) for work in batch))
        for work, end in zip(batch, ends, strict=True):
            work.future.set_result({name: values[end - len(work.rows) : end] for name, values in outputs.items()})

    def _outputs(self, signature: str, rows: Rows) -> Outputs:
        size = self._limits.max_batch_size
        if len(rows) <= size:
            return self._run(signature, rows)
        import numpy as np

        parts = [self._run(signature, rows[start : start + size]) for start in range(0, len(rows), size)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _fail(batch: list[Work], error: Exception) -> None:
    for work in batch:
        work.future.set_exception(error)
