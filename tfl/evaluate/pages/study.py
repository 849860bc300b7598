"""The page of a study, made of its document alone: the table, learning curves, time, and how it was measured. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfl.evaluate.pages.study_charts import curve_chart, time_chart
from tfl.evaluate.pages.study_words import (
    column_sentence,
    gap_text,
    grid,
    how_measured,
    interval_text,
    mean_text,
    missing,
    missing_text,
    parameters_text,
    ranged,
    row_heads,
    summary,
    time_text,
)
from tfl.evaluate.render import render
from tfl.storage import write_atomically


def write_study_page(document: Mapping[str, Any], path: Path | str) -> Path:
    """Writes the page of a study: one file that opens offline.

    Args:
        document: Dictionary, the contents of `study.json`.
        path: Path of the page.
    """
    names = list(dict.fromkeys(column["data"] for column in document["columns"]))
    drawn = {f"curve-{at}": curve_chart(document, name) for at, name in enumerate(names)}
    drawn |= {f"time-{at}": time_chart(document, name) for at, name in enumerate(names)}
    page = render(
        "study.html.j2",
        study=document,
        names=names,
        grid=grid(document),
        sentences=[column_sentence(document, at) for at in range(len(document["columns"]))],
        summary=summary(document),
        missing=[missing_text(group) for group in missing(document)],
        how=how_measured(document, tied="tied"),
        with_blocks="blocks" in row_heads(document),
        words={"time": time_text, "parameters": parameters_text},
        score=mean_text,
        interval=interval_text,
        test=gap_text,
        ranged=ranged,
        has_curves=any(figure for name, figure in drawn.items() if name.startswith("curve")),
        has_times=any(figure for name, figure in drawn.items() if name.startswith("time")),
        figures={name: figure for name, figure in drawn.items() if figure},
    )
    return write_atomically(Path(path), page)
