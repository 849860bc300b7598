"""The notebook runs from top to bottom in a Jupyter kernel, and a person sees plain progress, tables and the report."""

import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOK = Path("docs/notebook.ipynb")


def test_the_notebook_is_kept_without_outputs():
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert cells and not any(cell.outputs or cell.execution_count for cell in cells)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What is below each cell, by the cell's code."""
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    here = tmp_path_factory.mktemp("notebook")
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(here)}}).execute()
    return {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def below(shown, start):
    """What the cell that starts so printed, and what it showed as HTML or as text."""
    outputs = next(outputs for source, outputs in shown.items() if source.startswith(start))
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    data = [output.data for output in outputs if output.output_type == "execute_result"]
    return printed, data[0].get("text/html", data[0]["text/plain"]) if data else ""


@pytest.mark.slow
def test_progress_is_plain_text_with_a_line_for_each_epoch(shown):
    printed, table = below(shown, "run = tfl.run")
    assert re.search(r"^  epoch 3/3, loss \d\.\d+/\d\.\d+ val acc 0\.\d+", printed, re.M)
    assert printed.count("  epoch ") == 6 and "120 to train, 40 to validate, 40 to test" in printed
    assert "<th>test</th>" in table and "done" in table


@pytest.mark.slow
def test_nothing_in_the_notebook_is_escape_codes_widgets_or_standard_error(shown):
    for source, outputs in shown.items():
        for output in outputs:
            assert output.get("name") != "stderr", (source, output.text)
            assert "\x1b" not in output.get("text", "") and output.output_type in ("stream", "execute_result"), source


@pytest.mark.slow
def test_the_report_is_shown_in_a_frame(shown):
    _, page = below(shown, "run.report")
    assert page.startswith("<iframe srcdoc=") and page.count("<iframe") == 1 and "&lt;!doctype html&gt;" in page.lower()


@pytest.mark.slow
def test_results_are_plain_or_tables(shown):
    assert "serves this task best" in below(shown, "tfl.probe")[1]
    label, probability = eval(below(shown, "from PIL import Image")[1])
    assert label in "0123456789" and 0 < probability <= 1
    assert below(shown, "again =")[1] == "True" and "'score'" in below(shown, "import dataclasses")[1]
