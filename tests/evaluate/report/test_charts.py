"""The charts are valid Plotly figures, and each colour has a dark twin."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import resources

import plotly.graph_objects as go
import pytest

from tfl.evaluate.figures import CLASS_COLOURS
from tfl.evaluate.report import charts
from tfl.evaluate.report.facts import stage_facts
from tfl.evaluate.run_files import read_history
from tfl.fields import as_plain
from tfl.runs import Run

Maker = Callable[..., Run]


def _figures(run: Run) -> dict[str, charts.Figure | None]:
    history = read_history(run)
    stages = stage_facts(as_plain(run.recipe), history, run.state, run.manifest)
    test = run.read_json("metrics.json")["test"]
    return {
        "curve": charts.curve(history, stages, train="loss", validation="val_loss", title="loss", also="val_macro_f1"),
        "confusion": charts.confusion(test),
        "reliability": charts.reliability(test["reliability"]),
        "runs": charts.runs_curve([{"title": "a", "history": history}, {"title": "b", "history": []}], x="step"),
    }


@pytest.mark.parametrize("classes", [2, 12, 45])
def test_plotly_takes_every_figure(new_run: Maker, classes: int) -> None:
    for name, figure in _figures(new_run(class_names=[f"c{number}" for number in range(classes)])).items():
        assert figure is not None, name
        go.Figure(data=figure["data"], layout=figure["layout"])
        assert 200 <= figure["height"] <= 900


def test_the_best_epochs_are_marked(new_run: Maker) -> None:
    curve = _figures(new_run())["curve"]
    assert curve is not None
    marks = next(trace for trace in curve["data"] if trace["name"] == "best, kept")
    assert len(marks["x"]) == 2 and marks["x"][0] <= 12 < marks["x"][1]


@pytest.mark.parametrize("epochs", [1, 9, 10, 31, 700, 5000])
def test_epoch_ticks_are_whole_and_few(epochs: int) -> None:
    rows = [{"stage": "a", "epoch": at, "step": at, "loss": 1.0, "val_loss": 1.0} for at in range(1, epochs + 1)]
    figure = charts.curve(rows, [], train="loss", validation="val_loss", title="loss")
    assert figure is not None
    step = figure["layout"]["xaxis"]["dtick"]
    assert isinstance(step, int) and 1 <= epochs / step <= 10


def test_confusion_shows_counts_and_colours_shares(new_run: Maker) -> None:
    test = {"confusion": [[3, 1], [0, 4]], "per_class": {"a": {}, "b": {}}}
    figure = charts.confusion(test)
    assert figure is not None
    right, wrong = figure["data"]
    assert right["z"] == [[0.75, None], [None, 1.0]] and wrong["z"] == [[None, 0.25], [None, None]]
    assert right["text"] == [["3", ""], ["", "4"]] and wrong["text"] == [["", "1"], ["", ""]]


def test_names_are_escaped() -> None:
    figure = charts.confusion({"confusion": [[1]], "per_class": {"<a href='x'>": {}}})
    assert "<a" not in str(figure)


def test_nothing_to_draw_is_none() -> None:
    assert charts.confusion({}) is None and charts.reliability([]) is None
    assert charts.curve([], [], train="loss", validation="val_loss", title="loss") is None
    assert charts.runs_curve([{"title": "a", "history": []}], x="step") is None


def test_every_colour_has_a_dark_twin() -> None:
    script = (resources.files("tfl.evaluate") / "templates" / "page.js").read_text()
    twins = set(re.findall(r'"(#[0-9a-f]{6})": "#[0-9a-f]{6}"', script))
    assert twins == {*charts.COLOURS.values(), *CLASS_COLOURS}
