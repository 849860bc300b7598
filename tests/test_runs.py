"""The run folder: never two runs in one, never half a file, and readable errors for damaged ones."""

import errno
import json
import os
import subprocess
import sys

import pytest

import tfl
from tfl.errors import RunError, RunLockedError, StorageError
from tfl.runs import Run, default_folder


@pytest.fixture
def recipe():
    return tfl.Recipe(name="leaves", data=tfl.Sample("strawberry"), backbone=tfl.Backbone("mini"), seed=7)


@pytest.fixture
def run(tmp_path, recipe):
    return Run.create(tmp_path / "run", recipe, command=["tfl", "run", "leaves.py"])


def test_a_new_run_says_what_runs_where(run, recipe):
    manifest = Run.open(run.folder).manifest
    assert manifest["status"] == "running"
    assert manifest["seed"] == 7
    assert manifest["command"] == ["tfl", "run", "leaves.py"]
    assert manifest["tfl"] == tfl.__version__
    assert manifest["machine"]["cores"] >= 1
    assert manifest["python"] == ".".join(map(str, sys.version_info[:3]))
    assert Run.open(run.folder).recipe == recipe


def test_create_refuses_another_run_and_leaves_it_alone(run, recipe):
    before = run.path("manifest.json").read_bytes()
    with pytest.raises(RunError, match=r"already holds a run.*--resume"):
        Run.create(run.folder, recipe.override("seed", 8), command=[])
    assert run.path("manifest.json").read_bytes() == before


def test_create_refuses_a_folder_with_other_files(tmp_path, recipe):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(RunError, match=r"not empty.*thesis.txt"):
        Run.create(tmp_path, recipe, command=[])
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != ".lock") == ["thesis.txt"]


def test_create_refuses_a_file(tmp_path, recipe):
    (tmp_path / "out").write_text("")
    with pytest.raises(RunError, match="is a file"):
        Run.create(tmp_path / "out", recipe, command=[])


def test_create_takes_an_empty_folder(tmp_path, recipe):
    assert Run.create(tmp_path, recipe, command=[]).manifest["status"] == "running"


def test_a_full_disk_leaves_nothing_behind(tmp_path, recipe, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tfl.storage.os.replace", full)
    with pytest.raises(StorageError, match="no space"):
        Run.create(tmp_path / "run", recipe, command=[])
    assert not (tmp_path / "run").exists()


def test_open_names_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        Run.open(tmp_path / "nowhere")


@pytest.mark.parametrize("content", ["", '{"format": 1, "sta', "[]", "{}"])
def test_open_refuses_a_truncated_manifest(run, content):
    run.path("manifest.json").write_text(content)
    with pytest.raises(RunError, match=r"manifest\.json"):
        Run.open(run.folder)


def test_open_refuses_another_format(run):
    document = run.manifest | {"format": 99}
    run.path("manifest.json").write_text(json.dumps(document))
    with pytest.raises(RunError, match="another version"):
        Run.open(run.folder)


@pytest.mark.parametrize("content", [None, "", '{"name": "x"'])
def test_open_refuses_a_damaged_recipe(run, content):
    run.path("recipe.json").unlink()
    if content is not None:
        run.path("recipe.json").write_text(content)
    with pytest.raises(RunError, match=r"recipe\.json"):
        Run.open(run.folder)


def test_update_manifest_merges_dictionaries(run):
    run.update_manifest(data={"class_names": ["a", "b"]})
    run.update_manifest(data={"count": 9}, status="done")
    assert run.manifest["data"] == {"class_names": ["a", "b"], "count": 9}
    assert run.class_names == ("a", "b")
    assert run.manifest["status"] == "done"


def test_an_unknown_status_is_refused(run):
    with pytest.raises(RunError, match="running, done, failed, interrupted"):
        run.update_manifest(status="finished")


def test_class_names_before_the_data_was_read(run):
    with pytest.raises(RunError, match="classes"):
        _ = run.class_names


def test_stage_state_survives_reopening(run):
    assert run.stage_state("head") == {"done": False}
    run.update_stage_state("head", {"done": True, "best_epoch": 3})
    run.update_stage_state("finetune", {"done": False, "epoch": 2})
    again = Run.open(run.folder)
    assert again.stage_state("head") == {"done": True, "best_epoch": 3}
    assert again.stage_state("finetune") == {"done": False, "epoch": 2}


def test_read_json_of_a_missing_file(run):
    with pytest.raises(RunError, match=r"metrics\.json is missing"):
        run.read_json("metrics.json")


def test_two_processes_cannot_share_a_folder(run, recipe, tmp_path):
    code = "import sys; from tfl.runs import Run; from tfl.errors import RunLockedError\n" + (
        "try:\n    with Run.open(sys.argv[1]).lock(): sys.exit(1)\nexcept RunLockedError as error:\n"
        "    sys.exit(0 if sys.argv[2] in str(error) else 3)"
    )
    with run.lock():
        done = subprocess.run([sys.executable, "-c", code, str(run.folder), str(os.getpid())], check=False)
        assert done.returncode == 0
    with Run(tmp_path / "new").lock(), pytest.raises(RunLockedError):
        Run.create(tmp_path / "new", recipe, command=[])


def test_default_folders_do_not_clash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = default_folder("leaves")
    assert first.parent.as_posix() == "runs/leaves"
    first.mkdir(parents=True)
    assert default_folder("leaves") != first
