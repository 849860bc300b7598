"""The answer: what NumPy makes of logits and features, inside a graph of stock layers."""

import dataclasses

import keras
import numpy as np
import pytest

import tfl
from tfl.errors import ExportError
from tfl.evaluate.confidence import fit_confidence
from tfl.evaluate.explain import tensor_of
from tfl.export.answer import build_answer
from tfl.modalities.base import modality_of_data
from tfl.model.assemble import assemble
from tfl.tasks.base import task_of

SIDE, NAMES = 32, ("a", "b", "c")
EXTRA = ("calibrated_probabilities", "prediction_set", "out_of_distribution_score", "is_out_of_distribution")
MODALITY = modality_of_data(tfl.Data("x", image_size=(SIDE, SIDE)))


def built(model, confidence):
    return build_answer(model, confidence, modality=MODALITY, task=task_of("classify"))


@pytest.fixture(scope="module")
def network(small_network):
    def make(head=None, policy="float32"):
        data = tfl.Data("x", image_size=(SIDE, SIDE))
        recipe = tfl.Recipe(name="r", data=data, backbone=tfl.Backbone(small_network), head=head or tfl.Head())
        keras.config.set_dtype_policy(policy)
        try:
            return assemble(recipe, NAMES).model
        finally:
            keras.config.set_dtype_policy("float32")

    return make


def pixels(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3)).astype("float32")


def inside(model, images):
    """Logits and features of the model itself."""
    return keras.Model(model.input, [tensor_of(model, "logits"), tensor_of(model, "head_pool")]).predict(images, verbose=0)


def fitted(model, **settings):
    logits, features = inside(model, pixels(30, seed=1))
    targets = np.eye(3)[(logits.argmax(-1) + (np.arange(30) % 4 == 0)) % 3]
    training = inside(model, pixels(20, seed=2))[1]
    return fit_confidence(
        tfl.Calibration(**settings), logits=logits, features=features, targets=targets, training_features=training
    )


@pytest.fixture(scope="module")
def plain(network):
    model = network()
    return model, fitted(model, familiar=0.9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "policy"),
    [
        (tfl.Head(), "float32"),
        (tfl.Head(hidden=(8,), pooling="max"), "mixed_bfloat16"),
        (tfl.Head(taps=("unit1_out", "unit4_out")), "float32"),
    ],
    ids=["plain", "hidden layers in bfloat16", "taps"],
)
def test_the_graph_gives_what_numpy_gives(network, head, policy):
    model = network(head, policy)
    confidence, images = fitted(model, familiar=0.9), np.concatenate([pixels(4, seed=3), np.full((1, SIDE, SIDE, 3), 255.0)])
    answer = built(model, confidence)
    found = {name: keras.ops.convert_to_numpy(value) for name, value in answer(images, training=False).items()}
    logits, features = inside(model, images)
    expected = confidence.answer(logits, features)
    assert set(found) == {"probabilities", *EXTRA} and answer.input.name == "pixels"
    np.testing.assert_allclose(found["probabilities"], model.predict(images, verbose=0), atol=1e-5)
    for name in ("calibrated_probabilities", "out_of_distribution_score"):
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
    for name in ("prediction_set", "is_out_of_distribution"):
        assert found[name].dtype == bool and found[name].tolist() == expected[name].tolist()
    assert found["out_of_distribution_score"].shape == found["is_out_of_distribution"].shape == (5,)


@pytest.mark.slow
def test_without_confidence_there_are_only_probabilities(plain):
    images = pixels(2)
    answer = built(plain[0], None)
    found = answer(images, training=False)
    assert list(found) == ["probabilities"]
    np.testing.assert_allclose(found["probabilities"], plain[0].predict(images, verbose=0), atol=1e-5)


def test_the_most_probable_class_is_in_the_set_whatever_the_threshold(plain):
    strict = dataclasses.replace(plain[1], values={**plain[1].values, "set_threshold": 1.0})
    found = built(plain[0], strict)(pixels(6), training=False)
    sets, best = np.asarray(found["prediction_set"]), np.asarray(found["probabilities"]).argmax(-1)
    assert sets.sum(-1).tolist() == [1] * 6 and sets[np.arange(6), best].all()


def test_the_third_nearest_counts_where_it_was_fitted_so(plain):
    model, confidence = plain
    third, images = dataclasses.replace(confidence, nearest=3), pixels(3)
    found, first = (built(model, one)(images, training=False)["out_of_distribution_score"] for one in (third, confidence))
    np.testing.assert_allclose(found, third.answer(*inside(model, images))["out_of_distribution_score"], atol=1e-5)
    assert (np.asarray(found) > np.asarray(first)).all()


def test_another_model_is_refused(network, plain):
    inputs = keras.Input((SIDE, SIDE, 3))
    other = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(inputs)))
    with pytest.raises(ExportError, match="head of a tfl model"):
        built(other, plain[1])
    with pytest.raises(ExportError, match="not those that the confidence was fitted on"):
        built(network(tfl.Head(taps=("unit1_out", "unit4_out"))), plain[1])
