"""Extra examples: matched by class, without copies of the target's, and trained on alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tfl
from tfl.data.extra_data import load_extra_data, with_extra
from tfl.data.pipeline import cache_tensors
from tfl.errors import BadImageError, DataError

RNG = np.random.default_rng(0)


def write(folder: Path, classes: dict[str, int], *, size: int = 16) -> Path:
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(RNG.integers(0, 255, (size, size, 3), np.uint8)).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.slow
def test_classes_are_matched_by_name_and_others_are_left_out(target: Any, tmp_path: Path) -> None:
    write(tmp_path / "other", {"Bee": 4, "wasp": 3, "fly": 2})
    extra = load_extra_data(tfl.Data(str(tmp_path / "other")), target, seed=0)
    assert extra.bundle.examples.class_names == ("ant", "bee") and extra.labels.tolist() == [1] * 4
    assert extra.found == 9 and extra.classes == {"fly": 2, "wasp": 3} and extra.without == ("ant",)
    assert [words.split(":")[-1].strip() for words in extra.notes()] == ["fly, wasp.", "ant."]
    with pytest.raises(DataError, match=r"no class of the target.*fly, wasp.*ant, bee"):
        load_extra_data(tfl.Data(str(tmp_path / "other"), labels=("wasp", "fly")), target, seed=0)


@pytest.mark.slow
def test_copies_of_the_target_are_left_out(target: Any, tmp_path: Path) -> None:
    other = write(tmp_path / "other", {"ant": 5, "bee": 5})
    for at, part in enumerate(("test", "val", "train")):
        (other / "ant" / f"copy{at}.png").write_bytes(target.examples.bytes_of(int(target.indices(part)[0])))
    extra = load_extra_data(tfl.Data(str(other)), target, seed=0)
    assert (extra.held_out, extra.trained, len(extra), extra.found) == (2, 1, 10, 13)
    assert not set(extra.bundle.fingerprints) & set(target.fingerprints)
    assert "2 images are left out, since they are exact copies of validation or test images." in extra.notes()
    with pytest.raises(DataError, match=r"Next to nothing is left .* 20 images, of which 20 are exact copies"):
        load_extra_data(target.data, target, seed=0)


@pytest.mark.slow
def test_groups_of_the_target_are_left_out(target: Any, tmp_path: Path) -> None:
    groups = np.array([f"group leaf {number // 2}" for number in range(20)])
    target = dataclasses.replace(target, examples=dataclasses.replace(target.examples, groups=groups))
    other = write(tmp_path / "other", {"ant": 3, "bee": 3})
    target.examples.groups[0] = "list.csv, line 2"  # what a row without a group is called
    rows = [
        f"{name}/{number}.png,{name},{'' if number == 0 else f'leaf {number + 8}'}"
        for name in ("ant", "bee")
        for number in range(3)
    ]
    (other / "list.csv").write_text("\n".join(["path,label,group", *rows]))
    extra = load_extra_data(tfl.Data(str(other / "list.csv")), target, seed=0)
    assert extra.groups == 2 and len(extra) == 4 and "group leaf 10" in extra.bundle.examples.groups


@pytest.mark.slow
def test_a_file_that_cannot_be_read_is_named_or_skipped(target: Any, tmp_path: Path) -> None:
    other = write(tmp_path / "other", {"ant": 3, "bee": 3})
    (other / "ant" / "9.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(BadImageError, match=r"9\.png"):
        load_extra_data(tfl.Data(str(other)), target, seed=0)
    extra = load_extra_data(tfl.Data(str(other), on_bad="skip"), target, seed=0)
    assert len(extra) == 6 and len(extra.findings) == 1


@pytest.mark.slow
@pytest.mark.parametrize("held", ["files", "arrays"])
def test_the_drawn_ones_train_and_nothing_else_changes(target: Any, tmp_path: Path, held: str) -> None:
    other = write(tmp_path / "other", {"ant": 6, "bee": 6})
    source = str(other)
    if held == "arrays":
        source = str(tmp_path / "other.npz")
        np.savez(source, x=RNG.integers(0, 255, (12, 8, 8), np.uint8), y=np.arange(12) % 2, class_names=np.array(["ant", "bee"]))
    extra = load_extra_data(tfl.Data(source), target, seed=0)
    drawn = np.array([1, 4, 9])
    both = with_extra(target, extra, drawn)
    assert (
        both.extra == 3 and both.is_extra(both.indices("train")).tolist() == [False] * len(target.indices("train")) + [True] * 3
    )
    for part in ("val", "test"):
        assert both.indices(part).tolist() == target.indices(part).tolist()
    assert both.labels("train")[-3:].tolist() == extra.labels[drawn].tolist()
    assert both.fingerprints == (*target.fingerprints, *(extra.bundle.fingerprints[row] for row in drawn))
    again = cache_tensors(both.examples, modality=both.modality)  # decoded anew
    assert again is not None and both.cached is not None
    np.testing.assert_array_equal(again[np.arange(23)], both.cached[np.arange(23)])
    np.testing.assert_array_equal(both.cached[[20, 22]], extra.bundle.cached[[1, 9]])
    after = both.with_validation()
    assert after.extra == 3 and after.is_extra(after.indices("train")).sum() == 3
    assert with_extra(target, extra, np.zeros(0, np.int64)) is target
