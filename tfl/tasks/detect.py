"""Objects in images: boxes, each with a class and a score.

Targets are the true boxes of an image, `(n, boxes * 5)`, as `tfl.data.examples.Examples.boxes` has them; NaN stands for no box.
Logits are maps, `(n, height, width, classes + 4)`; outputs are detections, `(n, detections, 6)`; `tfl.tasks.box_grid` says what
their numbers mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfl.errors import DataError, TflError
from tfl.tasks.base import Examples, OneTarget, WithoutConfidence
from tfl.tasks.box_metrics import Boxes, Detections, average_precision

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    from numpy.typing import NDArray


NUMBERS = 5
"""Of a box in a row of targets."""
COLUMNS = 6
"""Of a detection: score, index of the class, left, top, right, bottom."""
SHOWN = 0.4
"""Detections whose score is at least this are listed and drawn; the figures take all of them."""
LISTED = 0.05
"""Detections whose score is less than this are not kept in `predictions.csv`."""
SAMPLES = 300
"""Bootstrap samples of images of an interval."""
_ROWS = 32


@dataclass(frozen=True)
class Detect(WithoutConfidence, OneTarget):
    """Boxes with a class and a score.

    Args:
        boxes: How many boxes a row of training targets has room for; 0 before `fitted`.
    """

    name: ClassVar[str] = "detect"
    output: ClassVar[str] = "detections"
    uncalibrated: ClassVar[str] = "A detector has no confidence to fit: its scores are as the network gives them."
    metrics: ClassVar[Mapping[str, bool]] = {"val_map_50": True, "val_map_50_95": True, "val_loss": False}
    default_metric: ClassVar[str] = "val_map_50"
    step_metric: ClassVar[str] = "box_overlap"

    figures: ClassVar[tuple[str, ...]] = ("map_50", "map_50_95")
    each: ClassVar[str] = "per_kind"
    columns: ClassVar[tuple[str, ...]] = ("map_50", "map_50_95", "count")
    words: ClassVar[tuple[str, ...]] = ()
    shows: ClassVar[str] = "boxes"
    has_temperature: ClassVar[bool] = False
    main_outputs: ClassVar[tuple[str, ...]] = ("scores", "boxes", "classes")
    compared_outputs: ClassVar[tuple[str, ...]] = ("scores",)  # which keep their order; boxes do not
    truth_prefix: ClassVar[str | None] = None
    output_prefix: ClassVar[str] = "box_"

    boxes: int = 0

    def fitted(self, targets: NDArray[np.float32], names: Sequence[str] = ()) -> Detect:
        """The task with the number of boxes that a row of targets has room for.

        Raises:
            DataError: A class has no box in these targets.
        """
        without = [name for name, count in self.counts(targets, names).items() if not count]
        if without:
            raise DataError(
                "These classes have no box in the training images, so nothing can be learnt of them.",
                received=", ".join(without[:20]),
                fix="Leave the classes out with `data.labels`, or divide the images otherwise.",
            )
        return replace(self, boxes=targets.shape[1] // NUMBERS)

    def targets(self, examples: Examples) -> NDArray[np.float32]:
        """The true boxes of each image, `(n, boxes * 5)`.

        Raises:
            DataError: The examples have no boxes.
        """
        if not examples.boxes:
            raise DataError(f"The images of {examples.source} have no boxes.", fix="Name a source with boxes, or another task.")
        return np.asarray(examples.targets, np.float32)

    def output_width(self, names: int) -> int:
        """Score, class and four edges of each detection."""
        return COLUMNS

    def target_width(self, outputs: int) -> int:
        """Numbers in a row of targets."""
        return self.boxes * NUMBERS

    def scaled(self, targets: NDArray[np.float32]) -> NDArray[np.float64]:
        """There is nothing to which a linear head could be fitted.

        Raises:
            TflError: Always.
        """
        raise TflError("A detector has no linear probe.", fix="Compare depths by training: tfl tune RECIPE")

    def width(self, examples: Examples) -> int:
        """A score for each class, and four edges, at each place of the grid."""
        return len(examples.class_names) + 4

    def outputs_of(self, logits: Any, *, name: str | None = None) -> Any:
        """The detections of the maps."""
        import keras

        from tfl.tasks.box_grid import detections_of

        return keras.layers.Identity(name=name or "output", dtype="float32")(detections_of(logits))

    def logits_of(self, model: keras.Model) -> Any:
        """The symbolic maps of a network: what the last layer before the detections gives."""
        import keras

        above = [model.outputs[0]]
        while above:
            operation, node, _ = above.pop()._keras_history
            for tensor in operation._inbound_nodes[node].input_tensors:
                if isinstance(tensor._keras_history.operation, keras.layers.Layer):
                    return tensor
                above.append(tensor)
        raise ValueError(f"{model.name} has no detections.")

    def named(self, outputs: Any) -> dict[str, Any]:
        """`boxes` `(n, detections, 4)` float32, left, top, right and bottom as shares of the image; `scores` and `classes`
        `(n, detections)`, float32 and int32."""
        classes = outputs[..., 1]
        if isinstance(outputs, np.ndarray):
            whole: Any = classes.astype(np.int32)
        else:
            import keras

            whole = keras.ops.cast(classes, "int32")
        return {"boxes": outputs[..., 2:], "scores": outputs[..., 0], "classes": whole}

    def loss(
        self, targets: tf.Tensor, logits: tf.Tensor, *, weights: tf.Tensor | None = None, label_smoothing: float = 0.0
    ) -> tf.Tensor:
        """See `tfl.tasks.box_grid.detection_loss`; `weights` and `label_smoothing` mean nothing here."""
        from tfl.tasks.box_grid import detection_loss

        return detection_loss(targets, logits)[0]

    def step_score(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """How well the boxes of the places that learn one overlap it, on average, `(n,)`."""
        from tfl.tasks.box_grid import detection_loss

        return detection_loss(targets, logits)[1]

    def balanced_weights(self, targets: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """None: there is nothing to balance."""
        return None

    def validate(self, logits: NDArray[np.float32], targets: NDArray[np.float32]) -> dict[str, float]:
        """Mean average precision and loss on the validation split."""
        import tensorflow as tf

        from tfl.tasks.box_grid import EDGES, detections_of

        found, losses = [], []
        for start in range(0, len(logits), _ROWS):
            some: Any = tf.constant(np.asarray(logits[start : start + _ROWS], np.float32))
            found.append(np.asarray(detections_of(some)))
            truth: Any = tf.constant(np.asarray(targets[start : start + _ROWS], np.float32))
            losses.append(np.asarray(self.loss(truth, some)))
        figures = average_precision(true_boxes(targets), detections(np.concatenate(found)), logits.shape[-1] - EDGES)
        return {
            "val_loss": float(np.concatenate(losses).mean(dtype=np.float64)),
            **{f"val_{name}": float(figures[name] or 0.0) for name in self.figures},
        }

    def evaluate(
        self, outputs: NDArray[np.float32], targets: NDArray[np.float32], names: Sequence[str], *, seed: int = 0
    ) -> dict[str, Any]:
        """`map_50`, `map_50_95`, and both by class, with 95% intervals by a bootstrap over images."""
        truths = true_boxes(targets)
        figures = average_precision(truths, detections(outputs), len(names), samples=SAMPLES, seed=seed)
        rows = figures.pop("per_class")
        return {
            **figures,
            "count": len(truths),
            "boxes": sum(len(one.classes) for one in truths),
            "per_kind": {str(name): row for name, row in zip(names, rows, strict=True)},
        }

    def counts(self, targets: NDArray[np.float32], names: Sequence[str]) -> dict[str, int]:
        """How many boxes each class has."""
        classes = np.asarray(targets)[:, ::NUMBERS]
        found = np.bincount(classes[np.isfinite(classes)].astype(np.int64), minlength=len(names))
        return dict(zip(map(str, names), found.tolist(), strict=True))

    def sentence(self, metrics: Mapping[str, Any], *, noun: str, nouns: str) -> str:
        """The mean average precision.

        Example:

        >>> TASK.sentence({"map_50": 0.81, "map_50_95": 0.5, "count": 9, "boxes": 80}, noun="image", nouns="images")
        'mAP@50 0.810, mAP@50:95 0.500, of 80 boxes on 9 test images.'
        """
        said = []
        for name, title in (("map_50", "mAP@50"), ("map_50_95", "mAP@50:95")):
            value, interval = metrics.get(name), metrics.get(f"{name}_interval")
            spread = f" (95% interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
            said.append(f"{title} none" if value is None else f"{title} {value:.3f}{spread}")
        return f"{', '.join(said)}, of {metrics['boxes']} boxes on {metrics['count']} test {nouns}."

    def word_cells(
        self,
        names: Sequence[str],
        outputs: NDArray[np.floating],
        targets: NDArray[np.floating],
        answers: Mapping[str, NDArray[Any]] | None = None,
    ) -> list[tuple[str, ...]]:
        """None: boxes have rows of their own, see `tfl.evaluate.boxes`."""
        return [()] * len(outputs)

    def summary(self, examples: Examples) -> str:
        """How many boxes of how many classes there are."""
        counts = examples.counts()
        return f" with {sum(counts.values()):,} boxes of {len(counts)} class{'es' if len(counts) != 1 else ''}"

    def strata(self, examples: Examples) -> NDArray[np.int32]:
        """By the rarest class that has a box on the image; those without a box are a group of their own."""
        has = (examples.box_rows[..., 0, None] == np.arange(len(examples.class_names))).any(axis=1)
        rarest = np.where(has, has.sum(axis=0), np.inf).argmin(axis=1)
        return np.where(has.any(axis=1), rarest, len(examples.class_names)).astype(np.int32)


def true_boxes(targets: NDArray[np.floating]) -> list[Boxes]:
    """The true boxes of each image, from rows of targets.

    Example:

    >>> import numpy as np
    >>> from tfl.tasks.detect import true_boxes
    >>> [one] = true_boxes(np.array([[1, 0, 0, 0.5, 0.5, *[np.nan] * 5]]))
    >>> one.classes.tolist(), one.corners.tolist()
    ([1], [[0.0, 0.0, 0.5, 0.5]])
    """
    rows = np.asarray(targets, np.float64).reshape(len(targets), -1, NUMBERS)
    there = [row[np.isfinite(row[:, 0])] for row in rows]
    return [Boxes(row[:, 1:], row[:, 0].astype(np.int64)) for row in there]


def detections(outputs: NDArray[np.floating], *, least: float = 0.0) -> list[Detections]:
    """The detections of each image, from the outputs of the network.

    Args:
        outputs: `(n, detections, 6)`: score, class, left, top, right, bottom.
        least: Float, the score above which they count. Those that were suppressed have a score of 0. Defaults to 0.
    """
    there = [row[row[:, 0] > least] for row in np.asarray(outputs, np.float64)]
    return [Detections(row[:, 2:], row[:, 1].astype(np.int64), row[:, 0]) for row in there]


TASK = Detect()
