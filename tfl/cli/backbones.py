"""`tfl backbones`: which networks there are, and what one is made of."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import Answer, command
from tfl.cli.options import parse_size, set_option
from tfl.quiet import load_tensorflow
from tfl.recipe import Backbone

if TYPE_CHECKING:
    from tfl.modalities.image.backbones.catalog import Entry


@command
@click.argument("name", required=False)
@click.option("--image-size", metavar="H,W", callback=parse_size, help="For this size in pixels. [default: the network's own]")
@set_option("Change how it is built, such as arguments.alpha=0.35. Repeatable.")
def backbones(name: str | None, image_size: tuple[int, int] | None, settings: Sequence[tuple[str, str]]) -> Answer:
    """List the networks, or print the blocks of NAME: layers, parameters, output shape, share of the compute.

    NAME is one of the list, the path of a model saved by Keras (.keras, or a whole model in .h5), or an encoder of KerasHub for
    images or texts, by the name or the folder of its preset. Of a file it also says how pixels are prepared for it. A network
    of the list is built with random weights: nothing is downloaded.
    """
    if name is None:
        if image_size is not None or settings:
            raise click.UsageError("--image-size and --set need the NAME of a network.")
        return _list()
    return _describe(name, image_size, settings)


def _list() -> Answer:
    from tfl.modalities.image.backbones import catalog

    rows = []
    for name in catalog.names():
        found = catalog.entry(name)
        rows.append(
            {
                "name": found.name,
                "family": found.family,
                "minimum_size": found.minimum_size,
                "native_size": found.native_size,
                "preprocessing": found.preprocessing,
                "weights_file": found.weights_file,
                "weights_here": weights_here(found),
            }
        )
    document = {"backbones": rows, "weights_folder": str(weights_folder())}
    return Answer(document, lambda: _show_list(document))


def weights_folder() -> Path:
    """Where Keras keeps the weights that it downloads, found without it: `KERAS_HOME/models` or `~/.keras/models`."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "models"


def weights_here(entry: Entry) -> list[str]:
    """The files of pretrained weights of a network that lie on this machine, of any of its variants."""
    from tfl.modalities.image.backbones.mini import WEIGHTS_FILE

    if entry.name == "mini":
        return [WEIGHTS_FILE.name] if WEIGHTS_FILE.is_file() else []
    pattern = re.sub(r"\{\w+\}", "*", entry.pattern)
    return sorted(file.name for file in weights_folder().glob(pattern)) if pattern else []


def _show_list(document: dict[str, Any]) -> None:
    from tfl.cli.tables import output, table

    rows = [
        (
            row["name"],
            row["family"],
            row["native_size"],
            row["minimum_size"],
            row["preprocessing"],
            ", ".join(row["weights_here"]),
        )
        for row in document["backbones"]
    ]
    columns = ("name", "family", "own px", "minimum px", "preprocessing", "weights here")
    output().print(table(columns, rows, right=("own px", "minimum px")))
    click.echo(f"Keras downloads other weights into {document['weights_folder']} when a recipe asks for them.")


def _describe(name: str, image_size: tuple[int, int] | None, settings: Sequence[tuple[str, str]]) -> Answer:
    from tfl.backbones.model_files import model_file
    from tfl.fields import override
    from tfl.modalities.image.backbones.presets import is_preset
    from tfl.modalities.image.backbones.settle import native_size, preprocessing_of

    if is_preset(name):
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
    from tfl.modalities.image.encoders import class_of

    load_tensorflow()
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
