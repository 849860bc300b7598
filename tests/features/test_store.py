"""Rows are computed once, served only for what they are, and never half: whatever kills, fills or damages."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfl
from tfl.errors import DataError, RecipeError, StorageError
from tfl.features import budget, chunks
from tfl.features.store import Features, space_folder, space_of, stored_features

VALUES = np.random.default_rng(0).normal(size=(300, 4, 5)).astype("float32")
IDS = [f"image{number:03d}" for number in range(300)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFL_CACHE", str(tmp_path))
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 64)
    return tmp_path / "features"


class Pass:
    """A frozen network that counts the images it computes, for one or more spaces."""

    def __init__(self, spaces: int = 1, *, values: np.ndarray = VALUES, dies_after: int = 10**9) -> None:
        self.spaces, self.values, self.computed, self.dies_after = spaces, values, 0, dies_after

    def __call__(self, positions: np.ndarray) -> Iterator[list[np.ndarray]]:
        for start in range(0, len(positions), 32):
            if self.computed >= self.dies_after:
                raise KeyboardInterrupt
            some = positions[start : start + 32]
            self.computed += len(some)
            yield [self.values[some] * (number + 1) for number in range(self.spaces)]


def read(images: Pass, rows: list[str] = IDS, *, dtype: str = "float32", a: int = 1, **options: Any) -> Features:
    return stored_features([space_of(a=a, dtype=dtype)], rows, images, dtypes=[dtype], **options)[0]


def folder(*, dtype: str = "float32", a: int = 1) -> Path:
    return space_folder(space_of(a=a, dtype=dtype).key)


def test_the_second_reader_computes_nothing() -> None:
    images, seen = Pass(), list[int]()
    found = read(images, progress=seen.append)
    assert found.shape == (300, 4, 5) and found.nbytes == VALUES.nbytes and len(found) == 300
    np.testing.assert_array_equal(read(images).read_all(), VALUES)
    assert images.computed == 300 and seen[0] == 32 and seen[-1] == 300


def test_rows_come_in_the_order_that_is_asked_for() -> None:
    found = read(Pass())
    rows = np.array([299, 0, 64, 63, 64])
    np.testing.assert_array_equal(found[rows], VALUES[rows])
    np.testing.assert_array_equal(found[10:20], VALUES[10:20])


def test_what_a_killed_writer_left_is_cleared_away() -> None:
    read(Pass(), IDS[:64])
    left = [folder() / ".space.1.tmp.json", folder() / "chunks" / ".000001.1.tmp.npy"]
    for file in left:
        file.write_bytes(b"half")
    read(Pass())
    assert not any(file.exists() for file in left)


def test_another_split_uses_the_same_rows() -> None:
    images = Pass()
    read(images, IDS[:200])
    order = np.random.default_rng(1).permutation(300)
    found = stored_features(
        [space_of(a=1, dtype="float32")], [IDS[i] for i in order], lambda missing: images(order[missing]), dtypes=["float32"]
    )
    np.testing.assert_array_equal(found[0].read_all(), VALUES[order])
    assert images.computed == 300


def test_a_changed_image_is_one_other_row() -> None:
    images = Pass()
    read(images)
    read(images, ["changed", *IDS[1:]])
    assert images.computed == 301


def test_the_same_image_twice_is_computed_once() -> None:
    images = Pass()
    found = read(images, [IDS[0], IDS[1], IDS[0]])
    np.testing.assert_array_equal(found.read_all(), VALUES[[0, 1, 0]])
    assert images.computed == 2


def test_another_space_is_another_pass_and_several_take_one() -> None:
    spaces, images = [space_of(a=1), space_of(a=2), space_of(a=1)], Pass(3, values=VALUES)
    stored_features(spaces[:1], IDS[:100], Pass(1), dtypes=["float32"])
    first, second, again = stored_features(spaces, IDS, images, dtypes=["float32", "float16", "float32"])
    np.testing.assert_array_equal(first.read_all(), VALUES)
    np.testing.assert_allclose(second.read_all().astype("float32"), 2 * VALUES, rtol=1 / 2048)
    np.testing.assert_array_equal(again.read_all(), VALUES)
    assert images.computed == 300, "one pass over what any of them lacks"
    assert sum(len(chunk["rows"]) for chunk in descriptions(space_folder(spaces[0].key))) == 300, "no row is kept twice"


def descriptions(path: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((path / "chunks").glob("*.json"))]


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*.*")) if not file.name.startswith(".")}


@pytest.mark.parametrize(
    ("dtype", "relative", "absolute"), [("float16", 1 / 2048, 3e-8), ("bfloat16", 1 / 256, 1e-40), ("float32", 0, 0)]
)
def test_rounding_stays_within_the_stated_bound(dtype: str, relative: float, absolute: float) -> None:
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(100, 500)) * 10.0 ** rng.integers(-9, 4, (100, 500))).astype("float32")
    found = read(Pass(values=values), IDS[:100], dtype=dtype).read_all()
    assert found.dtype == chunks.value_dtype(dtype)
    error = np.abs(found.astype("float64") - values)
    assert (error <= relative * np.abs(values) + absolute).all()


def test_float16_that_overflows_says_what_to_take() -> None:
    values = VALUES.copy()
    values[70, 1, 1] = 1e5
    with pytest.raises(RecipeError, match=r"1e\+05.*dtype=bfloat16"):
        read(Pass(values=values), dtype="float16")
    read(Pass(values=values), dtype="bfloat16")


def test_a_pass_that_dies_goes_on_where_it_was() -> None:
    images = Pass(dies_after=160)
    with pytest.raises(KeyboardInterrupt):
        read(images)
    again = Pass()
    np.testing.assert_array_equal(read(again).read_all(), VALUES)
    assert again.computed == 300 - 128, "the two whole chunks of 64 rows stay"


CHILD = """
    import os, random, sys, threading, time
    import numpy as np
    from tfl.features import chunks
    from tfl.features.store import space_of, stored_features
    chunks.CHUNK_ROWS = 64
    values = np.random.default_rng(0).normal(size=(1000, 30, 40)).astype("float32")

    def compute(positions):
        for start in range(0, len(positions), 32):
            some = positions[start : start + 32]
            with open(sys.argv[1], "a") as log:
                log.write("".join(f"{at}\\n" for at in some))
            time.sleep(float(sys.argv[3]))
            yield values[some], values[some].mean(2)

    if float(sys.argv[2]) > 0:
        threading.Timer(float(sys.argv[2]), os._exit, (9,)).start()
    stored_features([space_of(a=1), space_of(a=2)], [str(i) for i in range(1000)], compute, dtypes=["float16", "bfloat16"])
    os._exit(0)
