"""Running an export as a user would: by its own runtime, in float32 where that has a choice, nothing unpickled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfl.backbones.inputs import count_of, structured
from tfl.errors import ExportError
from tfl.export import keras_file, litert, onnx, openvino
from tfl.export.kinds import KINDS, QUANTIZED
from tfl.export.saved_model import open_saved_model

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    from tfl.export.trial import Trial

Outputs = dict[str, "NDArray[Any]"]


@dataclass(frozen=True)
class Runtime:
    """An export that is ready to answer.

    Attributes:
        name: Of the export in the certificate, such as `litert_int8`.
        decodes: Whether it is given contents; otherwise the tensors of the modality.
        answer: From a batch of those to the outputs by name.
        quantized: What its weights are.
        exact: Whether it computes as Keras does, operation by operation; other runtimes fold BatchNorm into convolutions first.
    """

    name: str
    decodes: bool
    answer: Callable[[Any], Mapping[str, Any]]
    quantized: str = "float32"
    exact: bool = False

    def look_at(self, trial: Trial) -> Outputs:
        """Its outputs for every content of the trial, joined.

        Raises:
            ExportError: It cannot be run.
        """
        batches = trial.contents() if self.decodes else trial.tensors()
        return self.look_at_batches(batch for _, batch in batches)

    def look_at_batches(self, batches: Iterator[Any]) -> Outputs:
        """As `look_at`, for batches of contents or of tensors."""
        try:
            found = [{name: np.asarray(value) for name, value in self.answer(batch).items()} for batch in batches]
        except ExportError:
            raise
        except Exception as error:  # each runtime raises its own kinds
            raise ExportError(f"The export `{self.name}` cannot be run: {str(error).strip()[:500]}") from error
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]} if found else {}


def of_model(answer: keras.Model, *, name: str = "model", output: str = "probabilities") -> Runtime:
    """A Keras model that gives a dictionary, or the task's `output` alone, as one graph."""
    names = [tensor.name for tensor in answer.inputs]

    def call(*tensors: tf.Tensor) -> Any:
        outputs = answer(structured(dict(zip(names, tensors, strict=True))), training=False)
        return outputs if isinstance(outputs, dict) else {output: tf.cast(outputs, tf.float32)}

    specs = [tf.TensorSpec((None, *tensor.shape[1:]), _graph_dtype(tensor)) for tensor in answer.inputs]
    graph = tf.function(call, input_signature=specs, autograph=False)

    def run(tensors: Any) -> Mapping[str, Any]:
        given = tensors if isinstance(tensors, dict) else {names[0]: tensors}
        return dict(graph(*(given[one] for one in names)))

    return Runtime(name, False, run, exact=True)


def _graph_dtype(tensor: Any) -> tf.DType:
    """The dtype that is fed: float32 for every floating type."""
    return tf.float32 if tf.as_dtype(tensor.dtype).is_floating else tf.as_dtype(tensor.dtype)


def open_export(kind: str, folder: Path, *, name: str | None = None) -> list[Runtime]:
    """What a format's folder holds, ready to answer: one runtime, or one for each file of LiteRT.

    Args:
        kind: One of `tfl.export.kinds.KINDS`.
        folder: What `write_export` returned.
        name: In the certificate; by default the format's.

    Raises:
        ExportError: Nothing is there, or it cannot be loaded.
        MissingExtraError: The runtime is not installed.
    """
    if kind not in KINDS:
        raise ExportError("This is not a format of an export.", received=kind, allowed=list(KINDS))
    if kind == "litert":
        there = [quantized for quantized in QUANTIZED if (folder / litert.file_of(quantized)).is_file()]
        if not there:
            raise ExportError(f"There is no LiteRT file in {folder}.", fix="Write it with: tfl export RUN --format litert")
        return [
            Runtime(f"litert_{quantized}", False, _open(_litert, folder / litert.file_of(quantized)), quantized)
            for quantized in there
        ]
    if kind == "saved_model":
        served = open_saved_model(folder)
        (content_input,) = served.structured_input_signature[1]
        return [Runtime(name or kind, True, lambda contents: served(**{content_input: tf.constant(contents)}), exact=True)]
    file, opener = _FILES[kind]
    return [Runtime(name or kind, False, _open(opener, folder / file), exact=kind == "keras")]


def _open(opener: Callable[[Path], Callable[[Any], Mapping[str, Any]]], file: Path) -> Callable[[Any], Mapping[str, Any]]:
    try:
        return opener(file)
    except ImportError:
        raise
    except Exception as error:  # each runtime raises its own kinds
        raise ExportError(f"{file} cannot be loaded: {str(error).strip()[:500]}") from error


def _litert(file: Path) -> Callable[[Any], Mapping[str, Any]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file))
    runner = interpreter.get_signature_runner()
    (first, *_) = runner.get_input_details()

    def answer(tensors: Any) -> dict[str, Any]:
        given = tensors if isinstance(tensors, dict) else {first: tensors}
        rows = []
        for at in range(count_of(tensors)):
            one = {name: values[at : at + 1] for name, values in given.items()}
            rows.append({name: np.array(value) for name, value in runner(**one).items()})
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    return answer


def _onnx(file: Path) -> Callable[[Any], Mapping[str, Any]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    first = session.get_inputs()[0].name

    def answer(tensors: Any) -> dict[str, Any]:
        given = tensors if isinstance(tensors, dict) else {first: tensors}
        return dict(zip(names, session.run(None, given), strict=True))

    return answer


def _openvino(file: Path) -> Callable[[Any], Mapping[str, Any]]:
    import openvino

    compiled = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    names = [output.get_any_name() for output in compiled.outputs]

    def answer(tensors: Any) -> dict[str, Any]:
        found = compiled(tensors)
        return {name: np.array(found[name]) for name in names}

    return answer


def _keras(file: Path) -> Callable[[Any], Mapping[str, Any]]:
    import keras

    from tfl.backbones.foreign import import_layers_of
    from tfl.backbones.saving import remember_skipped_attributes
    from tfl.backbones.weight_files import refuse_bomb

    import_layers_of(file)
    refuse_bomb(file)
    remember_skipped_attributes()
    return of_model(keras.models.load_model(file, compile=False, safe_mode=True)).answer


_FILES: dict[str, tuple[str, Callable[[Path], Callable[[Any], Mapping[str, Any]]]]] = {
    "onnx": (onnx.FILE, _onnx),
    "openvino": (openvino.FILES[0], _openvino),
    "keras": (keras_file.FILE, _keras),
}
