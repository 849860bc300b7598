"""Whether two results are the same, bit for bit: what counts and what does not."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from tfl.errors import RunError
from tfl.evaluate.compare.identical import compare_epochs, compare_metrics, compare_predictions, compare_weights, weight_hashes
from tfl.runs import Run

Maker = Callable[..., Run]


def model_file(path: Path, **tensors: np.ndarray) -> Path:
    """What of a `.keras` file is read."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, value in tensors.items():
            file[f"layers/{name}/vars/0"] = value
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", str(path))  # differs from file to file, as dates do
        archive.writestr("model.weights.h5", content.getvalue())
    return path


ONE = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_the_file_may_differ_where_the_weights_do_not(tmp_path: Path) -> None:
    files = [model_file(tmp_path / name, dense=ONE, conv=ONE) for name in ("a.keras", "b.keras")]
    assert files[0].read_bytes() != files[1].read_bytes()
    found = compare_weights(*files)
    assert found["identical"] and found["tensors"] == 2 and found["sha256"][0] == found["sha256"][1]


@pytest.mark.parametrize(
    "other", [np.nextafter(ONE, 9), ONE.astype(np.float64), ONE.reshape(3, 2), -ONE], ids=["last bit", "dtype", "shape", "sign"]
)
def test_every_bit_of_every_tensor_counts(tmp_path: Path, other: np.ndarray) -> None:
    one = model_file(tmp_path / "a.keras", dense=ONE, conv=ONE)
    found = compare_weights(one, model_file(tmp_path / "b.keras", dense=other.astype(other.dtype), conv=ONE))
    assert not found["identical"] and found["different"] == ["layers/dense/vars/0"] and found["differing"] == 1


def test_a_tensor_that_is_missing_counts(tmp_path: Path) -> None:
    one, other = model_file(tmp_path / "a.keras", dense=ONE, conv=ONE), model_file(tmp_path / "b.keras", dense=ONE)
    assert compare_weights(one, other)["different"] == ["layers/conv/vars/0"]


@pytest.mark.parametrize("content", [None, b"", b"weights", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_model_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(RunError, match=r"model\.keras"):
        weight_hashes(tmp_path / "model.keras")


def test_times_are_no_part_of_the_figures(new_run: Maker) -> None:
    one, other = new_run("one"), new_run("two")
    metrics = other.read_json("metrics.json")
    other.write_json("metrics.json", metrics | {"seconds": {"total": 1e9}})
    found = compare_metrics(one, other)
    assert found["identical"] and found["figures"] > 10 and not found["different"]


def test_any_other_figure_counts(new_run: Maker) -> None:
    one, other = new_run("one"), new_run("two")
    metrics = other.read_json("metrics.json")
    metrics["test"]["loss"] += 1e-15
    other.write_json("metrics.json", metrics)
    found = compare_metrics(one, other)
    assert list(found["different"]) == ["test.loss"] and found["differing"] == 1


def test_the_first_epoch_apart_is_found(new_run: Maker) -> None:
    one, other = new_run("one"), new_run("two")
    assert compare_epochs(one, other)["identical"]
    lines = other.path("history.csv").read_text().splitlines()
    cells = lines[3].split(",")
    header = lines[0].split(",")
    cells[header.index("seconds")] = "99"
    other.path("history.csv").write_text("\n".join([*lines[:3], ",".join(cells), *lines[4:]]))
    assert compare_epochs(one, other)["identical"]
    cells[header.index("val_loss")] = "99"
    other.path("history.csv").write_text("\n".join([*lines[:3], ",".join(cells), *lines[4:]]))
    found = compare_epochs(one, other)["first_difference"]
    assert (found["stage"], found["epoch"], found["column"]) == ("head", 3, "val_loss")


def test_runs_without_predictions_say_nothing_of_them(new_run: Maker) -> None:
    assert compare_predictions(new_run("one"), new_run("two")) == {"identical": None}


def test_earlier_names_and_other_words_are_the_same_result(new_run: Maker) -> None:
    before, after = new_run("before"), new_run("after")
    metrics = before.read_json("metrics.json")
    old = {"unfamiliar": {"note": "too few", "threshold": 0.25, "test": {"unfamiliar": 2, "share": 0.05}}}
    new = {"out_of_distribution": {"note": "few", "threshold": 0.25, "test": {"out_of_distribution": 2, "share": 0.05}}}
    before.write_json("metrics.json", {**metrics, "confidence": old})
    after.write_json("metrics.json", {**metrics, "confidence": new})
    assert compare_metrics(before, after)["identical"]
    new["out_of_distribution"]["test"]["out_of_distribution"] = 3
    after.write_json("metrics.json", {**metrics, "confidence": new})
    assert list(compare_metrics(before, after)["different"]) == ["confidence.out_of_distribution.test.out_of_distribution"]
