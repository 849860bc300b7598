"""Writing an export: a folder for each format, whole or not at all, with its README, labels and origin.

<folder>/saved_model/1/                see tfl.export.saved_model
<folder>/litert/model_float32.tflite …_float16.tflite …_int8.tflite
<folder>/onnx/model.onnx
<folder>/openvino/model.xml model.bin
<folder>/keras/model.keras             each with README.md, labels.txt, tfl.json
<folder>/parity.json                   see tfl.export.certificate
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from tfl.errors import ExportError
from tfl.export.keras_file import fill_keras
from tfl.export.kinds import ABOUT_FILE, KINDS, LABELS_FILE, QUANTIZED, README_FILE, check_packages, check_quantize
from tfl.export.litert import file_of, fill_litert
from tfl.export.onnx import fill_onnx
from tfl.export.openvino import fill_openvino
from tfl.export.readme import readme
from tfl.export.saved_model import VERSION, fill_saved_model, version_folder
from tfl.export.shipment import Shipment, prepare
from tfl.modalities.base import Modality, Tensors
from tfl.storage import write_folder_atomically
from tfl.tasks.base import Task

if TYPE_CHECKING:
    from tfl.evaluate.confidence import Confidence

Check = Callable[[Path, str], None]
"""Is given the folder before it has its name, and what its weights are; raises to have what was just written dropped."""
Refuse = Callable[[str, ExportError], None]
"""Is told what the weights of a dropped export are, and why it was dropped."""


def write_export(
    kind: str,
    model: keras.Model,
    *,
    class_names: Sequence[str],
    modality: Modality,
    folder: Path,
    task: Task | None = None,
    metadata: Mapping[str, Any] | None = None,
    confidence: Confidence | None = None,
    representative: Tensors | None = None,
    version: int = VERSION,
    quantize: Sequence[str] = QUANTIZED,
) -> Path:
    """Writes a model in one format, without comparing it; `tfl.export.ship.ship` does both.

    Args:
        kind: `saved_model`, `litert`, `onnx`, `openvino` or `keras`.
        model: From the tensors of the modality to the task's output, its last axis in the order of `class_names`; of any dtype
            policy.
        class_names: The labels, which travel with it.
        modality: How contents become tensors.
        folder: The export folder; what it held in this format is replaced.
        task: What is predicted. Defaults to one of several classes.
        metadata: Plain values for `tfl.json`; `recipe` is its name.
        confidence: Of the run: adds what the task makes of it, and whether an example is out of distribution.
        representative: For LiteRT int8: tensors of training examples, as they are stored.
        version: Of a SavedModel.
        quantize: For LiteRT: which files.

    Returns:
        The folder of the format; of a SavedModel that of its version.

    Raises:
        ExportError: The model does not fit the labels or the modality, or the format has no such operation.
        MissingExtraError: A package is not installed.
        StorageError: The disk is full, read-only or not permitted.
    """
    shipment = prepare(
        model,
        class_names=class_names,
        modality=modality,
        task=task,
        metadata=metadata,
        confidence=confidence,
        representative=representative,
    )
    target = folder_of(kind, folder, version=version)
    write_shipment(kind, shipment, folder, version=version, quantize=quantize)
    return target


def write_shipment(
    kind: str,
    shipment: Shipment,
    folder: Path,
    *,
    version: int = VERSION,
    quantize: Sequence[str] = QUANTIZED,
    check: Check = lambda scratch, weights: None,
    refuse: Refuse | None = None,
) -> Path | None:
    """As `write_export`, of what `prepare` made, and each file of LiteRT on its own.

    Args:
        kind, shipment, folder, version, quantize: See `write_export` and `prepare`.
        check: May drop what was written before it takes its place.
        refuse: Is told of each export that cannot be written or was dropped; None raises the first such error.

    Returns:
        The folder; None where everything was refused, and what was there before is as it was.
    """
    check_packages([kind])
    target = folder_of(kind, folder, version=version)

    def fill(scratch: Path) -> None:
        files: list[str] = []
        for weights in _parts(kind, tuple(quantize)):
            try:
                made = _fill(kind, shipment, scratch, weights)
                check(scratch, weights)
            except ExportError as error:
                if refuse is None:
                    raise
                refuse(weights, error)
                (scratch / file_of(weights)).unlink(missing_ok=True)
            else:
                files += made
        if not files:
            raise _AllRefusedError
        if kind != "saved_model":
            _describe(kind, shipment, scratch, tuple(files))

    try:
        return write_folder_atomically(target, fill)
    except _AllRefusedError:
        return None


def folder_of(kind: str, folder: Path, *, version: int = VERSION) -> Path:
    """Where a format lies below an export folder."""
    return version_folder(folder, version) if kind == "saved_model" else Path(folder) / kind


class _AllRefusedError(Exception):
    """Nothing is left to put in place."""


def _parts(kind: str, quantize: tuple[str, ...]) -> tuple[str, ...]:
    """The weights of each export of a format, which is written, checked and refused on its own."""
    if kind != "litert":
        return ("float32",)
    check_quantize(quantize)
    return tuple(dict.fromkeys(quantize))


def _fill(kind: str, shipment: Shipment, folder: Path, weights: str) -> tuple[str, ...]:
    """Writes one export and returns the names of its files."""
    files = fill_litert(shipment, folder, weights=weights) if kind == "litert" else _FILLS[kind](shipment, folder)
    if missing := [file for file in files if not (folder / file).is_file()]:
        raise ExportError(f"Writing {KINDS[kind].title} left no {', '.join(missing)}.")
    return files


def _describe(kind: str, shipment: Shipment, folder: Path, files: tuple[str, ...]) -> None:
    """Labels, origin and README next to the files of a model, and what the README's lines need."""
    shipment.shipping.how_to_read(folder)
    (folder / LABELS_FILE).write_text(shipment.labels_text, encoding="utf-8")
    (folder / ABOUT_FILE).write_text(shipment.about_text(kind=kind, files=list(files)), encoding="utf-8")
    (folder / README_FILE).write_text(readme(kind, shipment, files=files), encoding="utf-8")


def _fill_saved_model(shipment: Shipment, folder: Path) -> tuple[str, ...]:
    fill_saved_model(shipment, folder)
    return ("saved_model.pb",)


_FILLS: dict[str, Callable[[Shipment, Path], tuple[str, ...]]] = {
    "saved_model": _fill_saved_model,
    "onnx": fill_onnx,
    "openvino": fill_openvino,
    "keras": fill_keras,
}
