"""Store or stream: by what was measured, as asked, in a sentence with the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tfl.features import cost
from tfl.features.cost import Pass, decide, disk_rates


@pytest.fixture(autouse=True)
def _disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFL_CACHE", str(tmp_path))
    monkeypatch.setenv("TFL_CACHE_GB", "10")
    monkeypatch.setattr(cost, "disk_rates", lambda folder: (1e8, 2e8, 1e9))
    monkeypatch.setattr(cost, "available_memory", lambda: 0)


def work(**changed: Any) -> Pass:
    return Pass(**({"row_bytes": 400_000, "train": 1000, "validation": 200, "epochs": 10, "views": 1, "held": False} | changed))


def decided(asked: Any = "auto", *, image_s: float = 0.01, missing: int = 1200, **changed: Any) -> cost.Decision:
    return decide(asked, work(**changed), missing=lambda: missing, example_seconds=lambda: (image_s, image_s))


def test_a_slow_prefix_is_stored_and_a_fast_one_is_not() -> None:
    slow, fast = decided(image_s=0.01), decided(image_s=0.001)
    assert slow.stored and not fast.stored
    assert "10 ms" in slow.said and "400 kB" in slow.said and "100 MB written" in slow.said
    assert "every epoch" in fast.said and "12 s" in fast.said


def test_the_seconds_are_those_of_the_work() -> None:
    some = work()
    assert some.stream_seconds(0.01) == pytest.approx(1200 * 10 * 0.01)
    assert some.store_seconds(0.01, 1e8, 2e8) == pytest.approx(1200 * (0.01 + 0.004) + 12000 * 0.002)
    assert work(held=True).store_seconds(0.01, 1e8, 2e8) == pytest.approx(1200 * (0.01 + 0.004) + 1200 * 0.002)
    assert work(views=4).computed == 4200 and work(views=4, epochs=2).computed == 2200


def test_a_fast_engine_computes_once_what_keras_would_in_every_epoch() -> None:
    def found(once_s: float) -> bool:
        return decide("auto", work(), missing=lambda: 9, example_seconds=lambda: (once_s, 0.003)).stored

    assert found(0.0001) and not found(0.01)


def test_memory_that_holds_the_files_reads_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not decided(image_s=0.002).stored
    monkeypatch.setattr(cost, "available_memory", lambda: 10**10)
    assert decided(image_s=0.002).stored


def test_as_many_views_as_epochs_gain_nothing_from_large_features() -> None:
    assert decided(image_s=0.01, views=2).stored
    assert not decided(image_s=0.01, views=10).stored


def test_what_is_asked_is_obeyed_and_nothing_measured() -> None:
    def fails() -> tuple[float, float]:
        raise AssertionError("measured")

    for asked, stored in (("always", True), ("never", False)):
        found = decide(asked, work(), missing=lambda: 1, example_seconds=fails)  # type: ignore[arg-type]
        assert found.stored is stored and f"features.store={asked}" in found.said
    assert decide("auto", work(row_bytes=2560), missing=lambda: 9, example_seconds=fails).stored, "small rows need no measuring"
    assert "in the store" in decide("auto", work(), missing=lambda: 0, example_seconds=fails).said


def test_what_does_not_fit_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFL_CACHE_GB", "0.1")
    found = decided(image_s=1.0)
    assert not found.stored and "480 MB" in found.said and "100 MB" in found.said and "TFL_CACHE_GB" in found.said


def test_the_disk_is_measured_and_nothing_left(tmp_path: Path) -> None:
    rates = disk_rates(tmp_path)
    assert len(rates) == 3 and min(rates) > 0
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_stored_where_the_cache_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TFL_CACHE", str(tmp_path / "file" / "cache"))
    found = decided("auto", row_bytes=100, missing=0)
    assert not found.stored and f"{tmp_path}/file/cache/features cannot be written" in found.said
    assert decided("always").stored  # which the run refuses before
