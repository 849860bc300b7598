"""`tfl cache` lists, prunes and verifies the store, and imports no TensorFlow for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tfl.cli.cache import cache
from tfl.features.store import Features, space_folder, space_of, stored_features


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFL_CACHE", str(tmp_path))
    return tmp_path / "features"


def store(number: int, *, days_ago: float = 0.0) -> Features:
    space = space_of(about={"network": "net", "cut": f"block{number}", "engine": "keras float32", "view": 1}, number=number)
    (made,) = stored_features(
        [space], [str(i) for i in range(40)], lambda missing: [[np.ones((len(missing), 500), "float32")]], dtypes=["float32"]
    )
    then = time.time() - days_ago * 86400
    os.utime(space_folder(space.key) / ".reading", (then, then))
    return made


def folder(number: int) -> Path:
    return space_folder(space_of(number=number).key)


def answer(*words: str, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(cache, [*words, "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_list_says_what_is_there_latest_first() -> None:
    store(1, days_ago=2)
    held = store(2, days_ago=1)
    found = answer("list")
    assert [space["about"]["cut"] for space in found["spaces"]] == ["block2", "block1"]
    assert [space["rows"] for space in found["spaces"]] == [40, 40]
    assert [space["in_use"] for space in found["spaces"]] == [True, False]
    assert found["bytes"] == sum(space["bytes"] for space in found["spaces"]) > 2 * held.nbytes
    shown = CliRunner().invoke(cache, [])
    assert "block1" in shown.stdout and "keras float32" in shown.stdout and "in use" in shown.stdout


def test_an_empty_store_is_no_error() -> None:
    assert answer("list")["spaces"] == []
    assert answer("prune")["removed"] == []
    assert answer("verify") == {"chunks": 0, "damaged": [], "repaired": False}


def test_path_is_where_it_is(home: Path) -> None:
    assert answer("path")["path"] == str(home)


def test_prune_takes_the_least_recently_used_first() -> None:
    for number, days in ((1, 3.0), (2, 1.0), (3, 2.0)):
        store(number, days_ago=days)
    size = answer("list")["bytes"] / 3
    found = answer("prune", "--to", str(1.5 * size / 1e9))
    assert len(found["removed"]) == 2 and found["bytes"] == pytest.approx(size, rel=0.01)
    assert [folder(number).exists() for number in (1, 2, 3)] == [False, True, False]


def test_prune_by_age_by_budget_and_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, days in ((1, 30.0), (2, 1.0)):
        store(number, days_ago=days)
    assert answer("prune", "--older-than", "7")["removed"] == [folder(1).name]
    assert answer("prune")["removed"] == [], "within the budget"
    held = store(3)
    monkeypatch.setenv("TFL_CACHE_GB", "0")
    found = answer("prune")
    assert found["removed"] == [folder(2).name] and found["in_use"] == [folder(3).name]
    assert held.read_all().sum() == 40 * 500
    del held
    assert answer("prune", "--all")["removed"] == [folder(3).name]


def test_verify_finds_damage_and_repairs_it() -> None:
    store(1)
    store(2)
    assert answer("verify")["damaged"] == []
    chunk = folder(1) / "chunks" / "000000.npy"
    raw = bytearray(chunk.read_bytes())
    raw[200] ^= 1
    chunk.write_bytes(raw)
    assert answer("verify", code=2)["damaged"] == [str(chunk.with_suffix(".json"))]
    assert answer("verify", "--repair")["repaired"]
    assert answer("verify") == {"chunks": 1, "damaged": [], "repaired": False}
    assert store(1).read_all().sum() == 40 * 500


def test_a_damaged_description_costs_no_features() -> None:
    store(1)
    (folder(1) / "space.json").write_text("{")
    assert answer("verify", code=2)["damaged"] == [str(folder(1) / "space.json")]
    assert answer("verify", "--repair")["chunks"] == 1
    stored_features([space_of(number=1)], ["3"], lambda _: pytest.fail("computed again"), dtypes=["float32"])
    assert answer("list")["spaces"][0]["dtype"] == "float32", "written again by who uses it"


@pytest.mark.parametrize("words", [("list", "--all"), ("prune", "--repair"), ("verify", "--to", "1"), ("prune", "--to", "-1")])
def test_options_of_another_action_are_refused(words: tuple[str, ...]) -> None:
    assert CliRunner().invoke(cache, list(words)).exit_code == 2


def test_a_budget_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFL_CACHE_GB", "much")
    done = CliRunner().invoke(cache, ["list"])
    assert done.exit_code == 2 and "TFL_CACHE_GB" in done.stderr


def test_no_action_imports_tensorflow() -> None:
    store(1)
    code = (
        "import sys\nfrom tfl.cli.cache import cache\n"
        "for action in ('list', 'verify', 'path', 'forget-engines', 'prune'):\n"
        "    try: cache([action])\n    except SystemExit as end: assert not end.code, end.code\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_measured_choice_of_an_engine_is_shown_and_forgotten(home: Path) -> None:
    kept = home.parent / "engines" / "a.json"
    kept.parent.mkdir()
    rates = {"keras float32": 10.0, "openvino float32": 30.0}
    kept.write_text(
        json.dumps({"network": "mini", "image_size": [96, 96], "engine": "keras float32", "images_per_second": rates})
    )
    (kept.parent / "b.json").write_text("{half")
    assert [choice["engine"] for choice in answer("list")["engines"]] == ["keras float32"]
    shown = CliRunner().invoke(cache, []).stdout
    assert "mini" in shown and "openvino" in shown
    assert answer("forget-engines")["forgotten"] == 2
    assert not kept.exists() and answer("list")["engines"] == [] and answer("forget-engines")["forgotten"] == 0
