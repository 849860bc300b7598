"""What the tests of bad input share: a finished run to damage, an end to anything that hangs, and a look at the memory."""

from __future__ import annotations

import faulthandler
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "data")]

LIKELY_HUNG_S = 240
settings.register_profile(
    "malformed", derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), max_examples=60
)


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """A test that hangs inside a C++ library can only be ended with its process; the traceback says where."""
    faulthandler.dump_traceback_later(LIKELY_HUNG_S, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def small_memory() -> Iterator[None]:
    """Fails a test that lets the process grow by more than 150 MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 150_000, f"the process grew by {grown} kB"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, with_pictures: Callable[[], Any]) -> Path:
    """The folder of a finished run: two stages over three classes of digits, on a network of three small layers.

    Its recipe names no export, so that a resumed run writes none; one lies in the folder nevertheless.
    """
    import keras

    import tfl
    from tfl.export.ship import ship_model
    from tfl.job import run_recipe

    base = tmp_path_factory.mktemp("finished")
    pixels = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255, name="scale")(pixels)
    for number in (1, 2):
        x = keras.layers.Conv2D(6, 3, strides=4, padding="same", name=f"conv{number}")(x)
        x = keras.layers.ReLU(name=f"out{number}")(keras.layers.BatchNormalization(name=f"norm{number}")(x))
    keras.Model(pixels, x, name="tiny").save(base / "tiny.keras")
    recipe = tfl.Recipe(
        name="tiny",
        data=tfl.Sample("digits", image_size=(32, 32), per_class=12, labels=("0", "3", "8")),
        backbone=tfl.Backbone(str(base / "tiny.keras")),
        stages=(tfl.Stage("head", epochs=2), tfl.Stage("finetune", train="top:1", epochs=1)),
        export=(),
    )
    with with_pictures():
        run = run_recipe(recipe, out=base / "run")
    ship_model(run, keras.models.load_model(run.path("model.keras")), ["saved_model"], run.path("export"), bundle=None)
    return run.folder


@pytest.fixture
def run_folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "run"))
