"""LiteRT int8: which operators stay float32, found by measuring.

The head stays float32 always. Quantised too, a probability is one of 256 steps, and which classes are in the prediction set
changes for many examples. Where int8 alone is too far from the model, the first operators stay float32 as well, as few as it
takes: errors of the first layers are amplified by all others, and these layers have few weights.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfl.export.flatbuffer import Operator, answers, operators_of
from tfl.model.head import POOL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tfl.modalities.base import Tensors

MOST = 0.01
"""The root mean square difference of a probability on the training examples looked at, at which labels seldom change."""
LEAST = 1 / 3
"""The share of the weights before the head that is int8 whatever it costs; the certificate says what it costs."""
_HEAD = re.compile(rf"(^|/){POOL}(_\d+)?(/|$)")


def in_int8(
    calibrated: bytes,
    tensors: Tensors,
    expected: NDArray[np.float32],
    *,
    outputs: Sequence[str] = ("probabilities",),
    numbers: Sequence[bool] = (False,),
    most: float = MOST,
) -> bytes:
    """The quantised network, near enough to the model where that can be had.

    Args:
        calibrated: A `.tflite` file in float32 that holds the ranges of its activations.
        tensors: Those of some examples, on which both are compared.
        expected: The model's outputs for these, side by side.
        outputs: Their names.
        numbers: Of each of their columns, whether it is a number, which is compared as a share of its deviation; one for all.
        most: The root mean square difference that is near enough.

    Returns:
        The content of a `.tflite` file, whose first operators are float32 where they have to be.
    """
    body, head = split_at_head(operators_of(calibrated))
    weights = np.cumsum([operator.size for operator in reversed(body)])[::-1]  # of an operator and all that follow
    scale = np.where(numbers, np.maximum(expected.std(axis=0), 1e-12), 1.0)
    last = max((at for at, left in enumerate(weights) if left >= LEAST * weights[0]), default=0)

    def quantised(first: int) -> bytes:
        return quantise(calibrated, body[:first] + head)

    def holds(first: int) -> bool:
        found = answers(quantised(first), tensors, outputs)
        return float(np.sqrt((((found - expected) / scale) ** 2).mean())) <= most

    if last == 0 or holds(0):
        return quantised(0)
    too_few, enough = 0, last
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if holds(middle) else (middle, enough)
    return quantised(enough)


def quantise(calibrated: bytes, in_float: list[Operator]) -> bytes:
    """The file in int8, per-channel weights, but for some operators."""
    from tensorflow.lite.python.convert import mlir_quantize

    content: bytes = mlir_quantize(calibrated, denylisted_nodes=[name for one in in_float for name in one.outputs] or None)
    return content


def split_at_head(operators: list[Operator]) -> tuple[list[Operator], list[Operator]]:
    """The operators before the pooled features, and from them on; none of the latter where the model has no head of tfl's.

    Operators are in order, and all that the head reads runs through one tensor.
    """
    starts = [
        at
        for at, operator in enumerate(operators)
        if any(_HEAD.search(part) for name in operator.outputs for part in name.split(";"))
    ]
    at = starts[0] if starts else len(operators)
    return operators[:at], operators[at:]
