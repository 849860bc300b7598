"""`tfl new`: a first recipe, fit to the data."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import Answer, command
from tfl.cli.default_backbone import Choice, compared_choice, default_backbone, minimum_size
from tfl.cli.first_recipe import SHARE, SourceFacts, first_recipe, recipe_text
from tfl.cli.options import SOURCE_HELP, set_option
from tfl.errors import DataError, RecipeError
from tfl.quiet import load_tensorflow
from tfl.recipe import DETECT, OF_NUMBERS, Backbone, Data, Recipe

if TYPE_CHECKING:
    from tfl.advice.networks import Compared
    from tfl.cli.mirror import MirrorTest
    from tfl.data.examples import Examples

_FEWEST = 3
MINUTES = 1.0


@command
@click.argument("name")
@click.option("--data", "source", metavar="SOURCE", required=True, help=SOURCE_HELP)
@click.option(
    "--backbone",
    metavar="NAME",
    help="The network: a name that `tfl backbones` lists, a model file, or for texts a KerasHub preset by name or folder. "
    "Defaults to the best whose pretrained weights are on this machine, as `tfl backbones --at-hand` lists them; mini ships.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0),
    default=MINUTES,
    show_default=True,
    help="Without --backbone, and with several networks on this machine: compare up to four by linear probes on the data, within "
    "so many minutes. 0 takes the best by what is published.",
)
@set_option("Say what is not found in the data: a field of the data or the task, such as data.label_column=age or task=regress.")
def new(name: str, source: str, backbone: str | None, minutes: float, settings: Sequence[tuple[str, str]]) -> Answer:
    """Write the recipe NAME.py, fit to the data: it runs as it is, and says what each part is for.

    The kind of the examples (images, texts, sounds) and the task (one of several classes, several labels, numbers) are found in
    the data. Each class gives 20% of its examples to validation and 20% to the test, and at least one to each. The recipe flips
    images horizontally if a comparison of up to 1,000 images with their mirrored copies finds no difference, and says why
    otherwise. Of several networks whose weights are on this machine, the first by what is published is taken, unless a linear
    probe on another is shown to be better on held-out training and validation examples.
    """
    file = Path(name if name.endswith(".py") else f"{name}.py")
    start = with_settings(Recipe(name=file.stem, data=Data(source), backbone=Backbone("mini")), settings)
    _refuse_if_there(file)
    facts = facts_of(start, backbone=backbone, fixed=[key for key, _ in settings])
    compared: Sequence[Compared] = ()
    if backbone is None and minutes > 0:
        facts, compared = _compared(facts, file.stem, minutes)
    _write_anew(file, recipe_text(file, facts))
    document = {"recipe": str(file), **_facts(facts), "networks": [dataclasses.asdict(row) for row in compared]}
    return Answer(document, lambda: _show(document))


def facts_of(start: Recipe, *, backbone: str | None, fixed: Sequence[str] = ()) -> SourceFacts:
    """What a first recipe is written for, as the data show it.

    Args:
        start: What the command line says.
        backbone: String, the network; None for the best at hand.
        fixed: Strings, fields that the command line decides.

    Raises:
        DataError: The source cannot be used, or a class is too small to be split.
    """
    from tfl.data.kind import find_kind_and_task

    data, task, examples = find_kind_and_task(start.data, start.task, fixed=fixed)
    if task == DETECT:
        raise DataError(
            f"{start.data.source} has boxes, for which no recipe is written and no strategy compared.",
            fix=f"Copy recipes/blood_cells.py, and run it with --data {start.data.source}; docs/detection.md says more.",
        )
    if task == "classify":
        _check_smallest(examples, start.data.source)
    mirror = _mirror_test(examples, task) if data.kind == "image" else None
    choice = default_backbone(data.kind) if backbone is None else Choice(backbone=Backbone(backbone), why="")
    return SourceFacts(data=data, task=task, examples=examples, choice=choice, mirror=mirror)


def _compared(facts: SourceFacts, name: str, minutes: float) -> tuple[SourceFacts, Sequence[Compared]]:
    """The facts with the network that probes on the data choose among those at hand, and what was found of each."""
    from tfl.modalities.at_hand import networks_to_compare

    recipe, first = first_recipe(name, facts), facts.choice.backbone
    size = min(recipe.data.image_size or (0,))
    others = [one.backbone for one in networks_to_compare(facts.data.kind) if one.backbone != first]
    others = [other for other in others if not size or minimum_size(other.name) <= size]
    if not others:
        return facts, ()
    load_tensorflow()
    from rich.console import Console

    from tfl.advice.networks import compare_networks

    backbone, rows = compare_networks(recipe, [first, *others], minutes=minutes, console=Console(stderr=True))
    return dataclasses.replace(facts, choice=compared_choice(backbone, rows, nouns=facts.examples.nouns)), rows


def with_settings(recipe: Recipe, settings: Sequence[tuple[str, str]]) -> Recipe:
    """The recipe with what the command line says about its data and its task."""
    for key, text in settings:
        if key != "task" and key not in ("data.input", "data.input.column") and key not in _FIELDS:
            raise RecipeError(
                f"`tfl new` does not take --set {key}.",
                allowed=("task", "data.input", "data.input.column", *_FIELDS),
                fix="Change other fields in the recipe that it writes.",
            )
        recipe = recipe.override(key, text)
    return recipe


_FIELDS = ("data.path_column", "data.label_column", "data.test_fold")


def _facts(facts: SourceFacts) -> dict[str, Any]:
    """What was found in the data, as the command's document."""
    from tfl.data.split import raised_shares

    examples = facts.examples
    notes = raised_shares(examples, validation=SHARE, test=SHARE) if facts.task == "classify" else ()
    return {
        examples.nouns: len(examples),
        "source": facts.data.source,
        "kind": facts.data.kind,
        "nouns": examples.nouns,
        "task": facts.task,
        "classes": {} if facts.task in OF_NUMBERS else examples.counts(),
        "numbers": list(examples.class_names) if facts.task in OF_NUMBERS else [],
        "imbalanced": facts.imbalanced,
        "note": examples.note,
        "findings": list(examples.findings),
        "notes": list(notes),
        "backbone": facts.choice.backbone.name,
        "arguments": dict(facts.choice.backbone.arguments),
        "about_backbone": facts.choice.why,
        "flip": None if facts.mirror is None else dataclasses.asdict(facts.mirror),
    }


