"""Search: exact against scikit-learn, and the graph against the exact one, also after rows were added and removed."""

import importlib.util

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from tfl.embeddings import search
from tfl.embeddings.search import Graph, check_search, exact, graph_file, nearest
from tfl.embeddings.vector_file import Rows, open_vectors, write_vectors
from tfl.errors import MissingExtraError

WIDTH = 16


def made(path, numbers, *, seed=0):
    every = np.random.default_rng(seed).normal(size=(1000, WIDTH)).astype(np.float32)
    names = [f"{number}.png" for number in numbers]
    rows = Rows(files=names, labels=[""] * len(names), fingerprints=[f"f{number}" for number in numbers])
    write_vectors(path, {"width": WIDTH}, [(rows, every[list(numbers)])], count=len(names))
    return open_vectors(path)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_exact_agrees_with_scikit_learn(tmp_path, metric, monkeypatch):
    file = made(tmp_path / "v.npy", range(500))
    monkeypatch.setattr("tfl.embeddings.vector_file.ROWS_AT_ONCE", 64)
    queries = np.random.default_rng(1).normal(size=(7, WIDTH)).astype(np.float32)
    distances, expected = NearestNeighbors(n_neighbors=5, metric=metric).fit(file.read_all()).kneighbors(queries)
    places, values = exact(file, queries, count=5, metric=metric)
    assert np.array_equal(places, expected)
    assert np.allclose(1 - values if metric == "cosine" else values, distances, atol=1e-4)


def test_fewer_rows_than_asked_for(tmp_path):
    places, values = nearest(made(tmp_path / "v.npy", range(3)), np.ones((1, WIDTH), np.float32), count=9)
    assert places.shape == (1, 3) and np.isfinite(values).all()


@pytest.fixture
def graphs(monkeypatch):
    pytest.importorskip("usearch", reason="usearch is not installed: pip install 'tfl[similar]'")
    monkeypatch.setattr(search, "EXACT_BELOW", 100)


def agreement(file):
    queries = np.random.default_rng(2).normal(size=(20, WIDTH)).astype(np.float32)
    places, values = nearest(file, queries, count=5)
    expected, exactly = exact(file, queries, count=5)
    assert np.allclose(values[places == expected], exactly[places == expected], atol=1e-6)
    return (places == expected).mean()


def test_the_graph_finds_what_the_exact_search_finds(tmp_path, graphs):
    said = []
    file = made(tmp_path / "v.npy", range(800))
    assert agreement(file) > 0.97
    nearest(file, np.ones((1, WIDTH), np.float32), count=1, say=said.append)
    assert graph_file(file.path).is_file() and not said  # it lies there
    assert nearest(file, file.read_all(), count=1)[0][:, 0].tolist() == list(range(800))  # every row is found by itself


def test_the_graph_follows_rows_that_are_added_and_removed(tmp_path, graphs):
    path = tmp_path / "v.npy"
    made(path, range(300))
    nearest(open_vectors(path), np.ones((1, WIDTH), np.float32), count=1)
    changed = made(path, [*range(50, 300), *range(400, 600)])
    assert agreement(changed) > 0.97
    graph = Graph.of(changed)
    assert len(graph._index) == 450
    removed = np.random.default_rng(0).normal(size=(1000, WIDTH)).astype(np.float32)[:1]
    assert nearest(changed, removed, count=1)[1][0, 0] < 0.999


def test_a_graph_that_is_damaged_or_of_other_vectors_is_built_again(tmp_path, graphs):
    path = tmp_path / "v.npy"
    file = made(path, range(200))
    agreement(file)
    graph_file(path).write_bytes(b"damaged")
    assert agreement(file) > 0.97
    file.about["weights"] = "others"
    said = []
    nearest(file, np.ones((1, WIDTH), np.float32), count=1, say=said.append)
    assert len(said) == 1 and "once" in said[0]


def test_an_absent_extra_is_named(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "usearch" else found(name, *more))
    check_search(49_999, "cosine")
    check_search(10**6, "euclidean")
    with pytest.raises(MissingExtraError, match=r"tfl\[similar\]"):
        check_search(50_000, "cosine")
