"""Grad-CAM points at what decides; the overlay shows it."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tfl.errors import BackboneError
from tfl.evaluate.explain import attributions, explained_layer, grad_cam


def _spot_finder(*, logits: str = "logits") -> keras.Model:
    """Class 0 likes red, class 1 likes blue: weights by hand, so what decides is known."""
    pixels = keras.Input((32, 48, 3))
    small = keras.layers.Rescaling(1 / 255)(pixels)
    features = keras.layers.Conv2D(3, 1, use_bias=False, name="features")(keras.layers.AveragePooling2D(4)(small))
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    scores = keras.layers.Dense(2, use_bias=False, name=logits)(pooled)
    model = keras.Model(pixels, keras.layers.Softmax(name="probabilities")(scores))
    model.get_layer("features").set_weights([np.eye(3, dtype=np.float32)[None, None]])
    model.get_layer(logits).set_weights([np.array([[4.0, -4.0], [0.0, 0.0], [-4.0, 4.0]], np.float32)])
    return model


def _picture() -> np.ndarray:
    """Red on the left, blue on the right, black elsewhere."""
    image = np.zeros((1, 32, 48, 3), np.float32)
    image[0, 8:24, 4:12, 0] = 255
    image[0, 8:24, 36:44, 2] = 255
    return image


@pytest.mark.parametrize("logits", ["logits", "scores"])
def test_each_class_is_explained_by_its_own_place(logits: str) -> None:
    model = _spot_finder(logits=logits)
    heat = grad_cam(model, np.repeat(_picture(), 2, axis=0), np.array([0, 1]), feature_layer="features")
    assert heat.shape == (2, 32, 48) and heat.dtype == np.float32
    assert heat.min() == 0.0 and heat.max() == pytest.approx(1.0)
    assert heat[0, 16, 8] > 0.9 and heat[0, :, 30:].max() == 0.0
    assert heat[1, 16, 40] > 0.9 and heat[1, :, :18].max() == 0.0


def test_a_wholly_frozen_model_is_explained_too() -> None:
    model = _spot_finder()
    free = grad_cam(model, _picture(), np.array([0]), feature_layer="features")
    model.trainable = False
    np.testing.assert_array_equal(grad_cam(model, _picture(), np.array([0]), feature_layer="features"), free)


def test_layers_shared_with_another_graph_are_found_in_this_one() -> None:
    other = keras.Input((64, 64, 3), name="other")
    shared = keras.layers.Conv2D(3, 1, use_bias=False, name="features")
    shared(other)  # now `layer.output` belongs to that graph
    pixels = keras.Input((32, 48, 3))
    scores = keras.layers.Dense(2, name="logits")(keras.layers.GlobalAveragePooling2D()(shared(pixels)))
    model = keras.Model(pixels, keras.layers.Softmax()(scores))
    assert grad_cam(model, _picture(), np.array([0]), feature_layer="features").shape == (1, 32, 48)


def test_more_images_than_fit_at_once_each_get_their_own_map() -> None:
    images = np.concatenate([_picture(), _picture()[:, :, ::-1]] * 6)
    heat = grad_cam(_spot_finder(), images, np.zeros(12, int), feature_layer="features")
    np.testing.assert_allclose(heat[10], heat[0], atol=1e-6)
    np.testing.assert_allclose(heat[11], heat[0][:, ::-1], atol=1e-5)


def test_nothing_that_speaks_for_it_is_an_empty_map() -> None:
    heat = grad_cam(_spot_finder(), np.zeros((1, 32, 48, 3)), np.array([0]), feature_layer="features")
    assert np.isfinite(heat).all() and heat.max() == 0.0


def test_looking_changes_nothing() -> None:
    model = _spot_finder()
    before = [weight.numpy().copy() for weight in model.weights]
    grad_cam(model, _picture(), np.array([0]), feature_layer="features")
    assert all(np.array_equal(old, new.numpy()) for old, new in zip(before, model.weights, strict=True))


@pytest.mark.parametrize(("layer", "message"), [("featurs", "Did you mean `features`"), ("logits", "no feature map")])
def test_a_layer_that_cannot_be_looked_at_is_refused(layer: str, message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        grad_cam(_spot_finder(), _picture(), np.array([0]), feature_layer=layer)


def _reader() -> keras.Model:
    """Token 1 speaks for output 0, token 2 for output 1; the mean over the mask, so that the position says nothing."""
    tokens, mask = keras.Input((6,), dtype="int32", name="token_ids"), keras.Input((6,), dtype="int32", name="padding_mask")
    vectors = keras.layers.Embedding(4, 3, name="embeddings")(tokens)
    shares = keras.layers.Rescaling(1.0)(keras.ops.expand_dims(keras.ops.cast(mask, "float32"), -1))
    pooled = keras.ops.sum(vectors * shares, axis=1) / keras.ops.sum(shares, axis=1)
    scores = keras.layers.Dense(2, use_bias=False, name="logits")(pooled)
    model = keras.Model({"token_ids": tokens, "padding_mask": mask}, keras.layers.Softmax(name="probabilities")(scores))
    model.get_layer("embeddings").set_weights([np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)])
    model.get_layer("logits").set_weights([np.array([[3.0, -3.0], [-1.0, 1.0], [0.0, 0.0]], np.float32)])
    return model


@pytest.mark.parametrize("frozen", [False, True])
def test_tokens_speak_for_an_output_or_against_it(frozen: bool) -> None:
    model = _reader()
    model.trainable = not frozen
    tokens = {
        "token_ids": np.array([[3, 1, 2, 0, 1, 1]] * 10, np.int32),
        "padding_mask": np.array([[1, 1, 1, 1, 0, 0]] * 10, np.int32),
    }
    layer = explained_layer(model, ["embeddings", "embeddings"])
    found = attributions(model, tokens, np.array([0, 1] * 5), layer=layer)
    assert found.shape == (10, 6) and found.dtype == np.float32
    np.testing.assert_allclose(found[0], [0, 1, -1 / 3, 0, 0, 0], atol=1e-6)  # padding says nothing, whatever its token is
    np.testing.assert_allclose(found[9], [0, -1, 1 / 3, 0, 0, 0], atol=1e-6)


def test_feature_maps_are_explained_at_the_last_block_and_vectors_not_at_all() -> None:
    model = _spot_finder()
    assert explained_layer(model, ["rescaling", "features"]) == "features"
    heat = attributions(model, _picture(), np.array([0]), layer="features")
    np.testing.assert_array_equal(heat, grad_cam(model, _picture(), np.array([0]), feature_layer="features"))
    assert explained_layer(model, ["logits", "logits"]) is None
