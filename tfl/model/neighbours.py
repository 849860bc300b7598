"""A head of nearest neighbours as layers of the network: it holds the training examples, and looks the answer up among them.

    head_pool ─▶ standardised, length one ─▶ · training examples = cosines ─▶ the nearest, by top_k
                                         distances, each over that of the (k+1)-th ─▶ votes · their labels ─▶ log ─▶ logits

The graph is the same for every k and any data: k, examples and labels are weights, which `tfl.train.start` sets. What the votes
are, and why, is in `tfl.probes.neighbours`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfl.errors import RecipeError
from tfl.probes.neighbours import NEAREST, compared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tfl.probes.neighbours import Neighbours

UNIT, EXAMPLES, REACH, LABELS = "head_unit", "head_examples", "head_reach", "head_labels"
"""Layer names."""
MOST_NUMBERS = 2**26
"""In the training examples that a head holds: 256 MiB in the network, and in each of its exports."""


def neighbour_layers(class_count: int, *, examples: int, standard: str, logits: str) -> list[keras.layers.Layer]:
    """The layers from the pooled vector to the logits, for `neighbour_logits`, in float32 under every dtype policy.

    Args:
        class_count: Number of logits.
        examples: Number of training examples.
        standard, logits: Names of the first and of the last layer.
    """
    layers = keras.layers
    fixed: dict[str, Any] = {"use_bias": False, "kernel_initializer": "zeros", "dtype": "float32"}
    return [
        layers.Normalization(name=standard, dtype="float32"),
        layers.UnitNormalization(name=UNIT, dtype="float32"),
        layers.Dense(examples, name=EXAMPLES, **fixed),
        layers.Dense(1, name=REACH, **fixed | {"use_bias": True, "bias_initializer": keras.initializers.Constant(NEAREST)}),
        layers.Embedding(examples, class_count, embeddings_initializer="zeros", name=LABELS, dtype="float32"),
        layers.Identity(name=logits, dtype="float32"),
    ]


def neighbour_logits(layers: Sequence[keras.layers.Layer], x: Any) -> Any:
    """The logits of a pooled vector.

    Args:
        layers: Of `neighbour_layers`.
        x: `(batch, features)`.

    Raises:
        RecipeError: The training examples have more numbers than `MOST_NUMBERS`.
    """
    standard, unit, examples, reach, labels, logits = layers
    refuse_too_large(examples.units, int(x.shape[-1]))
    ops = keras.ops
    nearest, places = _named(ops.top_k(examples(unit(standard(x))), compared(examples.units)), "head_nearest")
    distances = _named(ops.relu(_named(ops.subtract(1.0, nearest), "head_difference")), "head_distances")
    shares = _named(ops.divide(distances, reach(distances)), "head_shares")
    votes = _named(ops.relu(_named(ops.subtract(1.0, shares), "head_remainders")), "head_votes")
    column = _named(ops.expand_dims(votes, -1), "head_column")
    of_labels = _named(ops.multiply(column, labels(places)), "head_votes_of_labels")
    sums = _named(ops.sum(of_labels, axis=1), "head_sums")
    smoothed = _named(ops.add(sums, 1.0), "head_smoothed")
    return logits(_named(ops.log(smoothed), "head_log"))


def refuse_too_large(examples: int, width: int) -> None:
    """Raises where a head would hold more than `MOST_NUMBERS`.

    Raises:
        RecipeError: It would.
    """
    if examples * width > MOST_NUMBERS:
        raise RecipeError(
            "A head of nearest neighbours holds every training example, and these are too many numbers.",
            received=f"{examples:,} training examples of {width:,} numbers",
            allowed=f"at most {MOST_NUMBERS:,} numbers in all, so {MOST_NUMBERS // width:,} examples",
            fix="Take fewer of each class (data.train_per_class=N), head.pooling=avg, or head.probe=logistic.",
        )


def set_neighbours(model: keras.Model, found: Neighbours) -> None:
    """Gives the head of a network the training examples, their labels and k."""
    looked_at = compared(len(found.examples))
    kernel = np.zeros((looked_at, 1), np.float32)
    kernel[min(found.number, looked_at - 1)] = 1
    model.get_layer(EXAMPLES).set_weights([found.examples.T])
    model.get_layer(REACH).set_weights([kernel, np.full(1, NEAREST, np.float32)])
    model.get_layer(LABELS).set_weights([found.votes])


def _named(result: Any, name: str) -> Any:
    """What an operation of Keras returned; the operation is called `name`, and not by a counter of the process."""
    first = result[0] if isinstance(result, list | tuple) else result
    first._keras_history.operation.name = name
    return result
