"""Reading and writing the inside of a `.tflite` file: its operators, their kernels, and what it answers.

Format: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.backbones.inputs import count_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tfl.modalities.base import Tensors


@dataclass(frozen=True)
class Operator:
    """An operator, in the order of computation.

    Attributes:
        outputs: The names of the tensors that it makes.
        kernel: The number of the tensor of its float32 weights; None where it has none.
        size: How many weights that has.
    """

    outputs: tuple[str, ...]
    kernel: int | None
    size: int


def operators_of(content: bytes) -> list[Operator]:
    """Every operator of a file, with its kernel where it is a convolution or a matrix product."""
    from ai_edge_litert import schema_py_generated as schema

    model = read(content)
    kinds, graph = schema.BuiltinOperator, model.subgraphs[0]
    found = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        kernel, size = None, 0
        if max(code.builtinCode, code.deprecatedBuiltinCode) in (kinds.CONV_2D, kinds.DEPTHWISE_CONV_2D, kinds.FULLY_CONNECTED):
            tensor = graph.tensors[operator.inputs[1]]
            if tensor.type == schema.TensorType.FLOAT32 and model.buffers[tensor.buffer].data is not None:
                kernel, size = int(operator.inputs[1]), int(np.prod(tensor.shape))
        found.append(Operator(tuple(graph.tensors[output].name.decode() for output in operator.outputs), kernel, size))
    return found


def answers(content: bytes, tensors: Tensors, outputs: Sequence[str]) -> NDArray[np.float32]:
    """Some outputs of a `.tflite` file, side by side, for examples, one at a time.

    Args:
        content: The file.
        tensors: `(n, …)`, or a dictionary of such arrays by input name; cast to what the file takes.
        outputs: Names of the outputs, each `(n, …)`.
    """
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_content=content).get_signature_runner()
    taken = {name: detail["dtype"] for name, detail in run.get_input_details().items()}
    given = tensors if isinstance(tensors, dict) else {next(iter(taken)): tensors}
    rows = range(count_of(tensors))

    def answer(at: int) -> NDArray[np.float32]:
        found = run(**{name: given[name][at : at + 1].astype(kind) for name, kind in taken.items()})
        return np.concatenate([np.asarray(found[name], np.float32) for name in outputs], axis=1)

    return np.concatenate([answer(at) for at in rows])


def read(content: bytes) -> Any:
    """The file as an object tree that can be changed."""
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))


def packed(model: Any) -> bytes:
    """The content of a file, of what `read` returned."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
