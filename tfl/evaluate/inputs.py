"""What each of several inputs is worth: each alone beside all together, and what a missing one costs, on the test examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfl.data.bundle import Bundle, derived_seed
from tfl.data.split import tied_together
from tfl.data.subset import choose_evenly
from tfl.evaluate.alone import paired_gain
from tfl.features.cut import cut_branches, features_name, inputs_next_to
from tfl.features.joined import JoinedExtractor
from tfl.modalities.several.modality import PRESENT, tensor_name
from tfl.model.assemble import Assembled
from tfl.model.join import standard_name
from tfl.probes.head import linear_head_of
from tfl.recipe import Recipe
from tfl.train.loop import logits_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH = 256
_MOST_TRAIN = 10_000
"""Examples that the head of one input alone is fitted to."""


def measure_inputs(assembled: Assembled, bundle: Bundle, recipe: Recipe) -> dict[str, Any] | None:
    """Each input alone, all together, and each one missing; None where there is one input.

    An input alone is measured in two ways: the same network with the others missing, and a linear head that is fitted to this
    input's vectors of the training examples, its penalty by cross-validation. An example that has not got the input itself
    counts in all of them.

    Args:
        assembled: The finished network.
        bundle: The data.
        recipe: Its `features`, class weights and seed.

    Returns:
        `metric` and `higher_is_better`, `count` (test examples), `all`, and `rows`: of each input `name`, `kind`, `there` (test
        examples that have it), `alone` and `own_head`, `without`, and `cost`, by how much the metric is worse without, with its
        95% `interval` (paired bootstrap).
    """
    modality: Any = bundle.modality
    if len(modality.parts) < 2:
        return None
    vectors = _Vectors(assembled, bundle, recipe)
    test, targets = bundle.indices("test"), bundle.targets_of("test")
    present = vectors.present(test)
    whole = vectors.logits(test, present)
    metric = bundle.task.default_metric
    higher, rows = bundle.task.metrics[metric], []
    for at, (name, part) in enumerate(modality.parts.items()):
        only, without = np.zeros_like(present), present.copy()
        only[:, at], without[:, at] = present[:, at], 0
        absent = vectors.logits(test, without)
        seed = derived_seed(recipe.seed, "inputs")
        cost, interval = paired_gain(bundle.task, whole, absent, targets, metric=metric, seed=seed)
        rows.append(
            {
                "name": name,
                "kind": part.kind,
                "there": int(present[:, at].sum()),
                "alone": _metric(bundle, vectors.logits(test, only), targets),
                "own_head": _metric(bundle, _own_head(vectors, bundle, recipe, name), targets),
                "without": _metric(bundle, absent, targets),
                "cost": cost,
                "interval": interval,
            }
        )
    return {
        "metric": metric.removeprefix("val_"),
        "higher_is_better": bool(higher),
        "count": len(test),
        "all": _metric(bundle, whole, targets),
        "rows": rows,
    }


class _Vectors:
    """The vectors of the inputs by the finished network, and its logits from them."""

    def __init__(self, assembled: Assembled, bundle: Bundle, recipe: Recipe) -> None:
        self.assembled, self.bundle = assembled, bundle
        full = {name: len(blocks) for name, blocks in assembled.groups().items()}
        prefix, suffix = cut_branches(assembled, full)
        self._names = inputs_next_to(prefix, suffix)
        self._logits = logits_model(suffix, bundle.task)
        self._extractor = JoinedExtractor([prefix], bundle, features=recipe.features)
        self._found: dict[bytes, Any] = {}

    def of(self, indices: NDArray[np.int64]) -> dict[str, Any]:
        """The inputs of the suffix for some examples, by name."""
        key = indices.tobytes()
        if key not in self._found:
            made: Any = self._extractor.run(indices)[0]
            (features,) = made
            arrays = {name: np.asarray(rows[:], np.float32) for name, rows in features.items()}
            self._found[key] = arrays | self.bundle.input_values(self._names, indices)
        return self._found[key]

    def present(self, indices: NDArray[np.int64]) -> NDArray[np.int32]:
        """`(n, inputs)`, which inputs the examples have."""
        return np.asarray(self.of(indices)[PRESENT])

    def logits(self, indices: NDArray[np.int64], present: NDArray[np.int32]) -> NDArray[np.float32]:
        """What the network says where only these inputs are there."""
        values = {**self.of(indices), PRESENT: present}
        parts = [
            self._logits.predict_on_batch({name: array[start : start + _BATCH] for name, array in values.items()})
            for start in range(0, len(indices), _BATCH)
        ]
        return np.concatenate(parts).astype(np.float32)

    def standardised(self, name: str, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of one input as the head takes them; zeros where the input is missing."""
        modality: Any = self.bundle.modality
        part, values = modality.parts[name], self.of(indices)
        own = tensor_name(name, next(iter(part.spec()))) if part.kind == "table" else features_name(name)
        layer = next(layer for layer in self.assembled.model.layers if layer.name == standard_name(name))
        scaled = np.nan_to_num(np.asarray(keras.ops.convert_to_numpy(layer(values[own])), np.float32))
        there = self.present(indices)[:, list(modality.parts).index(name)]
        return np.asarray(scaled * there[:, None], np.float32)


def _own_head(vectors: _Vectors, bundle: Bundle, recipe: Recipe, name: str) -> NDArray[np.float32]:
    """The logits of a linear head that was fitted to one input alone, on the test examples."""
    test, train = bundle.indices("test"), bundle.indices("train")
    train = train[choose_evenly(bundle.task.strata(bundle.examples)[train], count=_MOST_TRAIN, seed=recipe.seed)]
    units = tied_together(bundle.examples, bundle.fingerprints)[train]
    found = linear_head_of(
        bundle.task,
        vectors.standardised(name, train),
        bundle.targets[train],
        units,
        balanced=recipe.class_weight == "balanced",
        seed=derived_seed(recipe.seed, "probe"),
    )
    return np.asarray(vectors.standardised(name, test) @ found.kernel + found.bias, np.float32)


def _metric(bundle: Bundle, logits: NDArray[np.float32], targets: NDArray[np.float32]) -> float:
    return float(bundle.task.validate(logits, targets)[bundle.task.default_metric])
