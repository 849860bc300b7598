"""`sample:machines_old` and `sample:machines_new`: drawn tables of machines before and after their sensors were replaced.

Five readings tell whether a machine is worn. The new sensors have another zero and a wider range, the column `firmware` says
which sensor it was, and a reading is there that was constant before. A model trained on both can tell which sensor it looks at;
one that is trained further on new rows alone moves its threshold for all.
"""

from __future__ import annotations

import numpy as np

from tfl.errors import DataError, did_you_mean

NAMES = ("machines_old", "machines_new")
_ROWS = {"machines_old": 2000, "machines_new": 1000}
_READINGS = ("temperature", "vibration", "current", "noise", "pressure")
_WEIGHTS = np.array([1.2, -0.9, 0.8, 0.7, -0.5])
_RANGE, _ZERO = 3.2, 0.65
"""Of the new sensors, where those of the old ones are 1 and 0."""


def drawn_table(name: str, *, seed: int = 0) -> tuple[tuple[str, ...], list[list[str]]]:
    """The columns and the rows of a drawn table.

    Args:
        name: `machines_old` or `machines_new`.
        seed: Another seed draws other rows.

    Raises:
        DataError: There is no such table.

    Example:

    >>> from tfl.warm_start.samples import drawn_table
    >>> columns, rows = drawn_table("machines_old")
    >>> columns[-1], len(rows)
    ('state', 2000)
    """
    if name not in NAMES:
        raise DataError(
            f"There is no drawn table `sample:{name}`.",
            allowed=", ".join(f"sample:{one}" for one in NAMES),
            fix=did_you_mean(name, NAMES) or None,
        )
    new = name == "machines_new"
    rng = np.random.default_rng((seed, int(new)))
    readings = rng.normal(size=(_ROWS[name], len(_READINGS)))
    score = readings @ _WEIGHTS
    acoustic = np.zeros(len(score))
    if new:
        extra = rng.normal(size=len(score))
        score = score + 0.6 * extra
        acoustic = extra + 0.3 * rng.normal(size=len(score))
        readings = _RANGE * (readings + 0.1 * rng.normal(size=readings.shape)) + _ZERO * np.sign(_WEIGHTS)
    worn = score + (0.45 if new else 0.3) * rng.normal(size=len(score)) > 0
    firmware = "1.5" if new else "1.0"
    columns = (*_READINGS, "acoustic", "firmware", "state")
    rows = [
        [*(f"{value:.3f}" for value in readings[at]), f"{acoustic[at]:.3f}", firmware, "worn" if worn[at] else "good"]
        for at in range(len(score))
    ]
    return columns, rows
