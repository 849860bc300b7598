"""The keys of stored image features are those of before there were other kinds of examples: nothing is computed again."""

from __future__ import annotations

import keras
import pytest
import tensorflow as tf

import tfl
from tfl.data.bundle import Bundle
from tfl.data.source import load_source
from tfl.data.split import split
from tfl.features.cut import cut
from tfl.features.extract import Extractor, _Rows
from tfl.model.assemble import assemble

VERSIONS = ("2.21.0", "3.15.1")
"""Of TensorFlow and Keras, which are part of a key."""
KEYS = {
    (3, False): "150e1629eb9386876d5a5842bedbbf5f1d3c24ef0dc2bc7c689bdfd198f5294f",
    (3, True): "e8803d81f19767ae2490e51ac04947085ce3c5d0bb4a8e94c036a04a20f213a0",
    (8, False): "d045b6d19aeb58df3da8e27b7dc420491cd2d8e6195c2152c9f1e311488b15a9",
    (8, True): "cd4fb2c3f754162a79108527573ea93a2b6d7f906d45b43b6c2f57e2b1d83f26",
}
"""By block and whether the second augmented copies are meant; printed by the version before the change."""


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    data = tfl.Sample("digits", image_size=(32, 32), per_class=5)
    examples = load_source(data)
    prints = [examples.fingerprint_of(index) for index in range(len(examples))]
    parts = split(examples, validation=0.2, test=0.2, seed=0, fingerprints=prints)
    return Bundle(examples=examples, split=parts, data=data, seed=0, fingerprints=prints)


@pytest.mark.skipif(
    (tf.__version__, keras.__version__) != VERSIONS, reason=f"the keys are those of TensorFlow and Keras {VERSIONS}"
)
@pytest.mark.parametrize(("block", "augmented"), KEYS)
def test_a_key_is_what_it_was(bundle: Bundle, block: int, augmented: bool) -> None:
    recipe = tfl.Recipe(name="k", data=bundle.data, backbone=tfl.Backbone("mini"))
    prefix, _ = cut(assemble(recipe, bundle.examples.class_names), block)
    rows = _Rows(bundle, "train", tfl.Augment(flip="horizontal") if augmented else None, int(augmented))
    (space,), _ = Extractor([prefix], bundle, features=tfl.Features())._spaces(rows)
    assert space.key == KEYS[block, augmented]
