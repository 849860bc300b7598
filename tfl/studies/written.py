"""The table of a study as files: CSV, Markdown, LaTeX, and the page."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tfl.evaluate.pages.study import write_study_page
from tfl.evaluate.pages.study_words import (
    grid,
    heading,
    how_measured,
    missing,
    missing_text,
    parameters_text,
    row_heads,
    row_names,
    score_text,
    time_text,
)
from tfl.storage import write_atomically
from tfl.studies.folder import StudyFolder

CSV_COLUMNS = (
    *("data", "train_per_class", "network", "strategy", "blocks", "seed", "status", "metric", "score", "train_seconds"),
    *("feature_seconds", "parameters", "train_examples", "test_examples", "run", "reason"),
)
_TEXTS = 2
"""The columns of a table that hold text, network and strategy; the others hold numbers."""
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{sign: f"${sign}$" for sign in "<>|"},
    **{sign: f"{{{sign}}}" for sign in "[]*"},  # at the start of a row they would be arguments of the line break before it
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


def markdown_text(document: Mapping[str, Any]) -> str:
    """The table of scores, the table of times, and how both were measured."""
    columns, cells = document["columns"], grid(document)
    names = [[_md(text) for text in name] for name in row_names(document)]
    scores = [
        [*name, *(_md_score(cell, column) for cell, column in zip(row, columns, strict=True))]
        for name, row in zip(names, cells, strict=True)
    ]
    times = [[*name, *(time_text(cell) for cell in row), parameters_text(row)] for name, row in zip(names, cells, strict=True)]
    first = list(row_heads(document))
    parts = [
        _md_table([*first, *(_md(heading(column)) for column in columns)], scores),
        "\n".join(_md(sentence) for sentence in how_measured(document)),
        _md_table([*first, *(_md(f"{column['title']}: time") for column in columns), "trained parameters"], times),
    ]
    left = [f"- {_md(missing_text(group))}" for group in missing(document)]
    return "\n\n".join([*parts, *(["Without a result:\n\n" + "\n".join(left)] if left else [])]) + "\n"


def latex_text(document: Mapping[str, Any]) -> str:
    """Two tables for LaTeX with the package booktabs: scores, and times with parameters."""
    columns, cells = document["columns"], grid(document)
    names = [[_tex(text) for text in name] for name in row_names(document)]
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
    first = [head.capitalize() for head in row_heads(document)]
    heads = [_tex(heading(column)) for column in columns]
    time_heads = [*(_tex(f"{column['title']}: time") for column in columns), "Trained parameters"]
    return "\n".join(
        [
            r"% Needs \usepackage{booktabs}.",
            *_tex_table([*first, *heads], scores, groups, caption=caption),
            "",
            *_tex_table([*first, *time_heads], times, groups, caption=_tex(how_measured(document)[-1])),
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
    rule = ["---" if at < _TEXTS else "--:" for at in range(len(heads))]
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
        rf"\begin{{tabular}}{{{'l' * _TEXTS}{'r' * (len(heads) - _TEXTS)}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        *lines,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
