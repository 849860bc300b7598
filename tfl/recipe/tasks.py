"""What can be predicted, and the metrics that a monitor can watch, by task."""

from __future__ import annotations

import re
from typing import Literal

TaskName = Literal["classify", "multilabel", "regress", "heads", "generate", "detect"]
METRICS: dict[str, tuple[str, ...]] = {
    "classify": ("val_accuracy", "val_loss", "val_macro_f1"),
    "multilabel": ("val_mean_average_precision", "val_macro_f1", "val_micro_f1", "val_accuracy", "val_loss"),
    "regress": ("val_mae", "val_rmse", "val_r2", "val_loss"),
    "heads": ("val_loss",),
    "generate": ("val_perplexity", "val_loss"),
    "detect": ("val_map_50", "val_map_50_95", "val_loss"),
}
"""What a monitor can watch, by task; the first is watched where the recipe does not say. Of several targets also the metrics of
each, with its name in them: `val_disease_accuracy`."""
LOWER_IS_BETTER = ("val_loss", "val_mae", "val_rmse", "val_perplexity")
"""Metrics of which a smaller value is the better one."""
OF_NUMBERS = ("regress", "generate")
"""Tasks whose targets and outputs are numbers, and neither a class nor labels."""
GENERATE = "generate"
"""The task of a language model: what is predicted is the text itself."""
DETECT = "detect"
"""The task of finding objects in images: what is predicted are boxes with a class and a score."""
HEADS = "heads"
"""The task of a recipe with several targets."""
TargetKind = Literal["class", "labels", "number"]
TASK_OF_KIND: dict[str, TaskName] = {"class": "classify", "labels": "multilabel", "number": "regress"}
"""The task of one target alone, by its kind."""


def metric_alone(metric: str) -> str | None:
    """A metric without the name of a target; None where it is none.

    Example:

    >>> from tfl.recipe import metric_alone
    >>> metric_alone("val_disease_macro_f1"), metric_alone("val_mae"), metric_alone("val_beauty")
    ('val_macro_f1', 'val_mae', None)
    """
    known = sorted({one for metrics in METRICS.values() for one in metrics}, key=len, reverse=True)
    if metric in known:
        return metric
    return next((one for one in known if re.fullmatch(rf"val_[a-z][a-z0-9_]*{one.removeprefix('val')}", metric)), None)


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of a metric is the better one.

    Example:

    >>> from tfl.recipe import lower_is_better
    >>> lower_is_better("val_length_mae"), lower_is_better("val_accuracy")
    (True, False)
    """
    return metric_alone(metric) in LOWER_IS_BETTER
