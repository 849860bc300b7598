"""Pictures that show next to nothing: dark, overexposed or blank by CleanVision's measures and thresholds, blurred by our own.

CleanVision measures blur by the edges of a 64 px picture, its frame included, which is an edge in every picture. Here the
frame is left out, the edges are put in relation to the contrast, and a picture is blurred when it is so beside the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.extras import require_audit_library
from tfl.finding import Finding, plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KINDS = {
    "dark": ("dark", "so dark that little can be seen"),
    "light": ("overexposed", "so bright that little can be seen"),
    "low_information": ("blank", "blank, or nearly so"),
}
"""CleanVision's word, ours, and what it means."""
_SIDE = 96
_BESIDE_THE_REST, _BLURRED = 0.4, 0.2
_LEAST_CONTRAST = 4.0


def quality_findings(
    examples: Any, batches: Iterable[tuple[int, NDArray[np.uint8]]], *, checked: NDArray[np.bool_] | None = None
) -> list[Finding]:
    """`dark`, `overexposed`, `blank` and `blurred`, each the worst first; the score goes from 0 (bad) up.

    Args:
        examples: The images.
        batches: Where each batch starts, and its images `(b, height, width, 3)` uint8.
        checked: `(n,)` those to check; None checks all.

    Raises:
        MissingExtraError: CleanVision is not installed.
    """
    measures = _Measures()
    values = [measures.of(image) for _, images in batches for image in images]
    if not values:
        return []
    rows, usable = np.stack(values), np.ones(len(values), bool) if checked is None else checked
    found, shows_nothing = [], ~usable
    for word, (kind, text) in _KINDS.items():
        scores, poor = measures.assess(word, rows[:, 1:])
        found += _finding(examples, kind, text, scores, poor & usable)
        shows_nothing = shows_nothing | poor
    sharp = rows[:, 0].astype(np.float64)
    poor = is_blurred(sharp, ~shows_nothing)
    return found + _finding(examples, "blurred", "blurred, beside the rest", sharp, poor)


def sharpness(image: NDArray[np.uint8]) -> float:
    """How much of a picture's contrast is in its edges: about 0.1 for one that is blurred over a twentieth of its width.

    Args:
        image: `(height, width, 3)`.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.image.audit.quality import sharpness
    >>> noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3)).astype(np.uint8)
    >>> sharpness(noise) > 1 > sharpness(np.full((96, 96, 3), 9, np.uint8))
    True
    """
    from PIL import Image, ImageFilter

    grey = Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BOX).convert("L")
    edges = np.asarray(grey.filter(ImageFilter.FIND_EDGES), np.float32)[1:-1, 1:-1]
    return float(edges.std() / max(float(np.asarray(grey, np.float32).std()), _LEAST_CONTRAST))


def is_blurred(sharp: NDArray[np.floating], shows_something: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`(n,)` which pictures are blurred: far less sharp than the median one, and not sharp by any measure."""
    if not shows_something.any():
        return np.zeros(len(sharp), bool)
    limit = min(_BLURRED, _BESIDE_THE_REST * float(np.median(sharp[shows_something])))
    return np.asarray(shows_something & (sharp < limit))


def _finding(examples: Any, kind: str, text: str, scores: NDArray[np.floating], poor: NDArray[np.bool_]) -> list[Finding]:
    indices = np.flatnonzero(poor)
    indices = indices[np.argsort(scores[indices], kind="stable")]
    if not len(indices):
        return []
    note = f"{plural(len(indices), 'image is', 'images are')} {text}."
    files = tuple(examples.name_of(int(index)) for index in indices)
    some = tuple(float(scores[index]) for index in indices)
    return [Finding(kind=kind, severity="warning", files=files, note=note, scores=some)]


class _Measures:
    """Our sharpness, and CleanVision's properties of single images, one image at a time: its front end wants a folder."""

    def __init__(self) -> None:
        manager = require_audit_library("cleanvision.issue_managers.image_property_issue_manager").ImagePropertyIssueManager()
        self._of = {word: manager.image_properties[word] for word in _KINDS}
        self._settings = {word: dict(manager.params[word]) for word in _KINDS}
        self.columns: tuple[str, ...] = ()

    def of(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The sharpness of one image, and what `columns` names."""
        from PIL import Image

        picture, values = Image.fromarray(image), {}
        for word in ("dark", "low_information"):  # what `light` needs comes with `dark`
            values.update(self._of[word].calculate(picture))
        self.columns = tuple(values)
        return np.array([sharpness(image), *values.values()], np.float32)

    def assess(self, word: str, rows: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """CleanVision's score of each image, and whether it is too low."""
        import pandas  # cleanvision brings it

        settings: dict[str, Any] = dict(self._settings[word])
        threshold = settings.pop("threshold")
        scores = self._of[word].get_scores(raw_scores=pandas.DataFrame(rows, columns=self.columns), issue_type=word, **settings)
        marked = self._of[word].mark_issue(scores, word, threshold)
        return scores.iloc[:, 0].to_numpy(np.float64), marked.iloc[:, 0].to_numpy(bool)
