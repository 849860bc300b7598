"""Frozen features of several inputs lie where those of each input alone lie: nothing is computed twice."""

import importlib.util

import numpy as np
import pytest
from rich.console import Console

import tfl
from tfl.features.cut import cut, cut_branches
from tfl.features.engines import KerasEngine
from tfl.features.extract import Extractor
from tfl.features.joined import JoinedExtractor, extractor_of
from tfl.modalities.several.modality import single_recipe
from tfl.model.assemble import assemble_for
from tfl.prepare import prepare

pytestmark = pytest.mark.skipif(importlib.util.find_spec("keras_hub") is None, reason="no KerasHub")
QUIET = Console(quiet=True)


@pytest.fixture
def counted(monkeypatch):
    """How many examples went through a frozen network."""
    rows = []
    call = KerasEngine.__call__

    def counting(self, inputs):
        made = call(self, inputs)
        rows.append(len(made[0]))
        return made

    monkeypatch.setattr(KerasEngine, "__call__", counting)
    return rows


def joined_of(prepared):
    assembled = assemble_for(prepared.recipe, prepared.bundle)
    full = {name: len(blocks) for name, blocks in assembled.groups().items()}
    models = [cut_branches(assembled, full)[0]]
    return lambda: extractor_of(models, prepared.bundle, features=prepared.recipe.features)


def single_of(prepared):
    assembled = assemble_for(prepared.recipe, prepared.bundle)
    models = [cut(assembled, len(assembled.blocks))[0]]
    return lambda: Extractor(models, prepared.bundle, features=prepared.recipe.features)


@pytest.mark.slow
def test_joint_and_single_runs_share_what_they_compute(joint, bars_with_notes, counted, tmp_path, monkeypatch):
    both = prepare(joint, QUIET)
    alone = [single_of(prepare(single_recipe(both.recipe, "note"), QUIET))]
    with_photo = both.bundle.of_input("photo", both.bundle.modality.parts["photo"])[0]
    photos = single_of(prepare(tfl.Recipe(name="p", data=photo_table(joint, tmp_path), backbone=tfl.Backbone("mini")), QUIET))
    assert len(photos().bundle.examples) == len(with_photo.examples) == 118
    alone.append(photos)
    joined = joined_of(both)
    assert isinstance(joined(), JoinedExtractor)
    distinct = len({row.split(",")[1] for row in bars_with_notes.read_text().splitlines()[1:]})  # equal notes are computed once
    for place, order in (("joint first", (joined, *alone)), ("joint last", (*alone, joined))):
        monkeypatch.setenv("TFL_CACHE", str(tmp_path / place))
        counted.clear()
        sums = []
        for make in order:
            extractor = make()
            extractor.run(np.arange(len(extractor.bundle.examples)))
            sums.append(sum(counted))
        assert sums[-1] == 118 + distinct
        assert sums == ([sums[-1]] * 3 if place == "joint first" else [distinct, *[sums[-1]] * 2])


def photo_table(joint, folder):
    """The rows of the table that have a photo, as a run on photos alone takes them."""
    import csv
    from pathlib import Path

    source = Path(joint.data.source)
    rows = [row for row in csv.DictReader(source.open()) if row["photo"]]
    with open(folder / "photos.csv", "w", newline="") as file:
        csv.writer(file).writerows([("photo", "label"), *((source.parent / row["photo"], row["label"]) for row in rows)])
    size = joint.data.inputs["photo"].size
    return tfl.Data(str(folder / "photos.csv"), image_size=size, path_column="photo")


@pytest.mark.slow
def test_a_missing_input_is_zeros_and_its_features_are_not_computed(joint):
    prepared = prepare(joint, QUIET)
    (found,), targets = joined_of(prepared)().run(np.array([4, 5, 90, 91]))
    assert set(found) == {"photo_features", "note_features"}
    assert np.asarray(found["photo_features"][:]).any(axis=1).tolist() == [True, False, False, True]
    assert np.asarray(found["note_features"][:]).any(axis=1).all() and targets.shape == (4, 4)
