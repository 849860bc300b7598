"""`tfl new`: a first recipe, fit to the data."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import Answer, command
from tfl.cli.options import SOURCE_HELP
from tfl.errors import DataError, RecipeError
from tfl.quiet import load_tensorflow
from tfl.recipe import Backbone, Data, Recipe

if TYPE_CHECKING:
    from tfl.cli.mirror import MirrorTest
    from tfl.data.source import Examples

_IMBALANCED = 3.0
_FEWEST = 3
_SHARE = 0.2
_TINY_PX, _LOOKED_AT = 48, 50
"""Pictures up to this size are not enlarged to the network's own; so many of them are looked at."""
_PLAIN_PATH = re.compile(r"[\w./-]+")

_TEMPLATE = '''"""{title}

Data      {count} images in {classes} classes ({smallest} to {largest} a class){note}{left_out}
Run       tfl run {file}
          tfl run {file} --smoke          does everything work, in seconds?
"""

import tfl

recipe = tfl.Recipe(
    name={name},
    data=tfl.Data(
        {source},
{size}{bits}
        validation={validation},
        test={test},
    ),
    # Ships with tfl. `tfl backbones` lists the others, such as "MobileNetV2" or "EfficientNetV2B0".
    backbone=tfl.Backbone("mini"),
    head=tfl.Head(dropout=0.2),
    stages=(
        # First the new head, on features of the frozen backbone that are computed once.
        tfl.Stage("head", train="head", epochs=30, batch_size={batch_size}, learning_rate=3e-3),
        # Then the top blocks with it, lower ones more slowly.
        tfl.Stage(
            "finetune",
            train=tfl.top_blocks(4),
            epochs=20,
            batch_size={batch_size},
            learning_rate=1e-3,
            layer_decay=0.8,
            schedule="cosine",
{about_flip}
            augment=tfl.Augment({flip}brightness=0.1),
        ),
    ),
    # A stage ends when this has not improved for `patience` epochs, and its best epoch is kept.
    monitor=tfl.Monitor({metric}, patience=6),{class_weight}
    export=("saved_model",),
)
'''

_OWN_SIZE = """\
        # The network sees images at its own size: 96 px for mini, 224 px for most others.
        # More pixels are slower, and help where small details decide:
        # image_size=(160, 160),"""
_SMALL = f"""\
        # The pictures are small themselves ({{0}} × {{1}} px): the network's own size would cost time and add no detail.
        image_size=({_TINY_PX}, {_TINY_PX}),"""
_BITS = """
        # The 16-bit images use values of {bits} bits only; without this they would be too dark.
        bits={bits},"""
_CLASS_WEIGHT = """
    # Some classes are much rarer than others: each weighs the same.
    class_weight="balanced","""


@command
@click.argument("name")
@click.option("--data", "source", metavar="SOURCE", required=True, help=SOURCE_HELP)
def new(name: str, source: str) -> Answer:
    """Write the recipe NAME.py, fit to the data: it runs as it is, and says what each part is for.

    Each class gives 20% of its images to validation and 20% to the test, and at least one to each. The recipe flips images
    horizontally if a comparison of up to 1,000 images with their mirrored copies finds no difference, and says why otherwise.
    """
    file = Path(name if name.endswith(".py") else f"{name}.py")
    Recipe(name=file.stem, data=Data(source), backbone=Backbone("mini"))  # a bad name is reported before the data is read
    _refuse_if_there(file)
    from tfl.data.source import load_source

    examples = load_source(Data(source))
    _check_smallest(examples.counts(), source)
    text, facts = recipe_text(file, source, examples, _test_flip(examples))
    _write_anew(file, text)
    document = {"recipe": str(file), **facts}
    return Answer(document, lambda: _show(document))


def recipe_text(file: Path, source: str, examples: Examples, mirror: MirrorTest) -> tuple[str, dict[str, Any]]:
    """The recipe as Python, and what was seen in the data.

    Args:
        file: Path where the recipe will be written.
        source: String, the source that the recipe reads.
        examples: `Examples` of the source.
        mirror: `MirrorTest`, whether the recipe flips images, and why.
    """
    from tfl.data.split import raised_shares
    from tfl.modalities.image.bits import bits_in_use

    counts = examples.counts()
    smallest, largest = min(counts.values()), max(counts.values())
    imbalanced = largest > _IMBALANCED * smallest
    bits = bits_in_use(examples)
    text = _TEMPLATE.format(
        title=f"{file.stem}: one photo → one of {len(counts)} classes.",
        count=len(examples),
        classes=len(counts),
        smallest=smallest,
        largest=largest,
        note=f"; {examples.note}" if examples.note else "",
        left_out=_left_out(examples),
        file=file if _PLAIN_PATH.fullmatch(str(file)) else file.name,
        name=_quoted(file.stem),
        source=_quoted(source),
        size=_SMALL.format(*small) if (small := _small_pictures(examples)) else _OWN_SIZE,
        bits="" if bits is None else _BITS.format(bits=bits),
        validation=_SHARE,
        test=_SHARE,
        flip='flip="horizontal", ' if mirror.flip else "",
        about_flip=_about_flip(mirror),
        batch_size=16 if len(examples) < 500 else 32,
        metric=_quoted("val_macro_f1" if imbalanced else "val_accuracy"),
        class_weight=_CLASS_WEIGHT if imbalanced else "",
    )
    notes = raised_shares(examples, validation=_SHARE, test=_SHARE)
    facts = {"images": len(examples), "classes": counts, "imbalanced": imbalanced, "note": examples.note}
    facts["findings"] = list(examples.findings)
    return text, {**facts, "notes": list(notes), "flip": dataclasses.asdict(mirror)}


