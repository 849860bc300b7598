"""An export that names classes which need not have been trained on: `tfl export RUN|PRESET --classes FILE`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.class_names import folded
from tfl.export.certificate import Certifier
from tfl.export.kinds import QUANTIZED, check_packages
from tfl.export.litert import REPRESENTATIVE
from tfl.export.saved_model import VERSION
from tfl.export.ship import Shipped, keep_parity, ship
from tfl.export.shipment import prepare
from tfl.export.trial import Trial, tensors_of
from tfl.export.write import folder_of
from tfl.zero_shot.namer import Namer

if TYPE_CHECKING:
    from tfl.data.bundle import Bundle


def ship_namer(
    namer: Namer,
    kinds: Sequence[str],
    folder: Path,
    *,
    bundle: Bundle | None = None,
    no_bundle: str | None = None,
    verify: bool = True,
    version: int = VERSION,
    quantize: Sequence[str] = QUANTIZED,
    server: str | None = None,
    tell: Callable[[str], None] = lambda words: None,
) -> Shipped:
    """Writes the network with its fixed layer in every format, and compares each with it.

    Args:
        namer: Which classes it names, and how.
        kinds, folder, verify, version, quantize, server, tell: See `tfl.export.ship.ship`.
        bundle: The examples of the run that it came from; it is compared on the test examples of those classes that the file
            has, and on the golden contents alone where it has none of them, or where there is no bundle.
        no_bundle: Why there is none.

    Raises:
        ExportError, MissingExtraError: See `ship`.
    """
    check_packages(kinds)
    folder_of("saved_model", folder, version=version)  # raises for a version that is none, before anything is computed
    representative, fingerprint = None, None
    if bundle is not None and namer.run is not None:
        fingerprint = namer.run.manifest["data"].get("fingerprint")
        if "litert" in kinds and set(quantize) - {"float32"}:
            train, seed = bundle.indices("train"), namer.run.recipe.seed
            representative = tensors_of(bundle.examples, train, modality=namer.modality, at_most=REPRESENTATIVE, seed=seed)
    model = namer.model()
    shipment = prepare(
        model,
        class_names=namer.class_names,
        modality=namer.modality,
        metadata={"recipe": namer.name, "data_fingerprint": fingerprint, "trained_on": _trained_on(namer)},
        representative=representative,
    )
    certifier = None
    if verify:
        trial, why = _trial(namer, bundle)
        certifier = Certifier(shipment, trial, trained=model, no_test=no_bundle or why)
    done = ship(kinds, shipment, folder, certifier=certifier, version=version, quantize=quantize, server=server, tell=tell)
    if namer.run is not None:
        keep_parity(namer.run, folder, done)
    return done


def _trained_on(namer: Namer) -> list[str]:
    return [name for name, seen in zip(namer.class_names, namer.seen, strict=True) if seen]


def _trial(namer: Namer, bundle: Bundle | None) -> tuple[Trial, str | None]:
    """What exports are compared on, and why no test split is among it."""
    if bundle is None:
        return Trial.of(namer.modality), "a pair of encoders has no examples of its own"
    places = {folded(name): at for at, name in enumerate(namer.class_names)}
    columns = np.array([places.get(folded(name), -1) for name in bundle.examples.class_names])[np.asarray(bundle.examples.labels)]
    test = bundle.indices("test")
    named = test[columns[test] >= 0]
    if not len(named):
        return Trial.of(namer.modality), "none of its classes is among those that are exported"
    targets: Any = np.eye(len(namer.class_names), dtype=np.float32)[columns]
    return Trial.of(namer.modality, examples=bundle.examples, targets=targets, indices=named, cached=bundle.cached), None
