"""The training pictures that a run keeps: an even choice, vectors of length one, thumbnails that open."""

import io

import numpy as np
from PIL import Image

import tfl
from tfl.data.bundle import Bundle
from tfl.data.examples import Examples
from tfl.data.split import Split
from tfl.evaluate.neighbours import NAME, choose_evenly, write_neighbours


def test_every_class_has_its_share_and_the_seed_decides():
    labels = np.repeat(np.arange(3), (500, 40, 5))
    chosen = choose_evenly(labels, count=60, seed=1)
    assert np.bincount(labels[chosen]).tolist() == [28, 27, 5] or np.bincount(labels[chosen]).tolist() == [27, 28, 5]
    assert (np.diff(chosen) > 0).all()
    assert choose_evenly(labels, count=60, seed=1).tolist() == chosen.tolist() != choose_evenly(labels, count=60, seed=2).tolist()
    assert choose_evenly(labels, count=10_000, seed=1).tolist() == list(range(545))


def test_the_file_has_what_the_page_reads(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 200, 120, 3)).astype(np.uint8)
    images[4] = 200
    examples = Examples(class_names=("a", "b"), labels=np.array([0, 1] * 3), arrays=images)
    nothing = np.array([], np.int64)
    bundle = Bundle(
        examples=examples,
        split=Split(train=np.arange(6), val=nothing, test=nothing),
        data=tfl.Data("x", image_size=(200, 120)),
        seed=0,
        fingerprints=[""] * 6,
    )
    write_neighbours(tmp_path, np.array([[3.0, 4.0], [1.0, 0.0]]), bundle, np.array([1, 4]))
    found = np.load(tmp_path / NAME, allow_pickle=False)
    assert found["vectors"].dtype == np.float16
    np.testing.assert_allclose(found["vectors"], [[0.6, 0.8], [1.0, 0.0]], atol=1e-3)
    assert found["labels"].tolist() == [1, 0] and found["indices"].tolist() == [1, 4]
    pictures = np.split(found["thumbnails"], found["ends"][:-1])
    second = Image.open(io.BytesIO(pictures[1].tobytes()))
    assert second.size == (58, 96) and abs(np.asarray(second).astype(int) - 200).max() <= 2
