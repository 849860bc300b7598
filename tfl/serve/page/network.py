"""What the page takes from the run itself: where the network looked. Loaded when it is first asked for."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import RunError
from tfl.recipe import Data
from tfl.runs import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Seen:
    """What a run's network made of one picture.

    Attributes:
        heat: Grad-CAM's map over the network's input, `(height, width)` float32, 0..1.
        vector: What its head reads, `(features,)` float32.
    """

    heat: NDArray[np.float32]
    vector: NDArray[np.float32]


class RunNetwork:
    """The network of a run: `model.keras`, the layer that Grad-CAM looks at, and the vector that the head reads."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """The run's classes."""
        return self._run.class_names

    @functools.cached_property
    def data(self) -> Data:
        """The recipe's data: the size and fit of the network's input."""
        return self._run.recipe.data

    def see(self, pixels: NDArray[np.uint8], class_index: int) -> Seen:
        """Looks at a decoded picture, `(height, width, 3)`, for what speaks for one of the classes.

        Raises:
            RunError: The run has no model, or it cannot be read.
            BackboneError: The network has no feature map to look at.
        """
        from tfl.evaluate.explain import maps_of
        from tfl.modalities.image.resize import resize_image

        mapped, features = self._parts()
        image = resize_image(pixels, self.data.settled_size, self.data.fit).numpy()[None]
        heat = maps_of(mapped, image, np.array([class_index]))[0]
        return Seen(heat, np.asarray(features(image, training=False), np.float32)[0])

    def _parts(self) -> tuple[Any, Any]:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> tuple[Any, Any]:
        from tfl.serve.predictor import load_run_model

        feature_layer = last_block(self._run)
        model = load_run_model(self._run)
        import keras

        from tfl.evaluate.explain import tensor_of, with_features
        from tfl.model.head import POOL

        return with_features(model, feature_layer), keras.Model(model.input, tensor_of(model, POOL))


def last_block(run: Run) -> str:
    """The last block of the run's backbone, by its plans: the layer whose output the report's Grad-CAM shows too.

    Raises:
        RunError: `plans.json` is missing or damaged.
    """
    plans = run.read_json("plans.json")
    try:
        rows = next(iter(plans.values()))["rows"]
        name = [row["block"] for row in rows][-2]  # the head is the last row
    except (StopIteration, LookupError, TypeError) as error:
        raise RunError(f"{run.path('plans.json')} is damaged.", fix="Run the recipe again in another folder.") from error
    if not isinstance(name, str):
        raise RunError(
            f"{run.path('plans.json')} is damaged.", received=repr(name), fix="Run the recipe again in another folder."
        )
    return name
