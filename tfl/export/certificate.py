"""The parity certificate, `parity.json` in the export folder: the model and each of its exports on the same contents.

    contents ─▶ tfl's decoder ─▶ the model in float32 ─▶ what every export has to say
      ├───────────────────────▶ SavedModel, running server          they decode by themselves
      └─▶ tfl's decoder ──────▶ LiteRT, ONNX, OpenVINO, .keras      they take tensors: tfl's
      └─▶ the README's lines ─▶ the model in float32                what another decoder alone changes (such as `read_by_pillow`)

It counts for one model: exports of another one that are still next to it are dropped from it. An export that could not be
written, or was past its tolerance, is not put in place; it is listed under `refused`, with the reason and its figures.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfl.backbones.inputs import joined
from tfl.backbones.weight_hash import weights_fingerprint
from tfl.errors import ExportError
from tfl.export.kinds import MOST_ACCURACY_LOST, MOST_ROUNDING, TIMES_ROUNDING, TOLERANCES
from tfl.export.measures import OfClasses, measure_of
from tfl.export.parity import compare, require, words_of
from tfl.export.runtimes import Outputs, Runtime, of_model
from tfl.export.shipment import Shipment
from tfl.export.trial import GOLDEN, TEST, Trial
from tfl.modalities.base import KINDS, NOUNS
from tfl.model.forward import constant_forward
from tfl.model.policies import policy_of
from tfl.storage import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = "parity.json"
_DECODING = (
    "The model, LiteRT, ONNX, OpenVINO and .keras take {tensors} and got those of tfl's decoder; SavedModel and server decoded "
    "the {nouns} by themselves."
)
_READING = " {key} is the model on {tensors} that the README's lines made."


class Certifier:
    """Compares exports with the model they were made from; the model answers once.

    Args:
        shipment: What the exports are written from.
        trial: The contents.
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
        self._measure = measure_of(shipment.task)
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
        """The certificate of what was compared so far."""
        return {
            "format": 1,
            "model": {"recipe": self.shipment.about.get("recipe"), "weights": self._weights(), **self._accuracy(self.expected)},
            "as_trained": self._trained,
            "golden": {"count": self.trial.count(GOLDEN), "files": list(self.trial.names[: self.trial.count(GOLDEN)])},
            "test": {"count": self.trial.count(TEST), "why_none": self._no_test},
            "words": words_of(self._measure, self.shipment.modality.nouns),
            **self._of_reading(),
            "exports": dict(self.rows),
            "refused": dict(self.refused),
        }

    def _beside_rounding(self, difference: float) -> dict[str, Any]:
        """A verdict that knows what float32 can hold: 1e-5 is less than some networks round by, whoever computes them.

        The measure is the model beside itself with BatchNorm folded into the convolutions, by TensorFlow, as every other
        runtime folds it.
        """
        if self._rounding is None:
            names = self.shipment.task.main_outputs
            model = keras.Model(self.shipment.answer.input, {name: self.shipment.answer.output[name] for name in names})
            folded = constant_forward(model)
            batches = [_by_name(folded(tensors), names) for _, tensors in self.trial.tensors()]
            found = {name: np.concatenate([batch[name] for batch in batches]) for name in names}
            self._rounding = float(self._measure.gaps(found, self.expected).max())
        tolerance = max(TOLERANCES["float32"], min(TIMES_ROUNDING * self._rounding, MOST_ROUNDING))
        return {"rounding": self._rounding, "tolerance": tolerance, "holds": bool(difference <= tolerance)}

    def _compare(self, runtime: Runtime, found: Outputs) -> dict[str, Any]:
        shipment = self.shipment
        return compare(runtime, found, self.expected, self.trial, shipment.class_names, task=shipment.task)

    def _of_trained(self, trained: keras.Model) -> dict[str, Any]:
        task = self.shipment.task
        runtime = of_model(trained, name="as_trained", output=task.output)
        found = {**self.expected, **task.named(runtime.look_at(self.trial)[task.output])}
        return {"policy": policy_of(trained), **_brief(self._compare(runtime, found), certified=False)}

    def _of_reading(self) -> dict[str, Any]:
        """How contents became tensors, and what the README's way there changes."""
        nouns, tensors = self.shipment.modality.nouns, ", ".join(f"`{name}`" for name in self.shipment.modality.spec())
        told = {"decoding": _DECODING.format(nouns=nouns, tensors=tensors)}
        if not (reading := self.shipment.shipping.reading):
            return told
        key = f"read_by_{reading}"
        return {"decoding": told["decoding"] + _READING.format(key=key, tensors=tensors), key: self._by_readme()}

    def _by_readme(self) -> dict[str, Any] | None:
        """What the README's decoding changes; None where every export has its own decoder, or it cannot be run."""
        if all(row["decodes"] for row in self.rows.values()) or self.shipment.shipping.how_to_read() is None:
            return None
        try:
            found = self._model.look_at_batches(self._read_by_readme())
        except ImportError:  # the packages of the README are not needed to export
            return None
        return _brief(self._compare(self._model, found), certified=False)

    def _read_by_readme(self) -> Iterator[Any]:
        read = self.shipment.shipping.read
        for _, contents in self.trial.contents():
            rows = [read(content) for content in contents]
            yield joined([_batch_of_one(row) for row in rows])

    def _weights(self) -> str:
        return weights_fingerprint(self.shipment.answer)

    def _accuracy(self, outputs: Outputs) -> dict[str, float]:
        inside = self.trial.part(TEST)
        if not inside.any():
            return {}
        of_test = {name: values[inside] for name, values in outputs.items()}
        return {self._measure.metric: self._measure.figure(of_test, self.trial.targets[inside])}


