"""`.keras`: the model with all that it answers, as Keras keeps it. Loads with Keras alone, and in safe mode."""

from __future__ import annotations

from pathlib import Path

from tfl.errors import ExportError
from tfl.export.shipment import Shipment

FILE = "model.keras"


def fill_keras(shipment: Shipment, folder: Path) -> tuple[str, ...]:
    """Writes `model.keras` and returns its name.

    Raises:
        ExportError: A layer cannot be saved.
    """
    from tfl.backbones.saving import remember_skipped_attributes

    remember_skipped_attributes()
    try:
        shipment.answer.save(folder / FILE)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ExportError(f"This model cannot be written as a Keras file: {error}") from error
    return (FILE,)
