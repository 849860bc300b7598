"""All examples of a source, a batch at a time: nothing here ever holds more than that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tfl.data.bundle import Bundle

BATCH = 64


def batches(bundle: Bundle) -> Iterator[tuple[int, Any]]:
    """Where each batch starts, and its tensors as the network takes them, in the dtypes that they are kept in; in order."""
    count = len(bundle.examples)
    if bundle.cached is not None:
        for start in range(0, count, BATCH):
            yield start, bundle.cached[slice(start, start + BATCH)]
        return
    dataset = bundle.dataset(np.arange(count), batch_size=BATCH)
    kept = {name: spec.stored_as or spec.dtype for name, spec in bundle.modality.spec().items()}
    for number, (tensors, _) in enumerate(dataset.as_numpy_iterator()):
        if isinstance(tensors, dict):
            yield number * BATCH, {name: tensors[name].astype(dtype) for name, dtype in kept.items()}
        else:
            yield number * BATCH, tensors.astype(next(iter(kept.values())))
