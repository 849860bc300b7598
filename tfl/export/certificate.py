"""The parity certificate, `parity.json` in the export folder: the model and each of its exports on the same files.

    files ─▶ tfl's decoder ─▶ the model in float32 ─▶ what every export has to say
      ├───────────────────────▶ SavedModel, running server          they decode by themselves: bytes to label
      └─▶ tfl's decoder ──────▶ LiteRT, ONNX, OpenVINO, .keras      they take pixels: tfl's
      └─▶ the README's lines ─▶ the model in float32                what another decoder alone changes (`read_by_pillow`)

It counts for one model: exports of another one that are still beside it are dropped from it. An export that could not be
written, or was past its tolerance, is not put in place; it is listed under `refused`, with the reason and its figures.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from tfl.backbones.weight_hash import weights_fingerprint
from tfl.errors import ExportError
from tfl.export.kinds import MOST_ACCURACY_LOST, MOST_ROUNDING, TIMES_ROUNDING, TOLERANCES
from tfl.export.parity import compare, require
from tfl.export.pillow import pillow_pixels
from tfl.export.runtimes import Outputs, Runtime, of_model
from tfl.export.shipment import PROBABILITIES, Shipment
from tfl.export.trial import GOLDEN, TEST, Trial
from tfl.model.forward import constant_forward
from tfl.model.policies import policy_of
from tfl.storage import write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = "parity.json"
_DECODING = (
    "The model, LiteRT, ONNX, OpenVINO and .keras take pixels and got those of tfl's decoder; SavedModel and server decoded the "
    "files by themselves. read_by_pillow is the model on pixels that the README's lines made."
)


class Certifier:
    """Compares exports with the model they were made from; the model answers once.

    Args:
        shipment: What the exports are written from.
        trial: The files.
        trained: The model as it was trained, where it computes in less than float32: how far float32 is from it is told.
        no_test: Why there is no test split, where there is none.
        strict: Whether an export past its tolerance is refused; otherwise its row says that it does not hold.
    """

    def __init__(
        self,
        shipment: Shipment,
        trial: Trial,
        *,
        trained: keras.Model | None = None,
        no_test: str | None = None,
        strict: bool = True,
    ) -> None:
        self.shipment, self.trial = shipment, trial
        self._model = of_model(shipment.answer)
        self.expected: Outputs = self._model.look_at(trial)
        self.rows: dict[str, dict[str, Any]] = {}
        self.refused: dict[str, dict[str, Any]] = {}
        self._no_test, self._strict = no_test, strict
        self._rounding: float | None = None
        self._trained = self._of_trained(trained) if trained is not None and policy_of(trained) != "float32" else None

    def certify(self, runtime: Runtime, **more: Any) -> dict[str, Any]:
        """The row of one export; `more` is put into it.

        Raises:
            ExportError: It cannot be run, or is past its tolerance; its row is not among those that hold then, and `refuse`
                puts its figures among the refused.
        """
        row = self._compare(runtime, runtime.look_at(self.trial))
        if row["holds"] is False and runtime.quantized == "float32" and not runtime.exact:
            row.update(self._beside_rounding(row["largest_difference"]))
        if self._strict:
            try:
                require(row, name=f"The export `{runtime.name}`")
            except ExportError:
                self.refused[runtime.name] = _brief(row)
                raise
        self.rows[runtime.name] = {**row, **more}
        return self.rows[runtime.name]

    def refuse(self, name: str, error: ExportError, **more: Any) -> dict[str, Any]:
        """Lists an export as refused: the reason, the figures where it could be compared, and `more`."""
        self.rows.pop(name, None)
        self.refused[name] = {"reason": str(error), **self.refused.get(name, {}), **more}
        return self.refused[name]

    def write(self, folder: Path) -> dict[str, Any]:
        """Writes `parity.json` into the export folder; rows of the same model stay, of folders that were not written again.

        Returns:
            The certificate.
        """
        document = self.document()
        earlier = _earlier_of_same_model(folder, document)
        written = {row["path"] for row in self.rows.values()}
        kept = {name: row for name, row in earlier["exports"].items() if row["path"] not in written}
        document["exports"] = {**kept, **document["exports"]}
        refused = {**earlier["refused"], **document["refused"]}
        document["refused"] = {name: row for name, row in refused.items() if name not in self.rows}
        document["holds"] = all(row["holds"] is not False for row in document["exports"].values())
        write_json(Path(folder) / FILE, document)
        return document

    def document(self) -> dict[str, Any]:
        """The certificate of what was judged so far."""
        return {
            "format": 1,
            "model": {"recipe": self.shipment.about.get("recipe"), "weights": self._weights(), **self._accuracy(self.expected)},
            "as_trained": self._trained,
            "golden": {"count": self.trial.count(GOLDEN), "files": list(self.trial.names[: self.trial.count(GOLDEN)])},
            "test": {"count": self.trial.count(TEST), "why_none": self._no_test},
            "decoding": _DECODING,
            "read_by_pillow": self._by_pillow(),
            "exports": dict(self.rows),
            "refused": dict(self.refused),
        }

    def _beside_rounding(self, difference: float) -> dict[str, Any]:
        """A verdict that knows what float32 can hold: 1e-5 is less than some networks round by, whoever computes them.

        The measure is the model beside itself with BatchNorm folded into the convolutions, by TensorFlow, as every other
        runtime folds it.
        """
        if self._rounding is None:
            probabilities = {PROBABILITIES: self.shipment.answer.output[PROBABILITIES]}
            folded = constant_forward(keras.Model(self.shipment.answer.input, probabilities))
            found = [np.asarray(folded(tf.constant(pixels))[0]) for _, pixels in self.trial.pixels()]
            self._rounding = float(np.abs(np.concatenate(found) - self.expected[PROBABILITIES]).max())
        tolerance = max(TOLERANCES["float32"], min(TIMES_ROUNDING * self._rounding, MOST_ROUNDING))
        return {"rounding": self._rounding, "tolerance": tolerance, "holds": bool(difference <= tolerance)}

    def _compare(self, runtime: Runtime, found: Outputs) -> dict[str, Any]:
        return compare(runtime, found, self.expected, self.trial, self.shipment.class_names)

    def _of_trained(self, trained: keras.Model) -> dict[str, Any]:
        runtime = of_model(trained, name="as_trained")
        found = {**self.expected, PROBABILITIES: runtime.look_at(self.trial)[PROBABILITIES]}
        return {"policy": policy_of(trained), **_brief(self._compare(runtime, found), certified=False)}

    def _by_pillow(self) -> dict[str, Any] | None:
        """What the README's decoding changes; None where every export that was judged has its own decoder."""
        if all(row["decodes"] for row in self.rows.values()):
            return None
        found = self._model.look_at_batches(self._read_by_pillow(self.trial.contents()))
        return _brief(self._compare(self._model, found), certified=False)

    def _read_by_pillow(self, batches: Iterator[tuple[slice, list[bytes]]]) -> Iterator[NDArray[np.float32]]:
        for _, contents in batches:
            yield np.stack([pillow_pixels(content, self.shipment.data) for content in contents])

    def _weights(self) -> str:
        return weights_fingerprint(self.shipment.answer)

    def _accuracy(self, outputs: Outputs) -> dict[str, float]:
        inside = self.trial.part(TEST)
        if not inside.any():
            return {}
        return {"accuracy": float((outputs[PROBABILITIES][inside].argmax(-1) == self.trial.labels[inside]).mean())}


