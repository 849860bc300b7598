"""Several runs on one page: who leads, whether that is more than chance, and what was asked differently."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

import tfl
from tfl.errors import RunError
from tfl.evaluate.compare.page import collect_page, write_comparison
from tfl.evaluate.compare.paired import paired_difference
from tfl.evaluate.predictions import write_predictions
from tfl.runs import Run
from tfl.tasks.base import task_of
from tfl.tasks.class_metrics import evaluate_classes

Maker = Callable[..., Run]


def _with_predictions(run: Run, right: np.ndarray, *, files: str = "photo") -> Run:
    """Two classes, alternating labels, right where `right` says so."""
    count = len(right)
    labels = np.arange(count, dtype=np.int32) % 2
    predicted = np.where(right, labels, 1 - labels)
    probabilities = np.where(np.arange(2) == predicted[:, None], 0.9, 0.1).astype(np.float32)
    examples = SimpleNamespace(class_names=("a", "b"), labels=labels, name_of=lambda index: f"{files}-{index}.jpg")
    write_predictions(run.folder, examples, SimpleNamespace(test=np.arange(count)), {"test": probabilities})
    run.write_json("metrics.json", {"test": evaluate_classes(probabilities, labels, ["a", "b"], bootstraps=50)})
    return run


def test_a_clear_lead_is_called_clear(new_run: Maker) -> None:
    good = _with_predictions(new_run("good"), np.arange(200) >= 10)
    poor = _with_predictions(new_run("poor"), np.arange(200) >= 60)
    document = collect_page([poor.folder, good.folder])
    assert document["same_test"]
    assert document["sentence"].startswith("good scores highest: 95.0%")
    assert "clear lead" in document["sentence"]
    pair = document["pairs"][0]
    assert pair["difference"] == pytest.approx(0.25) and pair["interval"][0] > 0.15


def test_a_narrow_lead_may_be_chance(new_run: Maker) -> None:
    one = _with_predictions(new_run("one"), np.arange(100) >= 10)
    two = _with_predictions(new_run("two"), np.arange(100) < 89)
    assert "could be chance" in collect_page([one.folder, two.folder])["sentence"]


def test_other_test_images_settle_nothing(new_run: Maker) -> None:
    one = _with_predictions(new_run("one"), np.arange(100) >= 10)
    two = _with_predictions(new_run("two"), np.arange(100) >= 60, files="other")
    document = collect_page([one.folder, two.folder])
    assert not document["same_test"] and not document["pairs"]
    assert "do not settle" in document["sentence"]


def test_what_differs_goes_by_the_path_that_set_takes(new_run: Maker) -> None:
    stage = tfl.Stage("head", train="head", epochs=3)
    runs = [new_run("one", stages=(stage,)), new_run("two", stages=(stage,)).folder]
    other = new_run("three", stages=(tfl.Stage("head", train="head", epochs=9),), seed=4)
    assert collect_page([runs[0].folder, runs[1]])["recipe"] == []
    fields = {row["field"]: row["values"] for row in collect_page([runs[0].folder, other.folder])["recipe"]}
    assert fields["stages.head.epochs"] == ["3", "9"]


def test_the_page_is_written_and_escaped(new_run: Maker, tmp_path) -> None:  # type: ignore[no-untyped-def]
    runs = [new_run("<b>one", skill=2.0), new_run("two"), new_run("three", whole=False)]
    page = write_comparison([run.folder for run in runs], tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;one" in page and "<b>one" not in page
    assert "no test result yet" in page and "interrupted" in page


def test_one_run_is_no_comparison(new_run: Maker, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RunError, match="at least two"):
        write_comparison([new_run().folder], tmp_path / "out.html")


def test_runs_of_the_same_name_are_told_apart(new_run: Maker) -> None:
    runs = [new_run("a/run", whole=False), new_run("b/run", whole=False)]
    assert [run["title"] for run in collect_page([run.folder for run in runs])["runs"]] == ["a/run", "b/run"]


def test_the_paired_interval_covers_the_truth() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        shared = generator.uniform(size=150)
        low, high = paired_difference(shared < 0.85, shared < 0.80, seed=int(generator.integers(1 << 30)))[1]
        covered += low <= 0.05 <= high
    assert covered >= 178


def test_runs_that_predict_numbers_are_compared_by_their_errors(new_run: Maker, tmp_path) -> None:  # type: ignore[no-untyped-def]
    truth = np.linspace(0, 10, 40)
    runs = []
    for name, error in (("rough", 2.0), ("fine", 0.5)):
        run = new_run(name, whole=False, task="regress")
        examples = SimpleNamespace(class_names=("age",), targets=truth[:, None], name_of=lambda index: f"{index}.jpg")
        outputs = (truth + error * np.where(np.arange(40) % 2, 1, -1.1))[:, None]
        write_predictions(run.folder, examples, SimpleNamespace(test=np.arange(40)), {"test": outputs}, task=task_of("regress"))
        targets = truth[:, None].astype(np.float32)
        run.write_json("metrics.json", {"test": task_of("regress").evaluate(outputs.astype(np.float32), targets, ["age"])})
        runs.append(run)
    document = collect_page([run.folder for run in runs])
    assert document["sentence"].startswith("fine does best: mean absolute error 0.5") and "clear lead" in document["sentence"]
    assert document["pairs"][0]["mae"] == pytest.approx([2.1, 0.525])
    page = write_comparison([run.folder for run in runs], tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert "Wilcoxon" in page and "R²" in page and "McNemar" not in page
