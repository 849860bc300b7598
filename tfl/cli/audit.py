"""`tfl audit`: what is wrong with the data, what that is expected to cost, and a list of files to leave out."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import rich_click as click

from tfl import __version__
from tfl.cli.command import Answer, command
from tfl.cli.options import parse_size
from tfl.cli.tables import output, table
from tfl.errors import DataError, RecipeError, RunError
from tfl.modalities.base import KINDS, NOUNS, check_available, settled
from tfl.progress import progress_shown
from tfl.recipe import Audio, Backbone, Data, Recipe, TaskName, Text
from tfl.runs import default_folder
from tfl.storage import check_can_write, write_atomically, write_json
from tfl.tasks.base import NAMES

if TYPE_CHECKING:
    from rich.console import Console

    from tfl.audit.audit import Audit
    from tfl.finding import Finding

Kind = Literal["image", "text", "audio"]
_BACKBONES = {"image": Backbone("mini"), "text": Backbone("tiny", weights=None), "audio": Backbone("mini")}
"""Whose features the deep checks use; that for texts is asked for nothing, since the deep checks of texts want one by name."""
_INPUTS: dict[str, Text | Audio | None] = {"image": None, "text": Text(), "audio": Audio()}
_ANY_LENGTH = 8  # tokens: nothing is tokenised without a network
DOCUMENT, PAGE, LIST = "audit.json", "audit.html", "exclude.txt"


@command
@click.argument("source", metavar="SOURCE")
@click.option("--quick", is_flag=True, help="Only what needs no network: files, headers, copies, classes, groups.")
@click.option("--backbone", metavar="NAME", help="Whose features the deep checks use. [default: mini; none for texts]")
@click.option(
    "--image-size",
    metavar="H,W",
    callback=parse_size,
    help="At which size it looks at the images. [default: the network's own]",
)
@click.option(
    "--against",
    metavar="OTHER",
    help="How far the examples of OTHER, with labels or without, are from those of SOURCE, by the features of the network.",
)
@click.option("--exclude", metavar="FILE", help="Leave out what this list names, and audit the rest.")
@click.option(
    "--examples",
    "--pictures",
    "most",
    metavar="N",
    type=click.IntRange(0, 200),
    default=12,
    show_default=True,
    help="How many are shown of each finding.",
)
@click.option("--kind", type=click.Choice(KINDS), help="What SOURCE holds. [default: found in SOURCE]")
@click.option("--task", type=click.Choice(NAMES), help="What its labels are. [default: found in SOURCE]")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of folds and resamples.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Where to write. [default: runs/NAME/audit-TIME]")
def audit(
    source: str,
    quick: bool,
    backbone: str | None,
    image_size: tuple[int, int] | None,
    against: str | None,
    exclude: str | None,
    most: int,
    kind: Kind | None,
    task: TaskName | None,
    seed: int,
    out: Path | None,
) -> Answer:
    """Say what is wrong with the examples of SOURCE, and what that is expected to cost.

    Damaged files, copies within and across classes and splits, rare and misnamed classes, torn groups; odd sizes and modes of
    images, boxes that are empty, outside of their image or there twice, garbled texts and words that give their class away,
    silent and clipped sounds; and, from the features of a network, likely wrong labels, drift and poor images. Leaves
    audit.html, audit.json and exclude.txt, which a recipe takes. It never deletes or moves a file.

    SOURCE is a folder of class folders, a table of examples (CSV, TSV, JSON Lines, Parquet), a .zip or .tar of either, an .npz,
    a folder of IDX files, tfds:NAME, or sample:NAME.
    """
    if quick and against is not None:
        raise DataError(
            "How far two sources are from each other is told by the features of a network, which --quick does without.",
            received=f"--quick --against {against}",
            fix="Leave out one of the two.",
        )
    name = _name_of(source)
    kind, task = _kind_and_task(source, kind, task)
    recipe = settled(_recipe(name, source, kind, task, backbone, image_size, exclude, seed, deep=not quick))
    folder = out or default_folder(name, kind="audit")
    _check_folder(folder, source)
    if not quick:
        check_available(recipe)
    from rich.console import Console

    console = Console(stderr=True)
    distance = None if against is None else _compare(recipe, against, console)
    found = _audit(recipe, console, deep=not quick)
    if distance is not None:
        found = dataclasses.replace(found, findings=(distance[0], *found.findings))
    files = {"report": str(folder / PAGE), "exclude": str(folder / LIST), "audit": str(folder / DOCUMENT)}
    document = _document(recipe, found) | ({} if distance is None else {"against": distance[1]})
    _write(folder, recipe, found, document, most)
    return Answer({**document, "written": files}, lambda: _show(found, document, files))


def _kind_and_task(source: str, kind: Kind | None, task: TaskName | None) -> tuple[Kind, TaskName]:
    """What the command line says, and else what the source shows; where it cannot be read, the audit itself says why."""
    if kind is not None and task is not None:
        return kind, task
    from tfl.data.kind import find_kind_and_task

    fixed = [*(["data.input"] if kind else []), *(["task"] if task else [])]
    start = Data(source, input=_INPUTS[kind or "image"])
    try:
        data, found, _ = find_kind_and_task(start, task or "classify", fixed=fixed, check_classes=False)
    except DataError:
        return kind or "image", task or "classify"
    return cast(Kind, data.kind), found


def _recipe(
    name: str,
    source: str,
    kind: Kind,
    task: TaskName,
    backbone: str | None,
    image_size: tuple[int, int] | None,
    exclude: str | None,
    seed: int,
    *,
    deep: bool,
) -> Recipe:
    """What is audited, and by whose features.

    Raises:
        RecipeError: There is no network to go by.
    """
    if kind == "text" and deep and backbone is None:
        raise RecipeError(
            "The deep checks need the features of a network, and none for texts comes with tfl.",
            fix="Name one with --backbone, such as bert_tiny_en_uncased or the folder of a KerasHub preset, or add --quick.",
        )
    seen = Text(length=_ANY_LENGTH) if kind == "text" and not deep else _INPUTS[kind]
    data = Data(source, image_size=image_size, on_bad="skip", exclude=exclude, input=seen)
    network = Backbone(backbone) if backbone else _BACKBONES[kind]
    return Recipe(name=name, data=data, backbone=network, task=task, seed=seed)


def _compare(recipe: Recipe, against: str, console: Console) -> tuple[Finding, dict[str, Any]]:
    """The distance between both sources, as a finding and as plain data."""
    from tfl.adapt.against import compare_sources, distance_sentence
    from tfl.finding import Finding

    nouns = NOUNS[recipe.data.kind][1]
    distance = compare_sources(recipe, against, console=console)
    note = distance_sentence(distance, source=recipe.data.source, against=against, nouns=nouns)
    finding = Finding(kind="domain_distance", severity="info", files=(), note=note, scores=(distance.distance,))
    return finding, {"source": against, **distance.to_json()}


def _audit(recipe: Recipe, console: Console, *, deep: bool) -> Audit:
    from tfl.audit.audit import audit_source

    with progress_shown(console, "features") as progress:
        return audit_source(recipe, deep=deep, console=console, progress=progress)


def _document(recipe: Recipe, found: Audit) -> dict[str, Any]:
    splits = {} if found.splits is None else {name: int((found.splits == name).sum()) for name in ("train", "val", "test")}
    return {
        "source": recipe.data.source,
        "deep": found.deep,
        "backbone": recipe.backbone.name,
        "kind": found.modality.kind,
        **(found.modality.about() if found.deep or found.modality.audit_reads_tensors else {}),
        "seed": recipe.seed,
        "version": __version__,
        "files": found.count,
        "usable": len(found.examples),
        "classes": found.examples.counts(),
        "splits": {name: count for name, count in splits.items() if count},
        "findings": [finding.to_json() for finding in found.findings],
        "proposed": sum(row.sure for row in found.proposed()),
        "seconds": found.seconds,
    }


def _write(folder: Path, recipe: Recipe, found: Audit, document: dict[str, Any], most: int) -> None:
    from tfl.audit.proposal import exclude_text
    from tfl.audit.shown import page_examples
    from tfl.evaluate.pages.audit import write_audit_page

    folder.mkdir(parents=True, exist_ok=True)
    modality = found.modality
    shown = page_examples(found.findings, found.examples, found.names, found.splits, modality=modality, most=most)
    write_audit_page(document, shown, folder / PAGE, titles=modality.titles, nouns=(modality.noun, modality.nouns))
    write_atomically(folder / LIST, exclude_text(found.proposed(), found.names, source=recipe.data.source))
    write_json(folder / DOCUMENT, document)


def _check_folder(folder: Path, source: str) -> None:
    """Nothing is written into a source, nor over an earlier audit.

    Raises:
        RunError: The folder is in the source, or holds an audit.
        StorageError: It cannot be written.
    """
    base = os.path.realpath(os.path.expanduser(source))
    real = os.path.realpath(folder)
    if os.path.isdir(base) and os.path.commonpath([base, real]) == base:
        raise RunError(
            "An audit writes nothing into the data that it looks at.",
            received=str(folder),
            fix="Start it from another folder, or name one with --out.",
        )
    check_can_write(folder, folder=True)
    if (folder / DOCUMENT).exists():
        raise RunError(f"{folder} already holds an audit.", fix="Name another folder with --out, or delete it.")


def _name_of(source: str) -> str:
    """What the audited data is called in a path."""
    last = re.sub(
        r"(\.tar)?\.(csv|tsv|jsonl|parquet|npz|zip|tar|tgz|gz|xz|bz2)$", "", source.rstrip("/").split("/")[-1].split(":")[-1]
    )
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", last).lstrip("_.-")[:100] or "data"


def _show(found: Audit, document: dict[str, Any], files: dict[str, str]) -> None:
    from tfl.audit.audit import summary
    from tfl.evaluate.pages.audit import headline, title

    click.echo(f"{document['source']}: {summary(found)}")
    click.echo(f"{headline(document['findings'])}\n")
    rows = [
        (
            finding.severity,
            title(finding.kind, found.modality.titles),
            len(finding.files),
            finding.note + ("" if finding.cost is None else f" {finding.cost}."),
        )
        for finding in found.findings
    ]
    if rows:
        output().print(table(("severity", "finding", "files", "what"), rows, right=("files",)))
    words = "file is" if document["proposed"] == 1 else "files are"
    click.echo(f"{document['proposed']} {words} proposed to be left out: data=tfl.Data(..., exclude={files['exclude']!r})")
    for name, file in files.items():
        click.echo(f"{name:8} {file}")
