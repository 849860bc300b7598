"""Texts, sounds, several labels and numbers through the whole tool: run, kill, resume, repeat, probe, tune, evaluate, predict."""

import csv
import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
from rich.console import Console

import tfl
from tfl.job import run_recipe
from tfl.modalities.audio.sample import draw_sounds
from tfl.modalities.text.sample import write_reviews
from tfl.repeat import repeat_run
from tfl.runs import Run

pytestmark = pytest.mark.slow
STAGES = (
    tfl.Stage("head", epochs=1, batch_size=8),
    tfl.Stage("finetune", train="top:1", epochs=2, batch_size=8, learning_rate=1e-4),
)
QUIET = Console(quiet=True)


def texts_of(folder):
    """A folder with a folder of text files for each class."""
    sample = write_reviews(per_class=12)
    for number, (content, label) in enumerate(zip(sample.contents, sample.labels, strict=True)):
        file = folder / sample.class_names[label] / f"{number:03}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
    return str(folder)


def sounds_of(folder):
    """A folder with a folder of WAV files for each of two classes."""
    sample = draw_sounds(per_class=12)
    for number in np.flatnonzero(sample.labels < 2):
        file = folder / sample.class_names[sample.labels[number]] / f"{number:03}.wav"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(sample.contents[number])
    return str(folder)


def labelled_texts(folder):
    """A table of texts with any of two labels; not every cell is known."""
    rows = ["text,good,short"]
    for at in range(48):
        words = ("good" if at % 2 else "bad", "short" if at % 3 else "long")
        rows.append(f"{at} {' '.join(words)} film,{at % 2},{'' if at % 7 == 0 else min(1, at % 3)}")
    (folder / "films.csv").write_text("\n".join(rows) + "\n")
    return str(folder / "films.csv")


def numbered_sounds(folder):
    """A table of sounds with a number each."""
    sample = draw_sounds(per_class=8)
    rows = ["file,strength"]
    for number, content in enumerate(sample.contents):
        (folder / f"{number:03}.wav").write_bytes(content)
        rows.append(f"{number:03}.wav,{10 * int(sample.labels[number]) + number % 3}")
    (folder / "sounds.csv").write_text("\n".join(rows) + "\n")
    return str(folder / "sounds.csv")


CASES = {
    "texts": (texts_of, "classify", tfl.Text(length=16), tfl.Backbone("tiny", weights=None)),
    "sounds": (sounds_of, "classify", tfl.Audio(seconds=1.0, mels=32), None),
    "labels of texts": (labelled_texts, "multilabel", tfl.Text(length=16), tfl.Backbone("tiny", weights=None)),
    "numbers of sounds": (numbered_sounds, "regress", tfl.Audio(seconds=1.0, mels=32), None),
}


ONE_OF_EACH_KIND = pytest.mark.parametrize("finished", ["labels of texts", "numbers of sounds"], indirect=True)
"""Where it takes trainings of its own: both kinds, and the tasks that no test of images has."""


@pytest.fixture(scope="module", params=CASES)
def finished(request, tmp_path_factory, with_pictures, folder_of_a_kill, small_network):
    """A run that was not stopped; `killed` beside it is what a kill in its second stage would have left."""
    make, task, given, backbone = CASES[request.param]
    source = make(tmp_path_factory.mktemp("data"))
    size = (32, 32) if isinstance(given, tfl.Audio) else None
    recipe = tfl.Recipe(
        name="whole",
        data=tfl.Data(source, input=given, image_size=size),
        backbone=backbone or tfl.Backbone(small_network),
        head=tfl.Head(dropout=0.1),
        stages=STAGES,
        task=task,
        export=(),
    )
    runs = tmp_path_factory.mktemp("runs")
    with with_pictures(), folder_of_a_kill(runs / "killed", "finetune"):
        return run_recipe(recipe, out=runs / "whole", console=QUIET)


