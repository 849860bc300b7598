"""`tfl warm` and `tfl.warm`: two tables, several models, one comparison, and what it leaves in a folder."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfl import __version__
from tfl.clock import Clock
from tfl.errors import DataError, RunError
from tfl.fields import as_plain
from tfl.progress import progress_console, progress_shown
from tfl.runs import default_folder
from tfl.storage import check_can_write, locked, write_atomically, write_json
from tfl.warm_start.options import WarmOptions

if TYPE_CHECKING:
    from rich.console import Console

    from tfl.warm_start.kept import KeptModel
    from tfl.warm_start.measure import Measured
    from tfl.warm_start.tables import Pair

DOCUMENT, PAGE, CURVES, PREDICTIONS = "warm.json", "warm.html", "curves.csv", "predictions.csv"


@dataclass(frozen=True)
class Warmed:
    """A finished comparison.

    Attributes:
        folder: Where its files are.
        document: What `warm.json` holds: `rows`, `stops`, `chosen`, ...
    """

    folder: Path
    document: dict[str, Any]

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / PAGE

    @property
    def model(self) -> KeptModel:
        """The chosen model, whose `predict(table)` answers."""
        from tfl.warm_start.kept import KeptModel

        return KeptModel.open(self.folder)


def warm(
    old: Path | str, new: Path | str, out: Path | str | None = None, *, predict: Path | str | None = None, **options: Any
) -> Warmed:
    """Compares models trained on old rows and warm-started on new ones: `tfl warm` from Python.

    Args:
        old, new: Tables (CSV, TSV, JSON Lines, Parquet), or `sample:machines_old` and `sample:machines_new`.
        out: Path, the folder. Defaults to None, which creates `runs/warm/warm-<time>`.
        predict: A table whose rows the chosen model answers, in `predictions.csv`. Defaults to None.
        **options: Fields of `tfl.warm_start.options.WarmOptions`, such as `target`, `models`, `steps` and `criterion`.

    Returns:
        `document` (`rows`, `stops`, `chosen`), `model`, whose `predict(table)` answers, `report` and `folder`.

    Raises:
        TflError: A table, an option or the folder cannot be used.

    Example:

    >>> import tempfile, tfl
    >>> done = tfl.warm(
    ...     "sample:machines_old", "sample:machines_new", tempfile.mkdtemp(), target="state", models=("logistic",), steps=(1, 2)
    ... )
    >>> [row["step"] for row in done.document["rows"] if row["way"] == "warm"]
    [1, 2]
    >>> len(done.model.predict("sample:machines_new"))
    1000
    """
    folder = Path(out) if out is not None else default_folder("warm", kind="warm")
    return compare(old, new, folder, WarmOptions(**options), predict=predict, console=progress_console())


def compare(
    old: Path | str,
    new: Path | str,
    folder: Path,
    options: WarmOptions,
    *,
    predict: Path | str | None = None,
    console: Console,
) -> Warmed:
    """As `warm`, with the options checked.

    Args:
        old, new: Tables.
        folder: Where to write.
        options: What decides the result.
        predict: A table to answer.
        console: rich `Console` for messages and progress.
    """
    from tfl.warm_start.kept import KeptModel
    from tfl.warm_start.measure import measure, models_for
    from tfl.warm_start.tables import cells_of, open_table, read_pair

    if (folder / DOCUMENT).exists():
        raise RunError(f"{folder} already holds a comparison.", fix="Name another folder with --out, or delete it.")
    clock = Clock()
    with clock.step("data"):
        pair = read_pair(old, new, target=options.target, columns=options.columns, seed=options.seed)
        asked = None if predict is None else cells_of(open_table(predict), pair.encoding.table.columns)
    models = models_for(pair, options)
    notes = pair.notes()
    for note in notes:
        console.print(note, highlight=False, markup=False)
    if not models:
        raise DataError(
            "No model is left: boosting takes no trees for other classes than it began with.",
            received=f"only old: {list(pair.only_old)}, only new: {list(pair.only_new)}",
            fix="Compare others too: --model logistic, svm or net.",
        )
    check_can_write(folder, folder=True)
    with locked(folder):
        with clock.step("training"), progress_shown(console, "warm starts", len(models), nouns="models") as progress:
            measured = measure(pair, options, progress=progress)
        kept = KeptModel(measured.chosen.model, measured.arrays, pair.classes, pair.encoding, pair.target)
        kept.write(folder)
        if asked is not None:
            _write_csv(folder / PREDICTIONS, ["row", pair.target], enumerate(kept.predict_cells(asked), 1))
        document = _document(old, new, pair, options, measured, notes, clock)
        _write_files(folder, document)
    return Warmed(folder, document)


def _document(
    old: Path | str, new: Path | str, pair: Pair, options: WarmOptions, measured: Measured, notes: list[str], clock: Clock
) -> dict[str, Any]:
    counts = {name: {part: len(rows) for part, rows in side.items()} for name, side in (("old", pair.old), ("new", pair.new))}
    return {
        "tfl": __version__,
        "old": str(old),
        "new": str(new),
        "target": pair.target,
        "classes": list(pair.classes),
        "only_old": list(pair.only_old),
        "only_new": list(pair.only_new),
        "columns": list(pair.encoding.table.columns),
        "counts": counts,
        "options": as_plain(options),
        "rows": [row.as_json() for row in measured.rows],
        "stops": [row.as_json() for row in measured.stops],
        "chosen": measured.chosen.as_json(),
        "notes": notes,
        "seconds": clock.document(),
    }


def _write_files(folder: Path, document: dict[str, Any]) -> None:
    from tfl.warm_start.page import write_warm_page

    sides = ("old", "new")
    columns = ["model", "way", "step", *(f"{part}_{side}" for part in ("validation", "test") for side in sides)]
    rows = [
        [row["model"], row["way"], row["step"], *(f"{row[part][side]:.4f}" for part in ("validation", "test") for side in sides)]
        for row in document["rows"]
    ]
    _write_csv(folder / CURVES, columns, rows)
    write_warm_page(document, folder / PAGE)
    write_json(folder / DOCUMENT, document)


def _write_csv(path: Path, columns: list[str], rows: Any) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_atomically(path, buffer.getvalue())
