"""All images of a source, a batch at a time: nothing here ever holds more than that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tfl.data.bundle import Bundle

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 64


def batches(bundle: Bundle) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Where each batch starts, and its images `(b, height, width, 3)` uint8 as the network sees them, in order."""
    count = len(bundle.examples)
    if bundle.cached is not None:
        for start in range(0, count, BATCH):
            yield start, bundle.cached[slice(start, start + BATCH)]
        return
    dataset = bundle.dataset(np.arange(count), batch_size=BATCH)
    for number, (images, _) in enumerate(dataset.as_numpy_iterator()):
        yield number * BATCH, images.astype(np.uint8)
