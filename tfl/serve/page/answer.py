"""All that the page shows of one example, as plain data: the answer, the example, what spoke for it, the nearest training
examples.

What cannot be shown is named in `missing`, each with the reason. Reasons hold no path: who looks at the page need not be who
started the server. The log has the particulars.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfl.errors import BackboneError, TflError
from tfl.evaluate.out_of_distribution import with_current_names
from tfl.modalities.shipping import Shipping
from tfl.recipe import DETECT, HEADS
from tfl.runs import Run
from tfl.serve.page.neighbours import Neighbours, load_neighbours
from tfl.serve.page.network import RunNetwork
from tfl.serve.rows import row_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NO_RUN = "An export alone is served. {} the run: tfl serve RUN"
_NOT_CALIBRATED = "The network's own numbers: this export has no calibration."
_log = logging.getLogger("tfl.serve")
NearestOf = Callable[[bytes], list[dict[str, Any]]]


class Answers:
    """Makes the page's answers; what it needs of the run is loaded with the first example.

    Args:
        run: Which the model came from, or None for an export alone.
        shipping: How contents are read.
        task: Name of the task. Defaults to one of several classes.
        nearest: From a content to the examples nearest to it, as `Neighbours.nearest` gives them; takes the place of the run's
            training examples. Defaults to these.
    """

    def __init__(self, run: Run | None, *, shipping: Shipping, task: str = "classify", nearest: NearestOf | None = None) -> None:
        self._shipping, self._task, self._nearest_of = shipping, task, nearest
        self._network = RunNetwork(run) if run else None
        self._neighbours: Neighbours | None = None
        self._no_neighbours = _NO_RUN.format(f"The nearest training {_examples(shipping)} need")
        self._about: dict[str, float | None] = {"coverage": None, "out_of_distribution_threshold": None}
        if run is not None:
            self._neighbours, self._no_neighbours = _neighbours_of(run, _examples(shipping))
            self._about = _confidence_of(run)

    def answer(self, content: bytes, outputs: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """The answer to one example.

        Args:
            content: Which the model could decode, converted where its format is not one that graphs read.
            outputs: What the model gave for it, a row of each output.

        Returns:
            `task`, and by task: `label`, `probabilities`, `calibrated_probabilities` and `prediction_set` by class; `labels` and
            `probabilities` by label; `values`, `lower` and `upper` by name; of several targets `targets`, the answer of each by
            name; `detections`, see `tfl.serve.rows.row_of`, and `boxes`, to lay over the example.
            `is_out_of_distribution`,
            `out_of_distribution_score`; what `Shipping.shown` and `Shipping.explained` give; `neighbours`; `missing`, why any of
            them is None.
        """
        names = [name.decode() for name in outputs["labels"][0].tolist()]
        if self._task == DETECT:
            return self._boxes(content, names, outputs)
        said = _said(self._task, names, outputs)
        missing = {} if self._task != "classify" or said["calibrated_probabilities"] else {"confidence": _NOT_CALIBRATED}
        explained, why = self._explained(content, names, _explained_column(self._task, names, said))
        if self._nearest_of is not None:
            near, reason = self._from_index(self._nearest_of, content)
            explained, why = {**explained, "neighbours": near}, {**why, **reason}
            why = {name: words for name, words in why.items() if name != "neighbours" or near is None}
        explained["neighbours_from"] = "training" if self._nearest_of is None else "index"
        shown = self._shipping.shown(content)
        return {**said, **self._about, **shown, **explained, "missing": {**missing, **why}}

    def _boxes(self, content: bytes, names: Sequence[str], outputs: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """The detections, and the boxes to lay over the example."""
        from tfl.modalities.image.boxes import over_shown

        shown = self._shipping.shown(content)
        found = row_of(self._task, {name: values[0] for name, values in outputs.items()}, names)
        nothing = {"neighbours": None, "is_out_of_distribution": None, "out_of_distribution_score": None, "grad_cam": None}
        boxes = over_shown(shown, found["detections"], names)
        return {"task": self._task, **found, "boxes": boxes, **nothing, **shown, "missing": {}}

    def _from_index(self, nearest: NearestOf, content: bytes) -> tuple[list[dict[str, Any]] | None, dict[str, str]]:
        """The nearest examples of an index, or why there are none."""
        try:
            return nearest(content), {}
        except TflError as error:
            _log.warning("The page shows no examples of the index: %s", error)
            return None, {"neighbours": "The index cannot be read; the server's log says why."}

    def _explained(self, content: bytes, names: Sequence[str], column: int) -> tuple[dict[str, Any], dict[str, str]]:
        """The attribution and the neighbours, and why there are none."""
        nothing = {"grad_cam": None, "looked": None, "neighbours": None}
        if self._network is None:
            return nothing, {"grad_cam": _NO_RUN.format("Where it looked needs"), "neighbours": self._no_neighbours}
        try:
            if tuple(names) != self._network.class_names:
                reason = "The version that is served has other classes than the run."
                return nothing, {"grad_cam": reason, "neighbours": reason}
            explanation = self._network.explain(content, column)
            near = None if self._neighbours is None else self._neighbours.nearest(explanation.vector)
        except TflError as error:
            _log.warning("The page has no attribution: %s", error)
            unsuited = isinstance(error, BackboneError)
            reason = "This network has no feature map." if unsuited else "The run cannot be read; the server's log says why."
            return nothing, {"grad_cam": reason, "neighbours": reason}
        missing = {} if near is not None else {"neighbours": self._no_neighbours}
        if explanation.heat is None:
            return {**nothing, "neighbours": near}, {**missing, "grad_cam": "This network has no feature map."}
        return {**nothing, **self._shipping.explained(content, explanation.heat), "neighbours": near}, missing


def _examples(shipping: Shipping) -> str:
    """What the page calls several examples."""
    return shipping.modality.nouns


def _explained_column(task: str, names: Sequence[str], said: Mapping[str, Any]) -> int:
    """Which output is explained: that of the label, or of the likeliest one, or the first."""
    if task == "classify":
        return names.index(said["label"])
    if task == HEADS:
        target, row = next(iter(said["targets"].items()))
        shares = row.get("probabilities")
        return names.index(f"{target}={max(shares, key=shares.__getitem__)}") if shares else names.index(target)
    shares = said.get("probabilities")
    return 0 if not shares else names.index(max(shares, key=shares.__getitem__))


def _said(task: str, names: Sequence[str], outputs: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The model's outputs for one example, by name."""
    row = with_current_names({name: values[0] for name, values in outputs.items()})
    distant = {
        "is_out_of_distribution": bool(row["is_out_of_distribution"]) if "is_out_of_distribution" in row else None,
        "out_of_distribution_score": float(row["out_of_distribution_score"]) if "out_of_distribution_score" in row else None,
    }
    if task != "classify":
        return {"task": task, **row_of(task, row, names), **distant}
    inside = row.get("prediction_set")
    return {
        "task": task,
        "label": row["label"].decode(),
        "probabilities": _by_class(names, row["probabilities"]),
        "calibrated_probabilities": _by_class(names, row.get("calibrated_probabilities")),
        "prediction_set": None if inside is None else [name for name, is_in in zip(names, inside, strict=True) if is_in],
        **distant,
    }


def _by_class(names: Sequence[str], values: NDArray[Any] | None) -> dict[str, float] | None:
    return None if values is None else {name: float(value) for name, value in zip(names, values, strict=True)}


def _neighbours_of(run: Run, nouns: str) -> tuple[Neighbours | None, str]:
    try:
        found = load_neighbours(run)
    except TflError as error:
        _log.warning("The page shows no training examples: %s", error)
        return None, f"The run's training {nouns} cannot be read; the server's log says why."
    return found, f"This run keeps no training {nouns} to compare with. They come with: tfl evaluate RUN --confidence"


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
