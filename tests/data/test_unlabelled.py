"""Images without labels: folders as they are, no copies of what is tested, and bad files told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfl
from tests.data.test_extra_data import write
from tfl.data.unlabelled import load_unlabelled, pool_of, read_unlabelled
from tfl.errors import BadImageError, DataError


@pytest.mark.slow
def test_a_folder_is_taken_as_it_is_without_copies_of_the_labelled_ones(target: Any, tmp_path: Path) -> None:
    other = write(tmp_path / "other", {"2019": 4, "2020/june": 3})
    for at, part in enumerate(("test", "val", "train")):
        (other / f"copy{at}.png").write_bytes(target.examples.bytes_of(int(target.indices(part)[0])))
    (other / "twice.png").write_bytes((other / "2019" / "0.png").read_bytes())
    (other / "notes.txt").write_text("not an image")
    found = load_unlabelled(tfl.Unlabelled(str(other)), target, seed=0)
    assert (found.found, found.held_out, found.trained, found.repeated, len(found)) == (12, 2, 1, 1, 7)
    assert found.notes()[0] == "2 images are left out, since they are exact copies of validation or test images."
    assert any("notes.txt" in finding["note"] for finding in found.findings)
    held = {target.fingerprints[int(at)] for part in ("val", "test") for at in target.indices(part)}
    pool = pool_of(target, found)
    assert len(pool.examples) == 7 + len(target.indices("train")) == len(set(pool.fingerprints))
    assert not held & set(pool.fingerprints) and pool.examples.class_names == ("no label",)
    images, _ = next(iter(pool.dataset(pool.indices("train"), batch_size=19)))
    assert np.array_equal(
        images[: len(target.indices("train"))], next(iter(target.dataset(target.indices("train"), batch_size=19)))[0]
    )
    with pytest.raises(BadImageError, match=r"notes\.txt"):
        load_unlabelled(tfl.Unlabelled(str(other), on_bad="error"), target, seed=0)
    draws = [load_unlabelled(tfl.Unlabelled(str(other / "2019"), limit=3), target, seed=seed) for seed in (0, 0, *range(1, 6))]
    assert {len(drawn) for drawn in draws} == {3} and draws[0].bundle.fingerprints == draws[1].bundle.fingerprints
    assert len({drawn.bundle.fingerprints for drawn in draws}) > 1


@pytest.mark.slow
def test_what_leaves_nothing_is_refused(target: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Next to nothing is left .* 20 images: 8 are exact copies of validation or test"):
        load_unlabelled(tfl.Unlabelled(target.data.source), target, seed=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no file in the folder"):
        read_unlabelled(str(tmp_path / "empty"), target.data)
    with pytest.raises(DataError, match="nothing at this source"):
        read_unlabelled(str(tmp_path / "missing"), target.data)
