"""Graphs laid out again: several inputs and outputs, nested models, shared layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tfl.backbones.flat import lay_out, lay_out_above, operations_inside
from tfl.errors import BackboneError

layers = keras.layers


def two_inputs() -> keras.Model:
    left, right = keras.Input((3,), name="left"), keras.Input((3,), name="right")
    total = layers.Add(name="total")([layers.Dense(3, name="a")(left), right])
    return keras.Model({"left": left, "right": right}, {"total": total, "last": layers.Dense(2, name="b")(total)})


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_inputs_by_name_and_outputs_by_name() -> None:
    model = two_inputs()
    fresh = {"right": keras.Input((3,), name="right"), "left": keras.Input((3,), name="left")}
    again = keras.Model(fresh, lay_out(model, fresh))
    given = {"left": values(2, 3), "right": values(2, 3) + 1}
    expected, found = model(given), again(given)
    assert sorted(found) == ["last", "total"]
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_a_list_is_in_the_order_of_the_inputs() -> None:
    model = two_inputs()
    fresh = [keras.Input((3,), name=f"new_{tensor.name}") for tensor in model.inputs]
    again = keras.Model(fresh, lay_out(model, fresh))
    given = {"left": values(2, 3), "right": values(2, 3) + 1}
    found = again([given[tensor.name] for tensor in model.inputs])
    np.testing.assert_array_equal(found["last"], model(given)["last"])


def test_a_layer_with_several_outputs() -> None:
    inputs = keras.Input((5, 4))
    sequence, state = layers.GRU(3, return_sequences=True, return_state=True, name="gru")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Add()([layers.GlobalAveragePooling1D()(sequence), state])))
    fresh = keras.Input((5, 4))
    np.testing.assert_array_equal(keras.Model(fresh, lay_out(model, fresh))(values(2, 5, 4)), model(values(2, 5, 4)))


def test_nested_models_with_several_inputs_are_opened_up() -> None:
    inner, left, right = two_inputs(), keras.Input((3,), name="left"), keras.Input((3,), name="right")
    found = inner({"left": left, "right": right})
    model = keras.Model({"left": left, "right": right}, layers.Concatenate(name="end")([found["total"], found["last"]]))
    fresh = {"left": keras.Input((3,), name="left"), "right": keras.Input((3,), name="right")}
    again = keras.Model(fresh, lay_out(model, fresh))
    assert [operation.name for operation in operations_inside(model)] == ["a", "total", "b", "end"]
    assert {layer.name for layer in again.layers} == {"left", "right", "a", "total", "b", "end"}
    given = {"left": values(2, 3), "right": values(2, 3) + 1}
    np.testing.assert_array_equal(again(given), model(given))


def test_above_a_tensor_a_shared_layer_is_called_again() -> None:
    inputs, shared = keras.Input((4,)), layers.Dense(4, activation="tanh", name="shared")
    middle = shared(inputs)
    model = keras.Model(inputs, shared(shared(middle)))
    fresh = keras.Input((4,))
    above = keras.Model(fresh, lay_out_above(model, [(middle, fresh)]))
    below = keras.Model(inputs, middle)
    np.testing.assert_array_equal(above(below(values(2, 4))), model(values(2, 4)))


def test_above_a_tensor_further_inputs_have_to_be_given() -> None:
    model = two_inputs()
    middle = model.get_layer("a").output
    fresh, right = keras.Input((3,)), keras.Input((3,), name="right")
    with pytest.raises(BackboneError, match="also needs the input right"):
        lay_out_above(model, [(middle, fresh)])
    own = next(tensor for tensor in model.inputs if tensor.name == "right")
    found = lay_out_above(model, [(middle, fresh), (own, right)])
    assert sorted(found) == ["last", "total"]
