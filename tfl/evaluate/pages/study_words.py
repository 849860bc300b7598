"""The table of a study in words, for its page, its files and the terminal; made of its document alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfl.evaluate.render import amount, duration

MARKS = "Best: every other row of the column is worse. ~: not shown to be worse than the highest (or, for errors, lowest) mean."
_SHOWN = 3


def grid(document: Mapping[str, Any]) -> list[list[Mapping[str, Any] | None]]:
    """The cells of the table by row, then by column; None where a row has no cell in a column."""
    places = {(cell["row"], cell["column"]): cell for cell in document["table"]}
    columns = range(len(document["columns"]))
    return [[places.get((row, column)) for column in columns] for row in range(len(document["rows"]))]


def heading(column: Mapping[str, Any]) -> str:
    """A column in words, with what its numbers are."""
    return f"{column['title']}: {column['metric']}" + (", %" if column["is_share"] else "")


def score_text(cell: Mapping[str, Any] | None, column: Mapping[str, Any]) -> str:
    """A mean with its interval, or why there is none, without its mark.

    Example:

    >>> cell = {"mean": 0.914, "interval": [0.9, 0.93], "seeds": 3, "of_seeds": 3}
    >>> score_text(cell, {"is_share": True})
    '91.4 [90.0, 93.0]'
    """
    if cell is None:
        return ""
    if cell["mean"] is None:
        return str(cell["status"])
    told = mean_text(cell, column) + (f" {interval_text(cell, column)}" if cell["interval"] else "")
    return told + (f" ({cell['seeds']} of {cell['of_seeds']} seeds)" if cell["seeds"] < cell["of_seeds"] else "")


def mean_text(cell: Mapping[str, Any], column: Mapping[str, Any]) -> str:
    """The mean of a cell that has one."""
    return _number(cell["mean"], column)


def interval_text(cell: Mapping[str, Any], column: Mapping[str, Any]) -> str:
    """The interval of a cell that has one."""
    return f"[{', '.join(_number(edge, column) for edge in cell['interval'])}]"


def gap_text(cell: Mapping[str, Any] | None, column: Mapping[str, Any]) -> str:
    """How far a cell is behind the best mean of its column, and the corrected p-value."""
    if cell is None or cell["mark"] is None:
        return "–"
    if cell["p"] is None:
        return "best" if cell["mark"] == "best" else "best mean"
    p = "p < 0.0001" if cell["p_corrected"] < 1e-4 else f"p = {cell['p_corrected']:.2g}"
    return p if cell["behind"] is None else f"{_number(cell['behind'], column)}, {p}"


def ranged(values: Sequence[int]) -> str:
    """Whole numbers, from the smallest to the largest.

    Example:

    >>> ranged([20, 21, 24]), ranged([20]), ranged([])
    ('20 to 24', '20', 'no')
    """
    if not values:
        return "no"
    return f"{min(values):,}" if len(set(values)) == 1 else f"{min(values):,} to {max(values):,}"


def time_text(cell: Mapping[str, Any] | None) -> str:
    """The mean time of training and, apart, of features."""
    if cell is None or cell["train_seconds"] is None:
        return ""
    features = cell["feature_seconds"]
    return duration(cell["train_seconds"]) + (f" + {duration(features)}" if features and features >= 0.05 else "")


def parameters_text(cells: Sequence[Mapping[str, Any] | None]) -> str:
    """The number of trained parameters in a row; from the smallest to the largest where the columns differ."""
    counts = sorted({cell["parameters"] for cell in cells if cell and cell["parameters"] is not None})
    return " to ".join(f"{count:,}" for count in ([counts[0], counts[-1]] if len(counts) > 1 else counts))


def row_heads(document: Mapping[str, Any]) -> tuple[str, ...]:
    """What the first columns of the table are; blocks only where a row states them."""
    stated = any(row["blocks"] is not None for row in document["rows"])
    return ("network", "strategy", *(["blocks"] if stated else []))


def row_names(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The cells of these columns, row by row."""
    return [tuple(str(row[name] or "") for name in row_heads(document)) for row in document["rows"]]


