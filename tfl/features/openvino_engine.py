"""OpenVINO on the CPU as an engine for frozen networks. The package is an extra: `pip install 'tfl[openvino]'`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from tfl.backbones.inputs import count_of, rows_of, structured
from tfl.errors import BackboneError, MissingExtraError
from tfl.features.chunks import BATCH
from tfl.model.policies import policy_of, under_policy

if TYPE_CHECKING:
    from numpy.typing import NDArray

HINTS = {"float32": "f32", "bfloat16": "bf16"}
_thread = ThreadPoolExecutor(1, thread_name_prefix="tfl-openvino")
"""Where networks are compiled and run: OpenVINO leaves the thread that compiles rounding the smallest numbers to zero."""


def openvino_version() -> str | None:
    """The version that is installed, or None."""
    if importlib.util.find_spec("openvino") is None:
        return None
    return importlib.metadata.version("openvino")


class Converted:
    """A network as OpenVINO's own graph; compiled for one precision or several.

    The weights go into the graph as constants, and the graph through a file that OpenVINO reads by itself: its Python converter
    takes seconds longer, and reports home.

    Args:
        prefix: To one tensor or several, in inference mode.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        BackboneError: OpenVINO has no such operation.
    """

    def __init__(self, prefix: keras.Model) -> None:
        try:
            import openvino
        except ImportError as error:
            raise MissingExtraError.of("openvino", needed_for="features.engine=openvino") from error
        self._core = openvino.Core()
        self.outputs = len(prefix.outputs)
        try:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, "prefix.pb")
                file.write_bytes(_graph_of(prefix))
                self._model = self._core.read_model(file)
            self._names = self._order_of_inputs(prefix)
            shapes = {one.name: [BATCH, *(-1 if side is None else side for side in one.shape[1:])] for one in prefix.inputs}
            self._model.reshape({at: shapes[name] for at, name in enumerate(self._names)})
        except Exception as error:  # of TensorFlow while tracing, or of OpenVINO
            raise BackboneError(
                f"OpenVINO cannot run this network: {_first_line(error)}", fix="Use features.engine=keras."
            ) from error

    def _order_of_inputs(self, prefix: keras.Model) -> list[str]:
        """The names of the network's inputs in the order in which OpenVINO's graph has them."""
        if len(prefix.inputs) == 1:
            return [prefix.inputs[0].name]
        return [port.any_name.split(":")[0] for port in self._model.inputs]

    @property
    def precisions(self) -> tuple[str, ...]:
        """What this processor computes in; without support in hardware, bfloat16 would be float32 under another name."""
        return ("float32", "bfloat16") if "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else ("float32",)

    def engine(self, precision: str) -> OpenVinoEngine:
        """The network compiled for one precision."""
        settings = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",  # one batch at a time on all cores
            "ENABLE_CPU_PINNING": False,  # decoding and other processes run beside it
            "CPU_DENORMALS_OPTIMIZATION": True,  # as TensorFlow does; a random network makes many
        }
        compiled = _thread.submit(self._core.compile_model, self._model, "CPU", settings).result()
        return OpenVinoEngine(precision, compiled, self.outputs, self._names)


class OpenVinoEngine:
    """A compiled network. It takes batches of one size, for which all memory is planned; a smaller batch is filled up."""

    def __init__(self, precision: str, compiled: Any, outputs: int, names: Sequence[str]) -> None:
        self.name = f"openvino {precision}"
        self._names = list(names)
        self._request = compiled.create_infer_request()
        self._ports = [compiled.output(_output(number)) for number in range(outputs)]

    def __call__(self, inputs: Any) -> list[NDArray[Any]]:
        """A batch of tensors to one float32 array for each output."""
        parts = [self._run(rows_of(inputs, slice(start, start + BATCH))) for start in range(0, count_of(inputs), BATCH)]
        return parts[0] if len(parts) == 1 else [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _run(self, inputs: Any) -> list[NDArray[Any]]:
        count = count_of(inputs)
        values = inputs if isinstance(inputs, dict) else {self._names[0]: inputs}
        full = [_filled(values[name]) for name in self._names]
        found = _thread.submit(self._request.infer, full, share_inputs=True).result()
        return [np.array(found[port][:count]) for port in self._ports]


def _filled(values: NDArray[Any]) -> NDArray[Any]:
    """A whole batch: what is missing repeats the first row's shape with zeros."""
    values = np.asarray(values, np.float32) if np.issubdtype(np.asarray(values).dtype, np.floating) else np.asarray(values)
    if len(values) == BATCH:
        return np.ascontiguousarray(values)
    full = np.zeros((BATCH, *values.shape[1:]), values.dtype)
    full[: len(values)] = values
    return full


def _graph_of(prefix: keras.Model) -> bytes:
    """The network in float32 as a TensorFlow graph without variables, its outputs named `feature_0` and so on."""
    if policy_of(prefix) != "float32":
        prefix = under_policy(prefix, "float32")
    trainable, others = ([keras.ops.convert_to_numpy(variable) for variable in some] for some in _variables(prefix))

    def forward(*inputs: tf.Tensor) -> list[tf.Tensor]:
        given = structured({one.name: tensor for one, tensor in zip(prefix.inputs, inputs, strict=True)})
        made, _ = prefix.stateless_call(*([tf.constant(value) for value in some] for some in (trainable, others)), given)
        return [tf.identity(output, name=_output(number)[:-2]) for number, output in enumerate(tf.nest.flatten(made))]

    specs = [tf.TensorSpec((None, *one.shape[1:]), _float32_or(one.dtype), name=one.name) for one in prefix.inputs]
    traced = tf.function(forward, input_signature=specs, autograph=False).get_concrete_function()
    return bytes(traced.graph.as_graph_def().SerializeToString())


def _float32_or(dtype: str) -> str:
    return "float32" if tf.as_dtype(dtype).is_floating else dtype


def _variables(model: keras.Model) -> tuple[list[Any], list[Any]]:
    return model.trainable_variables, model.non_trainable_variables


def _output(number: int) -> str:
    return f"feature_{number}:0"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
