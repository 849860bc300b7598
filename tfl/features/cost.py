"""Store what the frozen blocks make, or compute it in every epoch: whichever was measured to cost less."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tfl.features.budget import GB, can_store, features_home, room_bytes
from tfl.storage import storage_errors

SMALL_ROW_BYTES = 2**14
"""Features of an example up to this size are stored unasked: writing them takes less than any network takes to make them."""
TIE = 1.1
"""Storing may cost so much more than computing anew: later stages, trials and runs read the same features."""
_PROBE_BYTES = 2**25


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What a stage would ask of the frozen blocks.

    Args:
        row_bytes: Size of the features of one example, in the storage dtype.
        train, validation: Number of examples.
        epochs: Of the stage.
        views: Augmented copies of each training example that are stored, 1 without augmentation.
        held: Whether the features stay in memory once they were read.
    """

    row_bytes: int
    train: int
    validation: int
    epochs: int
    views: int
    held: bool

    @property
    def computed(self) -> int:
        """Examples that go through the prefix once when features are stored."""
        return self.train * min(self.views, self.epochs) + self.validation

    @property
    def used(self) -> int:
        """Examples that an epoch uses, times epochs."""
        return (self.train + self.validation) * self.epochs

    @property
    def stored_bytes(self) -> int:
        """What would be stored."""
        return self.computed * self.row_bytes

    def store_seconds(self, example_s: float, write_rate: float, read_rate: float) -> float:
        """Computing once, writing, and reading in every epoch (once, when held); rates in bytes a second."""
        reads = self.computed if self.held else self.used
        return self.computed * (example_s + self.row_bytes / write_rate) + reads * self.row_bytes / read_rate

    def stream_seconds(self, example_s: float) -> float:
        """Computing in every epoch."""
        return self.used * example_s


@dataclass(frozen=True)
class Decision:
    """Whether features are stored, and a sentence that says why with the numbers."""

    stored: bool
    said: str


def decide(
    asked: Literal["auto", "always", "never"],
    work: Pass,
    *,
    missing: Callable[[], int],
    noun: str = "example",
    example_seconds: Callable[[], tuple[float, float]],
) -> Decision:
    """Whether a stage stores what its frozen blocks make.

    Args:
        asked: `features.store` of the recipe.
        work: What the stage asks of the frozen blocks.
        missing: How many of the `computed` examples the store does not have; called where that matters.
        noun: What one example is called.
        example_seconds: What an example takes to compute once for the store, and in an epoch without it; called, and so measured,
            only where that matters.

    Example:

    >>> work = Pass(row_bytes=2560, train=3000, validation=500, epochs=10, views=1, held=True)
    >>> decide("auto", work, missing=lambda: 0, example_seconds=lambda: (0.01, 0.01))
    Decision(stored=True, said='Features of the frozen blocks are in the store: 2.6 kB per example, 9 MB.')
    """
    size = f"{_bytes(work.row_bytes)} per {noun}, {_bytes(work.stored_bytes)}"
    if asked == "never":
        return Decision(False, "The frozen blocks run in every epoch, as features.store=never asks.")
    if asked == "auto" and not can_store():
        return Decision(False, f"The frozen blocks run in every epoch: {features_home()} cannot be written (TFL_CACHE).")
    lacking = missing()
    if not lacking:
        return Decision(True, f"Features of the frozen blocks are in the store: {size}.")
    if asked == "always":
        return Decision(True, f"Features of the frozen blocks are stored, as features.store=always asks: {size}.")
    room = room_bytes()
    if lacking * work.row_bytes > room:
        words = f"storing their outputs takes {_bytes(lacking * work.row_bytes)}, and the store has room for {_bytes(room)}"
        return Decision(False, f"The frozen blocks run in every epoch: {words} (TFL_CACHE_GB).")
    if work.row_bytes <= SMALL_ROW_BYTES:
        return Decision(True, f"Features of the frozen blocks are stored: {size}.")
    (once_s, epoch_s), (write_rate, disk_rate, memory_rate) = example_seconds(), disk_rates(features_home())
    read_rate = memory_rate if 2 * work.stored_bytes < available_memory() else disk_rate
    store_s, stream_s = work.store_seconds(once_s, write_rate, read_rate), work.stream_seconds(epoch_s)
    measured = (
        f"{once_s * 1e3:.2g} ms to compute one {noun}, {_bytes(work.row_bytes)} to keep it, "
        f"{_bytes(write_rate)} written and {_bytes(read_rate)} read a second"
    )
    if store_s <= stream_s * TIE:
        words = f"Features of the frozen blocks are stored: {store_s:.3g} s in all against {stream_s:.3g} s"
    else:
        words = f"The frozen blocks run in every epoch: {stream_s:.3g} s in all against {store_s:.3g} s with stored features"
    return Decision(store_s <= stream_s * TIE, f"{words} ({measured}).")


@functools.cache
def disk_rates(folder: Path) -> tuple[float, float, float]:
    """Bytes a second written to disk, read from disk and read from the page cache, measured once a process on 32 MB.

    The file is flushed and dropped from the page cache before it is read, where the system can do that.

    Raises:
        StorageError: The disk is full or not permitted.
    """
    path = folder / f".rate.{os.getpid()}.tmp"
    with storage_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        content = os.urandom(_PROBE_BYTES)
        try:
            seconds = [_timed(lambda: _write(path, content)), _timed(path.read_bytes), _timed(path.read_bytes)]
        finally:
            path.unlink(missing_ok=True)
    written, read, again = (_PROBE_BYTES / max(one, 1e-9) for one in seconds)
    return written, read, again


def available_memory() -> int:
    """Bytes that new data, the page cache's included, can take without swapping; 0 where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)


def _write(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _bytes(count: float) -> str:
    for unit, size in (("GB", GB), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.2g} {unit}" if count < 100 * size else f"{count / size:.0f} {unit}"
    return f"{count:.0f} B"
