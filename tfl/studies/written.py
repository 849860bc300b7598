"""The table of a study as files: CSV, Markdown, LaTeX, and the page."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tfl.evaluate.pages.study import write_study_page
from tfl.evaluate.render import amount, duration
from tfl.storage import write_atomically
from tfl.studies.folder import StudyFolder

CSV_COLUMNS = (
    *("data", "train_per_class", "network", "strategy", "blocks", "seed", "status", "metric", "score", "train_seconds"),
    *("feature_seconds", "parameters", "train_examples", "test_examples", "run", "reason"),
)
MARKS = "Best: every other row of the column is worse. ~: not shown to be worse than the highest (or, for errors, lowest) mean."
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def write_tables(study: StudyFolder) -> None:
    """Writes `study.csv`, `study.md`, `study.tex` and `study.html` from `study.json`."""
    document = study.document
    write_atomically(study.path("study.csv"), csv_text(document))
    write_atomically(study.path("study.md"), markdown_text(document))
    write_atomically(study.path("study.tex"), latex_text(document))
    write_study_page(document, study.path("study.html"))


def csv_text(document: Mapping[str, Any]) -> str:
    """One row for each cell and seed, the cells without a result included."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for run in document["cells"]:
        column = document["columns"][run["column"]]
        about = {name: column[name] for name in ("data", "train_per_class", "metric")}
        writer.writerow({**document["rows"][run["row"]], **run, **about})
    return text.getvalue()


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
    told = _number(cell["mean"], column)
    if cell["interval"]:
        told += f" [{', '.join(_number(edge, column) for edge in cell['interval'])}]"
    return told + (f" ({cell['seeds']} of {cell['of_seeds']} seeds)" if cell["seeds"] < cell["of_seeds"] else "")


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


