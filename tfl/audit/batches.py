"""All images of a source, a batch at a time: nothing here ever holds more than that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tfl.data.cached import Pixels
from tfl.data.examples import Examples
from tfl.recipe import Data

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 64


def batches(examples: Examples, data: Data, pixels: Pixels | None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Where each batch starts, and its images `(b, height, width, 3)` uint8 as the network sees them.

    Args:
        examples: All of them, in their order.
        data: `image_size` and `fit` are used.
        pixels: The same at hand, or None to decode them.
    """
    if pixels is not None:
        for start in range(0, len(examples), BATCH):
            yield start, pixels[start : start + BATCH]
        return
    from tfl.data.pipeline import make_dataset

    dataset = make_dataset(examples, np.arange(len(examples)), data=data, batch_size=BATCH)
    for number, (images, _) in enumerate(dataset.as_numpy_iterator()):
        yield number * BATCH, images.astype(np.uint8)
