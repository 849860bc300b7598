"""The map in a report: a colour a label, mistakes marked, every text escaped, many labels told apart as far as colours go."""

import numpy as np
import plotly.graph_objects as go

from tfl.evaluate.figures import CLASS_COLOURS, COLOURS
from tfl.evaluate.predictions import Predictions
from tfl.evaluate.report.map_chart import examples_map, map_points
from tfl.tasks.base import task_of


def predictions(names=("ant", "bee"), task="classify", targets=None, outputs=None):
    targets = np.eye(2)[[0, 1, 1]] if targets is None else targets
    outputs = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]) if outputs is None else outputs
    files = tuple(f"<b>{at}.png" for at in range(len(targets)))
    return Predictions(
        task=task_of(task),
        class_names=tuple(names),
        files=files,
        indices=np.arange(len(targets)) + 5,
        targets=targets,
        outputs=outputs,
    )


def projection(count=3, **splits):
    places = {"index": [at + 5 for at in range(count)], "x": [0.0] * count, "y": [0.5] * count}
    return {"splits": {"test": places, **splits}}


def test_points_say_what_is_known_of_them():
    points = map_points(projection(), {"test": predictions()})
    assert [(one["label"], one["predicted"], one["right"]) for one in points] == [
        ("ant", "ant", True),
        ("bee", "ant", False),
        ("bee", "bee", True),
    ]
    assert map_points(projection(count=4), {"test": predictions()}) == points  # one without a prediction is left out
    assert map_points(projection(), {}) == [] and examples_map([]) is None


def test_the_figure_is_one_of_plotly_with_mistakes_on_top():
    both = {"test": predictions(), "val": predictions()}
    figure = examples_map(map_points(projection(val=projection()["splits"]["test"]), both))
    drawn = go.Figure(figure["data"], figure["layout"])
    assert [trace.name for trace in drawn.data] == ["ant", "ant", "bee", "bee", "mistake"]
    assert [bool(trace.showlegend) for trace in drawn.data] == [True, False, True, False, True]
    assert len(drawn.data[-1].x) == 2 and drawn.data[0].marker.symbol == "circle" and drawn.data[1].marker.symbol == "circle-open"
    assert "&lt;b&gt;0.png<br>is ant<br>predicted ant<br>test example" in drawn.data[0].text


def test_of_many_labels_those_with_mistakes_are_told_apart():
    count = 15
    names = tuple(f"kind {at:02d}" for at in range(count))
    outputs = np.eye(count)
    outputs[14] = outputs[0]
    figure = examples_map(map_points(projection(count), {"test": predictions(names, targets=np.eye(count), outputs=outputs)}))
    named = [trace["name"] for trace in figure["data"]]
    assert "kind 14" in named and "3 other labels" in named and len(named) == len(CLASS_COLOURS) + 2
    assert next(trace for trace in figure["data"] if trace["name"] == "3 other labels")["marker"]["color"] == COLOURS["muted"]


def test_numbers_are_coloured_by_their_range_and_no_answer_is_a_mistake():
    values = np.arange(8.0)[:, None]
    found = predictions(("age",), task="regress", targets=values, outputs=values + 1)
    figure = examples_map(map_points(projection(8), {"test": found}))
    assert figure["data"][0]["name"].startswith("age 0 to") and len(figure["data"]) == 4
