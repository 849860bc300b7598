"""Keras' list of attributes that it skips is made once, and what it writes is the same."""

import h5py
import keras
import numpy as np
import pytest
from keras.src.saving import saving_lib

from tfl.backbones.saving import remember_skipped_attributes


def arrays_in(file):
    found = {}
    with h5py.File(file) as stored:
        stored.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


@pytest.mark.slow
def test_a_network_is_saved_as_before_and_no_list_is_made_for_a_layer(tmp_path, monkeypatch):
    inputs = keras.Input((4,))
    inner = keras.Sequential([keras.layers.Dense(3), keras.layers.BatchNormalization()])
    model = keras.Model(inputs, keras.layers.Dense(2)(inner(inputs)))
    keras.utils.clear_session()  # nothing is remembered
    model.save_weights(tmp_path / "before.weights.h5")
    remember_skipped_attributes()
    asked = []
    made_of = saving_lib.global_state.get_global_attribute

    def get(name, *default):
        found = made_of(name, *default)
        asked.append((name, found is not None))
        return found

    monkeypatch.setattr(saving_lib.global_state, "get_global_attribute", get)
    model.save_weights(tmp_path / "after.weights.h5")
    looked_up = [found for name, found in asked if name.startswith("saving_attr")]
    assert len(looked_up) >= 5 and all(looked_up)
    before, after = (arrays_in(tmp_path / f"{name}.weights.h5") for name in ("before", "after"))
    assert before.keys() == after.keys() and len(before) == 8
    assert all(np.array_equal(before[name], after[name]) for name in before)