def _test_flip(examples: Examples) -> MirrorTest:
    """Compares images with their mirrored copies; TensorFlow is imported only for as many images as can decide."""
    from rich.console import Console

    from tfl.cli.mirror import enough_images, mirror_test

    if enough_images(len(examples)):
        load_tensorflow()
    return mirror_test(examples, console=Console(stderr=True))


def _about_flip(mirror: MirrorTest) -> str:
    start = "Flipped too" if mirror.flip else 'No flip="horizontal"'
    lines = textwrap.wrap(f"{start}: {mirror.reason}.", 96, break_long_words=False)
    return textwrap.indent("\n".join(lines), 12 * " " + "# ")


def _left_out(examples: Examples) -> str:
    """Lines of the recipe's docstring about splits without labels, and how to label them."""
    notes = [finding["note"] for finding in examples.findings if finding["kind"] == "unlabelled_split"]
    lines = [note.replace(". Label", ".\n          Label").replace("\\", "/").replace('"""', "") for note in notes]
    return "".join(f"\nLeft out  {line}" for line in lines)


def _quoted(text: str) -> str:
    """A Python string in double quotes; a name that is no Unicode keeps its escapes."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _check_smallest(counts: dict[str, int], source: str) -> None:
    small = [f"{name} ({count})" for name, count in counts.items() if count < _FEWEST]
    if small:
        raise DataError(
            f"Some classes of {source} are too small to be split.",
            received=", ".join(small),
            allowed=f"at least {_FEWEST} images per class: one to train, one to validate, one to test",
            fix="Add images, or leave those classes out.",
        )


def _small_pictures(examples: Examples) -> tuple[int, int] | None:
    """(height, width) of the largest pictures, where all that were looked at are tiny; else None."""
    if examples.arrays is not None:
        height, width = examples.arrays.shape[1:3]
        return (height, width) if max(height, width) <= _TINY_PX else None
    from tfl.modalities.image.headers import no_size_warnings, read_header

    step = max(1, len(examples) // _LOOKED_AT)
    with no_size_warnings():
        found = [read_header(_bytes_of(examples, index)) for index in range(0, len(examples), step)]
    height, width = max(one.height for one in found), max(one.width for one in found)
    return (height, width) if 0 < max(height, width) <= _TINY_PX else None


def _bytes_of(examples: Examples, index: int) -> bytes:
    """The file's bytes; none where it cannot be read, which a run says."""
    with contextlib.suppress(OSError):
        return examples.bytes_of(index)
    return b""


def _refuse_if_there(file: Path) -> None:
    from tfl.storage import check_can_write

    check_can_write(file, folder=False, fix="Choose another NAME, or start tfl in a folder that can be written.")
    if file.exists():
        raise RecipeError(f"{file} is already there, and is not overwritten.", fix="Choose another NAME, or remove the file.")


def _write_anew(file: Path, text: str) -> None:
    from tfl.storage import storage_errors, write_atomically

    with storage_errors(file):
        _refuse_if_there(file)
        write_atomically(file, text)


def _show(document: dict[str, Any]) -> None:
    note = f" ({document['note']})" if document["note"] else ""
    click.echo(f"{document['recipe']}: {document['images']} images{note}")
    for name, count in document["classes"].items():
        click.echo(f"  {count:6d}  {name}")
    for finding in document["findings"]:
        click.echo(f"{finding['severity']}: {finding['note']}")
    if document["imbalanced"]:
        click.echo("Some classes are much rarer than others: the recipe weighs them, and watches macro-F1.")
    for note in document["notes"]:
        click.echo(note)
    flip = document["flip"]
    click.echo(f"{'Images are flipped horizontally' if flip['flip'] else 'Horizontal flips are left out'}: {flip['reason']}.")
    click.echo(f"next     tfl run {document['recipe']} --smoke")
