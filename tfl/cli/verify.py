"""`tfl verify`: from which similarity two examples count as the same, how often that is wrong, and the answer for two files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import Answer, command
from tfl.cli.tables import output, table
from tfl.embeddings.options import HOLD_OUTS, HoldOut

if TYPE_CHECKING:
    from tfl.embeddings.api import SameOrNot
    from tfl.embeddings.verification import Threshold, Verification


@command
@click.argument("index", metavar="INDEX", type=click.Path(path_type=Path))
@click.argument("files", metavar="[FILE FILE]", nargs=-1)
@click.option(
    "--far",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    metavar="SHARE",
    help="The false accept rate that the threshold is chosen for.",
)
@click.option("--threshold", type=click.FloatRange(-1, 1), help="Compare two files by this similarity, and measure nothing.")
@click.option(
    "--held-out",
    type=click.Choice(HOLD_OUTS),
    help="What those that measure the error rates do not share with those that chose the threshold. "
    "[default: labels from eight labels on, else items]",
)
@click.option("--network", metavar="RUN|BACKBONE", help="Where the network that made INDEX is now. [default: as INDEX says]")
def verify(
    index: Path, files: tuple[str, ...], far: float, threshold: float | None, held_out: HoldOut | None, network: str | None
) -> Answer:
    """Say whether two FILEs show the same (person, object), or how well INDEX can tell.

    INDEX is a file of labelled vectors that `tfl embed` wrote. Without files, it answers with the similarity from which two
    examples count as the same, and with its false accept rate, false reject rate and the equal error rate, measured on held-out
    examples. With two files, it answers same or not.
    """
    if len(files) not in (0, 2):
        raise click.UsageError(
            f"Two files are compared, and {len(files)} are named. Name two, or none to measure the thresholds."
        )
    if threshold is not None and not files:
        raise click.UsageError("--threshold compares two files: name them.")
    from tfl.embeddings.api import compare
    from tfl.embeddings.index import VectorIndex

    opened = VectorIndex(index, network=network)
    found = None if threshold is not None else opened.verification(target=far, held_out=held_out)
    document: dict[str, Any] = {"index": str(index), **({} if found is None else {"verification": found.to_json()})}
    if not files or (found is None and threshold is None):
        return Answer(document, lambda: _show(index, found))
    value = threshold if found is None else found.at_false_accept.value
    answer = compare(opened, files[0], files[1], threshold=float(value or 0.0))
    document |= {"files": list(files), "same": answer.same, "similarity": answer.similarity, "threshold": answer.threshold}
    return Answer(document, lambda: _show_answer(answer, found))


def _show(index: Path, found: Verification | None) -> None:
    if found is None:
        return
    click.echo(f"{index}: {found.items} examples of {found.labels} labels")
    click.echo(f"{found.genuine:,} pairs of the same label, {found.impostor:,} pairs of two labels")
    for note in found.notes:
        click.echo(note)
    click.echo(f"equal error rate {found.equal_error_rate:.2%}{_interval(found.equal_error_interval)}")
    rows = [
        _row("equal error", found.at_equal_error),
        _row(f"false accepts at most {found.target:.2g}", found.at_false_accept),
    ]
    output().print(table(("threshold for", "similarity", "false accept rate", "false reject rate"), rows, right=("similarity",)))
    shared = "no label" if found.held_out == "labels" else "no example"
    click.echo(f"Rates are of held-out examples, which share {shared} with those that chose the threshold; 95% intervals.")


def _row(name: str, one: Threshold) -> tuple[str, str, str, str]:
    accepted = f"{one.false_accept_rate:.2%}{_interval(one.false_accept_interval)}"
    rejected = f"{one.false_reject_rate:.2%}{_interval(one.false_reject_interval)}"
    return name, f"{one.value:.4f}", accepted, rejected


def _interval(interval: list[float] | None) -> str:
    return "" if interval is None else f" ({interval[0]:.2%} to {interval[1]:.2%})"


def _show_answer(answer: SameOrNot, found: Verification | None) -> None:
    sign = "at least" if answer.same else "below"
    click.echo(f"{'same' if answer.same else 'not the same'}: similarity {answer.similarity:.4f}, {sign} {answer.threshold:.4f}")
    if found is not None:
        one = found.at_false_accept
        click.echo(
            f"At this threshold {one.false_accept_rate:.2%} of pairs of two labels are taken for the same, and "
            f"{one.false_reject_rate:.2%} of pairs of the same label are refused (held-out examples)."
        )
