"""The names of metrics in words, the same in tables, charts and reports."""

from __future__ import annotations

import re

NAMES = {
    "f1": "F1",
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R²",
    "map_50": "mAP@50",
    "map_50_95": "mAP@50:95",
}


def metric_words(metric: str, *, split: bool = False) -> str:
    """The name of a metric in words, without the split that it is of unless `split`.

    Example:

    >>> from tfl.evaluate.metric_names import metric_words
    >>> metric_words("val_map_50"), metric_words("val_macro_f1", split=True), metric_words("hamming_loss")
    ('mAP@50', 'validation macro-F1', 'hamming loss')
    """
    found = metric.removeprefix("val_")
    words = NAMES.get(found, found.replace("_", " "))
    return f"validation {words}" if split and metric != found else words


def as_title(words: str) -> str:
    """The same with a first capital; what has capitals of its own stays.

    Example:

    >>> from tfl.evaluate.metric_names import as_title
    >>> as_title("mAP@50"), as_title("hamming loss")
    ('mAP@50', 'Hamming loss')
    """
    return words if re.match(r"\w*[A-Z]", words) else words[:1].upper() + words[1:]
