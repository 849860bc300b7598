"""The report of runs that predict labels and numbers: every figure is there, and what data says stays text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfl
from tfl.data.examples import Examples
from tfl.data.split import Split
from tfl.evaluate.compare.collect import compare_runs
from tfl.evaluate.compare.page import write_comparison
from tfl.evaluate.confidence import fit_confidence, measure_confidence
from tfl.evaluate.predictions import read_predictions, write_predictions
from tfl.evaluate.report.page import describe_data, write_report
from tfl.evaluate.report.sections.multilabel import precision_recall_points
from tfl.runs import Run
from tfl.tasks.base import task_of

COUNT = 240
NAMES = {"multilabel": ("cat", "<b>dog</b>", "a;b"), "regress": ("age", "<i>height</i>")}


def make_run(folder: Path, task_name: str, *, confidence: bool = True, seed: int = 0) -> Run:
    """A run folder of a task, with drawn outputs in the place of a network's."""
    rng, names = np.random.default_rng(seed), NAMES[task_name]
    logits, noise = rng.normal(size=(COUNT, len(names))), rng.normal(size=(COUNT, len(names)))
    targets = (logits + 0.5 * noise > 0.3) if task_name == "multilabel" else 40 + 10 * (logits + 0.2 * noise)
    targets = np.where(rng.random(targets.shape) < 0.02, np.nan, targets)
    examples = Examples(class_names=names, targets=targets, contents=np.array([b"%d" % at for at in range(COUNT)]))
    at = np.arange(COUNT)
    split = Split(train=at[:80], val=at[80:160], test=at[160:])
    task = task_of(task_name).fitted(task_of(task_name).targets(examples)[split.train], names)
    outputs = 1 / (1 + np.exp(-logits)) if task_name == "multilabel" else task.values_of(logits)  # type: ignore[attr-defined]
    recipe = tfl.Recipe(name="r", data=tfl.Data("drawn", image_size=(32, 32)), backbone=tfl.Backbone("mini"), task=task_name)  # type: ignore[arg-type]
    run = Run.create(folder, recipe, command=["tfl", "run", "r.py"])
    parts = {"val": split.val, "test": split.test}
    metrics: dict[str, Any] = {
        title: task.evaluate(outputs[parts[part]], task.targets(examples)[parts[part]], names)
        for part, title in (("val", "validation"), ("test", "test"))
    }
    answers = None
    if confidence:
        features = rng.random((COUNT, 4))
        given = {
            part: {"logits": logits[rows], "features": features[rows], "targets": task.targets(examples)[rows]}
            for part, rows in parts.items()
        }
        fitted = fit_confidence(tfl.Calibration(), task=task, training_features=features[:80], **given["val"])
        metrics["confidence"] = measure_confidence(fitted, "test", **given["test"]).figures
        answers = {part: fitted.answer(logits[rows], features[rows]) for part, rows in parts.items()}
    write_predictions(
        run.folder, examples, split, {part: outputs[rows] for part, rows in parts.items()}, task=task, answers=answers
    )
    run.write_json("metrics.json", {**metrics, "seconds": {"total": 3.0}})
    run.update_manifest(status="done", data=describe_data(examples, split, task=task))
    metric = task.default_metric
    run.path("history.csv").write_text(
        f"stage,epoch,loss,{task.step_metric},val_loss,{metric},seconds\nhead,1,0.5,0.5,0.4,0.6,1\nhead,2,0.4,0.6,0.3,0.7,1\n"
    )
    return run


@pytest.mark.parametrize("confidence", [True, False])
@pytest.mark.parametrize("task", ["multilabel", "regress"])
def test_predictions_come_back_as_they_were(tmp_path: Path, task: str, confidence: bool) -> None:
    run = make_run(tmp_path, task, confidence=confidence)
    found = read_predictions(run.folder)["test"]
    assert found.task.name == task and found.class_names == NAMES[task] and len(found.files) == 80
    metrics = run.read_json("metrics.json")["test"]
    again = found.task.evaluate(found.outputs, found.targets, found.class_names)
    key = found.task.figures[0]
    if task == "multilabel":
        assert again[key] == pytest.approx(metrics[key])
    else:
        assert again["per_target"]["age"]["mae"] == pytest.approx(metrics["per_target"]["age"]["mae"])
        assert (found.edges is not None) == confidence


@pytest.mark.parametrize("confidence", [True, False])
@pytest.mark.parametrize("task", ["multilabel", "regress"])
def test_the_report_of_a_task(tmp_path: Path, task: str, confidence: bool) -> None:
    run = make_run(tmp_path, task, confidence=confidence)
    page = write_report(run.folder).read_text()
    document = json.loads(run.path("report.json").read_text())
    metrics = run.read_json("metrics.json")["test"]
    assert document["section"]["name"] == task and document["result"]["sentence"] in page
    assert "<b>dog" not in page and "<i>height" not in page
    assert ("out of distribution" in page) == confidence
    assert "figure-watched" in page and "figure-loss" in page and "Class by class" not in page
    rows = document["section"]["rows"]
    assert [row["name"] for row in rows] == list(NAMES[task])
    if task == "multilabel":
        assert "figure-precision_recall" in page and "figure-errors" in page
        assert document["section"]["instead"][0]["count"] >= 1
        chosen = run.read_json("metrics.json")["confidence"]["thresholds"] if confidence else None
        assert rows[0]["threshold"] == (chosen["values"][0] if chosen else 0.5)
        assert rows[0]["f1"] == (chosen["test"] if chosen else metrics)["per_label"][0 if chosen else "cat"]["f1"]
    else:
        assert "figure-scatter_0" in page and "figure-residuals_1" in page
        largest = document["section"]["largest"]
        assert len(largest) == 12 and abs(largest[0]["error"]) >= abs(largest[-1]["error"]) * 0.5
        assert len(document["section"]["bins"]) == (10 if confidence else 0)


@pytest.mark.parametrize("task", ["multilabel", "regress"])
def test_a_run_that_has_not_come_to_its_test_has_a_report(tmp_path: Path, task: str) -> None:
    recipe = tfl.Recipe(name="r", data=tfl.Data("x", image_size=(32, 32)), backbone=tfl.Backbone("mini"), task=task)  # type: ignore[arg-type]
    run = Run.create(tmp_path, recipe, command=[])
    run.update_manifest(status="interrupted")
    assert "was interrupted" in write_report(run.folder).read_text()


@pytest.mark.parametrize("task", ["multilabel", "regress"])
def test_runs_of_a_task_are_compared(tmp_path: Path, task: str) -> None:
    folders = [make_run(tmp_path / name, task).folder for name in ("a", "b")]
    found = compare_runs(folders)
    assert {row["figure"] for row in found["figures"]} >= set(task_of(task).figures[:3])
    assert found["pairs"][0]["p"] == 1.0, "their answers are the same"
    page = write_comparison(folders, tmp_path / "page.html").read_text()
    assert "does best" in page


def test_precision_and_recall_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import precision_recall_curve

    rng = np.random.default_rng(0)
    scores, truth = rng.random(50).round(1), rng.random(50) < 0.4
    recall, precision = precision_recall_points(scores, truth)
    expected = precision_recall_curve(truth, scores)
    np.testing.assert_allclose(precision[::-1], expected[0][:-1])
    np.testing.assert_allclose(recall[::-1], expected[1][:-1])
