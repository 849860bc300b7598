"""Small photos of three colours, and their vectors by a small network."""

import numpy as np
import pytest
from PIL import Image

import tfl

COLOURS = {"blue": (30, 40, 200), "green": (30, 190, 60), "red": (200, 40, 30)}


@pytest.fixture(scope="session")
def coloured(tmp_path_factory):
    """Class folders with six pictures each: noise around a colour."""
    folder, rng = tmp_path_factory.mktemp("coloured"), np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir()
        for number in range(6):
            pixels = np.clip(np.array(colour) + rng.normal(0, 6, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def embedded(coloured, small_network, tmp_path_factory):
    """Their vectors, as a file that no test changes."""
    out = tmp_path_factory.mktemp("vectors") / "coloured.parquet"
    return tfl.embed(small_network, coloured, out, settings={"data.image_size": (32, 32)})