def _mirror_test(examples: Examples, task: str) -> MirrorTest:
    """Compares images with their mirrored copies; TensorFlow is imported only for as many images as can decide."""
    from rich.console import Console

    from tfl.cli.mirror import MirrorTest, enough_images, mirror_test

    if task != "classify":
        reason = "whether the answer survives in the mirror is tested for classes only"
        return MirrorTest(flip=False, reason=reason, images=0)
    if enough_images(len(examples)):
        load_tensorflow()
    return mirror_test(examples, console=Console(stderr=True))


def _check_smallest(examples: Examples, source: str) -> None:
    small = [f"{name} ({count})" for name, count in examples.counts().items() if count < _FEWEST]
    if small:
        raise DataError(
            f"Some classes of {source} are too small to be split.",
            received=", ".join(small),
            allowed=f"at least {_FEWEST} {examples.nouns} per class: one to train, one to validate, one to test",
            fix=f"Add {examples.nouns}, or leave those classes out.",
        )


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


_TASKS = {"multilabel": "several labels", "regress": "numbers"}


def _show(document: dict[str, Any]) -> None:
    note = f" ({document['note']})" if document["note"] else ""
    task = f", {_TASKS[document['task']]} for each" if document["task"] in _TASKS else ""
    click.echo(f"{document['recipe']}: {document[document['nouns']]} {document['nouns']}{task}{note}")
    for name, count in document["classes"].items():
        click.echo(f"  {count:6d}  {name}")
    for name in document["numbers"]:
        click.echo(f"          {name}")
    for finding in document["findings"]:
        click.echo(f"{finding['severity']}: {finding['note']}")
    if document["imbalanced"]:
        click.echo("Some classes are much rarer than others: the recipe weighs them, and watches macro-F1.")
    for note in document["notes"]:
        click.echo(note)
    if (flip := document["flip"]) is not None:
        click.echo(f"{'Images are flipped horizontally' if flip['flip'] else 'Horizontal flips are left out'}: {flip['reason']}.")
    if document["about_backbone"]:
        click.echo(f"{document['about_backbone']}.")
    elif document["kind"] == "text":
        click.echo(_about_preset(document["backbone"]))
    if document["task"] == "classify":
        click.echo(
            f"compare  tfl advise {shlex.quote(document['source'])}    (networks, depths and strategies, measured on these data)"
        )
    click.echo(f"next     tfl run {document['recipe']} --smoke")


def _about_preset(backbone: str) -> str:
    """Where the network of a recipe for texts comes from."""
    from tfl.modalities.hub import OWN_FOLDER

    if Path(backbone).expanduser().is_dir():
        return f"The network is the preset in the folder {backbone}."
    return f"The network `{backbone}` is a KerasHub preset, fetched at the first run. {OWN_FOLDER}"