"""


def child(log: Path, *, dies_after_s: float = 0.0, batch_s: float = 0.004, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(log), str(dies_after_s), str(batch_s)]
    return subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_killed_ten_times_the_store_is_the_same_as_not_killed(tmp_path: Path) -> None:
    whole, killed, log = tmp_path / "whole", tmp_path / "killed", tmp_path / "log"
    assert child(tmp_path / "other", TFL_CACHE=str(whole), batch_s=0).wait() == 0
    random.seed(0)
    codes = []
    while codes.count(9) < 10:
        before = len(list(killed.rglob("chunks/[0-9]*.json")))
        codes.append(child(log, dies_after_s=random.uniform(0.001, 0.12), TFL_CACHE=str(killed)).wait())
        assert len(list(killed.rglob("chunks/[0-9]*.json"))) >= before, "a kill loses nothing that was whole"
        if codes[-1] == 0:
            (killed / "features").rename(tmp_path / f"done{len(codes)}")
            log.write_text("")
    assert child(log, TFL_CACHE=str(killed)).wait() == 0
    for done in (killed / "features", *tmp_path.glob("done*")):
        assert contents(done) == contents(whole / "features")
    assert not [path for path in killed.rglob("*.tmp*")], "nothing half is left"


@pytest.mark.slow
def test_two_processes_compute_once(tmp_path: Path) -> None:
    logs = [tmp_path / "one", tmp_path / "two"]
    both = [child(log, batch_s=0.02) for log in logs]
    assert [process.wait() for process in both] == [0, 0]
    computed = [line for log in logs if log.exists() for line in log.read_text().split()]
    assert len(computed) == len(set(computed)) == 1000


@pytest.mark.parametrize("harm", ["cut", "one byte", "no array", "no words", "changed words", "of another space"])
def test_a_damaged_chunk_is_noticed_said_and_computed_again(harm: str) -> None:
    images = Pass()
    read(images)
    read(Pass(), a=2)
    before, chunk = contents(folder()), folder() / "chunks" / "000002.npy"
    words = chunk.with_suffix(".json")
    if harm == "cut":
        chunk.write_bytes(chunk.read_bytes()[:-8])
    elif harm == "one byte":
        raw = bytearray(chunk.read_bytes())
        raw[1000] ^= 1
        chunk.write_bytes(raw)
    elif harm == "no array":
        chunk.unlink()
    elif harm == "no words":
        words.write_text(words.read_text()[:-30])
    elif harm == "changed words":
        words.write_text(words.read_text().replace(IDS[130], IDS[0]))
    else:
        words.write_bytes((folder(a=2) / "chunks" / "000002.json").read_bytes())
    with pytest.warns(RuntimeWarning, match="1 damaged chunk"):
        found = read(images)
    np.testing.assert_array_equal(found.read_all(), VALUES)
    assert images.computed == 300 + 64
    assert contents(folder()) == before


def test_damage_is_told_to_who_wants_to_know() -> None:
    read(Pass())
    (folder() / "chunks" / "000000.npy").unlink()
    told: list[str] = []
    read(Pass(), say=told.append)
    assert len(told) == 1 and "damaged" in told[0]


def test_what_vanishes_while_in_use_is_an_error() -> None:
    found = read(Pass())
    (folder() / "chunks" / "000000.npy").unlink()
    with pytest.raises(StorageError, match="vanished"):
        found.read_all()


@pytest.mark.parametrize("count", [299, 301])
def test_another_number_of_rows_is_an_error(count: int) -> None:
    with pytest.raises(DataError, match="another number"):
        stored_features([space_of(a=1)], IDS, lambda _: [[np.zeros((count, 2))]], dtypes=["float32"])


def test_a_full_disk_is_one_error_and_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = Path.write_bytes, list[Path]()

    def full(path: Path, content: bytes) -> int:
        written.append(path)
        if len(written) > 4 and ".npy" in path.name:
            real(path, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(StorageError, match=r"no space.*Free some space"):
            read(Pass())
    assert not list(folder().rglob("*.tmp*"))
    images = Pass()
    np.testing.assert_array_equal(read(images).read_all(), VALUES)
    assert 0 < images.computed < 300


def test_a_file_size_limit_of_the_system_is_a_full_disk(tmp_path: Path) -> None:
    code = (
        "import resource, sys, numpy as np\n"
        "from tfl.features.store import space_of, stored_features\n"
        "from tfl.errors import StorageError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try: stored_features([space_of(a=1)], ['x'], lambda _: [[np.ones((1, 9000), 'float32')]], dtypes=['float32'])\n"
        "except StorageError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "larger than this file system allows" in done.stdout
    left = [path for path in (tmp_path / "features").rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert [path.name for path in left] in ([], ["space.json"])


def test_a_full_file_system_is_one_error_and_breaks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", small], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        monkeypatch.setenv("TFL_CACHE", str(small))
        monkeypatch.setenv("TFL_CACHE_GB", "1")
        values = np.ones((300, 1000), "float32")
        with pytest.raises(StorageError, match="no space"):
            read(Pass(values=values))
        found = read(Pass(values=values), IDS[:64])
        np.testing.assert_array_equal(found.read_all(), values[:64])
        del found
    finally:
        subprocess.run(["umount", small], check=True)


def test_reading_a_large_set_keeps_the_memory_flat() -> None:
    values = np.random.default_rng(0).normal(size=(2048, 5000)).astype("float32")
    rows = [str(number) for number in range(len(values))]
    found = stored_features([space_of(a=1)], rows, Pass(values=values), dtypes=["float32"])[0]
    del values
    before = resident()
    for start in range(0, 2048, 64):
        found[start : start + 64].sum()
        assert resident() - before < 2**24, "40 MB were read"


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_least_recently_used_spaces_go_first_and_none_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for a in (1, 2, 3):
        read(Pass(), a=a)
        os.utime(folder(a=a) / ".reading", (time.time() - 100 + a, time.time() - 100 + a))
    in_use = read(Pass(), a=1)
    os.utime(folder(a=1) / ".reading", (1, 1))
    size = budget.used_bytes() / 3
    monkeypatch.setenv("TFL_CACHE_GB", str(3.5 * size / 1e9))
    read(Pass(), a=4)
    assert [folder(a=a).exists() for a in (1, 2, 3, 4)] == [True, False, True, True]
    np.testing.assert_array_equal(in_use.read_all(), VALUES)


def test_more_than_the_budget_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFL_CACHE_GB", "0.00001")
    with pytest.raises(StorageError, match=r"no room.*TFL_CACHE_GB"):
        read(Pass())
    assert not list(folder().rglob("*.npy"))


def test_every_part_counts_and_their_order_does_not() -> None:
    parts: dict[str, Any] = {"images": ["a", "b"], "size": (96, 96), "augment": tfl.Augment(crop=0.5), "view": 0, "cut": "x"}
    changed = {"images": ["b", "a"], "size": (96, 97), "augment": tfl.Augment(crop=0.6), "view": 1, "cut": None}
    keys = {space_of(**parts).key, *(space_of(**(parts | {name: value})).key for name, value in changed.items())}
    assert len(keys) == 6
    assert space_of(**dict(reversed(parts.items()))).key == space_of(**parts).key
    assert space_of(about={"network": "x"}, **parts).key == space_of(**parts).key


@pytest.mark.parametrize("part", [np.zeros(2), object(), {1, 2}, float("nan")])
def test_parts_without_an_exact_text_are_refused(part: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        space_of(part=part)


def test_the_checksum_is_of_the_file(home: Path) -> None:
    read(Pass())
    for words in descriptions(folder()):
        found = [path for path in (folder() / "chunks").glob("*.npy") if path.stat().st_size == words["bytes"]]
        assert any(hashlib.sha256(path.read_bytes()).hexdigest() == words["sha256"] for path in found)
