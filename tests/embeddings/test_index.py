"""An index: the nearest come first; adding and removing change what is found, and nothing else."""

import shutil

import numpy as np
import pytest

import tfl
from tfl.errors import BadContentError, DataError


@pytest.fixture
def index(embedded, tmp_path):
    """An index of its own: the file of the others, copied."""
    return tfl.load_vectors(shutil.copy(embedded.path, tmp_path / "v.parquet"))


@pytest.fixture(params=[".parquet", ".npy"])
def either(request, coloured, small_network, tmp_path):
    if request.param == ".parquet":
        return request.getfixturevalue("index")
    return tfl.embed(small_network, coloured, tmp_path / "v.npy", settings={"data.image_size": (32, 32)})


def labels(found):
    return [row["label"] for row in found[0]["neighbours"]]


@pytest.mark.slow
def test_the_nearest_have_its_colour(embedded, coloured):
    found = tfl.similar(embedded.path, coloured / "green" / "2.png", top=6)
    first = found[0]["neighbours"][0]
    assert first["same_content"] and first["similarity"] == pytest.approx(1, abs=1e-5) and first["label"] == "green"
    assert labels(found) == ["green"] * 6
    values = [row["similarity"] for row in found[0]["neighbours"]]
    assert values == sorted(values, reverse=True)
    far = tfl.similar(embedded, coloured / "green" / "2.png", metric="euclidean", top=2)[0]["neighbours"]
    assert far[0]["distance"] == pytest.approx(0, abs=1e-2) and far[1]["distance"] > 0


def test_a_query_is_encoded_as_the_index_was(embedded, coloured):
    file = coloured / "red" / "4.png"
    row = embedded.rows.files.index(str(file))
    assert np.array_equal(embedded.encode(file).vectors[0], embedded.vectors([row])[0])


@pytest.mark.slow
def test_adding_removing_and_replacing(either, coloured, tmp_path):
    index = either
    before = index.vectors()
    white = tmp_path / "more" / "white.png"
    white.parent.mkdir()
    shutil.copy(coloured / "blue" / "0.png", white)
    done = index.add(white, label="own")
    assert (done.added, done.replaced, done.count) == (1, 0, 19) and index.rows.labels[-1] == "own"
    assert np.array_equal(index.vectors()[:18], before)
    shutil.copy(coloured / "red" / "0.png", white)
    done = index.add(white, label="other")
    assert (done.added, done.replaced, len(index)) == (0, 1, 19)
    assert labels(index.similar(coloured / "red" / "0.png", top=2).queries) == ["red", "other"]
    white.unlink()
    assert index.remove(white).removed == 1
    assert np.array_equal(index.vectors(), before) and np.array_equal(tfl.load_vectors(index.path).vectors(), before)
    assert index.remove(coloured / "green").removed == 6 and "green" not in index.rows.labels


@pytest.mark.slow
def test_what_is_not_there_is_told_and_nothing_changes(index, coloured, tmp_path):
    before = index.path.read_bytes()
    with pytest.raises(DataError, match=r"nowhere\.png"):
        index.remove([coloured / "red" / "0.png", "nowhere.png"])
    with pytest.raises(DataError, match="Nothing would be left"):
        index.remove(coloured)
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(BadContentError, match=r"bad\.png"):
        index.add([tmp_path / "bad.png", coloured / "red" / "0.png"])
    with pytest.raises(DataError, match=r"There is no file nowhere\.png"):
        index.similar("nowhere.png")
    with pytest.raises(DataError, match="Texts cannot be compared"):
        index.similar(texts=["a text"])
    with pytest.raises(DataError, match="metric"):
        index.similar(coloured / "red", metric="manhattan")
    assert index.path.read_bytes() == before and not list(tmp_path.glob(".*part"))


@pytest.mark.slow
def test_files_that_cannot_be_read_are_told(embedded, coloured, tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    both = [tmp_path / "bad.png", coloured / "red" / "0.png"]
    with pytest.raises(BadContentError, match=r"bad\.png"):
        embedded.similar(both)
    found = embedded.similar(both, on_bad="skip")
    assert len(found.queries) == 1 and len(found.unreadable) == 1


@pytest.mark.slow
def test_same_or_not(embedded, coloured):
    measured = tfl.verify(embedded, far=0.1)
    assert measured.labels == 3 and measured.genuine == 45 and measured.impostor == 108 and measured.equal_error_rate < 0.1
    one, other = coloured / "red" / "0.png", coloured / "red" / "1.png"
    assert tfl.verify(embedded, one, other, far=0.1).same
    assert not tfl.verify(embedded, one, coloured / "blue" / "1.png", far=0.1).same
    assert tfl.verify(embedded, one, other, threshold=1.0).same is False
    with pytest.raises(DataError, match="Two files are compared"):
        tfl.verify(embedded, one)