def how_measured(document: Mapping[str, Any], *, tied: str = "~") -> list[str]:
    """How the table was measured, as sentences without markup.

    Args:
        document: Dictionary, the contents of `study.json`.
        tied: String, how rows that are not shown to be worse are marked. Defaults to `~`.
    """
    seeds = document["axes"]["seeds"]
    compared = max((column["seeds_compared"] for column in document["columns"]), default=0)
    told = [
        f"Mean over {seeds} seed{'s' * (seeds != 1)} on test examples"
        + (", with the 95% interval by Student's t over the seeds." if seeds > 1 else "; one seed has no interval."),
        "Best: every other row of the column is worse, by paired tests on the same test examples under the same seeds, "
        "corrected by Holm over the rows of the column (p < 0.05). "
        f"{tied.capitalize()}: the highest mean, or not shown to be worse than it.",
    ]
    if any(column["lower_is_better"] for column in document["columns"]):
        told.append("Of a mean absolute error the lowest is the highest in this sense: lower is better.")
    if compared < 2:
        told.append(
            "With one seed, the only test is the one by exchanges of signs over test examples: what another seed would change is "
            "not known."
        )
    else:
        told.append(
            "The p-value is the larger one of Student's t over the seeds' differences and of exchanges of signs, clustered by "
            "test example."
        )
    if changed := [column["title"] for column in document["columns"] if column["data_changed"]]:
        told.append(f"The examples changed between the runs of these columns: {'; '.join(changed)}.")
    if any(row["strategy"] == "auto" for row in document["rows"]):
        told.append("Where few examples validate, auto trains its final network on them as well; the others do not.")
    told.append(
        "Times are means: training (and for auto the choice), and behind the + the frozen blocks' features. Features are "
        "computed once and shared, so the first run that needs them has the time for all; "
        "a pass that only a probe needs (as for features, lp_ft and auto) counts as training."
    )
    return told


def missing(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What has no result, grouped by network and reason.

    Returns:
        Dictionaries of `network`, `strategies`, `columns` (titles), `seeds`, and `words` (the status with its reason).
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for run in document["cells"]:
        if run["status"] == "done":
            continue
        row, column = document["rows"][run["row"]], document["columns"][run["column"]]
        words = run["status"] + (f": {run['reason']}" if run["reason"] else "")
        group = found.setdefault(
            (row["network"], words), {"network": row["network"], "words": words, "strategies": [], "columns": [], "seeds": []}
        )
        strategy = row["strategy"] + ("" if row["blocks"] is None else f" top:{row['blocks']}")
        for name, value in (("strategies", strategy), ("columns", column["title"]), ("seeds", run["seed"])):
            if value not in group[name]:
                group[name].append(value)
    return list(found.values())


def missing_text(group: Mapping[str, Any]) -> str:
    """One entry of `missing` as a sentence."""
    seeds = f"seed{'s' * (len(group['seeds']) > 1)} {', '.join(map(str, group['seeds']))}"
    return f"{group['network']} ({', '.join(group['strategies'])}) on {'; '.join(group['columns'])}, {seeds}: {group['words']}"


def _number(value: float, column: Mapping[str, Any]) -> str:
    return f"{100 * value:.1f}" if column["is_share"] else amount(value)


def column_sentence(document: Mapping[str, Any], at: int) -> str:
    """What the tests say of a column.

    Args:
        document: Dictionary, the contents of `study.json`.
        at: Int, the position of the column.
    """
    column = document["columns"][at]
    marked = [cell for cell in document["table"] if cell["column"] == at and cell["mark"] in ("best", "tied")]
    if not marked:
        return f"{column['title']}: nothing to compare yet."
    top = next(cell for cell in marked if cell["p"] is None)
    name = document["rows"][top["row"]]["title"]
    score = f"{column['metric']} {_number(top['mean'], column)}" + ("%" if column["is_share"] else "")
    if top["mark"] == "best":
        return f"{column['title']}: {name} is the best, with {score}."
    extreme = "lowest" if column["lower_is_better"] else "highest"
    others = [document["rows"][cell["row"]]["title"] for cell in marked if cell is not top]
    shown = ", ".join(others[:_SHOWN]) + (f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else "")
    verb = "is" if len(others) == 1 else "are"
    return f"{column['title']}: {name} has the {extreme} {score}; {shown} {verb} not shown to be worse."


def summary(document: Mapping[str, Any]) -> str:
    """The study in a sentence."""
    columns, rows = document["columns"], document["rows"]
    if len(columns) == 1:
        return column_sentence(document, 0)
    best = {cell["column"]: rows[cell["row"]]["title"] for cell in document["table"] if cell["mark"] == "best"}
    if not best:
        return f"None of {len(columns)} columns has a row that is shown to be the best."
    if len(best) == len(columns) and len(set(best.values())) == 1:
        return f"{best[0]} is the best in all {len(columns)} columns."
    return f"{len(best)} of {len(columns)} columns {'has' if len(best) == 1 else 'have'} a row that is shown to be the best."
