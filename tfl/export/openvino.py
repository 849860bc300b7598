"""OpenVINO's own format, `model.xml` with `model.bin`, weights in float32.

Keras writes a SavedModel and OpenVINO's core reads that. Keras' `format="openvino"` calls `openvino.convert_model`, which
comes to the same graph, and reports to its makers that it was called.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tfl.errors import ExportError
from tfl.export.shipment import Shipment

FILES = ("model.xml", "model.bin")


def fill_openvino(shipment: Shipment, folder: Path) -> tuple[str, ...]:
    """Writes `model.xml` and `model.bin` and returns their names.

    Raises:
        ExportError: The network has an operation that OpenVINO lacks.
    """
    import openvino

    try:
        with tempfile.TemporaryDirectory() as elsewhere:
            signature = shipment.input_signature()
            shipment.answer.export(elsewhere, format="tf_saved_model", verbose=False, input_signature=signature)
            model = openvino.Core().read_model(elsewhere)
            openvino.save_model(model, str(folder / FILES[0]), compress_to_fp16=False)
    except OSError:
        raise
    except Exception as error:  # of TensorFlow while tracing, or of OpenVINO
        raise ExportError(f"This model cannot be written for OpenVINO: {' '.join(str(error).split())[:500]}") from error
    return FILES
