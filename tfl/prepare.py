"""From a source to what training works on: examples that can be used, their split and their fingerprints.

Running, tuning, probing, evaluating and exporting all begin with this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tfl.errors import DataError
from tfl.modalities.base import chosen, modality_of, settled
from tfl.quiet import load_tensorflow
from tfl.recipe import Recipe

if TYPE_CHECKING:
    from rich.console import Console

    from tfl.data.bundle import Bundle
    from tfl.data.examples import Examples
    from tfl.runs import Run


@dataclass(frozen=True)
class Prepared:
    """The data of a recipe, ready for training.

    Attributes:
        recipe: With everything stated that its network and its examples decide.
        bundle: The examples, split and fingerprinted.
        findings: What was found on the way, as dictionaries of `kind`, `severity`, `files` and `note`.
    """

    recipe: Recipe
    bundle: Bundle
    findings: list[dict[str, Any]]


def prepare(recipe: Recipe, console: Console, *, examples: Examples | None = None, trained: bool = False) -> Prepared:
    """Finds the examples of a recipe, leaves out what cannot be used, and splits them.

    Args:
        recipe: Says where they are and how they are split.
        console: Where to report what was found.
        examples: What the source holds, where it was already read.
        trained: Whether the recipe is that of a finished run, whose model is its own: the network it began with is not looked
            at, and its file may be gone.

    Raises:
        DataError: The source cannot be used as it is; where it is missing or has no classes, that is found before TensorFlow is
            imported.

    Example:

    >>> import tfl
    >>> from rich.console import Console
    >>> from tfl.prepare import prepare
    >>> data = tfl.Sample("digits", image_size=(32, 32), per_class=10)
    >>> recipe = tfl.Recipe(name="digits", data=data, backbone=tfl.Backbone("mini"))
    >>> len(prepare(recipe, Console(quiet=True)).bundle.examples)
    100
    """
    from rich.markup import escape

    from tfl.data.source import load_source

    recipe = recipe if trained else settled(recipe)
    if examples is None:
        examples = load_source(recipe.data, seed=recipe.split_seed, task=recipe.task)
    recipe, note = (recipe, None) if trained else chosen(recipe, examples)
    load_tensorflow()
    from tfl.data.audit import audit
    from tfl.data.bundle import Bundle
    from tfl.data.split import split
    from tfl.tasks.base import task_for
    from tfl.tasks.heads import Heads

    modality, task = modality_of(recipe), task_for(recipe, examples.class_names)
    source = escape(examples.source + (f" ({examples.note})" if examples.note else ""))
    console.print(f"[bold]data[/]     {len(examples)} {modality.nouns}{task.summary(examples)} from {source}")
    if note is not None:
        console.print(f"         {note}", markup=False)
    audited = audit(examples, modality=modality, on_bad=recipe.data.on_bad, keep=True)
    modality.refuse_files(audited.findings, examples.source)
    for finding in audited.findings:
        console.print(f"         {finding['severity']}: {finding['note']}", markup=False)
    parts = split(
        audited.examples,
        validation=recipe.data.validation,
        test=recipe.data.test,
        seed=recipe.split_seed,
        fingerprints=audited.fingerprints,
        train_per_class=recipe.data.train_per_class,
        strata=task.strata(audited.examples),
    )
    console.print(f"         {len(parts.train)} to train, {len(parts.val)} to validate, {len(parts.test)} to test")
    for words in parts.notes:
        console.print(f"         note: {words}", markup=False)
    if isinstance(task, Heads):
        task.check_held_out({name: task.targets(audited.examples)[parts[name]] for name in ("val", "test")})
    bundle = Bundle.of(
        audited,
        split=parts,
        data=recipe.data,
        seed=recipe.seed,
        modality=modality,
        task=task.fitted(task.targets(audited.examples)[parts.train], audited.examples.class_names),
    )
    return Prepared(recipe, bundle, audited.findings)


def data_fingerprint(bundle: Bundle) -> str:
    """SHA-256 of the classes and of each example's content, target and split: another example or another split, another one."""
    examples = bundle.examples
    digest = hashlib.sha256("\n".join(examples.class_names).encode())
    splits = bundle.split.names(len(examples)).tolist()
    for index, (print_, split) in enumerate(zip(bundle.fingerprints, splits, strict=True)):
        digest.update("\t".join((print_, bundle.target_text(index), split)).encode())
    return digest.hexdigest()


def check_same_classes(found: Sequence[str], expected: Sequence[str], *, source: str) -> None:
    """A class that is missing or added would shift every label after it, so it is an error.

    Args:
        found: The classes of the source, in any order.
        expected: The classes of the run.
        source: What the message calls the source.

    Raises:
        DataError: Naming the classes that are missing and those that are added.
    """
    missing, added = [name for name in expected if name not in found], [name for name in found if name not in expected]
    if missing or added:
        parts = [f"missing: {', '.join(missing)}"] if missing else []
        parts += [f"added: {', '.join(added)}"] if added else []
        raise DataError(
            f"The classes of {source} are not those of the run.",
            received="; ".join(parts),
            allowed=tuple(expected),
            fix="Rename, add or remove class folders so that the names are the same.",
        )


def prepare_again(run: Run, console: Console, *, skip_bad: bool = False, source: str | None = None) -> Bundle:
    """The examples of a finished run, split as they were.

    Args:
        run: The run.
        console: Where to report what was found.
        skip_bad: Whether to leave out files that cannot be read, whatever the recipe says.
        source: Where the examples are now. Defaults to the source of the recipe.

    Raises:
        DataError: The source is missing, or its examples are not those of the run any more.
    """
    recipe = run.recipe.override("data.on_bad", "skip") if skip_bad else run.recipe
    if source is not None:
        recipe = recipe.override("data.source", source)
    bundle = prepare(recipe, console, trained=True).bundle
    check_same_classes(bundle.examples.class_names, run.class_names, source=recipe.data.source)
    if data_fingerprint(bundle) != run.manifest["data"].get("fingerprint"):
        raise DataError(
            f"The {bundle.modality.nouns} of {recipe.data.source} are no longer those of the run, so its test split cannot be "
            "drawn again.",
            fix=f"Put them back, or use other labelled {bundle.modality.nouns} with --data SOURCE.",
        )
    return bundle
