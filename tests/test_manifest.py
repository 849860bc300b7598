"""What a manifest says of the code, the machine and the seeds of a run."""

import hashlib
import subprocess
import sys
import types

import pytest

import tfl
from tfl import manifest


@pytest.fixture
def recipe():
    return tfl.Recipe(name="leaves", data=tfl.Sample("digits", split_seed=3), backbone=tfl.Backbone("mini"), seed=7)


def git(folder, *words):
    name = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(["git", "-C", folder, *name, *words], check=True, capture_output=True, text=True).stdout.strip()


def test_versions_are_of_every_package_with_a_part_in_the_result(recipe):
    document = manifest.first_manifest(recipe, [])
    assert {"tensorflow", "keras", "numpy", "pillow", "scikit-learn"} <= document["versions"].keys()
    assert document["tensorflow"] == document["versions"]["tensorflow"] and document["tfl"] == tfl.__version__


def test_a_package_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(manifest, "PACKAGES", ("numpy", "no-such-package"))
    assert list(manifest.package_versions()) == ["numpy"]


def test_every_kind_of_chance_has_its_seed(recipe):
    seeds = manifest.first_manifest(recipe, [])["seeds"]
    assert seeds == {"split": 3, "order": 7, "augmentation": 7, "head": 7, "dropout": 7, "trials": 7}


def test_the_recipe_s_file_and_its_repository_are_known(recipe, tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    file = tmp_path / "leaves.py"
    file.write_text("recipe = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    document = manifest.first_manifest(recipe, ["tfl", "run", str(file), "--out", "x"])
    assert document["recipe_file"] == {"path": str(file), "sha256": hashlib.sha256(b"recipe = 1\n").hexdigest()}
    assert document["git"] == {"commit": git(tmp_path, "rev-parse", "HEAD"), "changed_files": 0, "dirty": False}
    file.write_text("recipe = 2\n")
    state = manifest.first_manifest(recipe, ["tfl", "run", str(file)])["git"]
    assert state["dirty"] and state["changed_files"] == 1


def test_outside_of_a_repository_and_without_a_file(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    document = manifest.first_manifest(recipe, ["pytest", "missing.py"])
    assert document["git"] is None and document["recipe_file"] is None and document["started_in"] == str(tmp_path)


def test_only_variables_that_decide_how_libraries_compute_are_kept(recipe, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("A_SECRET", "hunter2")
    environment = manifest.first_manifest(recipe, [])["environment"]
    assert environment["OMP_NUM_THREADS"] == "3" and "A_SECRET" not in environment


def test_the_source_s_hash_follows_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "__file__", str(tmp_path / "manifest.py"))
    hashes = []
    for name, text in (("a.py", "1"), ("a.py", "2"), ("b.py", ""), ("notes.txt", "not code")):
        (tmp_path / name).write_text(text)
        manifest.source_hash.cache_clear()
        hashes.append(manifest.source_hash())
    manifest.source_hash.cache_clear()
    assert len(set(hashes)) == 3 and hashes[2] == hashes[3]


def test_accelerators_are_asked_for_only_where_tensorflow_is(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert manifest.describe_machine()["accelerators"] is None
    devices = [types.SimpleNamespace(device_type=kind, name=f"/{kind}:0") for kind in ("CPU", "GPU")]
    config = types.SimpleNamespace(
        list_physical_devices=lambda: devices,
        experimental=types.SimpleNamespace(get_device_details=lambda device: {"device_name": "Tesla"}),
    )
    monkeypatch.setitem(sys.modules, "tensorflow", types.SimpleNamespace(config=config))
    assert manifest.describe_machine()["accelerators"] == ["GPU Tesla"]


def test_the_machine_is_described():
    machine = manifest.describe_machine()
    assert machine["cores"] >= 1 and machine["cpu"] and isinstance(machine["instructions"], list)