@ONE_OF_EACH_KIND
def test_a_run_that_was_stopped_resumes_to_the_same_weights_and_figures(finished):
    killed = Run.open(finished.folder.parent / "killed")
    assert killed.manifest["status"] == "running" and not killed.path("model.keras").exists()
    again = run_recipe(finished.recipe, out=killed.folder, resume=True, console=QUIET)
    one, other = (keras.models.load_model(run.path("model.keras")).get_weights() for run in (finished, again))
    assert all(map(np.array_equal, one, other))
    assert figures(again) == figures(finished)


@ONE_OF_EACH_KIND
def test_the_stages_can_be_chosen_by_measurement(finished, tmp_path, monkeypatch):
    monkeypatch.setattr("tfl.advice.candidate_stages.MOST_EPOCHS", 1)
    monkeypatch.setattr("tfl.advice.candidate_stages.CANDIDATES", ((0.3, 0.3),))
    recipe = dataclasses.replace(finished.recipe, stages=tfl.Auto(minutes=20, alpha=1.0))
    run = run_recipe(recipe, out=tmp_path / "auto", console=QUIET)
    tried = run.read_json("auto.json")["tried"]
    assert {one["kind"] for one in tried} == {"probe", "finetune"} and any(one.get("gain") for one in tried)
    assert run.recipe.head.start == "probe" and len(run.recipe.fixed_stages) == 1
    assert run.read_json("metrics.json")["validation"]["count"] == finished.read_json("metrics.json")["validation"]["count"]


def figures(run):
    return {name: part for name, part in run.read_json("metrics.json").items() if name != "seconds"}


@ONE_OF_EACH_KIND
def test_it_repeats_to_the_bit(finished, tmp_path):
    assert repeat_run(finished.folder, out=tmp_path / "again", console=QUIET)["identical"]


def test_frozen_blocks_stayed_and_the_upper_one_moved(finished):
    rows = finished.read_json("ledger.json")["finetune"]
    assert {row["block"] for row in rows if row["moved"]} == {rows[-2]["block"], "head"}


@ONE_OF_EACH_KIND
def test_a_search_over_the_depth_ends_with_a_recipe_that_runs(finished, tmp_path):
    depths = ("top:1", "all") if finished.recipe.task == "regress" else ("all",)
    search = tfl.Search(algorithm="grid", space={"stages.finetune.train": tfl.Choice(depths)}, seeds=0)
    recipe = dataclasses.replace(finished.recipe, search=search).override("stages.finetune.epochs", 1)
    found = tfl.tune(recipe, tmp_path / "search")
    assert [row["status"] for row in found.outcomes()] == ["done"] * len(depths)
    assert all(np.isfinite(row["value"]) for row in found.outcomes())


def test_probes_have_a_row_for_every_block(finished):
    if finished.recipe.task != "classify":
        pytest.skip("probes are for classes")
    profile = tfl.probe(finished.recipe)
    assert [row.block for row in profile.rows] == [row["block"] for row in finished.read_json("ledger.json")["finetune"]][:-1]


def test_predict_agrees_with_what_the_run_wrote(finished, tmp_path):
    run = tfl.load_run(finished.folder)
    files = [line.split(",")[3] for line in finished.path("data.csv").read_text().splitlines() if line.startswith("test,")]
    if files[0].startswith("#"):
        pytest.skip("the texts of a table have no files")
    source = Path(finished.recipe.data.source)
    answers = run.predict([(source if source.is_dir() else source.parent) / file for file in files])
    written = list(csv.DictReader(finished.path("predictions.csv").read_text().splitlines()))
    for answer, row in zip(answers, (row for row in written if row["split"] == "test"), strict=True):
        if finished.recipe.task == "classify":
            assert answer["label"] == row["predicted"]
        else:
            assert answer["values"]["strength"] == pytest.approx(float(row["predicted_strength"]), rel=1e-4)
