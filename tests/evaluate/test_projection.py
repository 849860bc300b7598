"""The map of examples: seeded, bounded, written with the examples' indices; nothing where there is nothing to see."""

import json

import numpy as np
import pytest

from tfl.evaluate import projection
from tfl.evaluate.projection import NAME, project, write_projection

GROUPS = np.repeat(np.eye(3, 20), 12, axis=0) * 9 + np.random.default_rng(0).normal(0, 0.3, (36, 20))


def test_groups_stay_together_and_the_seed_decides():
    found = project(GROUPS, seed=0)
    assert found.shape == (36, 2) and np.abs(found).max() == pytest.approx(1)
    centres = found.reshape(3, 12, 2).mean(axis=1)
    nearest = np.linalg.norm(found[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == np.repeat(np.arange(3), 12)).all()
    assert np.array_equal(project(GROUPS, seed=0), found)


@pytest.mark.parametrize("features", [np.ones((40, 5)), GROUPS[:5], np.full((20, 3), np.nan)], ids=["same", "few", "nan"])
def test_nothing_to_see(features, tmp_path):
    assert project(features, seed=0) is None
    assert write_projection(tmp_path, {"test": features}, {"test": np.arange(len(features))}, seed=0) is None
    assert not (tmp_path / NAME).exists()


def test_one_number_each_and_copies_can_be_drawn():
    assert project(np.r_[np.arange(20.0), np.zeros(5)][:, None], seed=0).shape == (25, 2)


def test_the_test_split_goes_first_where_not_all_have_room(tmp_path, monkeypatch):
    monkeypatch.setattr(projection, "MOST_POINTS", 20)
    features = {"test": GROUPS[:16], "val": GROUPS[16:]}
    write_projection(tmp_path, features, {"test": np.arange(100, 116), "val": np.arange(20)}, seed=1)
    splits = json.loads((tmp_path / NAME).read_text())["splits"]
    assert splits["test"]["index"] == list(range(100, 116)) and len(splits["val"]["x"]) == len(splits["val"]["index"]) == 4
