"""A run again: the same, or a difference with its cause. What only decides is tried on made-up runs; the rest really runs."""

import json
import os
import shutil
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

import tfl
from tfl.cli.main import cli
from tfl.errors import RunError
from tfl.repeat import compare_repeat, finished, fresh_store, repeat_run
from tfl.runs import Run
from tfl.storage import cache_home, locked


def invoke(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture
def recipe():
    return tfl.Recipe(name="digits", data=tfl.Data("photos"), backbone=tfl.Backbone("mini"))


@pytest.fixture
def done(tmp_path, recipe):
    run = Run.create(tmp_path / "done", recipe, command=[])
    run.update_manifest(status="done", precision="float32", data={"fingerprint": "f"}, weights={"sha256": "w"})
    return run


# what is repeated, and where -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_a_cut_run_is_refused_with_the_way_on(done, status):
    done.update_manifest(status=status)
    with pytest.raises(RunError, match=rf"status {status}.*--resume"):
        finished(done.folder)
    result = invoke("repeat", done.folder, "--out", "never")
    assert result.exit_code == 2 and "did not come to its end" in result.stderr and not Path("never").exists()


def test_a_folder_that_is_taken_is_refused_before_anything_runs(done, tmp_path):
    result = invoke("repeat", done.folder, "--out", done.folder)
    assert result.exit_code == 2 and "already holds a run" in result.stderr


def test_the_store_is_fresh_and_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.setenv("TFL_CACHE", str(tmp_path))
    for name in ("features", "engines", "samples"):
        (tmp_path / name).mkdir()
    (tmp_path / "samples" / "drawn.npz").write_text("kept")
    with fresh_store() as place:
        assert cache_home() == place and place.parent == tmp_path
        assert (place / "samples" / "drawn.npz").read_text() == "kept"
        assert not (place / "features").exists() and (place / "engines").is_dir()
        (place / "features").mkdir()
    assert os.environ["TFL_CACHE"] == str(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["engines", "features", "samples"]
    assert (tmp_path / "samples" / "drawn.npz").exists()


def test_the_store_is_gone_after_a_failure_too(tmp_path, monkeypatch):
    monkeypatch.setenv("TFL_CACHE", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), fresh_store():
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir()) and os.environ["TFL_CACHE"] == str(tmp_path)


def test_stores_of_killed_repeats_are_swept_and_living_ones_are_not(tmp_path, monkeypatch):
    monkeypatch.setenv("TFL_CACHE", str(tmp_path))
    for name in ("repeat-dead", "repeat-living", "repeat-new"):
        (tmp_path / name / "features").mkdir(parents=True)
    with locked(tmp_path / "repeat-living"):
        for name in ("repeat-dead", "repeat-living"):
            os.utime(tmp_path / name, (time.time() - 3600,) * 2)
        with fresh_store():
            pass
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["repeat-living", "repeat-new"]


@pytest.fixture
def asked(monkeypatch, done):
    """`tfl.job` replaced by one that records what it was asked and makes a run of nothing."""
    calls = []

    def run_recipe(recipe, *, out, repeats, command, console):
        calls.append({"recipe": recipe, "out": out, "repeats": repeats, "cwd": Path.cwd(), "cache": cache_home()})
        run = Run.create(out, recipe, command=list(command))
        run.repeat_choices_of(repeats)
        run.update_manifest(precision="float32", data={"fingerprint": "f"}, weights={"sha256": "w"})
        return run

    same = {"identical": True, "tensors": 3, "figures": 5, "differing": 0}
    monkeypatch.setitem(sys.modules, "tfl.job", types.SimpleNamespace(run_recipe=run_recipe))
    for name in ("weights", "metrics"):
        monkeypatch.setattr(f"tfl.repeat.compare_{name}", lambda *_: dict(same))
    return calls


def test_the_recipe_is_that_of_the_run_and_the_choices_go_with_it(done, asked, tmp_path):
    done.update_stage_state("head", {"done": True, "unstored": True, "jit_compile": False, "epoch": 4})
    document = repeat_run(done.folder, out=tmp_path / "again")
    assert asked[0]["recipe"] == done.recipe and asked[0]["repeats"].folder == done.folder
    again = Run.open(tmp_path / "again")
    assert again.repeated_choices("head") == {"unstored": True, "jit_compile": False} and again.repeated_choices("other") == {}
    assert again.manifest["repeats"]["run"] == str(done.folder)
    assert again.read_json("repeat.json") == document
    assert document["sentence"].startswith("Identical: all 3 weight tensors and all 5 figures")


def test_the_store_is_shared_only_where_asked(done, asked, tmp_path):
    usual = cache_home()
    assert repeat_run(done.folder, out=tmp_path / "a")["store"] == "fresh" and asked[0]["cache"] != usual
    assert repeat_run(done.folder, out=tmp_path / "b", reuse_store=True)["store"] == "shared" and asked[1]["cache"] == usual


def test_data_elsewhere_is_looked_up_from_here(done, asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = repeat_run(done.folder, out="again", data="moved")
    assert asked[0]["recipe"].data.source == str(tmp_path / "moved")
    assert [row["input"] for row in document["changed"]] == ["recipe"]
    assert repeat_run(done.folder, out="third", data="tfds:mnist") and asked[1]["recipe"].data.source == "tfds:mnist"


def test_relative_paths_are_found_where_the_run_was_started(done, asked, tmp_path, monkeypatch):
    started, here = tmp_path / "started", tmp_path / "here"
    (started / "photos").mkdir(parents=True)
    here.mkdir()
    monkeypatch.chdir(here)
    done.update_manifest(started_in=str(started))
    repeat_run(done.folder, out="a")
    assert asked[0]["cwd"] == started and asked[0]["out"] == here / "a" and Path.cwd() == here
    (here / "photos").mkdir()
    repeat_run(done.folder, out="b")
    assert asked[1]["cwd"] == here


# what is said of it --------------------------------------------------------------------------------------------------


@pytest.fixture
def found(monkeypatch):
    """The comparison of results replaced: 2 of 9 tensors and 1 of 5 figures differ."""
    monkeypatch.setattr("tfl.repeat.compare_weights", lambda *_: {"identical": False, "tensors": 9, "differing": 2})
    monkeypatch.setattr("tfl.repeat.compare_metrics", lambda *_: {"identical": False, "figures": 5, "differing": 1})


def twin(done, **fields):
    run = Run.create(done.folder.with_name("twin"), done.recipe, command=[])
    run.update_manifest(status="done", precision="float32", data={"fingerprint": "f"}, weights={"sha256": "w"})
    run.update_manifest(**fields)
    return run


def test_a_difference_names_its_causes(done, found):
    other = twin(done, versions={"numpy": "1.0"}, environment={"OMP_NUM_THREADS": "7"})
    sentence = compare_repeat(done, other)["sentence"]
    assert sentence.startswith("Not identical: 2 of 9 weight tensors and 1 of 5 figures differ.")
    assert sentence.endswith("What changed: versions and environment.")


def test_a_difference_without_a_cause_is_owned_up_to(done, found):
    assert "No input changed." in compare_repeat(done, twin(done))["sentence"]


def test_a_cause_that_an_older_run_does_not_tell_is_not_ruled_out(done, found):
    other = twin(done)
    done.write_json("manifest.json", {key: value for key, value in done.manifest.items() if key != "source"})
    assert "of code an older run says nothing" in compare_repeat(done, other)["sentence"]


def test_the_exit_code_says_whether_it_was_identical(done, asked, tmp_path, monkeypatch):
    result = invoke("repeat", done.folder, "--out", tmp_path / "a", "--json")
    assert result.exit_code == 0 and json.loads(result.stdout)["identical"]
    monkeypatch.setattr("tfl.repeat.compare_weights", lambda *_: {"identical": False, "tensors": 9, "differing": 2})
    result = invoke("repeat", done.folder, "--out", tmp_path / "b")
    assert result.exit_code == 3
    assert "Not identical: 2 of 9 weight tensors" in result.stdout and "features computed anew" in result.stdout


# really run ----------------------------------------------------------------------------------------------------------

RECIPE = """
import tfl
recipe = tfl.Recipe(
    name="digits",
    data=tfl.Data("photos", image_size=(32, 32)),
    backbone=tfl.Backbone("mini"),
    head=tfl.Head(hidden=(8,), dropout=0.3),
    stages=(
        tfl.Stage("head", epochs=2, batch_size=8, learning_rate=1e-2, augment=tfl.Augment(flip="horizontal"), views=2),
        tfl.Stage("finetune", train=tfl.top_blocks(2), epochs=2, batch_size=8, label_smoothing=0.1),
        tfl.Stage("whole", train="all", epochs=1, batch_size=8, augment=tfl.Augment(rotate_deg=9.0, mixup=0.2)),
    ),
    precision="auto",
    export=(),
    seed=3,
)
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory, small_network):
    """A folder with photos, a recipe, and its run by another process, whose store this one shares."""
    from tfl.modalities.image.sample import load_sample

    folder = tmp_path_factory.mktemp("repeat")
    sample = load_sample("digits")
    for name in ("0", "3", "7"):
        (folder / "photos" / name).mkdir(parents=True)
        for index in [at for at, label in enumerate(sample.labels) if sample.class_names[label] == name][:14]:
            Image.fromarray(sample.images[index]).save(folder / "photos" / name / f"{index}.png")
    (folder / "digits.py").write_text(RECIPE.replace("mini", small_network))
    words = [sys.executable, "-m", "tfl.cli.main", "run", "digits.py", "--out", "run"]
    ran = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return folder


@pytest.mark.slow
def test_two_processes_come_to_the_same_weights_and_figures(base):
    """Split, order, augmentation, head, dropout and MixUp are all in it, and so are stored and streamed stages."""
    result = invoke("repeat", base / "run", "--out", base / "again", "--json")
    document = json.loads(result.stdout)
    assert document["identical"], (document["sentence"], document["weights"], document["metrics"], document["changed"])
    assert result.exit_code == 0 and document["changed"] == [] and document["unknown"] == []
    assert document["weights"]["tensors"] > 20 and document["metrics"]["figures"] > 50
    assert document["predictions"]["identical"] and document["epochs"]["identical"] and document["store"] == "fresh"


@pytest.mark.slow
def test_a_run_s_folder_says_which_images_it_used(base):
    rows = (base / "run" / "data.csv").read_text().splitlines()
    assert len(rows) == 1 + 42 and {row.split(",")[0] for row in rows[1:]} == {"train", "val", "test"}
    hashes = Run.open(base / "run").manifest["data"]["hashes"]
    assert len(set(hashes.values())) == 3


@pytest.mark.slow
def test_a_relabelled_photo_is_named_as_the_cause_and_what_was_chosen_is_taken_over(base):
    shutil.copytree(base / "run", base / "edited")
    first = Run.open(base / "edited")
    first.update_stage_state("finetune", first.stage_state("finetune") | {"unstored": True})  # as if it had measured otherwise
    photo = sorted((base / "photos" / "3").iterdir())[0]
    moved = base / "photos" / "7" / photo.name
    photo.rename(moved)
    try:
        result = invoke("repeat", base / "edited", "--out", base / "relabelled", "--json")
    finally:
        moved.rename(photo)
    states = Run.open(base / "relabelled").state["stages"]
    assert states["finetune"]["unstored"] is True and states["head"]["unstored"] is False
    document = json.loads(result.stdout)
    assert result.exit_code == 3 and not document["identical"]
    assert document["changed"][0]["input"] == "data"
    relabelled = document["changed"][0]["details"]["relabelled"]
    assert relabelled["count"] == 1 and relabelled["files"][0]["before"]["file"] == f"3/{photo.name}"
    assert "3 to 7" in document["changed"][0]["note"]