def how_measured(document: Mapping[str, Any]) -> list[str]:
    """How the table was measured, as sentences without markup."""
    seeds = document["axes"]["seeds"]
    compared = max((column["seeds_compared"] for column in document["columns"]), default=0)
    told = [
        f"Mean over {seeds} seed{'s' * (seeds != 1)} on test examples"
        + (", with the 95% interval by Student's t over the seeds." if seeds > 1 else "; one seed has no interval."),
        "Best: every other row of the column is worse, by paired tests on the same test examples under the same seeds, "
        "corrected by Holm over the rows of the column (p < 0.05). ~: the highest mean, or not shown to be worse than it.",
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
    told.append(
        "Times are means: training (and for `auto` the choice), and behind the + the frozen blocks' features. Features are "
        "computed once and shared, so the first run that needs them has the time for all."
    )
    return told


def missing(document: Mapping[str, Any]) -> list[tuple[str, str, str, list[int]]]:
    """What has no result: title of the row and the column, status with reason, and the seeds."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for run in document["cells"]:
        if run["status"] != "done":
            row, column = document["rows"][run["row"]]["title"], document["columns"][run["column"]]["title"]
            words = run["status"] + (f": {run['reason']}" if run["reason"] else "")
            found.setdefault((row, column, words), []).append(run["seed"])
    return [(*names, seeds) for names, seeds in found.items()]


def markdown_text(document: Mapping[str, Any]) -> str:
    """The table of scores, the table of times, and how both were measured."""
    columns, cells = document["columns"], grid(document)
    names = [[_md(row["network"]), _md(row["strategy"]), str(row["blocks"] or "")] for row in document["rows"]]
    scores = [
        [*name, *(_md_score(cell, column) for cell, column in zip(row, columns, strict=True))]
        for name, row in zip(names, cells, strict=True)
    ]
    times = [[*name, *(time_text(cell) for cell in row), parameters_text(row)] for name, row in zip(names, cells, strict=True)]
    first = ["network", "strategy", "blocks"]
    parts = [
        _md_table([*first, *(_md(heading(column)) for column in columns)], scores),
        "\n".join(_md(sentence) for sentence in how_measured(document)),
        _md_table([*first, *(_md(f"{column['title']}: time") for column in columns), "trained parameters"], times),
    ]
    left = [
        f"- {_md(row)}, {_md(column)}: {_md(words)} (seeds {_listed(seeds)})" for row, column, words, seeds in missing(document)
    ]
    return "\n\n".join([*parts, *(["Without a result:\n\n" + "\n".join(left)] if left else [])]) + "\n"


def latex_text(document: Mapping[str, Any]) -> str:
    """Two tables for LaTeX with the package booktabs: scores, and times with parameters."""
    columns, cells = document["columns"], grid(document)
    names = [[_tex(row["network"]), _tex(row["strategy"]), str(row["blocks"] or "")] for row in document["rows"]]
    scores = [
        [*name, *(_tex_score(cell, column) for cell, column in zip(row, columns, strict=True))]
        for name, row in zip(names, cells, strict=True)
    ]
    times = [
        [*name, *(_tex(time_text(cell)) for cell in row), _tex(parameters_text(row))]
        for name, row in zip(names, cells, strict=True)
    ]
    groups = [row["network"] for row in document["rows"]]
    caption = " ".join(_tex(sentence) for sentence in how_measured(document)[:-1]).replace(r"\textasciitilde{}", r"$\sim$")
    heads = [_tex(heading(column)) for column in columns]
    time_heads = [*(_tex(f"{column['title']}: time") for column in columns), "Trained parameters"]
    return "\n".join(
        [
            r"% Needs \usepackage{booktabs}.",
            *_tex_table(heads, scores, groups, caption=caption),
            "",
            *_tex_table(time_heads, times, groups, caption=_tex(how_measured(document)[-1].replace("`", ""))),
            "",
        ]
    )


def escape_latex(text: str) -> str:
    r"""Text in which no character has a meaning of its own in LaTeX.

    Example:

    >>> print(escape_latex("lp_ft, 95% & {more}"))
    lp\_ft, 95\% \& \{more\}
    """
    return "".join(_LATEX.get(sign, sign) for sign in text)


def escape_markdown(text: str) -> str:
    r"""Text in which no character has a meaning of its own in a cell of a Markdown table.

    Example:

    >>> print(escape_markdown("a|b *c* lp_ft"))
    a\|b \*c\* lp\_ft
    """
    return re.sub(r"([\\`*_\[\]<>|~#])", r"\\\1", " ".join(text.split()))


_md, _tex = escape_markdown, escape_latex


def _md_score(cell: Mapping[str, Any] | None, column: Mapping[str, Any]) -> str:
    text = _md(score_text(cell, column))
    if cell is None or cell["mark"] is None:
        return text
    return {"best": f"**{text}**", "tied": rf"{text} \~"}.get(cell["mark"], text)


def _tex_score(cell: Mapping[str, Any] | None, column: Mapping[str, Any]) -> str:
    text = _tex(score_text(cell, column))
    if cell is None or cell["mark"] is None:
        return text
    return {"best": rf"\textbf{{{text}}}", "tied": rf"{text} $\sim$"}.get(cell["mark"], text)


def _md_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---" if at < 2 else "--:" for at in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))


def _tex_table(heads: Sequence[str], rows: Sequence[Sequence[str]], groups: Sequence[str], *, caption: str) -> list[str]:
    """A table in which a rule stands between two networks."""
    lines = []
    for at, row in enumerate(rows):
        lines += [r"\midrule"] if at == 0 or groups[at] != groups[at - 1] else []
        lines.append(" & ".join(row) + r" \\")
    return [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{llr{'r' * len(heads)}}}",
        r"\toprule",
        " & ".join(["Network", "Strategy", "Blocks", *heads]) + r" \\",
        *lines,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def _number(value: float, column: Mapping[str, Any]) -> str:
    return f"{100 * value:.1f}" if column["is_share"] else amount(value)


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
