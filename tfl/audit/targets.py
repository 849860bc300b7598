"""What an example is labelled, in words."""

from __future__ import annotations

import numpy as np

from tfl.data.examples import Examples
from tfl.data.targets import target_text


def target_words(examples: Examples, index: int) -> str:
    """The class of an example, its labels, its numbers, or how many boxes of each class it has.

    Example:

    >>> import numpy as np
    >>> from tfl.audit.targets import target_words
    >>> from tfl.data.examples import Examples
    >>> texts = np.array([b"a", b"b"], object)
    >>> labelled = Examples(class_names=("cat", "dog"), targets=np.array([[1, 1], [0, np.nan]]), contents=texts)
    >>> target_words(labelled, 0), target_words(labelled, 1)
    ('cat, dog', 'none of the labels')
    >>> target_words(Examples(class_names=("age",), targets=np.array([[31.5], [7]]), contents=texts), 0)
    'age 31.5'
    """
    if examples.targets is None:
        return examples.class_names[examples.labels[index]]
    if examples.heads:
        return target_text(examples, index).replace(";", ", ") or "no target"
    if examples.boxes:
        return target_text(examples, index).replace("=", " ").replace(";", ", ") or "no box"
    row = examples.targets[index]
    if np.isin(examples.targets[np.isfinite(examples.targets)], (0, 1)).all():
        return ", ".join(name for name, value in zip(examples.class_names, row, strict=True) if value > 0) or "none of the labels"
    return ", ".join(f"{name} {value:.6g}" for name, value in zip(examples.class_names, row, strict=True) if np.isfinite(value))
