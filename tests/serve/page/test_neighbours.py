"""The training pictures of a run: the nearest first, and a damaged file is one message."""

import io

import numpy as np
import pytest

import tfl
from tfl.errors import RunError
from tfl.runs import Run
from tfl.serve.page.neighbours import NAME, load_neighbours

JPEGS = (b"\xff\xd8one", b"\xff\xd8three", b"\xff\xd8two")


def arrays(**changed):
    found = {
        "vectors": np.array([[2, 0], [0, 1], [1, 1]], np.float16),
        "labels": np.array([0, 1, 1]),
        "indices": np.array([0, 2, 9]),
        "thumbnails": np.frombuffer(b"".join(JPEGS), np.uint8),
        "ends": np.cumsum([len(jpeg) for jpeg in JPEGS]),
    }
    return {name: value for name, value in {**found, **changed}.items() if value is not None}


@pytest.fixture
def run(tmp_path):
    recipe = tfl.Recipe(name="insects", data=tfl.Data("unused"), backbone=tfl.Backbone("mini"))
    run = Run.create(tmp_path / "run", recipe, command=[])
    run.update_manifest(data={"class_names": ["ant", "bee"]})
    run.path("data.csv").write_text("split,label,fingerprint,file\n" + "".join(f"train,ant,f{at},{at}.png\n" for at in range(3)))
    return run


def test_the_nearest_come_first_with_their_pictures(run):
    np.savez(run.path(NAME), **arrays())
    found = load_neighbours(run).nearest(np.array([1.0, 0.1]), count=2)
    assert [(one["label"], one["file"]) for one in found] == [("ant", "0.png"), ("bee", "")]
    assert found[0]["distance"] == pytest.approx(1 - 1 / np.sqrt(1.01), abs=1e-3)
    assert found[0]["thumbnail"].startswith("data:image/jpeg;base64,/9h")


def test_texts_are_given_as_texts_with_what_the_listing_says_of_them(run):
    texts = ("ein Käfer".encode(), b"a bee", b"two bees")
    ends = np.cumsum([len(text) for text in texts])
    previews = np.frombuffer(b"".join(texts), np.uint8)
    np.savez(run.path(NAME), **arrays(thumbnails=previews, ends=ends, media=np.array("text/plain")))
    run.path("data.csv").write_text(
        "split,label,fingerprint,file\n" + "".join(f"train,ant;bee,f{at},row {at}\n" for at in range(3))
    )
    first, second = load_neighbours(run).nearest(np.array([1.0, 0.1]), count=2)
    assert (first["text"], first["thumbnail"], first["label"]) == ("ein Käfer", None, "ant;bee")
    assert (second["text"], second["label"]) == ("two bees", "bee")


def test_a_run_may_keep_none(run):
    assert load_neighbours(run) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"vectors": None},
        {"vectors": np.full((3, 2), np.nan, np.float16)},
        {"labels": np.array([0, 1])},
        {"labels": np.array([0, 1, 2])},
        {"labels": np.array([0, 1, -1])},
        {"labels": np.array([0, "x", None], object)},
        {"ends": np.array([1.5, 2.5, 3.5])},
    ],
    ids=str,
)
def test_a_damaged_file_is_told(run, changed):
    np.savez(run.path(NAME), **arrays(**changed))
    with pytest.raises(RunError, match=r"neighbours\.npz is damaged.*tfl evaluate"):
        load_neighbours(run)


def test_a_file_cut_short_is_told(run):
    content = io.BytesIO()
    np.savez(content, **arrays())
    for length in (0, 10, len(content.getvalue()) // 2):
        run.path(NAME).write_bytes(content.getvalue()[:length])
        with pytest.raises(RunError, match="damaged"):
            load_neighbours(run)


def test_vectors_of_another_network_are_told(run):
    np.savez(run.path(NAME), **arrays())
    with pytest.raises(RunError, match="another network"):
        load_neighbours(run).nearest(np.zeros(5))
