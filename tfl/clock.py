"""Seconds by step, added up over everything that a step did."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Clock:
    """Adds up what each step takes.

    Args:
        earlier: Seconds by step that count already, such as those of a run before it was resumed; what is no number is left out.
        keep: Called with the seconds by step after each step, to keep them. Defaults to None.

    Example:

    >>> from tfl.clock import Clock
    >>> clock = Clock()
    >>> with clock.step("labels"):
    ...     pass
    >>> list(clock.seconds)
    ['labels']
    """

    def __init__(
        self, earlier: Mapping[str, Any] | None = None, keep: Callable[[dict[str, float]], object] | None = None
    ) -> None:
        self.seconds = {name: float(value) for name, value in (earlier or {}).items() if isinstance(value, int | float)}
        self.keep = keep

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Adds the time of the block to that of `name`; a block that fails counts as well."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
        if self.keep is not None:
            self.keep(self.seconds)

    def document(self) -> dict[str, float]:
        """Every step, and `total`, to hundredths of a second."""
        return {"total": round(sum(self.seconds.values()), 2), **{name: round(value, 2) for name, value in self.seconds.items()}}
