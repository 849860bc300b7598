"""The table as CSV, Markdown, LaTeX and page, from a document that no study made; odd names stay text."""

import csv
import io

import numpy as np
import pytest

from tfl.evaluate.pages.study import write_study_page
from tfl.evaluate.pages.study_words import column_sentence, missing, score_text, summary
from tfl.studies.compare import Scores
from tfl.studies.table import tabulate
from tfl.studies.written import csv_text, latex_text, markdown_text

ODD = r"a|b_c & 50% <i>#1</i> [x] ~^\ {y} *z* $"


def document_of(right, *, seeds=2, status="done"):
    """A study of rows by name, each with so many of 40 right in each column."""
    columns = [
        {
            **{"title": f"{ODD}, {count} per class", "data": ODD, "train_per_class": count, "task": "classify"},
            **{"metric": "accuracy", "is_share": True, "lower_is_better": False, "nouns": "examples"},
            **{"test_examples": [40], "train_examples": [10 * count], "seeds_compared": seeds, "data_changed": False},
        }
        for count in (3, 30)
    ]
    rows = [{"title": f"{ODD} {name}", "network": ODD, "strategy": name, "blocks": None} for name in right]
    names = tuple(map(str, range(40)))
    runs, tests = [], [{}, {}]
    for row, counts in enumerate(right.values()):
        for column, count in enumerate(counts):
            for seed in range(seeds):
                about = {"row": row, "column": column, "seed": seed, "run": f"cells/{row}{column}{seed}"}
                if count is None:
                    nothing = dict.fromkeys(("score", "train_seconds", "feature_seconds", "parameters"))
                    runs.append({**about, "status": "failed", "reason": f"no {ODD}", **nothing})
                    continue
                values = (np.arange(40) < count + seed).astype(float)
                tests[column].setdefault(row, {})[seed] = Scores(contents=names, values=values)
                costs = {"train_seconds": 2.0 + row, "feature_seconds": 0.5, "parameters": 1290}
                runs.append({**about, "status": "done", "reason": "", "score": float(values.mean()), **costs})
    return {
        "format": 1,
        "status": status,
        "seconds": 12.0,
        "axes": {"seeds": seeds},
        "rows": rows,
        "columns": columns,
        "cells": runs,
        "table": tabulate(runs, columns, tests),
    }


@pytest.fixture
def document():
    return document_of({"scratch": (2, 3), "lp_ft": (38, 38), "auto": (None, 37)}, seeds=4)


def test_means_intervals_and_marks(document):
    cells = {(document["rows"][cell["row"]]["strategy"], cell["column"]): cell for cell in document["table"]}
    best, tied = cells["lp_ft", 0], cells["auto", 1]
    assert best["mark"] == "best" and best["mean"] == pytest.approx((38 + 39 + 40 + 40) / 160) and best["seeds"] == 4
    assert best["interval"][1] == 1.0 and 0.9 < best["interval"][0] < best["mean"]
    assert tied["mark"] == "tied" and cells["scratch", 1]["mark"] == "worse"
    assert cells["auto", 0]["status"] == "failed" and cells["auto", 0]["mean"] is None and cells["auto", 0]["mark"] is None
    assert summary(document) == "1 of 2 columns has a row that is shown to be the best."
    assert column_sentence(document, 0).endswith("lp_ft is the best, with accuracy 98.1%.")
    assert "auto is not shown to be worse" in column_sentence(document, 1)


def test_one_seed_has_no_interval_and_says_by_what_it_is_tested():
    document = document_of({"scratch": (2, 3), "lp_ft": (38, 38)}, seeds=1)
    assert all(cell["interval"] is None for cell in document["table"])
    assert score_text(document["table"][-1], document["columns"][1]) == "95.0"
    assert "With one seed, the only test is the one by exchanges of signs" in markdown_text(document)


def test_some_seeds_of_a_cell(document):
    cell = {**document["table"][0], "seeds": 1, "interval": None}
    assert score_text(cell, document["columns"][0]).endswith("(1 of 4 seeds)")


def test_csv_has_a_row_for_each_cell_and_seed(document):
    rows = list(csv.DictReader(io.StringIO(csv_text(document))))
    assert len(rows) == 3 * 2 * 4 and rows[0]["data"] == rows[0]["network"] == ODD
    assert [row["reason"] for row in rows if row["status"] == "failed"] == [f"no {ODD}"] * 4


def test_markdown_is_escaped(document):
    text = markdown_text(document)
    table = [line for line in text.splitlines() if line.startswith("| ")][:5]
    cells = [line.replace(r"\|", "").count("|") for line in table]
    assert cells == [5] * 5  # two columns of text, two of scores
    assert r"a\|b\_c & 50% \<i\>\#1\</i\> \[x\] \~^\\ {y} \*z\* $" in table[3]
    assert "| **98.1 " in text and r"\~ |" in text and "- a" in text.split("Without a result:")[1]


def test_latex_is_escaped(document):
    text = latex_text(document)
    escaped = r"a$|$b\_c \& 50\% $<$i$>$\#1$<$/i$>$ {[}x{]} \textasciitilde{}\textasciicircum{}\textbackslash{} \{y\} {*}z{*} \$"
    assert escaped in text and ODD not in text
    assert r"\textbf{98.1 {[}" in text and r"$\sim$" in text
    assert text.count(r"\begin{tabular}{llrr}") == 1 and text.count(r"\toprule") == text.count(r"\bottomrule") == 2


def test_the_page_has_charts_and_escapes_names(document, tmp_path):
    page = write_study_page(document, tmp_path / "study.html").read_text()
    assert "<i>#1</i>" not in page and "&lt;i&gt;#1" in page
    assert 'id="figure-curve-0"' in page and 'id="figure-time-0"' in page and 'href="#missing"' in page
    assert page.count(">best</span>") == 1 and "http://" not in page.split("<script>")[0]


def test_what_is_missing_is_said_once(document):
    (group,) = missing(document)
    assert group["strategies"] == ["auto"] and group["seeds"] == [0, 1, 2, 3] and group["words"] == f"failed: no {ODD}"


def test_nothing_done_yet(tmp_path):
    document = document_of({"scratch": (None, None)}, status="unfinished")
    assert "failed" in markdown_text(document) and "failed" in latex_text(document)
    assert "nothing to compare yet" in write_study_page(document, tmp_path / "study.html").read_text()
