"""Lets the data tests import their helper `image_files`, and reads a small set of photos for those of further images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Twenty images of ants and bees as `tfl run` has read them; to be read only."""
    from rich.console import Console

    import tfl
    from tests.data.test_extra_data import write
    from tfl.prepare import prepare

    folder = write(tmp_path_factory.mktemp("target") / "target", {"ant": 10, "bee": 10})
    data = tfl.Data(str(folder), image_size=(32, 32))
    return prepare(tfl.Recipe(name="x", data=data, backbone=tfl.Backbone("mini")), Console(quiet=True)).bundle
