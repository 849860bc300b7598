"""Several inputs behind the protocol of one: tensors of each, which are there, and what is wrong with a part."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from rich.console import Console

import tfl
from tfl.data.audit import audit
from tfl.data.source import load_source
from tfl.errors import DataError, RecipeError
from tfl.modalities.base import chosen, modality_of, settled
from tfl.modalities.several.modality import PRESENT, single_recipe
from tfl.modalities.several.packed import pack, unpack
from tfl.prepare import prepare

pytest.importorskip("keras_hub")


@pytest.fixture(scope="module")
def modality(joint):
    recipe, note = chosen(settled(joint), load_source(joint.data))
    assert note == "photo: missing in 2 of 120 examples."
    return modality_of(recipe)


def test_tensors_are_those_of_each_input_alone(modality, joint):
    contents = [load_source(joint.data).bytes_of(index) for index in (0, 5)]
    tensors = modality.encode(tf.constant(contents))
    assert {name: tuple(tensor.shape[1:]) for name, tensor in tensors.items()} == {
        name: spec.shape for name, spec in modality.spec().items()
    }
    assert tensors[PRESENT].numpy().tolist() == [[1, 1, 1], [0, 1, 1]]
    alone = modality_of(single_recipe(joint, "photo"))
    np.testing.assert_array_equal(tensors["photo_pixels"][0], alone.decode(tf.constant(unpack(contents[0])["photo"])))
    assert not tensors["photo_pixels"].numpy()[1].any()


@pytest.mark.parametrize(
    ("parts", "trouble"),
    [
        ({"photo": b"no photo"}, "photo.not_an_image"),
        ({"photo": b"", "note": b"wet"}, "photo.zero_bytes"),
        ({"note": b" "}, "note.blank"),
        ({"other": b"x"}, "no_input"),
        ({"plant": pack({"age": b"old"})}, "plant.not_a_number"),
    ],
)
def test_what_is_wrong_is_told_of_the_input(modality, parts, trouble):
    found = modality.check(pack(parts))
    assert found.trouble == trouble
    assert modality.troubles[trouble]


@pytest.mark.slow
def test_the_audit_decodes_every_example(modality, joint):
    found = audit(load_source(joint.data), modality=modality, keep=True)
    assert len(found.examples) == 120
    assert found.cached is not None
    assert found.cached.columns[PRESENT][[5]].tolist() == [[0, 1, 1]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backbone": tfl.Backbone("mini")}, "Each of several inputs"),
        ({"stages": tfl.Auto()}, "not there for several inputs"),
        ({"head": tfl.Head(taps=("*",))}, "head.taps"),
        ({"stages": (tfl.Stage("a", augment=tfl.Augment(flip="both")),)}, "does not fit examples of the kind `several`"),
    ],
)
def test_what_several_inputs_do_not_have_is_refused_at_once(joint, changes, said):
    import dataclasses

    with pytest.raises(RecipeError, match=said):
        dataclasses.replace(joint, **changes)


def test_a_recipe_is_written_and_changed_by_input(joint):
    assert tfl.Recipe.from_json(joint.to_json()) == joint
    other = joint.override("backbone.photo", "MobileNetV2").override("data.inputs.photo.size", "64,64")
    assert (other.backbone.name, other.data.inputs["photo"].size) == ("MobileNetV2 + tiny", (64, 64))


@pytest.mark.slow
def test_photos_that_use_some_of_their_bits_are_refused_as_they_are_alone(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(8):
        Image.fromarray(rng.integers(0, 4095, (20, 20)).astype(np.uint16)).save(tmp_path / f"{number}.png")
    rows = [f"{number}.png,note {number},{'ab'[number % 2]}" for number in range(8)]
    (tmp_path / "t.csv").write_text("photo,note,label\n" + "\n".join(rows) + "\n")
    data = tfl.Data(str(tmp_path / "t.csv"), inputs={"photo": tfl.Image(), "note": tfl.Text()})
    backbone = {"photo": tfl.Backbone("mini"), "note": tfl.Backbone("tiny", weights=None)}
    with pytest.raises(DataError, match=r"photo: .*bits"):
        prepare(tfl.Recipe(name="x", data=data, backbone=backbone), Console(quiet=True))