def sentence(name: str, row: Mapping[str, Any]) -> str:
    """A row in words.

    Example:

    >>> from tfl.export.certificate import sentence
    >>> row = {"weights": "float32", "largest_difference": 2e-7, "changed": 0, "count": 40, "tolerance": 1e-5, "holds": True}
    >>> sentence("onnx", {**row, "test": {"count": 10, "accuracy": 0.9, "accuracy_of_model": 0.9}})
    'onnx: probabilities within 2.0e-07 of the model, no label of 40 changed; accuracy 0.9000, the model 0.9000 on 10 test images'
    """
    labels = f"{row['changed']} labels of {row['count']} changed" if row["changed"] else f"no label of {row['count']} changed"
    words = f"{name}: probabilities within {row['largest_difference']:.1e} of the model, {labels}"
    if test := row["test"]:
        words += f"; accuracy {test['accuracy']:.4f}, the model {test['accuracy_of_model']:.4f} on {test['count']} test images"
    if row.get("rounding"):
        words += f"; in float32 the model itself rounds by {row['rounding']:.1e}, so {row['tolerance']:.1e} is allowed"
    if row["tolerance"] is None and row["holds"] is not True:
        words += (
            "; no test images to say what it loses"
            if row["holds"] is None
            else f". MORE THAN {100 * MOST_ACCURACY_LOST:g} POINT OF ACCURACY IS LOST"
        )
    return words


def summary(certificate: Mapping[str, Any], names: Sequence[str] | None = None) -> dict[str, Any]:
    """What a run's manifest keeps of a certificate, by export."""
    return {
        name: {**_brief(row), "sentence": sentence(name, row)}
        for name, row in certificate["exports"].items()
        if names is None or name in names
    }


def refusal(name: str, reason: str) -> str:
    """A refusal in words."""
    return f"{name}: REFUSED, not written. {reason}"


def _brief(row: Mapping[str, Any], *, certified: bool = True) -> dict[str, Any]:
    """A row without the list of files, and without a verdict where it is no export."""
    names = ("largest_difference", "count", *(("tolerance", "holds") if certified else ()))
    kept = {name: row[name] for name in names}
    kept.update({"rounding": row["rounding"]} if certified and "rounding" in row else {})
    return {**kept, "changed_labels": row["changed"], "test": row["test"], "other_outputs": row["other_outputs"]}


def _earlier_of_same_model(folder: Path, document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What an earlier certificate of the same model and files says: `exports` that are still there, and `refused`."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        earlier = json.loads((Path(folder) / FILE).read_text(encoding="utf-8"))
        same = all(earlier[part] == document[part] for part in ("model", "golden", "test"))
        if same:
            there = {name: row for name, row in earlier["exports"].items() if (Path(folder) / row["path"]).exists()}
            return {"exports": there, "refused": dict(earlier.get("refused", {}))}
    return {"exports": {}, "refused": {}}
