"""What `tfl evaluate --classes` does: figures on classes that need not have been trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.tables import output, table

if TYPE_CHECKING:
    from tfl.data.bundle import Bundle
    from tfl.evaluate.overlap import Overlap
    from tfl.zero_shot.namer import Namer


def evaluate_named(
    model: Path, source: str, classes: Path, prompts: tuple[str, ...], *, skip_bad: bool, near: bool
) -> tuple[dict[str, Any], Namer]:
    """The figures of a run or of a pair of encoders on a labelled source, where the classes of a file can be the answer.

    Args:
        model: A run whose recipe has `zero_shot`, or a preset.
        source: Labelled examples.
        classes: As of `tfl predict --classes`.
        prompts: As of `tfl predict --prompt`.
        skip_bad: Whether files that cannot be read are left out.
        near: Whether near copies of the run's examples are looked for.

    Returns:
        The document that `tfl evaluate --json` prints, and what named the classes.
    """
    from tfl.zero_shot.evaluation import answer_bundle, load_labelled, measured
    from tfl.zero_shot.namer import open_namer

    namer = open_namer(model, classes, prompts=prompts)
    bundle, bad = load_labelled(namer, source, skip_bad=skip_bad)
    if bad:
        click.echo(f"{bad} files cannot be read as {bundle.modality.nouns} and are left out.", err=True)
    overlap = _overlap(namer, bundle, near=near)
    logits, labels = answer_bundle(namer, bundle)
    metrics, without, unseen = measured(namer, logits, labels, seed=bundle.seed), None, overlap.unseen
    if unseen is not None and unseen.any():
        without = metrics if unseen.all() else measured(namer, logits[unseen], labels[unseen], seed=bundle.seed)
    names = [bundle.examples.name_of(index) for index in range(len(bundle.examples))]
    document = {
        "run": str(model),
        "task": "classify",
        "kind": bundle.modality.kind,
        "source": f"{source} (all {bundle.modality.nouns}, classes of {classes})",
        "metrics": metrics,
        "metrics_unseen": without,
        "overlap": overlap.to_json(names),
    }
    return document, namer


def _overlap(namer: Namer, bundle: Bundle, *, near: bool) -> Overlap:
    from rich.console import Console

    from tfl.evaluate.overlap import Overlap, overlap_with

    if namer.run is None:
        return Overlap(same=None, notes=("What a preset was trained on is not known here.",))
    return overlap_with(namer.run, bundle, near=near, console=Console(stderr=True))


def show_zero_shot(metrics: dict[str, Any]) -> None:
    """Prints how often seen and unseen classes are named right."""
    found = metrics["zero_shot"]
    words = {"unseen": "classes that were not trained on", "seen": "classes that were trained on"}
    rows = [
        (
            words[part],
            str(found[part]["classes"]),
            str(found[part]["count"]),
            f"{found[part]['accuracy']:.4f}",
            "{:.4f} to {:.4f}".format(*found[part]["interval"]),
        )
        for part in words
        if found[part]
    ]
    if found["harmonic"] is not None:
        rows.append(("harmonic mean of both", "", "", f"{found['harmonic']:.4f}", ""))
    heads = ("mean accuracy of", "classes", "examples", "value", "95% interval")
    output().print(table(heads, rows, right=("classes", "examples", "value")))
    click.echo(f"All classes of the file can be the answer; chance is {found['chance']:.4f}.")
