"""What the head makes of several vectors: side by side, their mean, a gate; and what it does without one of them."""

import keras
import numpy as np
import pytest

from tfl.model.join import DROP, join, standard_name
from tfl.recipe import Head

VALUES = {"a": np.array([[1.0, 3.0], [5.0, 7.0]], np.float32), "b": np.array([[np.nan], [4.0]], np.float32)}


def joined(head, *, inputs=("a", "b")):
    vectors = {name: keras.Input((VALUES[name].shape[1],), name=name) for name in inputs}
    present = keras.Input((len(inputs),), dtype="int32", name="present")
    output = join(head, vectors, present, seed=0)
    return keras.Model({**vectors, "present": present}, output)


def answer(model, present, **options):
    values = {name: VALUES[name] for name in VALUES if any(one.name == name for one in model.inputs)}
    return np.asarray(model({**values, "present": np.array(present, np.int32)}, **options))


def test_vectors_are_side_by_side_and_a_missing_one_is_its_mean():
    model = joined(Head())
    layer = model.get_layer(standard_name("a"))
    layer.adapt_mean.assign([1.0, 1.0])
    layer.adapt_variance.assign([4.0, 4.0])
    layer.finalize_state()
    np.testing.assert_allclose(answer(model, [[1, 1], [1, 0]]), [[0, 1, 0], [2, 3, 0]], atol=1e-3)
    np.testing.assert_allclose(answer(model, [[0, 1], [0, 1]]), [[0, 0, 0], [0, 0, 4]], atol=1e-3)


@pytest.mark.parametrize("how", ["mean", "gated"])
def test_an_input_alone_gives_its_projection_whatever_the_other_one_holds(how):
    model = joined(Head(join=how, join_width=3))
    kernel = model.get_layer("a.project").kernel.numpy()
    np.testing.assert_allclose(answer(model, [[1, 0], [1, 0]]), VALUES["a"] @ kernel, rtol=1e-4)
    assert np.isfinite(answer(model, [[1, 1], [0, 0]])).all()


def test_the_mean_counts_what_is_there():
    model = joined(Head(join="mean", join_width=3))
    alone = [answer(model, [[0, 0], row])[1] for row in ([1, 0], [0, 1])]
    np.testing.assert_allclose(answer(model, [[0, 0], [1, 1]])[1], np.mean(alone, axis=0), rtol=1e-4)


def test_inputs_are_left_out_in_training_and_never_all():
    model = joined(Head(drop_input=0.5))
    assert any(layer.name == DROP for layer in model.layers)
    seen = {tuple(np.abs(answer(model, [[1, 1], [1, 1]], training=True)[1]) > 0) for _ in range(60)}
    assert seen == {(True, True, True), (True, True, False), (False, False, True)}
    assert all(layer.name != DROP for layer in joined(Head(drop_input=0.0)).layers)


def test_one_input_alone_is_passed_on():
    model = joined(Head(), inputs=("a",))
    np.testing.assert_allclose(answer(model, [[1], [0]]), [[1, 3], [0, 0]], atol=1e-3)
