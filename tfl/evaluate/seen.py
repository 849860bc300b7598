"""What a finished network makes of images: probabilities, logits, and what its head reads of them, in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfl.backbones.inputs import inputs_of, structured
from tfl.data.bundle import Bundle
from tfl.evaluate.explain import tensor_of
from tfl.features.cut import FEATURES, cut, inputs_next_to
from tfl.features.extract import Extractor
from tfl.model.freeze import make_plan
from tfl.model.head import LOGITS, POOL
from tfl.runs import Run
from tfl.train.state import StageState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tfl.model.assemble import Assembled

_BATCH = 64


@dataclass(frozen=True, eq=False)
class Seen:
    """Some images as a network sees them.

    Attributes:
        probabilities: `(n, classes)` float32.
        logits: `(n, classes)` float32.
        features: `(n, width)` float32, of the layer `head_pool`.
    """

    probabilities: NDArray[np.float32]
    logits: NDArray[np.float32]
    features: NDArray[np.float32]


class Sight:
    """A network with its logits and features as outputs, traced once however many splits it looks at.

    Args:
        model: From pixels 0..255 to probabilities, with a head of tfl's.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = keras.Model(inputs_of(model), [model.output, tensor_of(model, LOGITS), tensor_of(model, POOL)])

    def see(self, bundle: Bundle, indices: NDArray[np.int64]) -> Seen:
        """The images at `indices`, in that order, as they are, without augmentation."""
        dataset = bundle.dataset(indices, batch_size=_BATCH)
        return Seen(*(np.asarray(array, np.float32) for array in self.model.predict(dataset, verbose=0)))


def stored_features(run: Run, assembled: Assembled, bundle: Bundle, indices: NDArray[np.int64]) -> NDArray[np.float32] | None:
    """What the head reads of training images, from what the last stage stored of its frozen blocks; None where it stored nothing.

    Whether it did follows from the recipe and from what the run chose, not from what the store still holds, so that a resumed
    or repeated run comes to the same: what is missing there is computed again, as the stage computed it.

    Args:
        run: Knows whether the stage stored them.
        assembled: The network, trained.
        bundle: The data.
        indices: Training images.
    """
    recipe = run.recipe
    stage = recipe.stages[-1]
    first_live, state = make_plan(assembled, stage).first_live_block, StageState.load(run, stage.name)
    if stage.augment is not None or state is None or state.unstored is not False:
        return None
    if not 1 <= first_live <= len(assembled.blocks):
        return None
    prefix, suffix = cut(assembled, first_live)
    rows: Any = Extractor([prefix], bundle, features=recipe.features, known=state.engine).run(indices)[0][0]
    if first_live == len(assembled.blocks):
        return np.asarray(rows.read_all(), np.float32)
    above = keras.Model(inputs_of(suffix), tensor_of(suffix, POOL))
    arrays = rows if isinstance(rows, dict) else {FEATURES: rows}
    own = inputs_next_to(prefix, suffix)
    parts = []
    for start in range(0, len(indices), _BATCH):
        places = np.arange(start, min(start + _BATCH, len(indices)))
        batch = {name: np.asarray(array[places], np.float32) for name, array in arrays.items()}
        if own and bundle.cached is not None:
            batch |= {name: bundle.cached.columns[name][indices[places]] for name in own}
        parts.append(above.predict_on_batch(structured(batch)))
    return np.concatenate(parts).astype(np.float32)
