"""Requests that come at the same time are answered by one call of the model.

Where no batch runs, one begins at once with whatever waits: a request that comes alone is run alone. Only where the batch before
held several requests, and so more are on their way, is a moment waited for them. A second batch begins beside the first once as
many requests wait as the first one holds: one batch alone leaves a part of the cores idle while it decodes, copies and answers.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tfl.serve.limits import Limits
from tfl.serve.pace import Pace, work_of
from tfl.serve.refusal import RefusedError

if TYPE_CHECKING:
    import numpy as np

Rows = Any
"""A list of contents, an array with a row each, or a list of dictionaries of arrays where there are several inputs."""
Outputs = Mapping[str, "np.ndarray"]
Run = Callable[[str, Rows], Outputs]


@dataclass(eq=False)
class Request:
    """Rows for a signature, and the future of its outputs.

    Attributes:
        signature: Which of the model's functions.
        rows: Contents, or tensors with a row each.
        cost: Of decoding the rows.
        deadline: When the answer is of no use any more, by `time.monotonic`.
    """

    signature: str
    rows: Rows
    cost: int = 0
    deadline: float = math.inf
    future: Future[Outputs] = field(default_factory=Future)

    @property
    def work(self) -> int:
        """What it takes, by `work_of`."""
        return work_of(len(self.rows), self.cost)


class BatcherClosedError(Exception):
    """The model is being unloaded: ask for the one that took its place."""


class Batcher:
    """A queue before a model, and the threads that empty it.

    Args:
        run: Calls a signature on rows and returns arrays with a row each, in several threads. Raises `RefusedError` when a row
            is at fault.
        limits: Of a batch and of the queue.
        join: Makes one sequence of rows of several.
        on_batch: Called with the number of rows of each batch.
        nouns: What examples are called in messages. Defaults to `examples`.
    """

    def __init__(
        self,
        run: Run,
        *,
        limits: Limits,
        join: Callable[[list[Rows]], Rows],
        on_batch: Callable[[int], None] | None = None,
        nouns: str = "examples",
    ) -> None:
        self._run, self._limits, self._join, self._nouns = run, limits, join, nouns
        self._on_batch = on_batch or (lambda rows: None)
        self._queue: deque[Request] = deque()
        self._running: list[Request] = []
        self._waiting = self._last = 0
        self._work = 0  # of all that waits or runs
        self._gathering = self._closed = False
        self._pace = Pace()
        self._changed = threading.Condition()
        numbers = range(limits.parallel_batches)
        self._threads = [threading.Thread(target=self._serve, name=f"tfl-batches-{n}", daemon=True) for n in numbers]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        return self._waiting

    @property
    def expected_wait_s(self) -> float:
        """How long a request that comes now is expected to wait: 0 where nothing waits."""
        return self._pace.seconds(self._work) if self._queue else 0.0

    def submit(self, signature: str, rows: Rows, *, weight: int = 0, deadline: float = math.inf) -> Future[Outputs]:
        """Puts rows in the queue. A future that is cancelled takes them out of it again.

        Args:
            signature: Which of the model's functions.
            rows: Contents, or tensors with a row each.
            weight: Cost of decoding the rows.
            deadline: When the answer is of no use any more, by `time.monotonic`: what still waits then is not run.

        Raises:
            RefusedError: The rows would wait too long, or the queue is full.
            BatcherClosedError: The model takes nothing new.
        """
        request = Request(signature, rows, weight, deadline)
        with self._changed:
            if self._closed:
                raise BatcherClosedError
            self._admit(request)
            self._queue.append(request)
            self._waiting += len(rows)
            self._work += request.work
            self._changed.notify()
        request.future.add_done_callback(lambda future: self._forget(request) if future.cancelled() else None)
        return request.future

    def close(self) -> None:
        """Takes nothing new, answers what waits, and ends the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _admit(self, request: Request) -> None:
        """Where nothing waits everything is taken, so that a wrong estimate never closes the server."""
        if self._waiting and self._waiting + len(request.rows) > self._limits.max_waiting:
            raise RefusedError(
                "UNAVAILABLE", f"Too many {self._nouns} wait for the model ({self._waiting}). Try again in a moment."
            )
        wait, limit, left = self.expected_wait_s, self._limits.max_expected_wait_s, request.deadline - time.monotonic()
        if wait <= min(limit, left):
            return
        retry = max(1, math.ceil(wait - min(limit, max(left, 0.0))))
        reason = f"the limit is {limit:g} s" if limit <= left else f"the request's deadline is in {max(left, 0.0):.1f} s"
        raise RefusedError(
            "UNAVAILABLE", f"The expected wait is {wait:.1f} s, and {reason}. Try again in {retry} s.", retry_after_s=retry
        )

    def _forget(self, request: Request) -> None:
        """A request whose client has gone waits no longer."""
        with self._changed, contextlib.suppress(ValueError):  # a batch may have it by now
            self._queue.remove(request)
            self._waiting -= len(request.rows)
            self._work -= request.work

    def _serve(self) -> None:
        while (batch := self._next()) is not None:
            began = time.monotonic()
            try:
                if batch:
                    self._on_batch(sum(len(request.rows) for request in batch))
                self._answer(batch)
            except Exception as error:  # the thread must live whatever a model returns
                _fail([request for request in batch if not request.future.done()], error)
            self._end(batch, began)
            batch = None  # nothing keeps the rows while the thread waits

    def _next(self) -> list[Request] | None:
        """The next batch, waited for; None when there will be none."""
        with self._changed:
            while not self._may_begin():
                if self._closed and not self._queue:
                    return None
                self._changed.wait()
            if not self._running and self._last > 1:
                self._wait_for_more(time.monotonic() + self._limits.max_wait_s)
            batch = self._take()
            self._last = len(batch)
            self._running += batch
            self._changed.notify()  # what is left may begin beside it
            return batch

    def _may_begin(self) -> bool:
        if not self._queue or self._gathering:
            return False
        cost = sum(request.cost for request in self._running)
        fits = not self._running or cost + self._queue[0].cost <= 2 * self._limits.max_cost
        return fits and len(self._queue) >= len(self._running)

    def _wait_for_more(self, until: float) -> None:
        self._gathering = True
        while len(self._queue) < self._last and not self._closed and (left := until - time.monotonic()) > 0:
            self._changed.wait(left)
        self._gathering = False

    def _take(self) -> list[Request]:
        """The first requests of the queue that go together: one signature, not too many rows, not too much to decode."""
        batch: list[Request] = []
        rows, cost = 0, sum(request.cost for request in self._running)
        while self._queue:
            request = self._queue[0]
            rows, cost = rows + len(request.rows), cost + request.cost
            too_much = rows > self._limits.max_batch_size or cost > 2 * self._limits.max_cost
            if batch and (too_much or request.signature != batch[0].signature):
                break
            self._waiting -= len(self._queue.popleft().rows)
            if self._is_wanted(request):
                batch.append(request)
            else:
                rows, cost = rows - len(request.rows), cost - request.cost
                self._work -= request.work
        return batch

    def _is_wanted(self, request: Request) -> bool:
        """False where the client has gone or its deadline has passed; it is told so."""
        if not request.future.set_running_or_notify_cancel():
            return False
        if time.monotonic() < request.deadline:
            return True
        request.future.set_exception(RefusedError("DEADLINE_EXCEEDED", "The deadline passed before the model was free."))
        return False

    def _end(self, batch: list[Request], began: float) -> None:
        with self._changed:
            work = sum(request.work for request in batch)
            if batch:
                self._pace.batch_ended(work, began=began, ended=time.monotonic())
            self._work -= work
            self._running = [request for request in self._running if request not in batch]
            self._changed.notify_all()

    def _answer(self, batch: list[Request]) -> None:
        """Runs the batch; where a row is at fault, halves it, so that every good request is answered."""
        if not batch:
            return
        try:
            outputs = self._outputs(batch[0].signature, self._join([request.rows for request in batch]))
        except Exception as error:
            if len(batch) > 1 and isinstance(error, RefusedError) and error.code == "INVALID_ARGUMENT":
                self._answer(batch[: len(batch) // 2])
                self._answer(batch[len(batch) // 2 :])
                return
            _fail(batch, error)
            return
        ends = list(itertools.accumulate(len(request.rows) for request in batch))
        for request, end in zip(batch, ends, strict=True):
            request.future.set_result({name: values[end - len(request.rows) : end] for name, values in outputs.items()})

    def _outputs(self, signature: str, rows: Rows) -> Outputs:
        size = self._limits.max_batch_size
        if len(rows) <= size:
            return self._run(signature, rows)
        import numpy as np

        parts = [self._run(signature, rows[start : start + size]) for start in range(0, len(rows), size)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _fail(batch: list[Request], error: Exception) -> None:
    for request in batch:
        request.future.set_exception(error)
