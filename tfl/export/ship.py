"""Writes a model in several formats, compares each with it before it takes its place, and writes the certificate."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfl.errors import ExportError
from tfl.evaluate.confidence import Confidence
from tfl.export.certificate import Judge, sentence, summary
from tfl.export.kinds import QUANTIZED, check_packages
from tfl.export.litert import REPRESENTATIVE
from tfl.export.runtimes import open_export
from tfl.export.saved_model import VERSION
from tfl.export.server import open_server
from tfl.export.shipment import Shipment, prepare
from tfl.export.trial import Trial, images_of
from tfl.export.write import folder_of, write_shipment

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
    """

    folders: dict[str, Path]
    certificate: dict[str, Any] | None
    names: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """The new rows in words."""
        rows = self.certificate["exports"] if self.certificate else {}
        return [sentence(name, rows[name]) for name in self.names]


def ship(
    kinds: Sequence[str],
    shipment: Shipment,
    folder: Path,
    *,
    judge: Judge | None,
    version: int = VERSION,
    quantize: Sequence[str] = QUANTIZED,
    server: str | None = None,
    tell: Callable[[str], None] = lambda words: None,
) -> Shipped:
    """Writes every format, each whole, compared and in place, or not at all.

    Args:
        kinds: Of `tfl.export.kinds.KINDS`.
        shipment: The model, ready to be written.
        folder: The export folder.
        judge: What compares; None compares nothing.
        version: Of the SavedModel.
        quantize: Of LiteRT, which files.
        server: An address that is compared as well, after the formats; see `tfl.export.server`.
        tell: Is given a sentence for each export that was compared.

    Raises:
        ExportError: A format cannot be written, or is past its tolerance: what was there of it before is as it was.
        MissingExtraError: A package of the extra `export` is not installed; nothing was written.
    """
    check_packages(kinds)
    folders: dict[str, Path] = {}
    for kind in dict.fromkeys(kinds):
        target, began = folder_of(kind, folder, version=version), time.perf_counter()
        place = target.relative_to(folder).as_posix()

        def check(scratch: Path, kind: str = kind, place: str = place, began: float = began) -> None:
            written = time.perf_counter() - began
            if judge is not None:
                _judge_folder(judge, kind, scratch, place=place, seconds=written, tell=tell)

        try:
            folders[kind] = write_shipment(kind, shipment, folder, version=version, quantize=quantize, check=check)
        except ExportError:
            if judge is not None and folders:  # those that are in place keep their certificate
                judge.write(folder, only=[done.relative_to(folder).as_posix() for done in folders.values()])
            raise
    if judge is None:
        return Shipped(folders, None)
    if server is not None:
        _judge_one(judge, open_server(server, name=str(shipment.about.get("recipe", "model"))), tell, path=".", address=server)
    return Shipped(folders, judge.write(folder), tuple(judge.rows))


def _judge_folder(judge: Judge, kind: str, scratch: Path, *, place: str, seconds: float, tell: Callable[[str], None]) -> None:
    """Compares what a folder holds before it has its name."""
    name = None if place in (kind, f"{kind}/{VERSION}") else place
    for runtime in open_export(kind, scratch, name=name):
        size = sum(file.stat().st_size for file in _files_of(scratch, kind, runtime.quantized))
        _judge_one(judge, runtime, tell, path=place, format=kind, bytes=size, seconds_to_write=round(seconds, 2))


def _judge_one(judge: Judge, runtime: Any, tell: Callable[[str], None], **about: Any) -> dict[str, Any]:
    began = time.perf_counter()
    row = judge.judge(runtime, **about)
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
    """Ships the model of a run: its own labels, confidence, training images for int8, and test split to be compared on.

    Args:
        run: Its manifest gets the certificate's summary, where `folder` is its own export folder.
        model: Of the run, in the precision it was trained in.
        kinds, folder, version, quantize, server, tell: See `ship`.
        bundle: The run's images; None leaves the golden images alone to compare on, and int8 without images.
        no_bundle: Why there is none.
        verify: Whether to compare.
        confidence: Of the run; None reads it from its folder.

    Raises:
        ExportError, MissingExtraError: See `ship`.
    """
    check_packages(kinds)
    recipe, class_names = run.recipe, run.class_names
    data = recipe.data
    representative = None
    if bundle is not None and "litert" in kinds and "int8" in quantize:
        representative = images_of(bundle.examples, bundle.indices("train"), data=data, at_most=REPRESENTATIVE, seed=recipe.seed)
    shipment = prepare(
        model,
        class_names=class_names,
        data=data,
        metadata={"recipe": recipe.name, "data_fingerprint": run.manifest["data"].get("fingerprint")},
        confidence=confidence if confidence is not None else Confidence.load(run.folder),
        representative=representative,
    )
    judge = None
    if verify:
        chosen = () if bundle is None else bundle.indices("test")
        examples, pixels = (None, None) if bundle is None else (bundle.examples, bundle.pixels)
        trial = Trial.of(data, examples=examples, indices=chosen, pixels=pixels)
        judge = Judge(shipment, trial, trained=model, no_test=no_bundle)
    done = ship(kinds, shipment, folder, judge=judge, version=version, quantize=quantize, server=server, tell=tell)
    if done.certificate is not None and Path(folder).resolve() == run.path("export").resolve():
        run.update_manifest(parity=summary(done.certificate, done.names))
    return done
