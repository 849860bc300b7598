"""What the page takes from the run itself: where the network looked. Loaded when it is first asked for."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import RunError
from tfl.runs import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAP_AXES = 4
"""Of feature maps, the batch among them."""


@dataclass(frozen=True)
class Explanation:
    """What a run's network made of one example.

    Attributes:
        heat: How much each part of the network's input speaks for the answer, such as Grad-CAM's map `(height, width)` float32,
            0..1; None for a network without feature maps.
        vector: The head's input, `(features,)` float32.
    """

    heat: NDArray[np.float32] | None
    vector: NDArray[np.float32]


class RunNetwork:
    """The network of a run: `model.keras`, the layer that attributions look at, and the vector that is the head's input."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any, Any] | None = None

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """The run's classes."""
        return self._run.class_names

    def explain(self, content: bytes, column: int) -> Explanation:
        """Explains one of the outputs of a content.

        Raises:
            RunError: The run has no model, or it cannot be read.
        """
        attribute, features, decode = self._parts()
        tensors = decode([content])
        heat = None if attribute is None else attribute(tensors, np.array([column]))[0]
        return Explanation(heat, np.asarray(features(tensors, training=False), np.float32)[0])

    def _parts(self) -> tuple[Any, Any, Any]:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> tuple[Any, Any, Any]:
        from tfl.serve.predictor import load_run_model

        blocks = block_names(self._run)
        model = load_run_model(self._run)
        import keras

        from tfl.backbones.inputs import inputs_of
        from tfl.evaluate.explain import attributions, explained_layer, maps_of, tensor_of, with_features
        from tfl.export.trial import decoder
        from tfl.modalities.base import modality_of
        from tfl.model.head import POOL

        layer = explained_layer(model, blocks)
        attribute: Any = None
        if layer == blocks[-1] and len(tensor_of(model, layer).shape) == _MAP_AXES:
            attribute = functools.partial(maps_of, with_features(model, layer))  # built once, not for each example
        elif layer is not None:
            attribute = functools.partial(attributions, model, layer=layer)
        features = keras.Model(inputs_of(model), tensor_of(model, POOL))
        return attribute, features, decoder(modality_of(self._run.recipe))


def block_names(run: Run) -> list[str]:
    """The blocks of the run's backbone, input side first, by its plans: the report explains the same layers.

    Raises:
        RunError: `plans.json` is missing or damaged.
    """
    plans = run.read_json("plans.json")
    try:
        rows = next(iter(plans.values()))["rows"]
        names = [row["block"] for row in rows][:-1]  # the head is the last row
    except (StopIteration, LookupError, TypeError) as error:
        raise RunError(f"{run.path('plans.json')} is damaged.", fix="Run the recipe again in another folder.") from error
    if not names or not all(isinstance(name, str) for name in names):
        raise RunError(
            f"{run.path('plans.json')} is damaged.", received=repr(names)[:200], fix="Run the recipe again in another folder."
        )
    return names
