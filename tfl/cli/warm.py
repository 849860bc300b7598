"""`tfl warm`: classical models trained on old rows, warm-started on new ones, and what they forget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import rich_click as click

from tfl.cli.command import Answer, command
from tfl.cli.options import comma_separated, default_option
from tfl.cli.tables import output, table
from tfl.runs import default_folder
from tfl.warm_start.options import CRITERIA, MODELS, WarmOptions

if TYPE_CHECKING:
    from tfl.warm_start.warm import Warmed

_DEFAULT = WarmOptions()


def _steps(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    words = (value or "").split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise click.BadParameter(f"{value!r} is not a list of whole numbers, such as 1,2,4,8.", ctx=context, param=parameter)
    return tuple(int(word) for word in words)


@command
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option("--target", metavar="COLUMN", help="The column to predict. [default: the one called target, label or class]")
@click.option(
    "--columns",
    metavar="NAMES",
    callback=comma_separated,
    help="Columns to predict from, separated by commas. [default: all others]",
)
@click.option("--model", "models", type=click.Choice(MODELS), multiple=True, help="Fit this model; repeatable. [default: all]")
@click.option(
    "--steps",
    metavar="LIST",
    default=",".join(map(str, _DEFAULT.steps)),
    show_default=True,
    callback=_steps,
    help="Numbers of warm-start steps after which accuracy is measured, separated by commas.",
)
@default_option(
    _DEFAULT,
    "--criterion",
    type=click.Choice(CRITERIA),
    help="How the stopping step is chosen: by the mean of the validation accuracies on old and new rows, or by the lower one.",
)
@default_option(_DEFAULT, "--replay", metavar="SHARE", type=float, help="Share of old rows in each replay step.")
@default_option(_DEFAULT, "--ewc", metavar="STRENGTH", type=float, help="Strength of elastic weight consolidation.")
@default_option(_DEFAULT, "--rate", metavar="R", type=float, help="Learning rate of the warm-start steps of logistic and svm.")
@default_option(_DEFAULT, "--seed", type=int, help="Random seed, also of the split.")
@click.option(
    "--predict", metavar="TABLE", help="Also predict the rows of this table with the chosen model, into predictions.csv."
)
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Where to write. [default: runs/warm/warm-TIME]")
def warm(
    old: str,
    new: str,
    target: str | None,
    columns: tuple[str, ...],
    models: tuple[str, ...],
    steps: tuple[int, ...],
    criterion: str,
    replay: float,
    ewc: float,
    rate: float,
    seed: int,
    predict: str | None,
    out: Path | None,
) -> Answer:
    """Train classical models on table OLD, warm-start them on table NEW, and report what they forget.

    Logistic regression, a linear SVM, gradient boosting and a small neural network are trained on the old rows, on the new rows,
    on both, and on the old rows and then step by step on the new ones; also with replay of old rows and with elastic weight
    consolidation. The result is the accuracy of each on old and on new rows, and the step at which to stop. Tables are CSV, TSV,
    JSON Lines or Parquet, or sample:machines_old and sample:machines_new. Writes warm.html, warm.json, curves.csv and the chosen
    model.
    """
    from rich.console import Console

    from tfl.warm_start.warm import compare

    options = WarmOptions(
        target=target,
        columns=columns,
        models=cast(Any, models or MODELS),
        steps=steps,
        criterion=cast(Any, criterion),
        replay=replay,
        ewc=ewc,
        rate=rate,
        seed=seed,
    )
    folder = out or default_folder("warm", kind="warm")
    done = compare(old, new, folder, options, predict=predict, console=Console(stderr=True))
    return Answer(_document(done, predict), lambda: _show(done, predict))


def _document(done: Warmed, predict: str | None) -> dict[str, Any]:
    files = {"warm": str(done.folder), "report": str(done.report)}
    files |= {} if predict is None else {"predictions": str(done.folder / "predictions.csv")}
    return {**done.document, **files}


def _show(done: Warmed, predict: str | None) -> None:
    from tfl.warm_start.page import TITLES, WAYS, headline

    stops, chosen = done.document["stops"], done.document["chosen"]
    rows = []
    for row in done.document["rows"]:
        mark = "chosen" if row == chosen else "stop here" if row in stops else ""
        figures = [f"{row['test'][side]:.1%}" for side in ("old", "new")]
        rows.append((TITLES[row["model"]], WAYS[row["way"]], row["step"] or "", *figures, mark))
    output().print(table(("model", "trained on", "steps", "old", "new", ""), rows, right=("steps", "old", "new")))
    click.echo(
        f"{headline(done.document)}: {chosen['test']['old']:.1%} on old test rows, {chosen['test']['new']:.1%} on new ones."
    )
    click.echo(f"report   {done.report}")
    click.echo(f"model    {done.folder / 'model.npz'}")
    if predict is not None:
        click.echo(f"answers  {done.folder / 'predictions.csv'}")
