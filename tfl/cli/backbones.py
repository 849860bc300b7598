"""`tfl backbones`: which networks there are, and what one is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import Answer, command
from tfl.cli.options import parse_size, set_option
from tfl.quiet import load_tensorflow
from tfl.recipe import Backbone

if TYPE_CHECKING:
    from tfl.backbones.matching import Matching
    from tfl.modalities.at_hand import AtHand


@command
@click.argument("name", required=False)
@click.option(
    "--at-hand", is_flag=True, help="List only those whose pretrained weights are on this machine, the one to try first in front."
)
@click.option(
    "--folder",
    "folders",
    metavar="DIR",
    multiple=True,
    type=click.Path(path_type=Path),
    help="With --at-hand: look in this folder as well. Repeatable.",
)
@click.option("--fetch", "fetching", is_flag=True, help="Fetch the pretrained weights of NAME to where Keras looks for them.")
@click.option(
    "--weights",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Show which layers of NAME would take over weights of this file (.keras, .weights.h5 or .h5, of any network).",
)
@click.option(
    "--match", type=click.Choice(("auto", "name", "order")), help="With --weights: how layers are matched. [default: auto]"
)
@click.option("--image-size", metavar="H,W", callback=parse_size, help="For this size in pixels. [default: the network's own]")
@set_option("Change how it is built, such as arguments.alpha=0.35. Repeatable.")
def backbones(
    name: str | None,
    at_hand: bool,
    folders: Sequence[Path],
    fetching: bool,
    weights: Path | None,
    match: str | None,
    image_size: tuple[int, int] | None,
    settings: Sequence[tuple[str, str]],
) -> Answer:
    """List the networks, or print the blocks of NAME: layers, parameters, output shape, share of the compute.

    NAME is one of the list, the path of a model saved by Keras (.keras, or a whole model in .h5), or an encoder of KerasHub for
    images or texts, by the name or the folder of its preset. Of a file it also says how pixels are prepared for it. A network
    of the list is built with random weights: nothing is downloaded, but with --fetch.

    With --weights, print for each layer with weights which layer of the file it would take them from, or why from none. A
    recipe takes them by tfl.Backbone(NAME, weights=FILE, match=HOW).
    """
    if folders and not at_hand:
        raise click.UsageError("--folder goes with --at-hand.")
    if name is None:
        if image_size is not None or settings or fetching or weights is not None:
            raise click.UsageError("--image-size, --set, --fetch and --weights need the NAME of a network.")
        return _list_at_hand(folders) if at_hand else _list()
    if at_hand:
        raise click.UsageError("--at-hand lists networks, and takes no NAME.")
    if match is not None and weights is None:
        raise click.UsageError("--match goes with --weights.")
    if weights is not None:
        if fetching:
            raise click.UsageError("--fetch fetches the network's own weights, and --weights names others.")
        return _match(name, weights, match or "auto", image_size, settings)
    return _fetch(name, image_size, settings) if fetching else _describe(name, image_size, settings)


def _list() -> Answer:
    from tfl.backbones.weight_files import weights_folders
    from tfl.modalities.at_hand import at_hand
    from tfl.modalities.image.backbones import catalog

    here = at_hand("image")
    rows = []
    for name in catalog.names():
        entry = catalog.entry(name)
        found = [each for each in here if each.backbone.name == name]
        rows.append(
            {
                "name": entry.name,
                "family": entry.family,
                "minimum_size": entry.minimum_size,
                "native_size": entry.native_size,
                "preprocessing": entry.preprocessing,
                "weights_file": None if entry.is_classic else entry.weights_file,
                "weights_here": sorted(each.file.name for each in found),
                "at_hand": bool(found),
                "variants": [_variant(each, entry.native_size) for each in found],
            }
        )
    document = {"backbones": rows, "weights_folder": str(weights_folders()[0])}
    return Answer(document, lambda: _show_list(document))


def _variant(found: AtHand, native_size: int) -> str:
    """By what weights differ from those of the network's defaults, such as `alpha=0.35`."""
    arguments = [f"{key}={value}" for key, value in found.backbone.arguments.items()]
    side = found.input_size[0]
    return " ".join(arguments + ([] if side == native_size else [f"{side} px"])) or "yes"


