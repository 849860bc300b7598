"""LiteRT weights in float16 where that is near enough, in float32 where it is not, found by measuring.

Float16 keeps 11 bits of a weight. Networks exist that amplify what is lost: MobileNetV2's first depthwise convolution has 144
weights, and rounding these alone moves a probability by 0.06. What is sensitive is mostly small, so it can stay float32.

    every weight in float16 ─▶ near enough? ─▶ done
                                   └─▶ each weight alone in float16 ─▶ rank by (difference)² a byte ─▶ keep as few as it takes

The float16 constants are dequantised at the start of the graph, as TensorFlow's converter does it; runtimes fold that away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfl.export.flatbuffer import answers, operators_of, packed, read
from tfl.export.kinds import TOLERANCES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tfl.modalities.base import Tensors

MARGIN = 0.25
"""The share of the tolerance that the examples looked at here may use up; the certificate measures on others."""


def in_half(
    content: bytes,
    tensors: Tensors,
    *,
    outputs: Sequence[str] = ("probabilities",),
    numbers: Sequence[bool] = (False,),
    most: float = MARGIN * TOLERANCES["float16"],
) -> bytes:
    """The same network with as many of its weights in float16 as stay near enough.

    Args:
        content: A `.tflite` file in float32.
        tensors: Those of some examples, on which both are compared.
        outputs: Names of the outputs that are compared.
        numbers: Of each of their columns, whether it is a number, which is compared as a share of the largest; one for all.
        most: The largest difference of it on these.

    Returns:
        The content of a `.tflite` file; all weights stay float32 where nothing else is near enough.
    """
    weights = {operator.kernel: operator.size for operator in operators_of(content) if operator.kernel is not None}
    expected = answers(content, tensors, outputs)
    scale = np.where(numbers, np.maximum(np.abs(expected).max(axis=0, initial=0.0), 1e-12), 1.0)

    def gaps(halved: Sequence[int]) -> NDArray[np.float64]:
        found = answers(_halved(content, halved), tensors, outputs)
        differences = np.abs(found.astype(np.float64) - expected) / scale
        return np.where(np.isfinite(differences), differences, np.inf)

    if gaps(list(weights)).max() <= most:
        return _halved(content, list(weights))
    harm = {weight: float((gaps([weight]) ** 2).mean()) / size for weight, size in weights.items()}
    ranked = sorted(weights, key=harm.__getitem__, reverse=True)
    too_few, enough = 0, len(ranked)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if gaps(ranked[middle:]).max() <= most:
            enough = middle
        else:
            too_few = middle
    return _halved(content, ranked[enough:])


def _halved(content: bytes, kernels: Sequence[int]) -> bytes:
    """The same file with these kernels in float16, each followed by an operator that makes it float32 again."""
    from ai_edge_litert import schema_py_generated as schema

    model = read(content)
    graph = model.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 2  # the first that takes float16
    model.operatorCodes.append(code)
    widening = []
    for kernel in kernels:
        tensor, half, buffer, operator = graph.tensors[kernel], schema.TensorT(), schema.BufferT(), schema.OperatorT()
        with np.errstate(over="ignore"):  # too large becomes infinite, which the comparison finds
            narrow = np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(np.float32).astype(np.float16)
        buffer.data = narrow.view(np.uint8)
        model.buffers.append(buffer)
        half.name, half.shape, half.type = tensor.name + b"_float16", tensor.shape, schema.TensorType.FLOAT16
        half.buffer, tensor.buffer = len(model.buffers) - 1, 0
        graph.tensors.append(half)
        operator.opcodeIndex = len(model.operatorCodes) - 1
        operator.inputs, operator.outputs = np.array([len(graph.tensors) - 1], np.int32), np.array([kernel], np.int32)
        widening.append(operator)
    graph.operators = widening + list(graph.operators)
    kept = {tensor.buffer for part in model.subgraphs for tensor in part.tensors} | {part.buffer for part in model.metadata or ()}
    for place, buffer in enumerate(model.buffers):
        if place not in kept:
            buffer.data = None
    return packed(model)
