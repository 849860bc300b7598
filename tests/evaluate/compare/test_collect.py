"""`tfl compare` on made-up runs: what differs, and no noise called an improvement."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

import tfl
from tfl.cli.main import cli
from tfl.data.listing import write_listing
from tfl.errors import RunError
from tfl.evaluate.compare.changes import INPUTS, data_in_words, input_changes, recipe_differences
from tfl.evaluate.compare.collect import compare_runs
from tfl.evaluate.predictions import write_predictions
from tfl.runs import Run
from tfl.tasks.class_metrics import evaluate_classes

Maker = Callable[..., Run]


def evaluated_on(run: Run, right: np.ndarray, *, images: str = "photo", first: int = 0, listing: bool = True) -> Run:
    """Test images number `first`, `first + 1`, ... of two classes, named correctly where `right` says so."""
    numbers = np.arange(first, first + len(right))
    labels = (numbers % 2).astype(np.int32)
    said = np.where(right, labels, 1 - labels)
    probabilities = np.where(np.arange(2) == said[:, None], 0.9, 0.1).astype(np.float32)
    every = np.arange(len(right))

    class Listed(SimpleNamespace):
        def __len__(self) -> int:
            return len(right)

    examples = Listed(
        class_names=("a", "b"), labels=labels, targets=None, paths=None, name_of=lambda index: f"{images}-{numbers[index]}.jpg"
    )
    split = SimpleNamespace(test=every, names=lambda count: np.full(count, "test"))
    write_predictions(run.folder, examples, split, {"test": probabilities})
    if listing:
        prints = [f"{images}{number:020d}" for number in numbers]
        bundle = SimpleNamespace(examples=examples, split=split, fingerprints=prints, data=tfl.Data("s"), content_hash=str)
        write_listing(run.folder, bundle)
    run.update_manifest(data={"fingerprint": f"{images}{first}{len(right)}"}, weights={"sha256": "0"})
    run.write_json("metrics.json", {"test": evaluate_classes(probabilities, labels, ["a", "b"], bootstraps=50)})
    return run


def names(document: dict, at: int = 0) -> list[str]:
    return [row["input"] for row in document["changes"][at]["changed"]]


def test_two_equal_runs_differ_in_nothing(new_run: Maker) -> None:
    right = np.arange(100) >= 10
    runs = [evaluated_on(new_run(name), right) for name in ("one", "two")]
    document = compare_runs([run.folder for run in runs])
    assert document["recipe"] == [] and names(document) == [] and document["changes"][0]["unknown"] == []
    assert document["pairs"][0]["verdict"] == "no evidence"
    assert "on the same images" in document["pairs"][0]["sentence"]


def test_figures_stand_side_by_side_with_intervals(new_run: Maker) -> None:
    runs = [evaluated_on(new_run("one"), np.arange(100) >= 10), evaluated_on(new_run("two"), np.arange(100) >= 20)]
    rows = {(row["split"], row["figure"]): row for row in compare_runs([run.folder for run in runs])["figures"]}
    row = rows["test", "accuracy"]
    assert row["values"] == pytest.approx([0.9, 0.8]) and row["intervals"][0][0] < 0.9 < row["intervals"][0][1]
    assert rows["test", "count"]["values"] == [100, 100]


def test_each_run_is_tested_against_the_first_and_corrected(new_run: Maker) -> None:
    wrong = {"first": 40, "second": 33, "third": 5}
    runs = [evaluated_on(new_run(name), np.arange(200) >= count) for name, count in wrong.items()]
    document = compare_runs([run.folder for run in runs])
    assert [(pair["first"], pair["second"]) for pair in document["pairs"]] == [("first", "second"), ("first", "third")]
    second, third = document["pairs"]
    assert second["p"] == pytest.approx(2 * 0.5**7) and second["p_corrected"] == second["p"]  # the larger of the two
    assert third["p_corrected"] == pytest.approx(2 * third["p"]) and third["verdict"] == "better"
    assert "Holm" in document["notes"][0]


def test_partly_common_tests_are_compared_on_what_is_common(new_run: Maker) -> None:
    one = evaluated_on(new_run("one"), np.arange(100) >= 10)
    two = evaluated_on(new_run("two"), np.arange(100) >= 10, first=50)
    pair = compare_runs([one.folder, two.folder])["pairs"][0]
    assert pair["count"] == 50 and not pair["same_examples"] and pair["accuracy"] == pytest.approx([1.0, 0.8])
    assert "Their test images are not the same; this is about those that both have." in pair["sentence"]


def test_nothing_common_is_refused_in_words(new_run: Maker) -> None:
    one = evaluated_on(new_run("one"), np.arange(100) >= 10)
    two = evaluated_on(new_run("two"), np.arange(100) >= 60, images="other")
    pair = compare_runs([one.folder, two.folder])["pairs"][0]
    assert "verdict" not in pair and "share no test image" in pair["sentence"]


def test_a_run_without_a_test_has_a_sentence(new_run: Maker) -> None:
    one = evaluated_on(new_run("one"), np.arange(100) >= 10)
    document = compare_runs([one.folder, new_run("cut", whole=False).folder])
    assert "cut has no test result" in document["pairs"][0]["sentence"]
    assert "cut did not end well (interrupted)." in document["notes"]


def test_runs_by_an_older_tfl_are_matched_by_name(new_run: Maker) -> None:
    runs = [evaluated_on(new_run(name), np.arange(40) >= 4, listing=False) for name in ("one", "two")]
    for run in runs:
        old = {key: value for key, value in run.manifest.items() if key not in ("versions", "source", "environment", "machine")}
        run.write_json("manifest.json", old)
    document = compare_runs([run.folder for run in runs])
    assert document["changes"][0]["unknown"] == ["code", "versions", "machine", "environment"]
    assert "matched by name" in document["pairs"][0]["sentence"]


CHANGES = {
    "recipe": lambda run: None,
    "data": lambda run: evaluated_on(run, np.arange(41) >= 4),
    "backbone weights": lambda run: run.update_manifest(weights={"sha256": "1"}),
    "code": lambda run: run.update_manifest(source="edited"),
    "versions": lambda run: run.update_manifest(versions={"numpy": "1.0"}),
    "machine": lambda run: run.update_manifest(machine={"cores": 999}),
    "environment": lambda run: run.update_manifest(environment={"OMP_NUM_THREADS": "999"}),
    "choices": lambda run: run.update_stage_state("head", {"done": True, "unstored": True}),
}


@pytest.mark.parametrize("name", INPUTS)
def test_each_input_that_changed_is_named_alone(new_run: Maker, name: str) -> None:
    one = evaluated_on(new_run("one"), np.arange(40) >= 4)
    two = evaluated_on(
        new_run("two", seed=5) if name != "recipe" else new_run("two", head=tfl.Head(dropout=0.5)), np.arange(40) >= 4
    )
    CHANGES[name](two)
    changed = input_changes(one, two)["changed"]
    assert [row["input"] for row in changed] == [name] and changed[0]["note"].endswith(".")
    json.dumps(changed)


def test_the_images_that_changed_are_named(new_run: Maker) -> None:
    one, two = evaluated_on(new_run("one"), np.arange(40) >= 4), evaluated_on(new_run("two"), np.arange(41) >= 4)
    row = input_changes(one, two)["changed"][0]
    assert row["note"] == "1 image added (photo-40.jpg)." and row["details"]["added"]["count"] == 1


def test_an_older_run_cannot_say_which_images(new_run: Maker) -> None:
    one, two = evaluated_on(new_run("one"), np.arange(40) >= 4), evaluated_on(new_run("two"), np.arange(41) >= 4)
    one.path("data.csv").unlink()
    assert "which ones is not known" in input_changes(one, two)["changed"][0]["note"]


def test_many_images_are_counted_and_some_named() -> None:
    from tfl.data.listing import DataChanges, Listed

    rows = tuple(Listed("train", "a", f"f{n}", f"{n}.png") for n in range(8))
    assert data_in_words(DataChanges(removed=rows)) == "8 examples removed (0.png, 1.png, 2.png, 3.png, 4.png and 3 more)."
    assert data_in_words(DataChanges(reordered=True)) == "The same examples in another order."


def test_swapped_stages_are_a_difference() -> None:
    stages = [{"name": "head", "epochs": 1}, {"name": "finetune", "epochs": 1}]
    rows = recipe_differences([{"stages": stages}, {"stages": stages[::-1]}])
    assert rows == [{"field": "stages", "values": ["head, finetune", "finetune, head"]}]


def test_one_run_is_no_comparison(new_run: Maker) -> None:
    with pytest.raises(RunError, match="at least two"):
        compare_runs([new_run().folder])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", '{"test": {"accuracy": "high", "count": 3}}'),
        ("metrics.json", '{"test": 7}'),
        ("manifest.json", '{"format": 1, "status": "done", "seed": 0, "created": "", "data": 3}'),
        ("state.json", "{}"),
        ("data.csv", "\0"),
        ("predictions.csv", "x"),
    ],
)
def test_an_edited_file_is_named(new_run: Maker, name: str, content: str) -> None:
    runs = [evaluated_on(new_run(folder), np.arange(40) >= 4) for folder in ("good", "bad")]
    runs[1].path(name).write_text(content)
    for order in (runs, runs[::-1]):
        with pytest.raises(RunError, match=f"bad/{name}"):
            compare_runs([run.folder for run in order])


# the command ---------------------------------------------------------------------------------------------------------


def test_the_command_says_it_in_words_and_as_json(new_run: Maker) -> None:
    one = evaluated_on(new_run("one"), np.arange(100) >= 10)
    two = evaluated_on(new_run("two", stages=(tfl.Stage("head", epochs=3),)), np.arange(100) >= 12)
    result = CliRunner().invoke(cli, ["compare", str(one.folder), str(two.folder)])
    assert result.exit_code == 0, result.stderr
    assert "There is no evidence that two is worse than one" in result.stdout
    assert "stages.head.epochs" in result.stdout and "test accuracy" in result.stdout
    document = json.loads(CliRunner().invoke(cli, ["compare", str(one.folder), str(two.folder), "--json"]).stdout)
    assert document["pairs"][0]["only_first"] == 2 and document["runs"][1]["title"] == "two"


def test_the_command_refuses_one_run_and_what_is_none(new_run: Maker, tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert CliRunner().invoke(cli, ["compare", str(new_run().folder)]).exit_code == 2
    result = CliRunner().invoke(cli, ["compare", str(tmp_path / "a"), str(tmp_path / "b")])
    assert result.exit_code == 2 and "not a run folder" in result.stderr


def test_comparing_needs_no_tensorflow(new_run: Maker) -> None:
    runs = [evaluated_on(new_run(name), np.arange(30) >= 3) for name in ("one", "two")]
    code = (
        "import sys; from tfl.cli.main import cli\n"
        "try: cli(['compare', *sys.argv[1:]])\nexcept SystemExit as end: assert not end.code, end.code\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    words = [sys.executable, "-c", code, *(str(run.folder) for run in runs)]
    assert subprocess.run(words, check=False, capture_output=True).returncode == 0
