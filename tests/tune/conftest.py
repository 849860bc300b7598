"""Small searches over drawn bars, which a network of a few blocks learns in seconds."""

import dataclasses

import numpy as np
import pytest

import tfl

SIZE = 32


def bars(count=60):
    """Noise with a bright bar: lying (0), standing (1) or none (2)."""
    rng = np.random.default_rng(0)
    labels = np.arange(count, dtype=np.int32) % 3
    images = rng.integers(0, 120, (count, SIZE, SIZE, 3)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        at = int(rng.integers(4, SIZE - 8))
        if label == 0:
            image[at : at + 4, :] = 255
        elif label == 1:
            image[:, at : at + 4] = 255
    return images, labels


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    file = tmp_path_factory.mktemp("bars") / "bars.npz"
    images, labels = bars()
    np.savez(file, images=images, labels=labels)
    return str(file)


@pytest.fixture
def recipe(source):
    return tfl.Recipe(
        name="bars",
        data=tfl.Data(source, image_size=(SIZE, SIZE)),
        backbone=tfl.Backbone("mini", weights=None),
        stages=(tfl.Stage("head", epochs=2, batch_size=16, learning_rate=1e-2),),
        export=(),
        search=tfl.Search(
            algorithm="grid",
            space={
                "stages.head.train": tfl.Choice(("head", "top:1")),
                "stages.head.learning_rate": tfl.Choice((1e-2, 1e-3)),
            },
            seeds=0,
            stop_poor=False,
        ),
    )


@pytest.fixture
def searching():
    """The recipe with its search changed."""

    def change(recipe, **fields):
        return dataclasses.replace(recipe, search=dataclasses.replace(recipe.search, **fields))

    return change


@pytest.fixture
def look_for(tmp_path):
    """Searches into a folder below `tmp_path`."""

    def run(recipe, name="search", **options):
        from tfl.run import prepare_data
        from tfl.tune.search import search

        return search(recipe, out=tmp_path / name, prepare=prepare_data, **options)

    return run


@pytest.fixture
def scores():
    """What must be the same of two searches: values, status, score and history of every trial."""
    kept = ("number", "values", "status", "reason", "value", "epochs", "history")
    return lambda folder: [{name: row[name] for name in kept} for row in folder.outcomes()]
