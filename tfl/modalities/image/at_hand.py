"""Which networks for images have their weights on this machine: of Keras Applications, presets of KerasHub, and `mini`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tfl.backbones.weight_files import is_whole, weights_folders
from tfl.errors import BackboneError
from tfl.modalities import hub, hub_cache
from tfl.modalities.at_hand import AtHand
from tfl.modalities.image.backbones import catalog, mini
from tfl.modalities.image.backbones.presets import ENCODERS
from tfl.modalities.image.backbones.published import BENCHMARK, published
from tfl.recipe import Backbone


def at_hand(folders: Sequence[Path]) -> Iterator[AtHand]:
    """See `tfl.modalities.at_hand.at_hand`."""
    yield from _mini()
    own = weights_folders()
    for folder in own:
        yield from _of_keras(folder)
    for folder in folders:
        if folder not in own:
            yield from _of_keras(folder, by_path=True)
    for preset in hub_cache.presets(folders):
        yield from _of_hub(preset)


def variants(entry: catalog.Entry) -> Iterator[tuple[dict[str, Any], int, str]]:
    """The published weights of a network: arguments that differ from the defaults, size in pixels, name of the file.

    Example:

    >>> from tfl.modalities.image.backbones import catalog
    >>> from tfl.modalities.image.at_hand import variants
    >>> len(list(variants(catalog.entry("MobileNet")))), len(list(variants(catalog.entry("VGG16"))))
    (16, 1)
    """
    if entry.is_classic:
        return
    defaults, offered = dict(entry.arguments), dict(entry.weights_for)
    choices = [offered.get(key, (False, True) if isinstance(default, bool) else (default,)) for key, default in defaults.items()]
    for values in itertools.product(*choices):
        arguments = {key: value for key, value in zip(defaults, values, strict=True) if value != defaults[key]}
        sizes = entry.sizes if len(entry.sizes) > 1 else (entry.native_size,)
        for size in sizes:
            try:
                yield arguments, size, entry.weights_file_for(arguments, (size, size))
            except BackboneError:  # the minimalistic ones have one width
                break


def _mini() -> Iterator[AtHand]:
    if mini.WEIGHTS_FILE.is_file():
        side = catalog.entry("mini").native_size
        facts = published("mini", {}, side, native_size=side)
        yield AtHand(
            backbone=Backbone("mini"),
            file=mini.WEIGHTS_FILE,
            input_size=(side, side),
            parameters=facts.parameters,
            flops=facts.flops,
        )


def _of_keras(folder: Path, *, by_path: bool = False) -> Iterator[AtHand]:
    try:
        there = {file.name for file in folder.iterdir()}
    except OSError:
        return
    for name in catalog.names():
        if name == "mini":
            continue
        entry = catalog.entry(name)
        for arguments, size, file_name in variants(entry):
            if file_name not in there or not is_whole(folder / file_name):
                continue
            facts = published(name, arguments, size, native_size=entry.native_size)
            yield AtHand(
                backbone=Backbone(name, arguments=arguments, weights=str(folder / file_name) if by_path else "pretrained"),
                file=folder / file_name,
                input_size=(size, size),
                native=size == entry.native_size,
                accuracy=facts.accuracy,
                benchmark=BENCHMARK if facts.accuracy is not None else "",
                parameters=facts.parameters,
                flops=facts.flops,
            )


def _of_hub(preset: hub_cache.Preset) -> Iterator[AtHand]:
    try:
        settings = hub.config_of(preset.folder)
    except BackboneError:
        return
    config = settings["config"]
    shape: Sequence[Any] = config.get("vision_encoder", {}).get("config", config).get("image_shape") or ()
    if settings["class_name"] in ENCODERS and len(shape) == 3:
        yield AtHand(backbone=Backbone(preset.name), file=preset.folder, input_size=(int(shape[0]), int(shape[1])))
