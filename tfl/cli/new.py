"""`tfl new`: a first recipe, fit to the data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import Answer, command
from tfl.cli.options import SOURCE_HELP
from tfl.errors import DataError, RecipeError
from tfl.recipe import Backbone, Data, Recipe

if TYPE_CHECKING:
    from tfl.data.source import Examples

_IMBALANCED = 3.0
_FEWEST = 3
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
        # What the network sees; more pixels are slower, and help where small details decide.
        image_size=({size}, {size}),
        validation={validation},
        test={test},
    ),
    # Ships with tfl. `tfl backbones` lists the others, such as "MobileNetV2" or "EfficientNetV2B0" at (224, 224).
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
            augment=tfl.Augment(flip="horizontal", brightness=0.1),
        ),
    ),
    # A stage ends when this has not improved for `patience` epochs, and its best epoch is kept.
    monitor=tfl.Monitor({metric}, patience=6),{class_weight}
    export=("saved_model",),
)
'''

_CLASS_WEIGHT = """
    # Some classes are much rarer than others: each weighs the same.
    class_weight="balanced","""


@command
@click.argument("name")
@click.option("--data", "source", metavar="SOURCE", required=True, help=SOURCE_HELP)
def new(name: str, source: str) -> Answer:
    """Write the recipe NAME.py, fit to the data: it runs as it is, and says what each part is for."""
    file = Path(name if name.endswith(".py") else f"{name}.py")
    Recipe(name=file.stem, data=Data(source), backbone=Backbone("mini"))  # a bad name is told before the data is read
    _refuse_if_there(file)
    from tfl.data.source import load_source

    examples = load_source(Data(source))
    text, facts = recipe_text(file, source, examples)
    _write_anew(file, text)
    document = {"recipe": str(file), **facts}
    return Answer(document, lambda: _show(document))


def recipe_text(file: Path, source: str, examples: Examples) -> tuple[str, dict[str, Any]]:
    """The recipe as Python, and what was seen in the data.

    Raises:
        DataError: A class is too small for a training, a validation and a test image.
    """
    counts = examples.counts()
    smallest, largest = min(counts.values()), max(counts.values())
    _check_smallest(counts, smallest, source)
    imbalanced = largest > _IMBALANCED * smallest
    share = 0.34 if smallest < 5 else 0.2
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
        size=_image_size(examples),
        validation=share,
        test=share,
        batch_size=16 if len(examples) < 500 else 32,
        metric=_quoted("val_macro_f1" if imbalanced else "val_accuracy"),
        class_weight=_CLASS_WEIGHT if imbalanced else "",
    )
    return text, {
        "images": len(examples),
        "classes": counts,
        "imbalanced": imbalanced,
        "note": examples.note,
        "findings": list(examples.findings),
    }


def _left_out(examples: Examples) -> str:
    """Lines of the recipe's docstring about splits without labels, and how to label them."""
    notes = [finding["note"] for finding in examples.findings if finding["kind"] == "unlabelled_split"]
    lines = [note.replace(". Label", ".\n          Label").replace("\\", "/").replace('"""', "") for note in notes]
    return "".join(f"\nLeft out  {line}" for line in lines)


def _quoted(text: str) -> str:
    """A Python string in double quotes; a name that is no Unicode keeps its escapes."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _check_smallest(counts: dict[str, int], smallest: int, source: str) -> None:
    small = [f"{name} ({count})" for name, count in counts.items() if count < _FEWEST]
    if small:
        raise DataError(
            f"Some classes of {source} are too small to be split.",
            received=", ".join(small),
            allowed=f"at least {_FEWEST} images a class: one to train, one to validate, one to test",
            fix="Add images, or leave those classes out.",
        )


def _image_size(examples: Examples) -> int:
    """48 px for pictures that are smaller themselves, else the 96 px that the mini backbone was trained at."""
    if examples.images is not None:
        return 48 if max(examples.images.shape[1:3]) <= 48 else 96
    return 96


def _refuse_if_there(file: Path) -> None:
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
    click.echo(f"next     tfl run {document['recipe']} --smoke")
