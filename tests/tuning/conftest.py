"""Small searches over drawn bars, which a network of a few blocks learns in seconds."""

import dataclasses

import numpy as np
import pytest

import tfl

SIZE = 32


@pytest.fixture(scope="session")
def source(tmp_path_factory, draw_bars):
    file = tmp_path_factory.mktemp("bars") / "bars.npz"
    images, labels = draw_bars(60, SIZE)
    np.savez(file, images=images, labels=labels)
    return str(file)


def _recipe(source, network):
    return tfl.Recipe(
        name="bars",
        data=tfl.Data(source, image_size=(SIZE, SIZE)),
        backbone=tfl.Backbone(network),
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
def recipe(source, small_network):
    return _recipe(source, small_network)


@pytest.fixture(scope="session")
def searched(source, small_network, tmp_path_factory):
    """The recipe's search, run once and not disturbed; to be read only."""
    from tfl.tuning.search import search

    return search(_recipe(source, small_network), out=tmp_path_factory.mktemp("whole") / "search")


@pytest.fixture(scope="session")
def whole(searched):
    """The rows of that search."""
    return _scores(searched)


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
        from tfl.tuning.search import search

        return search(recipe, out=tmp_path / name, **options)

    return run


@pytest.fixture
def scores():
    """What must be the same of two searches: values, status, score and history of every trial."""
    return _scores


def _scores(folder):
    kept = ("number", "values", "status", "reason", "value", "epochs", "history")
    return [{name: row[name] for name in kept} for row in folder.outcomes()]
