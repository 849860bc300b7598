"""Writes a model in several formats, compares each with it before it takes its place, and writes the certificate."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfl.errors import ExportError
from tfl.evaluate.confidence import Confidence
from tfl.export.certificate import Certifier, refusal, sentence, summary
from tfl.export.kinds import QUANTIZED, check_packages, check_quantize
from tfl.export.litert import REPRESENTATIVE
from tfl.export.runtimes import open_export
from tfl.export.saved_model import VERSION
from tfl.export.server import open_server
from tfl.export.shipment import Shipment, prepare
from tfl.export.trial import Trial, tensors_of
from tfl.export.write import folder_of, write_shipment
from tfl.modalities.base import modality_of
from tfl.tasks.base import task_for

if TYPE_CHECKING:
    import keras

    from tfl.data.bundle import Bundle
    from tfl.runs import Run


@dataclass(frozen=True)
class Shipped:
    """What was written.

    Attributes:
        folders: Of each format; of a SavedModel that of its version.
        certificate: The document in `parity.json`; None where nothing was compared.
        names: The rows of the certificate that are new.
        refused: What was asked for and not written: `reason`, and the figures where it could be compared, by export.
    """

    folders: dict[str, Path]
    certificate: dict[str, Any] | None
    names: tuple[str, ...] = ()
    refused: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def sentences(self) -> list[str]:
        """The new rows in words."""
        rows = self.certificate["exports"] if self.certificate else {}
        return [sentence(name, rows[name]) for name in self.names]

    @property
    def refusals(self) -> list[str]:
        """The refused exports in words."""
        return [refusal(name, row["reason"]) for name, row in self.refused.items()]

    def require_any(self) -> None:
        """Raises where all that was asked for was refused.

        Raises:
            ExportError: With the reason of each.
        """
        if self.refused and not self.folders:
            reasons = " ".join(f"{name}: {row['reason']}" for name, row in self.refused.items())
            raise ExportError(f"No export was written. {reasons}", fix="Exports that were there before are as they were.")


def ship(
    kinds: Sequence[str],
    shipment: Shipment,
    folder: Path,
    *,
    certifier: Certifier | None,
    version: int = VERSION,
    quantize: Sequence[str] = QUANTIZED,
    server: str | None = None,
    tell: Callable[[str], None] = lambda words: None,
) -> Shipped:
    """Writes every format, each whole, compared and in place, or not at all; what is refused does not stop the others.

    Each file of LiteRT is accepted or refused on its own.

    Args:
        kinds: Of `tfl.export.kinds.KINDS`.
        shipment: The model, ready to be written.
        folder: The export folder.
        certifier: What compares; None compares nothing.
        version: Of the SavedModel.
        quantize: Of LiteRT, which files.
        server: An address that is compared as well, after the formats; see `tfl.export.server`.
        tell: Is given a sentence for each export that was compared, and for each that was refused.

    Returns:
        What was written, and what was refused: it cannot be written, cannot be run or is past its tolerance. What was there
        before of a format of which all is refused is as it was.

    Raises:
        ExportError: A choice of formats, versions or weights is none; nothing was written. The server cannot be asked, or is past
            its tolerance; the formats are in place.
        MissingExtraError: A package of the extra `export` is not installed; nothing was written.
    """
    check_packages(kinds)
    if "litert" in kinds:
        check_quantize(quantize)
    places = {kind: folder_of(kind, folder, version=version) for kind in dict.fromkeys(kinds)}
    folders: dict[str, Path] = {}
    refused: dict[str, dict[str, Any]] = {}
    for kind, target in places.items():
        one = _Shipping(kind, target.relative_to(folder).as_posix(), certifier, refused, tell)
        written = write_shipment(kind, shipment, folder, version=version, quantize=quantize, check=one.check, refuse=one.refuse)
        if written is not None:
            folders[kind] = written
    if certifier is None:
        return Shipped(folders, None, refused=refused)
    certificate = certifier.write(folder)
    if server is not None:
        _certify_one(
            certifier, open_server(server, name=str(shipment.about.get("recipe", "model"))), tell, path=".", address=server
        )
        certificate = certifier.write(folder)
    return Shipped(folders, certificate, tuple(certifier.rows), refused)


class _Shipping:
    """Compares what is written of one format, and keeps what is refused."""

    def __init__(
        self, kind: str, place: str, certifier: Certifier | None, refused: dict[str, dict[str, Any]], tell: Callable[[str], None]
    ) -> None:
        self._kind, self._place, self._certifier, self._refused, self._tell = kind, place, certifier, refused, tell
        self._name = None if place in (kind, f"{kind}/{VERSION}") else place
        self._began = time.perf_counter()

    def check(self, scratch: Path, weights: str) -> None:
        """Compares the export with such weights before its folder has its name.

        Raises:
            ExportError: It cannot be run, or is past its tolerance.
        """
        seconds = time.perf_counter() - self._began
        if self._certifier is not None:
            for runtime in open_export(self._kind, scratch, name=self._name):
                if runtime.quantized == weights:
                    size = sum(file.stat().st_size for file in _files_of(scratch, self._kind, weights))
                    about = {"path": self._place, "format": self._kind, "bytes": size, "seconds_to_write": round(seconds, 2)}
                    _certify_one(self._certifier, runtime, self._tell, **about)
        self._began = time.perf_counter()

    def refuse(self, weights: str, error: ExportError) -> None:
        """Keeps the reason and the figures, and tells them."""
        name = f"{self._kind}_{weights}" if self._kind == "litert" else self._name or self._kind
        row = {"reason": str(error), "format": self._kind}
        self._refused[name] = row if self._certifier is None else self._certifier.refuse(name, error, format=self._kind)
        self._tell(refusal(name, str(error)))
        self._began = time.perf_counter()


def _certify_one(certifier: Certifier, runtime: Any, tell: Callable[[str], None], **about: Any) -> dict[str, Any]:
    began = time.perf_counter()
    row = certifier.certify(runtime, **about)
    row["seconds_to_answer"] = round(time.perf_counter() - began, 2)
    tell(sentence(runtime.name, row))
    return row


def _files_of(folder: Path, kind: str, quantized: str) -> list[Path]:
    """The files that make up one export of a folder."""
    if kind == "litert":
        return [folder / f"model_{quantized}.tflite"]
    return [file for file in folder.rglob("*") if file.is_file()]


def ship_model(
    run: Run,
    model: keras.Model,
    kinds: Sequence[str],
    folder: Path,
    *,
    bundle: Bundle | None,
    no_bundle: str | None = None,
    verify: bool = True,
    version: int = VERSION,
    quantize: Sequence[str] = QUANTIZED,
    server: str | None = None,
    confidence: Confidence | None = None,
    tell: Callable[[str], None] = lambda words: None,
) -> Shipped:
    """Ships the model of a run: its own labels, confidence, training examples for int8, and test split to be compared on.

    Args:
        run: Its manifest gets the certificate's summary, where `folder` is its own export folder.
        model: Of the run, in the precision it was trained in.
        kinds, folder, version, quantize, server, tell: See `ship`.
        bundle: The run's examples; None leaves the golden contents alone to compare on, and int8 without examples.
        no_bundle: Why there is none.
        verify: Whether to compare.
        confidence: Of the run; None reads it from its folder.

    Raises:
        ExportError, MissingExtraError: See `ship`.
    """
    check_packages(kinds)
    folder_of("saved_model", folder, version=version)  # raises for a version that is none, before anything is computed
    recipe, class_names = run.recipe, run.class_names
    modality = modality_of(recipe) if bundle is None else bundle.modality
    representative = None
    if bundle is not None and "litert" in kinds and set(quantize) - {"float32"}:
        train = bundle.indices("train")
        representative = tensors_of(bundle.examples, train, modality=modality, at_most=REPRESENTATIVE, seed=recipe.seed)
    shipment = prepare(
        model,
        class_names=class_names,
        modality=modality,
        task=task_for(recipe, class_names),
        metadata={"recipe": recipe.name, "data_fingerprint": run.manifest["data"].get("fingerprint")},
        confidence=confidence if confidence is not None else Confidence.load(run.folder),
        representative=representative,
    )
    certifier = None
    if verify:
        trial = Trial.of(modality) if bundle is None else Trial.of_bundle(bundle)
        certifier = Certifier(shipment, trial, trained=model, no_test=no_bundle)
    done = ship(kinds, shipment, folder, certifier=certifier, version=version, quantize=quantize, server=server, tell=tell)
    keep_parity(run, folder, done)
    return done


def keep_parity(run: Run, folder: Path, done: Shipped) -> None:
    """Puts the summary of a certificate into the manifest, where the folder is the run's own export folder."""
    if done.certificate is not None and Path(folder).resolve() == run.path("export").resolve():
        refused = {
            name: {**row, "refused": row["reason"], "sentence": refusal(name, row["reason"])}
            for name, row in done.refused.items()
        }
        run.update_manifest(parity={**summary(done.certificate, done.names), **refused})