def _batch_of_one(row: Any) -> Any:
    return {name: value[None] for name, value in row.items()} if isinstance(row, dict) else row[None]


def _by_name(outputs: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    """The outputs of a frozen graph by name: it gives them in the order of their names, as `tf.nest` sorts them."""
    return {name: np.asarray(value) for name, value in zip(sorted(names), outputs, strict=True)}


@functools.cache
def _words_before() -> dict[str, str]:
    """Words of certificates that were written when there was one kind of example and one task."""
    return words_of(OfClasses(), NOUNS[KINDS[0]][1])


def sentence(name: str, row: Mapping[str, Any]) -> str:
    """A row in words.

    Example:

    >>> from tfl.export.certificate import sentence
    >>> row = {"weights": "float32", "largest_difference": 2e-7, "changed": 0, "count": 40, "tolerance": 1e-5, "holds": True}
    >>> sentence("onnx", {**row, "test": {"count": 10, "accuracy": 0.9, "accuracy_of_model": 0.9}})
    'onnx: probabilities within 2.0e-07 of the model, no label of 40 changed; accuracy 0.9000, the model 0.9000 on 10 test images'
    """
    said = row.get("words", _words_before())
    answers, metric = said["answers"], said["metric"]
    changed = (
        f"{row['changed']} {answers} of {row['count']} changed"
        if row["changed"]
        else f"no {said['answer']} of {row['count']} changed"
    )
    words = f"{name}: {_plural(said)} within {row['largest_difference']:.1e} of the model, {changed}"
    if test := row["test"]:
        words += (
            f"; {metric} {test[metric]:.4f}, the model {test[f'{metric}_of_model']:.4f} on {test['count']} test {said['nouns']}"
        )
    if row.get("rounding"):
        words += f"; in float32 the model itself rounds by {row['rounding']:.1e}, so {row['tolerance']:.1e} is allowed"
    if row["tolerance"] is None and row["holds"] is not True:
        words += (
            f"; no test {said['nouns']} to say what it loses"
            if row["holds"] is None
            else f". MORE THAN {100 * MOST_ACCURACY_LOST:g} POINT OF {metric.upper()} IS LOST"
        )
    return words


def _plural(words: Mapping[str, str]) -> str:
    return "probabilities" if words["noun"] == "probability" else words["answers"]


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
