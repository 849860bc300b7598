"""What a simple model without any network makes of the same splits: a network has to be better than that."""

from __future__ import annotations

from typing import Any

from tfl.data.bundle import Bundle
from tfl.recipe import HEADS


def baseline_metrics(bundle: Bundle) -> dict[str, Any] | None:
    """The metrics of the baseline of the modality on the test split, trained on the training split; None where it has none.

    Args:
        bundle: `Bundle`, the data.

    Returns:
        `name`, and `test` with the metrics of the task; or `refused`, why it could not be trained.
    """
    if not bundle.modality.has_baseline or bundle.task.name == HEADS:  # which is of one target
        return None
    parts = {part: [bundle.examples.bytes_of(int(index)) for index in bundle.indices(part)] for part in ("train", "val", "test")}
    try:
        name, outputs = bundle.modality.baseline(
            bundle.task.name,
            train=(parts["train"], bundle.targets_of("train")),
            val=(parts["val"], bundle.targets_of("val")),
            contents=parts["test"],
        )
    except ValueError as error:  # of scikit-learn: no word is left to go by
        return {"name": "The baseline without a network could not be trained", "refused": f"{error}."}
    names = bundle.examples.class_names
    return {"name": name, "test": bundle.task.evaluate(outputs, bundle.targets_of("test"), names, seed=bundle.seed)}
