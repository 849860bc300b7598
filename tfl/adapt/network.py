"""A trained network over two domains: what its last layer reads of the examples of each, and its weights by name."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfl.adapt.batchnorm import BATCH, Batches
from tfl.backbones.flat import nodes_in_order
from tfl.backbones.inputs import inputs_of, structured
from tfl.data.bundle import Bundle, derived_seed
from tfl.data.split import tied_together
from tfl.evaluate.explain import tensor_of
from tfl.features.cut import FEATURES
from tfl.features.pooled import head_inputs
from tfl.model.assemble import Assembled
from tfl.model.head import LOGITS, POOL
from tfl.probes.head import linear_head
from tfl.recipe import Recipe, Stage
from tfl.train.stage_plan import StagePlan, plan_stage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

Weights = dict[str, "NDArray[Any]"]
"""Weights of a network by their path."""
Head = tuple["NDArray[np.float32]", "NDArray[np.float32]"]
"""Kernel and bias of the last layer."""
UPPER = 0.5
"""The share of the computation that trains in DANN and Deep CORAL, from the top: what lies below is computed once."""
_ROWS = 128


class TwoDomains:
    """A network, the labelled examples of the source and the unlabelled ones of the target.

    Args:
        assembled: The network, trained on the source. Its weights change in place; `restore` brings them back.
        source: The labelled examples.
        target: The unlabelled ones; its training split is what a network is adapted to.
        recipe: Of the run.
        console: Where messages of the store are shown; None shows nothing.
    """

    def __init__(
        self, assembled: Assembled, source: Bundle, target: Bundle, *, recipe: Recipe, console: Console | None = None
    ) -> None:
        self.assembled, self.source, self.target, self.recipe, self.console = assembled, source, target, recipe, console
        self.model = assembled.model
        self.start = self.weights()
        self.every = np.arange(len(target.examples))
        self.adapted = target.indices("train")

    def weights(self) -> Weights:
        """All weights as they are."""
        return {weight.path: keras.ops.convert_to_numpy(weight) for weight in self.model.weights}

    def changed(self) -> Weights:
        """The weights that are not those of the start."""
        return {path: value for path, value in self.weights().items() if not np.array_equal(value, self.start[path])}

    def restore(self, changed: Mapping[str, NDArray[Any]] | None = None) -> None:
        """Brings the weights to those of the start, but for those that are given."""
        for weight in self.model.weights:
            weight.assign((changed or {}).get(weight.path, self.start[weight.path]))

    @property
    def head_weights(self) -> list[Any]:
        """The last layer's kernel and bias."""
        return list(self.model.get_layer(LOGITS).weights)

    def with_head(self, changed: Mapping[str, NDArray[Any]], head: Head) -> Weights:
        """Changed weights, and the last layer's."""
        names = [weight.path for weight in self.head_weights]
        return {**changed, **dict(zip(names, head, strict=True))}

    def vectors(self, bundle: Bundle, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the last layer reads of some examples, by the weights as they are; from the store where it has them."""
        pooling, features = self.recipe.head.pooling, self.recipe.features
        pooled = head_inputs(self.assembled, bundle, rows, pooling=pooling, features=features, console=self.console)
        return pooled if self._between is None else _batched(self._between, pooled)

    @functools.cached_property
    def _between(self) -> keras.Model | None:
        start, end = tensor_of(self.model, POOL), input_of(self.model, LOGITS)
        return None if start is end else keras.Model(start, end)

    def source_vectors(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`vectors` of the training and of the validation examples of the source."""
        return self.vectors(self.source, self.source.indices("train")), self.vectors(self.source, self.source.indices("val"))

    @functools.cached_property
    def labels(self) -> NDArray[np.int64]:
        """The classes of the source's training examples, `(n,)`."""
        return np.asarray(self.source.labels("train"), np.int64)

    def fit(self, vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> Head:
        """A logistic regression, at the penalty that suits the source's training examples."""
        found = linear_head(
            vectors,
            np.eye(self.source.class_count, dtype=np.float32)[labels],
            np.arange(len(labels)),
            task="classify",
            balanced=self.recipe.class_weight == "balanced",
            strengths=self._strengths,
        )
        return found.kernel, found.bias

    @functools.cached_property
    def _strengths(self) -> tuple[float, ...]:
        """The penalty: the recipe's, or found by cross-validation once."""
        if self.recipe.head.strengths and self.recipe.head.probe == "logistic":
            return self.recipe.head.strengths
        before = self.changed()
        self.restore()
        train = self.source.indices("train")
        vectors = self.vectors(self.source, train)
        self.restore(before)
        units = tied_together(self.source.examples, self.source.fingerprints)[train]
        one_hot = np.eye(self.source.class_count, dtype=np.float32)[self.labels]
        balanced, seed = self.recipe.class_weight == "balanced", derived_seed(self.recipe.seed, "adapt")
        return linear_head(vectors, one_hot, units, task="classify", balanced=balanced, seed=seed).strengths

    def batches_of(self, bundle: Bundle) -> tuple[Batches, int]:
        """The network's inputs of a bundle's training examples, as `tfl.adapt.batchnorm` takes them, and how many these are."""
        indices = bundle.indices("train")

        def batches(rows: NDArray[np.int64]) -> Iterator[Any]:
            for some in np.array_split(indices[rows], max(1, -(-len(rows) // BATCH))):
                for inputs, _ in bundle.dataset(some, batch_size=len(some)).as_numpy_iterator():
                    yield inputs

        return batches, len(indices)

    def upper_bytes(self) -> int:
        """What the features below the blocks that train in DANN and Deep CORAL take in memory."""
        plan = plan_stage(self.assembled, Stage("adapt", train=f"top:{self._upper_count}"))
        count = sum(len(self.source.indices(part)) for part in ("train", "val")) + len(self.every)
        return plan.extractor(self.target, recipe=self.recipe).row_bytes(0) * count

    @property
    def _upper_count(self) -> int:
        shares = [block.flops_share for block in self.assembled.blocks]
        return max((count for count in range(1, len(shares)) if sum(shares[-count:]) <= UPPER + 1e-6), default=1)

    def upper(self) -> Upper:
        """The blocks that train in DANN and Deep CORAL."""
        return Upper(self, self._upper_count)


class Upper:
    """The top blocks of a network over stored features of both domains.

    Args:
        domains: The network, at the weights of its start.
        count: How many blocks.
    """

    def __init__(self, domains: TwoDomains, count: int) -> None:
        self.plan: StagePlan = plan_stage(domains.assembled, Stage("adapt", train=f"top:{count}"))
        self.plan.freeze.apply(domains.assembled)
        self.suffix = self.plan.suffix
        source, target = domains.source, domains.target
        self.train, self.validation = (self._features(domains, source, source.indices(part)) for part in ("train", "val"))
        self.target = self._features(domains, target, domains.every)
        self._above = keras.Model(inputs_of(self.suffix), input_of(self.suffix, LOGITS))

    def _features(self, domains: TwoDomains, bundle: Bundle, rows: NDArray[np.int64]) -> Any:
        extractor = self.plan.extractor(bundle, recipe=domains.recipe, console=domains.console)
        made: Any = extractor.run(rows)[0][0]
        arrays = made if isinstance(made, dict) else {FEATURES: made}
        values = {name: np.asarray(array[:]) for name, array in arrays.items()}
        return structured({**values, **(bundle.input_values(self.plan.inputs, rows) if self.plan.inputs else {})})

    def vectors(self, features: Any) -> NDArray[np.float32]:
        """What the last layer reads."""
        return _batched(self._above, features)


def input_of(model: keras.Model, layer_name: str) -> Any:
    """What a layer takes in the model's own graph."""
    node = next(node for node in nodes_in_order(model) if node.operation.name == layer_name)
    return node.input_tensors[0]


def _batched(model: keras.Model, values: Any) -> NDArray[np.float32]:
    count = len(next(iter(values.values())) if isinstance(values, dict) else values)
    found = []
    for start in range(0, count, _ROWS):
        some = slice(start, start + _ROWS)
        batch = (
            {name: _as_float(one[some]) for name, one in values.items()} if isinstance(values, dict) else _as_float(values[some])
        )
        found.append(np.asarray(model.predict_on_batch(batch), np.float32))
    return np.concatenate(found)


def _as_float(array: Any) -> Any:
    return array.astype(np.float32) if np.issubdtype(array.dtype, np.floating) or array.dtype.name == "bfloat16" else array
