"""The length that all sounds get: chosen from the training sounds, and said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tfl.modalities.audio.check import MOST_BYTES, check_sound

COVERED = 0.95
"""The share of the training sounds that is not cut."""
MOST_READ = 2000
"""So many training sounds are looked at, evenly spread."""
LONGEST_S = 10.0
"""A longer length is never chosen, only stated."""


def chosen_length(durations: Sequence[float]) -> tuple[float, str]:
    """The length that covers 95% of the sounds, rounded up to two digits, at most 10 seconds.

    Args:
        durations: Of sounds, in seconds.

    Returns:
        The length in seconds, and a sentence about it.

    Example:

    >>> from tfl.modalities.audio.length import chosen_length
    >>> chosen_length([0.4] * 96 + [0.62] * 4)
    (0.4, 'length 0.4 s, chosen from 100 sounds of 0.4 to 0.62 s: 4 are cut to the middle, shorter ones are padded')
    """
    lengths = np.sort(np.asarray(durations, np.float64))
    wanted = min(LONGEST_S, float(lengths[math.ceil(COVERED * len(lengths)) - 1]))
    step = 10.0 ** (math.floor(math.log10(wanted)) - 1)
    seconds = float(np.clip(round(math.ceil(wanted / step - 1e-6) * step, 6), 0.05, LONGEST_S))
    longer = int((lengths > seconds + 1e-9).sum())
    cut = "none is cut" if not longer else f"{longer:,} {'is' if longer == 1 else 'are'} cut to the middle"
    sentence = (
        f"length {seconds:g} s, chosen from {len(lengths):,} sounds of {lengths[0]:.3g} to {lengths[-1]:.3g} s: "
        f"{cut}, shorter ones are padded"
    )
    return seconds, sentence


def durations_of(examples: Any) -> list[float]:
    """The lengths of the training sounds that can be read, in seconds, from their headers.

    Args:
        examples: A `tfl.data.examples.Examples`; where it has no splits yet, all of them are looked at.
    """
    indices = np.arange(len(examples))
    if examples.splits is not None and (examples.splits == "train").any():
        indices = np.flatnonzero(examples.splits == "train")
    spread = indices[np.linspace(0, len(indices) - 1, min(MOST_READ, len(indices))).astype(int)]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda index: _duration(examples, int(index)), spread))
    return [seconds for seconds in found if seconds is not None]


def _duration(examples: Any, index: int) -> float | None:
    try:
        content = examples.bytes_of(index)
    except OSError:
        return None
    if len(content) > MOST_BYTES:
        return None
    checked = check_sound(content)
    return None if checked.trouble else float(checked.about["seconds"])
