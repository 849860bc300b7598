"""The pass over the data: its loss, its metrics and its randomness, against the same thing written out."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import f1_score, log_loss

from tfl.model.lora import lora, lora_layers
from tfl.tasks.classify import TASK
from tfl.train.batches import MemoryEpoch, StreamEpoch
from tfl.train.loop import Loop

CLASSES = 4


def make_model(*, dropout=0.0, seed=0):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((8,))
    hidden = keras.layers.Dropout(dropout)(inputs) if dropout else inputs
    logits = keras.layers.Dense(CLASSES, name="logits")(hidden)
    return keras.Model(inputs, keras.layers.Softmax(name="probabilities")(logits))


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 8)).astype("float32")
    return features, np.eye(CLASSES, dtype="float32")[rng.integers(0, CLASSES, 50)]


def memory(arrays, order=None):
    order = np.arange(len(arrays[0]), dtype=np.int32) if order is None else order
    return MemoryEpoch(tf.constant(arrays[0]), tf.constant(arrays[1]), order)


@pytest.mark.parametrize("weights", [None, np.array([0.5, 1.0, 2.0, 4.0])])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_one_epoch_does_what_keras_fit_does(arrays, weights, smoothing):
    ours, theirs = make_model(), make_model()
    loop = Loop(ours, keras.optimizers.Adam(0.01), batch_size=16, label_smoothing=smoothing, class_weights=weights)
    found = loop.train(memory(arrays))
    theirs.compile(keras.optimizers.Adam(0.01), keras.losses.CategoricalCrossentropy(label_smoothing=smoothing))
    sample = None if weights is None else arrays[1] @ weights
    told = theirs.fit(*arrays, sample_weight=sample, batch_size=16, shuffle=False, verbose=0)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)
    if weights is None:
        assert found["loss"] == pytest.approx(told.history["loss"][0], abs=1e-4)


def test_a_soft_label_weighs_between_its_classes():
    model = make_model()
    features, soft = np.ones((1, 8), "float32"), np.array([[0.5, 0.5, 0, 0]], "float32")
    plain = -(soft * np.log(model(features).numpy())).sum()
    loop = Loop(model, keras.optimizers.SGD(0.0), batch_size=1, class_weights=np.array([1.0, 3.0, 1.0, 1.0]))
    assert loop.train(memory((features, soft)))["loss"] == pytest.approx(2 * plain, rel=1e-5)


def test_a_stream_of_batches_trains_as_memory_does(arrays):
    one, two = make_model(), make_model()
    Loop(one, keras.optimizers.Adam(0.01), batch_size=16).train(memory(arrays))
    dataset = tf.data.Dataset.from_tensor_slices(arrays).batch(16)
    loop = Loop(two, keras.optimizers.Adam(0.01), batch_size=16)
    loop.train(StreamEpoch(dataset))
    for mine, other in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)
    assert loop.evaluate(StreamEpoch(dataset))["val_loss"] == pytest.approx(loop.evaluate(memory(arrays))["val_loss"], rel=1e-5)


def test_a_saturated_softmax_still_has_a_gradient():
    model = make_model()
    model.set_weights([np.zeros((8, CLASSES)), np.array([1000.0, 0, 0, 0])])
    loop = Loop(model, keras.optimizers.SGD(1.0), batch_size=1)
    loop.train(memory((np.zeros((1, 8), "float32"), np.array([[0, 1, 0, 0]], "float32"))))
    assert model.get_weights()[1][:2] == pytest.approx([999.0, 1.0])


@pytest.mark.slow
def test_dropout_follows_the_seed(arrays):
    def loss(*seed):
        loop = Loop(make_model(dropout=0.5), keras.optimizers.SGD(0.0), batch_size=50)
        loop.seed(*seed)
        return loop.train(memory(arrays))["loss"]

    assert loss(0, "head", 1) == loss(0, "head", 1)
    assert loss(0, "head", 1) != loss(0, "head", 2)


def test_judging_is_neither_weighted_nor_smoothed_nor_dropped_out(arrays):
    model = make_model(dropout=0.5)
    loop = Loop(model, keras.optimizers.SGD(0.1), batch_size=16, label_smoothing=0.3, class_weights=np.arange(1.0, 5.0))
    found = loop.evaluate(memory(arrays))
    probabilities, labels = model.predict(arrays[0], verbose=0), arrays[1].argmax(-1)
    assert found["val_loss"] == pytest.approx(log_loss(labels, probabilities.astype("float64")), rel=1e-5)
    assert found["val_macro_f1"] == pytest.approx(f1_score(labels, probabilities.argmax(-1), average="macro"), rel=1e-6)


def test_macro_f1_counts_a_class_that_was_never_met():
    logits, one_hot = np.eye(3)[[0, 1]] * 9.0, np.eye(3)[[0, 1]]
    assert TASK.validate(logits, one_hot)["val_macro_f1"] == pytest.approx(2 / 3)


def test_half_precision_scales_the_loss(arrays):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = make_model()
    finally:
        keras.config.set_dtype_policy("float32")
    loop = Loop(model, keras.optimizers.Adam(0.01), batch_size=16)
    assert isinstance(loop.optimizer, keras.optimizers.LossScaleOptimizer)
    first = loop.evaluate(memory(arrays))["val_loss"]
    for _ in range(10):
        loop.train(memory(arrays))
    assert loop.evaluate(memory(arrays))["val_loss"] < first


def two_layers():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8,))
    hidden = keras.layers.Dense(8, name="body")(inputs)
    logits = keras.layers.Dense(CLASSES, name="logits")(hidden)
    return keras.Model(inputs, keras.layers.Softmax(name="probabilities")(logits))


def test_l2_sp_is_a_penalty_on_the_distance_to_the_start_of_all_but_the_head(arrays):
    """One step of plain gradient descent from elsewhere: the anchors are where the loop was made."""
    model = two_layers()
    body, head = model.get_layer("body"), model.get_layer("logits")
    loop = Loop(model, keras.optimizers.SGD(0.1), batch_size=50, l2_sp=0.5, head=["logits"])
    anchor = [weight.copy() for weight in body.get_weights()]
    body.set_weights([weight + 1 for weight in anchor])
    moved = [*body.get_weights(), *head.get_weights()]
    plain = two_layers()
    for layer, weights in ((plain.get_layer("body"), moved[:2]), (plain.get_layer("logits"), moved[2:])):
        layer.set_weights(weights)
    Loop(plain, keras.optimizers.SGD(0.1), batch_size=50).train(memory(arrays))
    loss = loop.train(memory(arrays))["loss"]
    for ours, without in zip(body.get_weights(), plain.get_layer("body").get_weights(), strict=True):
        np.testing.assert_allclose(ours, without - 0.1 * 0.5 * 1, atol=1e-5)
    for ours, without in zip(head.get_weights(), plain.get_layer("logits").get_weights(), strict=True):
        np.testing.assert_allclose(ours, without, atol=1e-5)
    assert loss > 0.5 / 2 * (8 * 8 + 8)


@pytest.mark.slow
def test_l2_sp_counts_weights_within_layers_once_and_low_rank_changes_by_what_they_add():
    """Zero gradients: the loss above that of the same network is the penalty."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3, 8))
    x = keras.layers.MultiHeadAttention(1, 2, use_bias=False, name="body")(inputs, inputs)
    logits = keras.layers.Dense(CLASSES, name="logits")(keras.layers.GlobalAveragePooling1D()(x))
    model = keras.Model(inputs, keras.layers.Softmax(name="probabilities")(logits))
    rng = np.random.default_rng(0)
    batch = memory((rng.normal(size=(4, 3, 8)).astype("float32"), np.eye(CLASSES, dtype="float32")))
    body = model.get_layer("body")

    def penalty(moves):
        loops = [Loop(model, keras.optimizers.SGD(0.0), batch_size=4, l2_sp=strength, head=["logits"]) for strength in (0.0, 2.0)]
        moves()
        plain, held = (loop.train(batch)["loss"] for loop in loops)
        return held - plain

    kernels = body.weights
    found = penalty(lambda: [kernel.assign(kernel + 1.0) for kernel in kernels])
    assert found == pytest.approx(sum(kernel.numpy().size for kernel in kernels), rel=1e-4)
    query = lora_layers([body])[:1]
    body.trainable = False
    with lora(query, rank=2, seed=0):
        factor = query[0].lora_kernel_b
        found = penalty(lambda: factor.assign(np.ones(factor.shape)))
        change = np.array(query[0].lora_kernel_a) @ np.array(factor)
    assert found == pytest.approx((change**2).sum(), rel=1e-4)


def test_a_strong_l2_sp_keeps_the_backbone_where_it_was(arrays):
    distances = []
    for strength in (0.0, 100.0):
        model = two_layers()
        loop = Loop(model, keras.optimizers.SGD(0.005), batch_size=10, l2_sp=strength, head=["logits"])
        start = model.get_layer("body").get_weights()[0].copy()
        for _ in range(20):
            loop.train(memory(arrays))
        distances.append(np.abs(model.get_layer("body").get_weights()[0] - start).max())
    assert distances[1] < distances[0] / 10
