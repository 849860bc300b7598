"""The outputs of a finished network: probabilities, logits, and the features that its head takes, in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfl.backbones.inputs import inputs_of, structured
from tfl.data.bundle import Bundle
from tfl.evaluate.explain import tensor_of
from tfl.features.cut import FEATURES
from tfl.features.joined import joined_from
from tfl.model.head import LOGITS, POOL
from tfl.runs import ADAPT_ARRAYS, AUTO, AUTO_ARRAYS, VALIDATION, Run
from tfl.train.state import StageState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tfl.train.stage_plan import StagePlan

_BATCH = 64


@dataclass(frozen=True, eq=False)
class Outputs:
    """The outputs of a network for some examples.

    Attributes:
        predictions: `(n, width)` float32, what the network gives: probabilities or numbers.
        logits: `(n, width)` float32.
        features: `(n, width)` float32, of the layer `head_pool`.
    """

    predictions: NDArray[np.float32]
    logits: NDArray[np.float32]
    features: NDArray[np.float32]


class SplitPredictor:
    """Predicts the examples of a bundle; traced once for any number of splits.

    Args:
        model: Keras model with a head of tfl's, from the tensors of the modality to probabilities.
    """

    def __init__(self, model: keras.Model) -> None:
        vector = tensor_of(model, POOL)
        if len(vector.shape) == 3:  # a language model pools nothing
            vector = keras.layers.GlobalAveragePooling1D()(vector)
        elif len(vector.shape) == 4:  # nor does a detector
            vector = keras.layers.GlobalAveragePooling2D()(vector)
        self.model = keras.Model(inputs_of(model), [model.output, tensor_of(model, LOGITS), vector])

    def predict(self, bundle: Bundle, indices: NDArray[np.int64]) -> Outputs:
        """The outputs for the examples at `indices`, in that order, without augmentation."""
        dataset = bundle.dataset(indices, batch_size=_BATCH)
        return Outputs(*(np.asarray(array, np.float32) for array in self.model.predict(dataset, verbose=0)))


def outputs_by_split(run: Run, predictor: SplitPredictor, bundle: Bundle) -> dict[str, Outputs]:
    """The outputs for the validation and the test examples.

    Where the network was trained on the validation examples as well, their logits are those of a network that was not, which the
    run keeps. Where it was adapted to another domain, they are those of examples that were moved there as well as it goes.

    Args:
        run: `Run`.
        predictor: `SplitPredictor` of its network.
        bundle: `Bundle`, its data.
    """
    found = {name: predictor.predict(bundle, bundle.indices(name)) for name in ("val", "test")}
    adapted, chosen = run.path(ADAPT_ARRAYS), run.path(AUTO_ARRAYS)
    file = adapted if adapted.is_file() else chosen
    if file.is_file() and (file is adapted or run.read_json(AUTO)["refit"]):
        with np.load(file, allow_pickle=False) as arrays:
            logits = np.asarray(arrays[VALIDATION], np.float32)
        outputs: Any = bundle.task.outputs_of(keras.ops.convert_to_tensor(logits))
        found["val"] = Outputs(np.asarray(outputs, np.float32), logits, found["val"].features)
    return found


def stored_features(run: Run, plan: StagePlan, bundle: Bundle, indices: NDArray[np.int64]) -> NDArray[np.float32] | None:
    """The head's input for training examples, from the features that the last stage stored; None if it stored none.

    Whether it did follows from the recipe and from what the run chose, not from what the store still holds, so that a resumed
    or repeated run comes to the same: what is missing there is computed again, as the stage computed it.

    Args:
        run: `Run`, which knows whether the stage stored them.
        plan: `StagePlan` of the last stage.
        bundle: `Bundle`, the data.
        indices: Integer array, positions of training examples.
    """
    recipe, state = run.recipe, StageState.load(run, plan.stage.name)
    if plan.stage.augment is not None or state is None or not plan.stores(state):
        return None
    rows: Any = plan.extractor(bundle, recipe=recipe, known=state.engine).run(indices)[0][0]
    suffix, own = plan.suffix, plan.inputs
    if plan.assembled.branches:
        return joined_from(suffix, rows, bundle, indices, names=own)
    if plan.first_trainable_block == len(plan.assembled.blocks):
        return np.asarray(rows.read_all(), np.float32)
    above = keras.Model(inputs_of(suffix), tensor_of(suffix, POOL))
    arrays = rows if isinstance(rows, dict) else {FEATURES: rows}
    parts = []
    for start in range(0, len(indices), _BATCH):
        places = np.arange(start, min(start + _BATCH, len(indices)))
        batch = {name: np.asarray(array[places], np.float32) for name, array in arrays.items()}
        if own and bundle.cached is not None:
            batch |= {name: bundle.cached.columns[name][indices[places]] for name in own}
        parts.append(above.predict_on_batch(structured(batch)))
    return np.concatenate(parts).astype(np.float32)
