"""An index behind the page: its examples in the place of the run's, with a preview where the file is there."""

import io

import pytest
from PIL import Image

import tfl
from tfl.embeddings.served import IndexOnPage
from tfl.errors import DataError, TflError
from tfl.modalities.shipping import shipping_of_about
from tfl.serve.page.answer import Answers


def content_of(file):
    content = io.BytesIO()
    Image.open(file).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def served(embedded, coloured):
    return IndexOnPage.open(embedded.path, coloured)  # what is no run is taken for images


@pytest.mark.slow
def test_the_nearest_with_their_previews(served, coloured):
    found = served.ready()(content_of(coloured / "red" / "2.png"))
    assert len(found) == 6 and [row["label"] for row in found] == ["red"] * 6
    assert found[0]["distance"] == pytest.approx(0, abs=1e-4) and found[0]["thumbnail"].startswith("data:image/jpeg;base64,")


@pytest.mark.slow
def test_files_that_are_gone_have_no_preview(coloured, small_network, tmp_path):
    photo = tmp_path / "photo.png"
    photo.write_bytes(content_of(coloured / "red" / "0.png"))
    tfl.embed(small_network, photo, tmp_path / "v.npy", settings={"data.image_size": (32, 32)})
    index = IndexOnPage.open(tmp_path / "v.npy", coloured)
    content = photo.read_bytes()
    photo.unlink()
    (found,) = index.nearest(content)
    assert (found["label"], found["thumbnail"], found["text"]) == ("", None, "")
    with pytest.raises(TflError, match="no vector"):
        index.nearest(b"no picture")


def test_vectors_of_another_kind_are_refused(embedded, coloured, monkeypatch):
    monkeypatch.setattr("tfl.embeddings.served.nouns_of", lambda path: ("text", "texts"))
    with pytest.raises(DataError, match="has vectors of images"):
        IndexOnPage.open(embedded.path, coloured)


def test_the_page_says_where_its_examples_are_from(served):
    found = [{"label": "ant", "file": "1.png", "distance": 0.0, "thumbnail": None, "text": ""}]

    def broken(content):
        raise TflError("gone")

    for nearest, neighbours in ((lambda content: found, found), (broken, None)):
        answers = Answers(None, shipping=shipping_of_about({}), nearest=nearest)
        near, why = answers._from_index(nearest, b"")
        assert near == neighbours and ("neighbours" in why) == (neighbours is None)
