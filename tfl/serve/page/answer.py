"""All that the page shows of one picture, as plain data: the answer, the picture, Grad-CAM, the nearest training pictures.

What cannot be shown is named in `missing`, each with the reason. Reasons hold no path: who looks at the page need not be who
started the server. The log has the particulars.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import BackboneError, TflError
from tfl.evaluate.out_of_distribution import with_current_names
from tfl.runs import Run
from tfl.serve.page.neighbours import Neighbours, load_neighbours
from tfl.serve.page.network import RunNetwork
from tfl.serve.page.shown import heat_picture, in_words, placed_heat, shown_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NO_RUN = "An export alone is served. {} the run: tfl serve RUN"
_NOT_CALIBRATED = "The network's own numbers: this export has no calibration."
_log = logging.getLogger("tfl.serve")


class Answers:
    """Makes the page's answers; what it needs of the run is loaded with the first picture.

    Args:
        run: Which the model came from, or None for an export alone.
        bits: How many bits of 16-bit images are in use; None means 16.
    """

    def __init__(self, run: Run | None, *, bits: int | None = None) -> None:
        self._bits = bits
        self._network = RunNetwork(run) if run else None
        self._neighbours: Neighbours | None = None
        self._no_neighbours = _NO_RUN.format("The nearest training pictures need")
        self._about: dict[str, float | None] = {"coverage": None, "out_of_distribution_threshold": None}
        if run is not None:
            self._neighbours, self._no_neighbours = _neighbours_of(run)
            self._about = _confidence_of(run)

    def answer(self, content: bytes, outputs: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """The answer to one picture.

        Args:
            content: Of an image file that the model could decode, converted where its format is not one that graphs read.
            outputs: What the model gave for it, a row of each output.

        Returns:
            `label`; `probabilities`, `calibrated_probabilities` and `prediction_set` by class; `is_out_of_distribution`,
            `out_of_distribution_score`; `picture`, `grad_cam`, `neighbours`; `missing`, why any of them is None.
        """
        import tensorflow as tf

        from tfl.modalities.image.decode import decode_image

        pixels = decode_image(tf.constant(content), self._bits).numpy()
        names = [name.decode() for name in outputs["labels"][0].tolist()]
        said = _said(names, outputs)
        missing = {} if said["calibrated_probabilities"] else {"confidence": _NOT_CALIBRATED}
        explained, why = self._explained(pixels, names, names.index(said["label"]))
        return {**said, **self._about, "picture": shown_picture(pixels), **explained, "missing": {**missing, **why}}

    def _explained(
        self, pixels: NDArray[np.uint8], names: Sequence[str], class_index: int
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Grad-CAM and the neighbours, and why there are none."""
        nothing = {"grad_cam": None, "looked": None, "neighbours": None}
        if self._network is None:
            return nothing, {"grad_cam": _NO_RUN.format("Where it looked needs"), "neighbours": self._no_neighbours}
        try:
            if tuple(names) != self._network.class_names:
                reason = "The version that is served has other classes than the run."
                return nothing, {"grad_cam": reason, "neighbours": reason}
            seen = self._network.see(pixels, class_index)
            near = None if self._neighbours is None else self._neighbours.nearest(seen.vector)
        except TflError as error:
            _log.warning("The page has no Grad-CAM: %s", error)
            unsuited = isinstance(error, BackboneError)
            reason = "This network has no feature map." if unsuited else "The run cannot be read; the server's log says why."
            return nothing, {"grad_cam": reason, "neighbours": reason}
        placed = placed_heat(seen.heat, pixels.shape[:2], self._network.data.fit)
        shown = {"grad_cam": heat_picture(placed), "looked": in_words(placed), "neighbours": near}
        return shown, {} if near is not None else {"neighbours": self._no_neighbours}


def _said(names: Sequence[str], outputs: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The model's outputs for one picture, by class."""
    row = with_current_names({name: values[0] for name, values in outputs.items()})
    inside = row.get("prediction_set")
    return {
        "label": row["label"].decode(),
        "probabilities": _by_class(names, row["probabilities"]),
        "calibrated_probabilities": _by_class(names, row.get("calibrated_probabilities")),
        "prediction_set": None if inside is None else [name for name, is_in in zip(names, inside, strict=True) if is_in],
        "is_out_of_distribution": bool(row["is_out_of_distribution"]) if "is_out_of_distribution" in row else None,
        "out_of_distribution_score": float(row["out_of_distribution_score"]) if "out_of_distribution_score" in row else None,
    }


def _by_class(names: Sequence[str], values: NDArray[Any] | None) -> dict[str, float] | None:
    return None if values is None else {name: float(value) for name, value in zip(names, values, strict=True)}


def _neighbours_of(run: Run) -> tuple[Neighbours | None, str]:
    try:
        found = load_neighbours(run)
    except TflError as error:
        _log.warning("The page shows no training pictures: %s", error)
        return None, "The run's training pictures cannot be read; the server's log says why."
    return found, "This run keeps no training pictures to compare with. They come with: tfl evaluate RUN --confidence"


def _confidence_of(run: Run) -> dict[str, float | None]:
    from tfl.evaluate.confidence import Confidence

    try:
        found = Confidence.load(run.folder)
    except TflError as error:
        _log.warning("The page knows no coverage: %s", error)
        found = None
    return {
        "coverage": found.values.get("coverage") if found else None,
        "out_of_distribution_threshold": found.out_of_distribution_threshold if found else None,
    }