def _show_list(document: dict[str, Any]) -> None:
    from tfl.cli.tables import output, table

    rows = [
        (
            row["name"],
            row["family"],
            row["native_size"],
            row["minimum_size"],
            row["preprocessing"],
            ", ".join(row["variants"]) or ("none exist" if row["weights_file"] is None else ""),
        )
        for row in document["backbones"]
    ]
    columns = ("name", "family", "own px", "minimum px", "preprocessing", "weights at hand")
    output().print(table(columns, rows, right=("own px", "minimum px")))
    click.echo(f"Keras downloads other weights into {document['weights_folder']} when a recipe asks for them.")
    click.echo("Now: tfl backbones NAME --fetch. What is here, best first: tfl backbones --at-hand")


def _list_at_hand(folders: Sequence[Path]) -> Answer:
    from tfl.backbones.weight_files import weights_folders
    from tfl.errors import DataError
    from tfl.modalities.at_hand import best_at_hand

    for folder in folders:
        if not folder.expanduser().is_dir():
            raise DataError(f"There is no folder {folder}.", fix="--folder names one with weights files or presets.")
    rows = [
        {"kind": kind, **found.to_json(), "title": found.title}
        for kind in ("image", "text")
        for found in best_at_hand(kind, folders=folders)
    ]
    document = {"backbones": rows, "weights_folder": str(weights_folders()[0])}
    return Answer(document, lambda: _show_at_hand(document))


def _show_at_hand(document: dict[str, Any]) -> None:
    from tfl.backbones.weight_files import PAGE
    from tfl.cli.tables import output, readable_count, table

    rows = [
        (
            row["title"],
            "images, sounds" if row["kind"] == "image" else "texts",
            " × ".join(str(side) for side in row["input_size"]) + (" px" if row["kind"] == "image" else " tokens"),
            f"{row['accuracy']}%, {row['benchmark']}" if row["accuracy"] else "",
            "" if row["parameters"] is None else readable_count(row["parameters"]),
            "" if row["flops"] is None else readable_count(row["flops"]),
            row["file"],
        )
        for row in document["backbones"]
    ]
    columns = ("network", "for", "trained at", "published accuracy", "parameters", "FLOP", "where")
    output().print(table(columns, rows, right=("parameters", "FLOP")))
    click.echo(f"Others: tfl backbones NAME --fetch, or as {PAGE} says.")


def _fetch(name: str, image_size: tuple[int, int] | None, settings: Sequence[tuple[str, str]]) -> Answer:
    from tfl.fields import override
    from tfl.modalities.fetch import fetch

    backbone = Backbone(name)
    for key, text in settings:
        backbone = override(backbone, key, text)
    found = fetch(backbone, image_size=image_size)
    document = {
        "name": name,
        "arguments": dict(backbone.arguments),
        "folder": str(found.folder),
        "files": list(found.files),
        "address": found.address or None,
        "bytes": found.bytes,
        "sha256": found.sha256,
        "fetched": found.fetched,
    }
    return Answer(document, lambda: _show_fetched(document))


def _show_fetched(document: dict[str, Any]) -> None:
    said = f"fetched from {document['address']}" if document["fetched"] else "already there"
    for file in document["files"]:
        click.echo(Path(document["folder"]) / file)
    click.echo(f"{said}; {document['bytes'] / 1e6:.1f} MB, SHA-256 {document['sha256']}")


def _describe(name: str, image_size: tuple[int, int] | None, settings: Sequence[tuple[str, str]]) -> Answer:
    from tfl.backbones.model_files import model_file
    from tfl.fields import override
    from tfl.modalities.hub_cache import address_of
    from tfl.modalities.image.backbones import catalog
    from tfl.modalities.image.backbones.presets import is_preset
    from tfl.modalities.image.backbones.settle import native_size, preprocessing_of

    if is_preset(name) or (name not in catalog.names() and address_of(name) is not None):
        return _describe_preset(name, settings)
    own_model = model_file(name) is not None  # what cannot be one is reported before TensorFlow's seconds of loading
    backbone = Backbone(name) if own_model else Backbone(name, weights=None)
    for key, text in settings:
        backbone = override(backbone, key, text)
    if not own_model:
        backbone = dataclasses.replace(backbone, weights=None)
    size, expected = image_size or native_size(backbone).size, preprocessing_of(backbone)
    load_tensorflow()
    shown = dataclasses.replace(backbone, preprocessing="none") if expected.preprocessing is None else backbone
    from tfl.modalities.image.backbones.build import build_backbone

    model = build_backbone(shown, image_size=size)
    about = {
        "image_size": list(size),
        "preprocessing": expected.preprocessing,
        "preprocessing_reason": expected.reason,
    }
    document = {"name": backbone.name, **about, "parameters": int(model.count_params()), "blocks": _blocks_of(model)}
    height, width = size
    return Answer(document, lambda: _show_blocks(document, f"at {height} × {width} px"))


