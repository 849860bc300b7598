"""The classifier of the source as a head: its layers and a softmax, a fixed 0/1 map to the classes of the data, and a logarithm.

    feature map ─▶ the source's own layers, `head_pool` among them ─▶ probabilities of its classes
                ─▶ `head_mapping`: a Dense layer of zeros and ones that adds them up by class of the data ─▶ log ─▶ `logits`

The softmax of these logits is the sum of each class, divided by what all classes of the data got together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras

from tfl.backbones.blocks import find_cut_points
from tfl.backbones.flat import POLICIES
from tfl.backbones.source import SourceModel
from tfl.model.head import LOGITS, POOL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAPPING, PREFIX = "head_mapping", "source_"
"""Name of the layer that maps classes, and what is put in front of the names of the source's layers above the backbone."""
SMALLEST = 1e-30
"""Stands for a probability of zero before the logarithm; float32 holds it."""


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """The classifier of a source in the graph of its backbone.

    Args:
        probabilities: Symbolic, `(batch, source classes)` float32.
        layers: Names of its layers and operations, input side first.
        class_names: In the order of the probabilities; None where nothing says them.
    """

    probabilities: Any = field(repr=False)
    layers: tuple[str, ...]
    class_names: tuple[str, ...] | None


def put_classifier(source: SourceModel) -> Classifier:
    """Lays the classifier of a source out again on its backbone: in float32 under every dtype policy, with names of its own. What
    makes the first vector that everything runs through is called `POOL`.

    Args:
        source: Its model is of no other use after this.
    """
    nodes = source.classifier_nodes()
    linear = source.activation == "linear"
    above = {id(tensor) for node in nodes for tensor in node.outputs}
    vectors = [cut for cut in find_cut_points(source.model) if id(cut.tensor) in above and len(cut.tensor.shape) == 2]
    pools = vectors[0].nodes[-1].operation
    for operation in {id(node.operation): node.operation for node in nodes}.values():
        operation.name = POOL if operation is pools else PREFIX + operation.name
        operation._inbound_nodes, operation._outbound_nodes = [], []
        if getattr(getattr(operation, "dtype_policy", None), "name", None) in POLICIES:
            operation.dtype_policy = "float32"
    known: dict[int, Any] = {}
    names: list[str] = []
    for node in nodes:
        for tensor in node.input_tensors:
            known.setdefault(id(tensor), tensor)  # the backbone's own
        args, kwargs = node.arguments.fill_in(known)
        results = keras.tree.flatten(node.operation(*args, **kwargs))
        known.update({id(old): new for old, new in zip(node.outputs, results, strict=True)})
        names.append(node.operation.name)
    probabilities = known[id(source.model.output)]
    if linear:
        softmax = keras.layers.Softmax(name=f"{PREFIX}softmax", dtype="float32")
        probabilities = softmax(probabilities)
        names.append(softmax.name)
    return Classifier(probabilities=probabilities, layers=tuple(dict.fromkeys(names)), class_names=source.class_names)


def mapped_logits(classifier: Classifier, class_count: int) -> tuple[Any, tuple[str, ...]]:
    """The logits of the classes of the data, and the names of the layers that make them; the map is zero until `set_mapping`."""
    mapping = keras.layers.Dense(class_count, use_bias=False, kernel_initializer="zeros", name=MAPPING, dtype="float32")
    logits = keras.layers.Identity(name=LOGITS, dtype="float32")
    x = mapping(classifier.probabilities)
    return logits(keras.ops.log(keras.ops.maximum(x, SMALLEST))), (MAPPING, LOGITS)


def set_mapping(layers: Sequence[keras.layers.Layer], matrix: NDArray[np.float32]) -> None:
    """Gives the layer that maps classes its zeros and ones, `(source classes, target classes)`."""
    next(layer for layer in layers if layer.name == MAPPING).set_weights([matrix])
