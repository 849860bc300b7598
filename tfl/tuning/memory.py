"""Memory that a process of trials gathers, and when another process takes over.

TensorFlow 2.21 keeps a part of every compiled training loop: measured here, about 10 MB a trial with a small suffix, whatever
is deleted, and no Python object holds it. So trials run in a process until it has grown by `TFL_TRIALS_GROWTH_MB`, and the next
ones in a new process.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from pathlib import Path

from tfl.errors import TflError
from tfl.features.cost import available_memory

GROWTH = "TFL_TRIALS_GROWTH_MB"
LEAST_MB = 512.0


def resident_mb() -> float:
    """Memory of this process that lies in RAM; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def growth_limit_mb() -> float:
    """How far a process of trials may grow: `TFL_TRIALS_GROWTH_MB`, or a quarter of the memory that is free now, at least 512.

    Raises:
        TflError: The variable is no positive number.
    """
    text = os.environ.get(GROWTH)
    if text is None:
        return max(LEAST_MB, available_memory() / 2**20 / 4)
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise TflError(f"{GROWTH} is no number of megabytes.", received=text, allowed="more than 0", fix=f"Unset {GROWTH}.")
    return limit


def give_back() -> None:
    """Frees unused memory, and returns free pages to the system if the C library can."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Growth:
    """How far this process has grown since its first trial began."""

    def __init__(self) -> None:
        self.limit_mb, self._first = growth_limit_mb(), 0.0

    @property
    def too_far(self) -> bool:
        """Whether the next trial should run in a new process; called between trials."""
        give_back()
        now = resident_mb()
        if not self._first:
            self._first = now
        return now - self._first > self.limit_mb


def start_again() -> None:
    """Replaces this process, a worker of a search, by a new one with the same command and the same id."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "tfl.cli.main", *sys.argv[1:]])
