"""Seconds by step."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class Clock:
    """Adds up what each step takes.

    Example:

    >>> from tfl.audit.clock import Clock
    >>> clock = Clock()
    >>> with clock.step("labels"):
    ...     pass
    >>> list(clock.seconds)
    ['labels']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Adds the time of the block to that of `name`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
