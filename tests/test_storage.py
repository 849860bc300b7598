import errno
import json
import math
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tfl import storage
from tfl.errors import RunLockedError, StorageError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.weights.h5"
    storage.write_atomically(path, "old")

    def half(scratch):
        scratch.write_text("ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.write_atomically(path, half)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["model.weights.h5"]


def test_threads_may_write_the_same_file(tmp_path):
    path, both = tmp_path / "clock.json", threading.Barrier(2, timeout=60)

    def write(content):
        def at_the_same_time(scratch):
            scratch.write_text(content)
            both.wait()

        storage.write_atomically(path, at_the_same_time)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, ["one", "two"]))
    assert path.read_text() in ("one", "two") and os.listdir(tmp_path) == ["clock.json"]


def test_a_full_disk_is_one_message(tmp_path):
    def full(scratch):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match=r"no space is left on the disk\. Free some space and start again, or name") as caught:
        storage.write_atomically(tmp_path / "a.json", full)
    assert "--resume" not in str(caught.value)  # which `tfl new` or `tfl predict` do not have: the command adds it
    assert os.listdir(tmp_path) == []


def test_a_scratch_file_keeps_the_suffix_that_writers_look_at(tmp_path):
    seen = []
    storage.write_atomically(tmp_path / "a.weights.h5", lambda scratch: (seen.append(scratch.name), scratch.write_text("x"))[0])
    assert seen[0].endswith(".weights.h5")


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    def fill(folder):
        (folder / "one").write_text("1")
        raise ValueError

    with pytest.raises(ValueError):
        storage.write_folder_atomically(tmp_path / "out", fill)
    assert os.listdir(tmp_path) == []
    storage.write_folder_atomically(tmp_path / "out", lambda folder: (folder / "one").write_text("1"))
    storage.write_folder_atomically(tmp_path / "out", lambda folder: (folder / "two").write_text("2"))
    assert os.listdir(tmp_path) == ["out"] and os.listdir(tmp_path / "out") == ["two"]


def test_json_has_no_nan(tmp_path):
    path = storage.write_json(tmp_path / "a.json", {"loss": math.nan, "row": (1.0, math.inf)})
    assert json.loads(path.read_text()) == {"loss": None, "row": [1.0, None]}


def hold(folder, ready):
    with storage.locked(folder):
        ready.set()
        time.sleep(60)


def test_two_processes_cannot_hold_one_folder_and_a_dead_one_holds_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(30)
    with pytest.raises(RunLockedError, match=str(process.pid)), storage.locked(tmp_path):
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with storage.locked(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())


@pytest.mark.parametrize(("variable", "tail"), [("TFL_CACHE", ""), ("XDG_CACHE_HOME", "tfl")])
def test_the_cache_goes_where_the_user_says(monkeypatch, tmp_path, variable, tail):
    monkeypatch.delenv("TFL_CACHE", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    assert storage.cache_home() == tmp_path / tail


BLOCKED = [
    ("file/run", True, "a part of the path is a file"),
    ("file", True, "a part of the path is a file"),
    ("a" * 300, True, "a name in the path is too long"),
    ("a" * 300 + "/report.html", False, "a name in the path is too long"),
    ("b" * 250 + ".html", False, "a name in the path is too long"),
    ("folder", False, "it is a folder"),
    ("circle/run", True, "not a folder"),
    ("/proc/run", True, "No such file"),
]


@pytest.mark.parametrize(("path", "folder", "why"), BLOCKED)
def test_a_place_that_cannot_be_written_is_told_and_left_as_it_was(tmp_path, path, folder, why):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StorageError, match=why) as caught:
        storage.check_can_write(tmp_path / path, folder=folder)
    assert str(tmp_path / path) in str(caught.value) and "--out" in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before and (tmp_path / "file").read_text() == "mine"


def test_a_folder_without_permission_is_told(tmp_path, monkeypatch):
    def forbidden(path, mode=0o777):
        raise PermissionError(errno.EACCES, "Permission denied")  # the tests may run as root, who is never refused

    monkeypatch.setattr("pathlib.Path.mkdir", forbidden)
    with pytest.raises(StorageError, match="permission is denied"):
        storage.check_can_write(tmp_path / "run", folder=True)


@pytest.mark.parametrize(("path", "folder"), [("new/deep/run", True), ("new/report.html", False), (".", True)])
def test_a_check_leaves_nothing(tmp_path, path, folder):
    storage.check_can_write(tmp_path / path, folder=folder)
    assert os.listdir(tmp_path) == []


def test_file_names_that_are_no_utf8_survive_text_and_json(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    assert storage.write_atomically(tmp_path / "list.txt", name).read_bytes() == b"caf\xe9.png"
    document = json.loads(storage.write_json(tmp_path / "a.json", {"file": name, "class": "größe"}).read_text(encoding="utf-8"))
    assert os.fsencode(document["file"]) == b"caf\xe9.png" and document["class"] == "größe"


@pytest.mark.parametrize("name", ["größe", Path("runs/größe")])
def test_a_path_that_is_text_is_one_for_tensorflow(name):
    storage.check_is_text(name)


def test_a_path_that_is_no_text_is_told():
    with pytest.raises(StorageError, match=r"not UTF-8 text\. Received: b'runs/caf\\xe9'\. .*--out.*PYTHONUTF8=1"):
        storage.check_is_text(os.fsdecode(b"runs/caf\xe9"))