def _match(name: str, file: Path, match: str, image_size: tuple[int, int] | None, settings: Sequence[tuple[str, str]]) -> Answer:
    """Which layers of a network would take over weights of a file."""
    from tfl.fields import override
    from tfl.modalities.image.backbones.available import check_available
    from tfl.modalities.image.backbones.settle import native_size, preprocessing_of

    backbone = Backbone(name, weights=str(file), match=match)  # type: ignore[arg-type]
    for key, text in settings:
        backbone = override(backbone, key, text)
    check_available(backbone)
    size = image_size or native_size(backbone).size
    load_tensorflow()
    from tfl.backbones.matching import match_weights
    from tfl.modalities.image.backbones.build import build_backbone

    random = dataclasses.replace(backbone, weights=None, match="exact")
    if preprocessing_of(random).preprocessing is None:
        random = dataclasses.replace(random, preprocessing="none")
    found = match_weights(build_backbone(random, image_size=size), file, match=match)  # type: ignore[arg-type]
    return Answer({"name": name, "image_size": list(size), "matching": found.as_json()}, lambda: _show_matching(found))


def _show_matching(found: Matching) -> None:
    from tfl.cli.tables import output

    click.echo(found.sentence())
    output().print(found.table())
    if found.imported:
        click.echo(f"In a recipe: tfl.Backbone(..., weights={found.file!r}, match={found.match!r})")


def _describe_preset(name: str, settings: Sequence[tuple[str, str]]) -> Answer:
    """The blocks of a KerasHub encoder, of images or of texts."""
    from tfl.fields import override
    from tfl.modalities.base import check_available, modality_of, settled
    from tfl.recipe import Data, Recipe, Text

    backbone = Backbone(name)
    for key, text in settings:
        backbone = override(backbone, key, text)
    images = Recipe(name="backbone", data=Data("unused"), backbone=backbone)
    recipe = images if _is_of_images(name) else dataclasses.replace(images, data=Data("unused", input=Text(length=128)))
    check_available(recipe)
    load_tensorflow()
    modality = modality_of(settled(recipe))
    model = modality.build_backbone(backbone)
    document: dict[str, Any] = {
        "name": name,
        **modality.about(),
        "preprocessing": "none",
        "preprocessing_reason": "the preset prepares its inputs itself",
        "parameters": int(model.count_params()),
        "blocks": _blocks_of(model),
    }
    return Answer(document, lambda: _show_blocks(document, modality.size_text()))


def _is_of_images(name: str) -> bool:
    from tfl.errors import BackboneError

    load_tensorflow()
    from tfl.modalities.image.encoders import class_of

    try:
        class_of(name)
    except BackboneError:
        return False
    return True


def _blocks_of(model: Any) -> list[dict[str, Any]]:
    from tfl.backbones.blocks import find_blocks

    return [
        {
            "name": block.name,
            "layers": list(block.layers),
            "parameters": int(block.parameters),
            "output_shape": list(block.output_shape),
            "flops": float(block.flops),
            "flops_share": float(block.flops_share),
        }
        for block in find_blocks(model)
    ]


def _show_blocks(document: dict[str, Any], size: str) -> None:
    from tfl.cli.tables import output, readable_count, table

    blocks = document["blocks"]
    rows = [
        (
            position,
            block["name"],
            len(block["layers"]),
            f"{block['parameters']:,}",
            " × ".join(str(side) for side in block["output_shape"] if side is not None),
            f"{block['flops_share']:.1%}",
        )
        for position, block in enumerate(blocks, start=1)
    ]
    total = readable_count(sum(block["flops"] for block in blocks))
    click.echo(
        f"{document['name']} {size}: {len(blocks)} blocks, {document['parameters']:,} parameters, "
        f"{total}FLOP per example. Input side first."
    )
    known = document["preprocessing"]
    click.echo(
        f"preprocessing {known}: {document['preprocessing_reason']}."
        if known
        else f"preprocessing not known: {document['preprocessing_reason']}. A recipe has to state it: backbone.preprocessing."
    )
    columns = ("", "block", "layers", "parameters", "output", "compute")
    output().print(table(columns, rows, right=[column for column in columns if column != "block"]))
    click.echo(f"tfl.top_blocks(1) trains the head and `{blocks[-1]['name']}`.")
