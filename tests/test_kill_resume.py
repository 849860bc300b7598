"""The benchmark of killed runs: where it kills, what it compares, and that one difference is enough to fail."""

import importlib
import json
from pathlib import Path

import pytest


@pytest.fixture
def kill_resume(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module("kill_resume")


def test_every_part_of_the_run_is_killed_once_and_by_the_seed_alone(kill_resume):
    found = kill_resume.moments(50, 12.5, 0)
    assert sorted(int(moment / 0.25) for moment in found) == list(range(50))
    assert found == kill_resume.moments(50, 12.5, 0) != kill_resume.moments(50, 12.5, 1)


def test_one_run_that_ended_differently_is_enough(kill_resume):
    parts = ("weights", "metrics", "history", "ledger", "predictions")
    one = {name: "a" for name in parts}
    row = {"phase": "head", "resumes": 1, "scratch_files_at_the_end": 0}
    rounds = [{"round": "reference", "seconds": 3.0, "hashes": one, **kill_resume.same(one, one)}]
    rounds += [{"round": number, **row, **kill_resume.same(one, one)} for number in range(3)]
    assert all(figure["holds"] in (True, None) for figure in kill_resume.figures_of(rounds))
    rounds.append({"round": 3, **row, **kill_resume.same({**one, "weights": "b"}, one)})
    failed = [figure["name"] for figure in kill_resume.figures_of(rounds) if figure["holds"] is False]
    assert failed == ["ended with the same weights"]


@pytest.mark.parametrize(
    ("status", "steps", "phase"),
    [
        (None, (), "data, or before"),
        ("running", (), "features"),
        ("running", ("features",), "head"),
        ("running", ("features", "head", "finetune", "evaluate"), "export"),
        ("done", (), "report"),
    ],
)
def test_where_a_run_was_killed_is_read_from_its_folder(kill_resume, tmp_path, status, steps, phase):
    if status is not None:
        (tmp_path / "manifest.json").write_text(json.dumps({"status": status}))
    if steps:
        (tmp_path / "seconds.json").write_text(json.dumps(dict.fromkeys(steps, 1.0)))
    assert kill_resume.phase_of(tmp_path) == phase
