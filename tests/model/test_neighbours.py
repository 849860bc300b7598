"""A head of nearest neighbours is scikit-learn's classifier as layers, and a run with one is a run like any other."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from rich.console import Console
from sklearn.neighbors import KNeighborsClassifier

import tfl
from tfl.embeddings.network import build_network
from tfl.embeddings.wanted import wanted_vectors
from tfl.errors import RecipeError
from tfl.evaluate.explain import grad_cam, tensor_of
from tfl.export.ship import ship_model
from tfl.job import run_recipe
from tfl.modalities.base import settled
from tfl.model.assemble import assemble
from tfl.model.head import LOGITS, POOL, STANDARD
from tfl.model.neighbours import (
    EXAMPLES,
    LABELS,
    MOST_NUMBERS,
    REACH,
    neighbour_layers,
    neighbour_logits,
    refuse_too_large,
    set_neighbours,
)
from tfl.prepare import prepare
from tfl.probes.neighbours import NEAREST, NUMBERS, Neighbours
from tfl.serve.predictor import load_run_model
from tfl.strategies import with_strategy
from tfl.vectors import unit_length

RNG = np.random.default_rng(0)
EXAMPLES_, LABELS_ = unit_length(RNG.normal(size=(80, 12))), np.arange(80) % 4
QUERIES = RNG.normal(size=(300, 12)).astype("float32")
RECIPE = tfl.Recipe(
    name="digits",
    data=tfl.Sample("digits", image_size=(32, 32), per_class=15),
    backbone=tfl.Backbone("mini"),
    export=(),
)
KNN = with_strategy(RECIPE, "knn")


def network(number, strength=8.0, examples=EXAMPLES_, labels=LABELS_):
    """The head alone, on vectors that are standardised already."""
    layers = neighbour_layers(4, examples=len(examples), standard=STANDARD, logits=LOGITS)
    given = keras.Input((examples.shape[1],))
    model = keras.Model(given, neighbour_logits(layers, given))
    votes = strength * np.eye(4, dtype=np.float32)[labels]
    set_neighbours(model, Neighbours(examples=examples, votes=votes, number=number))
    return model


def probabilities(model, vectors):
    return keras.ops.convert_to_numpy(keras.ops.softmax(model(vectors)))


@pytest.mark.parametrize("number", NUMBERS)
def test_the_head_answers_as_scikit_learn_does(number):
    reference = KNeighborsClassifier(
        number + 1, metric="cosine", algorithm="brute", weights=lambda d: 1 - d / (d[:, -1:] + NEAREST)
    ).fit(EXAMPLES_, LABELS_)
    found = probabilities(network(number, strength=1e9), QUERIES)  # next to no smoothing
    np.testing.assert_allclose(found, reference.predict_proba(QUERIES), atol=2e-3)
    assert (found.argmax(axis=1) == reference.predict(QUERIES)).all()


def test_votes_are_smoothed_by_one_for_each_class():
    distances, near = KNeighborsClassifier(6, metric="cosine", algorithm="brute").fit(EXAMPLES_, LABELS_).kneighbors(QUERIES)
    votes = np.einsum("nk,nkc->nc", 1 - distances / distances[:, -1:], np.eye(4)[LABELS_[near]])
    expected = (1 + 8 * votes) / (4 + 8 * votes.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(probabilities(network(5), QUERIES), expected, atol=1e-5)


def test_neighbours_that_swap_places_do_not_make_the_answer_jump():
    near = unit_length(np.array([[1.0, 0.3], [1.0, -0.3 - 1e-6], [1.0, -0.3], [-1.0, 0.1]]))
    model = network(1, examples=near, labels=np.array([0, 1, 1, 2]))
    before, after = probabilities(model, np.array([[1.0, 1e-5], [1.0, -1e-5]], np.float32))
    assert before.argmax() == 0 and after.argmax() == 1
    np.testing.assert_allclose(before, after, atol=1e-3)


def test_a_query_with_only_copies_around_it_has_their_label():
    copies = np.concatenate([np.repeat(EXAMPLES_[:1], 30, axis=0), EXAMPLES_[40:]])
    model = network(9, examples=copies, labels=np.concatenate([np.full(30, 2), LABELS_[40:]]))
    found = probabilities(model, copies[:1])
    assert found.argmax() == 2 and found.max() > 0.9


def test_the_head_is_float32_under_every_policy_and_says_nothing_before_it_is_set():
    built = assemble(KNN, ["a", "b", "c"], precision="mixed_bfloat16", examples=20)
    assert all(layer.compute_dtype == "float32" for layer in built.layers_of("head"))
    assert {STANDARD, EXAMPLES, REACH, LABELS, LOGITS} < set(built.head_layers)
    np.testing.assert_allclose(built.model(np.zeros((1, 32, 32, 3), "float32")), 1 / 3, rtol=1e-5)


def test_names_do_not_depend_on_what_was_built_before():
    first, second = (assemble(KNN, ["a", "b"], examples=20).model for _ in range(2))
    assert first.to_json() == second.to_json()


def test_more_numbers_than_a_head_may_hold_are_refused():
    refuse_too_large(MOST_NUMBERS // 1024, 1024)
    with pytest.raises(RecipeError, match=r"65,537 training examples of 1,024 numbers.*so 65,536 examples.*train_per_class"):
        refuse_too_large(MOST_NUMBERS // 1024 + 1, 1024)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"stages": (tfl.Stage("head", epochs=2),)}, r"stages\.head\.epochs=2"),
        ({"stages": (tfl.Stage("probe", epochs=0), tfl.Stage("up", train="top:1"))}, r"stages\.up\.epochs=10"),
        ({"stages": tfl.Auto()}, "Auto"),
        ({"task": "multilabel", "monitor": tfl.Monitor()}, "has another task"),
    ],
)
def test_a_recipe_that_would_train_neighbours_is_refused(change, told):
    with pytest.raises(RecipeError, match=told):
        dataclasses.replace(KNN, **change)


def test_neighbours_without_a_probe_are_refused():
    with pytest.raises(RecipeError, match="start='random'"):
        tfl.Head(probe="knn")


def test_a_search_over_a_recipe_that_trains_nothing_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"stages\.probe\.epochs=0.*tfl study"):
        tfl.tune(KNN, tmp_path / "search")


@pytest.fixture(scope="module")
def small(small_network):
    data = tfl.Sample("digits", image_size=(32, 32), per_class=10, labels=("0", "1", "4", "7"))
    return dataclasses.replace(KNN, data=data, backbone=tfl.Backbone(small_network))


@pytest.fixture(scope="module")
def run(small, tmp_path_factory, with_pictures):
    recipe = dataclasses.replace(small, export=("saved_model", "onnx", "keras"))
    with with_pictures():
        return run_recipe(recipe, out=tmp_path_factory.mktemp("runs") / "whole", console=Console(quiet=True))


@pytest.mark.slow
def test_a_run_of_neighbours_is_scikit_learns_classifier_and_every_export_agrees(run):
    parity = run.manifest["parity"]
    assert {name for name, row in parity.items() if row["holds"]} == {"saved_model", "onnx", "keras"}
    assert json.loads(run.path("recipe.json").read_text())["head"]["probe"] == "knn"
    assert run.read_json("report/album.json")["feature_layer"] == "unit4_out"

    model, bundle = load_run_model(run), prepare(run.recipe, Console(quiet=True)).bundle
    standard = keras.Model(model.input, tensor_of(model, STANDARD))

    def vectors(part):
        indices = bundle.indices(part)
        images = np.concatenate([batch[0] for batch in bundle.dataset(indices, batch_size=32)])
        return images, np.asarray(standard(images)), np.asarray(bundle.examples.labels)[indices]

    _, known, labels = vectors("train")
    images, queries, _ = vectors("test")
    number = int(model.get_layer(REACH).get_weights()[0].argmax())
    reference = KNeighborsClassifier(
        number + 1, metric="cosine", algorithm="brute", weights=lambda d: 1 - d / (d[:, -1:] + NEAREST)
    ).fit(known, labels)
    answers = np.asarray(model(images)).argmax(axis=1)
    assert number in NUMBERS and (answers == reference.predict(queries)).all()
    maps = grad_cam(model, images[:8], answers[:8], feature_layer="unit4_out")
    assert np.isfinite(maps).all() and maps.max(axis=(1, 2)).max() == pytest.approx(1)


@pytest.mark.slow
def test_the_file_for_phones_agrees(run, tmp_path):
    model, bundle = load_run_model(run), prepare(run.recipe, Console(quiet=True)).bundle
    shipped = ship_model(run, model, ("litert",), tmp_path / "export", bundle=bundle, quantize=("float32",))
    assert {name: row["holds"] for name, row in shipped.certificate["exports"].items()} == {"litert_float32": True}


@pytest.mark.slow
@pytest.mark.parametrize("place", ["tfl.job.measure.outputs_by_split", "tfl.train.start.set_neighbours"])
def test_a_run_that_is_stopped_anywhere_comes_to_the_same(small, run, tmp_path, monkeypatch, place):
    quiet = Console(quiet=True)

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(place, stop)
        with pytest.raises(KeyboardInterrupt):
            run_recipe(small, out=tmp_path / "run", console=quiet)
    resumed = run_recipe(small, out=tmp_path / "run", resume=True, console=quiet)
    first, second = (keras.models.load_model(one.path("model.keras")) for one in (run, resumed))
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert resumed.read_json("metrics.json")["test"] == run.read_json("metrics.json")["test"]


@pytest.mark.slow
def test_a_run_of_neighbours_is_embedded_and_becomes_a_backbone(run, tmp_path):
    made = build_network(wanted_vectors(run.folder))
    assert made.model.output_shape[-1] == keras.models.load_model(run.path("model.keras")).get_layer(POOL).output.shape[-1]
    recipe = RECIPE.override("backbone", str(run.folder)).override("stages.head.epochs", 1)
    built = assemble(settled(recipe), ["a", "b"])
    assert built.blocks[-1].name == "unit4_out" and EXAMPLES not in [layer.name for layer in built.model.layers]
