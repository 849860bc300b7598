"""The sample: drawn the same everywhere, cached whole, and not to be told apart by mean colour."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tfl
from tfl.data.source import load_source
from tfl.errors import DataError
from tfl.modalities.image import sample
from tfl.modalities.image.leaves import DISEASES, draw_leaf_photo


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFL_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """Draw two images per class, not all."""
    monkeypatch.setattr("tfl.modalities.image.leaves.IMAGES_PER_CLASS", 2)
    return 2


def test_names_are_known_without_heavy_imports() -> None:
    heavy = "{'tensorflow', 'keras', 'skimage', 'sklearn', 'scipy', 'PIL'}"
    code = f"import sys, tfl.modalities.image.sample as s; print(*s.SAMPLES); sys.exit(len({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (
        0,
        [
            *("strawberry", "digits", "strawberry_night", "drawn_digits", "animals", "leaf_tasks"),
            *("people", "other_people", "cells", "cells_dark"),
        ],
    )


def test_the_drawn_sample_has_its_shapes_labels_and_note(cache: Path, few: int) -> None:
    leaves = sample.load_sample("strawberry")
    assert leaves.images.shape == (4 * few, 128, 128, 3)
    assert leaves.images.dtype == np.uint8
    assert leaves.labels.dtype == np.int32
    assert np.bincount(leaves.labels).tolist() == [few] * 4
    assert leaves.class_names == tuple(DISEASES)
    assert leaves.note == "drawn, not photographed"


def test_second_use_reads_what_the_first_drew(cache: Path, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sample.load_sample("strawberry")
    monkeypatch.setattr("tfl.modalities.image.leaves.draw_strawberry", lambda names: pytest.fail("drawn again"))
    np.testing.assert_array_equal(sample.load_sample("strawberry").images, first.images)
    assert [file.name for file in (cache / "samples").iterdir()] == [sample.strawberry_file().name]


@pytest.mark.parametrize("damage", [b"", b"not an archive", None], ids=["empty", "text", "truncated"])
def test_a_damaged_file_is_drawn_again(cache: Path, few: int, damage: bytes | None) -> None:
    first = sample.load_sample("strawberry")
    file = sample.strawberry_file()
    file.write_bytes(file.read_bytes()[:5000] if damage is None else damage)
    np.testing.assert_array_equal(sample.load_sample("strawberry").images, first.images)


def test_where_the_cache_cannot_be_written_the_same_leaves_are_drawn_each_time(
    tmp_path: Path, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    monkeypatch.setenv("TFL_CACHE", str(tmp_path / "taken"))
    drawn = sample.load_sample("strawberry")
    assert (tmp_path / "taken").read_text() == "a file, not a folder"
    monkeypatch.setenv("TFL_CACHE", str(tmp_path / "cache"))
    np.testing.assert_array_equal(sample.load_sample("strawberry").images, drawn.images)


def test_drawing_is_decided_by_its_seed() -> None:
    first, again, other = (draw_leaf_photo(np.random.default_rng(s), "leaf_spot", size=48) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 5


def test_a_disease_changes_the_picture_it_is_drawn_on() -> None:
    pictures = [draw_leaf_photo(np.random.default_rng(3), disease, size=64) for disease in DISEASES]
    for diseased in pictures[1:]:
        assert np.abs(diseased.astype(int) - pictures[0]).max() > 60


@pytest.mark.slow
def test_mean_colour_does_not_tell_the_classes() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    pictures = [(draw_leaf_photo(np.random.default_rng((7, i)), name, size=48), name) for i in range(40) for name in DISEASES]
    colours = np.array([image.reshape(-1, 3).mean(0) / 255 for image, _ in pictures])
    accuracy = cross_val_score(LogisticRegression(), colours, [name for _, name in pictures]).mean()
    assert accuracy < 0.45  # a guess is 0.25


def test_digits_are_scans_stretched_to_bytes() -> None:
    digits = sample.load_sample("digits")
    assert digits.images.shape == (1797, 8, 8)
    assert (digits.images.min(), digits.images.max()) == (0, 255)
    assert digits.class_names == tuple("0123456789")
    assert digits.labels.dtype == np.int32


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(DataError, match=r"strawbery.*strawberry, digits.*Did you mean `strawberry`"):
        sample.load_sample("strawbery")


def test_people_have_ages_and_stay_together_when_these_are_predicted(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfl.modalities.image.people.EACH", 2)
    ages = load_source(tfl.Sample("other_people", label_column="age"), task="regress")
    assert ages.class_names == ("age",) and ages.targets is not None and ages.targets.shape == (20, 1)
    assert 4 <= ages.targets.min() < ages.targets.max() <= 85
    assert ages.groups is not None and ages.groups[0] == ages.groups[1] == "person_30"
    people = load_source(tfl.Sample("other_people"))
    assert people.groups is None and len(people.class_names) == 10
    with pytest.raises(DataError, match=r"no column of that name.*agge.*Did you mean `age`"):
        load_source(tfl.Sample("other_people", label_column="agge"), task="regress")
