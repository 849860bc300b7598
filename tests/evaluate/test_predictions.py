"""predictions.csv: what goes in comes out, for any class or file name."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tfl.errors import RunError
from tfl.evaluate.predictions import read_predictions, write_predictions

NAMES = ("plain", 'comma, "quote"', "new\nline", "p_odd")


def _write(folder: Path) -> tuple[np.ndarray, SimpleNamespace]:
    generator = np.random.default_rng(0)
    examples = SimpleNamespace(
        class_names=NAMES, labels=generator.integers(0, 4, 10).astype(np.int32), name_of=lambda index: f'a "{index}",é.jpg'
    )
    split = SimpleNamespace(val=np.array([3, 1]), test=np.array([9, 0, 5]))
    probabilities = generator.dirichlet(np.ones(4), 5).astype(np.float32)
    write_predictions(folder, examples, split, {"val": probabilities[:2], "test": probabilities[2:]})
    return probabilities, examples


def test_round_trip_to_the_last_bit(tmp_path: Path) -> None:
    probabilities, examples = _write(tmp_path)
    read = read_predictions(tmp_path)
    assert list(read) == ["val", "test"] and read["test"].class_names == NAMES
    assert read["test"].indices.tolist() == [9, 0, 5]
    assert read["test"].files[0] == 'a "9",é.jpg'
    assert read["test"].labels.tolist() == examples.labels[[9, 0, 5]].tolist()
    np.testing.assert_array_equal(read["val"].probabilities.astype(np.float32), probabilities[:2])


def test_the_columns_are_those_promised(tmp_path: Path) -> None:
    _write(tmp_path)
    header = (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.startswith('split,index,file,label,predicted,probability,p_plain,"p_comma, ""quote"""')


def test_rows_that_do_not_fit_the_split_are_a_defect(tmp_path: Path) -> None:
    examples = SimpleNamespace(class_names=("a", "b"), labels=np.array([0, 1]), name_of=str)
    with pytest.raises(ValueError, match="zip"):
        write_predictions(tmp_path, examples, SimpleNamespace(test=np.array([0, 1])), {"test": np.zeros((1, 2))})
    assert not (tmp_path / "predictions.csv").exists()


@pytest.mark.parametrize("damage", ["", "a,b\n1,2\n", "split,index,file,label,predicted,probability,p_x\ntest,0,f,x,x\n"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    (tmp_path / "predictions.csv").write_text(damage)
    with pytest.raises(RunError, match="damaged"):
        read_predictions(tmp_path)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="tfl evaluate"):
        read_predictions(tmp_path)
