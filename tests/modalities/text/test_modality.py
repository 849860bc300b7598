"""From contents to tokens, in a dataset, in a signature, and with the real encoder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfl
from tfl.data.examples import Examples
from tfl.errors import DataError, RecipeError
from tfl.modalities.base import chosen, modality_of, settled

pytest.importorskip("keras_hub")


def recipe(folder: Path | str, length: int | None = 12, **head: Any) -> tfl.Recipe:
    data = tfl.Data("reviews.csv", input=tfl.Text(length=length))
    return tfl.Recipe(name="reviews", data=data, backbone=tfl.Backbone(str(folder)), head=tfl.Head(**head))


def texts(*contents: str) -> Examples:
    found = np.array([content.encode() for content in contents], object)
    return Examples(class_names=("a", "b"), labels=np.arange(len(found)) % 2, contents=found, source="reviews")


def test_tokens_are_those_of_keras_hubs_own_preprocessor(bert_folder: Path) -> None:
    import tensorflow as tf
    from keras_hub import models

    own = models.BertTextClassifierPreprocessor(models.BertTokenizer.from_preset(str(bert_folder)), sequence_length=12)
    batch = tf.constant(["The film is unforgettable !", "a " * 40, "dull", "unknown wörds"])
    expected, found = own(batch), modality_of(recipe(bert_folder)).encode(batch)
    assert sorted(found) == sorted(expected) == ["padding_mask", "segment_ids", "token_ids"]
    for name in expected:
        np.testing.assert_array_equal(found[name].numpy(), expected[name].numpy().astype("int32"))


def test_the_spec_is_what_comes_out(bert_folder: Path) -> None:
    import tensorflow as tf

    modality = modality_of(recipe(bert_folder))
    found, sample = modality.encode(tf.constant(["a film"])), modality.sample_tensors(3)
    network = modality.build_backbone(recipe(bert_folder).backbone)
    assert sorted(modality.spec()) == sorted(found) == sorted(sample) == sorted(one.name for one in network.inputs)
    for name, spec in modality.spec().items():
        assert found[name].dtype == spec.dtype == sample[name].dtype.name
        assert tuple(found[name].shape[1:]) == spec.shape == sample[name].shape[1:]
    assert np.asarray(network(sample)).shape == (3, 12, 16)


def test_what_is_no_utf8_does_not_stop_a_batch(bert_folder: Path) -> None:
    import tensorflow as tf

    modality = modality_of(recipe(bert_folder))
    clean, marked, broken = modality.encode(tf.constant([b"a film", b"\xef\xbb\xbfa film", b"a \xff film"]))["token_ids"].numpy()
    np.testing.assert_array_equal(clean, marked)
    assert (clean != broken).any()


@pytest.mark.slow
def test_decoding_in_a_dataset_is_encoding(bert_folder: Path) -> None:
    import tensorflow as tf

    from tfl.data.pipeline import cache_tensors, make_dataset

    modality = modality_of(recipe(bert_folder))
    examples = texts("a fine film", "the film is dull", "very very long", "fine")
    expected = modality.encode(tf.constant([examples.bytes_of(index) for index in range(4)]))
    cached = cache_tensors(examples, modality=modality)
    for kept in (None, cached):
        (found, _), *rest = make_dataset(examples, range(4), modality=modality, batch_size=4, cached=kept).as_numpy_iterator()
        assert not rest
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value.numpy())
            assert found[name].dtype == value.dtype


@pytest.mark.slow
def test_the_length_is_chosen_from_the_texts_and_said(bert_folder: Path) -> None:
    open_ = recipe(bert_folder, None)
    examples = texts(*["a fine film"] * 99, "very " * 200)
    found, sentence = chosen(settled(open_), examples)
    assert found.data.input == tfl.Text(length=8)
    assert sentence is not None and "1 of 100 texts" in sentence and "202" in sentence
    longer, sentence = chosen(settled(open_), texts(*["very " * 200] * 4))
    assert longer.data.input == tfl.Text(length=64) and sentence is not None and "the most that the network takes" in sentence
    assert chosen(settled(recipe(bert_folder, 12)), examples) == (recipe(bert_folder, 12), None)
    splits = np.array(["train"] * 99 + ["test"])
    only_training = Examples(class_names=("a", "b"), labels=examples.labels, contents=examples.contents, splits=splits)
    assert "99 texts" in str(chosen(settled(open_), only_training)[1])


def test_before_the_length_is_chosen_it_is_asked_for(bert_folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"`Text\.length` is None"):
        modality_of(recipe(bert_folder, None)).spec()
    with pytest.raises(RecipeError, match="at most 64 tokens"):
        settled(recipe(bert_folder, 65))


def test_the_key_of_stored_features_depends_on_tokenizer_and_length(bert_folder: Path, tmp_path: Path) -> None:
    from keras_hub import models

    first = modality_of(recipe(bert_folder)).identity()
    assert first == modality_of(recipe(bert_folder)).identity() != modality_of(recipe(bert_folder, 16)).identity()
    models.BertBackbone.from_preset(str(bert_folder)).save_to_preset(str(tmp_path))
    words = models.BertTokenizer.from_preset(str(bert_folder)).get_vocabulary()
    models.BertTokenizer(vocabulary=words, lowercase=False).save_to_preset(str(tmp_path))
    assert modality_of(recipe(tmp_path)).identity() != first


def test_arrays_and_augmentation_are_refused(bert_folder: Path) -> None:
    modality = modality_of(recipe(bert_folder))
    with pytest.raises(DataError, match="arrays and not texts"):
        modality.check_arrays(np.zeros((1, 4, 4)), "digits")
    with pytest.raises(RecipeError, match="no augmentation"):
        modality.augmenter(tfl.Augment())


def test_tokens_are_shaded_in_a_preview(bert_folder: Path) -> None:
    modality = modality_of(recipe(bert_folder))
    shown = modality.preview(b"<i> unforgettable", attribution=np.linspace(-1, 1, 12).astype("float32"))
    assert "&lt;i&gt;" in modality.preview(b"<i> unforgettable").html and "<i>" not in shown.html
    assert ">un</span><span" in shown.html and ">table</span>" in shown.html and "[CLS]" not in shown.html


def served(modality: Any, network: Any, folder: Path) -> Any:
    """A SavedModel with a signature from strings."""
    import tensorflow as tf

    module = tf.Module()
    module.network, module.resources = network, modality.resources()
    module.answer = tf.function(
        lambda text: {"features": network(modality.encode(text), training=False)},
        input_signature=[tf.TensorSpec([None], tf.string, name="text")],
        autograph=False,
    )
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.answer.get_concrete_function()})
    return module.answer(tf.constant(["a fine film", "dull"]))["features"].numpy()


LOAD = """
import sys, numpy, tensorflow as tf, tensorflow_text
loaded = tf.saved_model.load(sys.argv[1])
found = loaded.signatures["serving_default"](text=tf.constant(["a fine film", "dull"]))
numpy.save(sys.argv[2], found["features"].numpy())
assert not {"keras_hub", "tfl"} & set(sys.modules)
"""


@pytest.mark.slow
def test_a_signature_from_strings_runs_without_keras_hub(bert_folder: Path, tmp_path: Path) -> None:
    modality = modality_of(recipe(bert_folder))
    expected = served(modality, modality.build_backbone(recipe(bert_folder).backbone), tmp_path / "served")
    code = [sys.executable, "-c", LOAD, str(tmp_path / "served"), str(tmp_path / "found.npy")]
    subprocess.run(code, check=True, cwd=tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-6)


def test_settling_imports_neither_tensorflow_nor_keras_hub(bert_folder: Path) -> None:
    code = (
        "import sys, tfl; from tfl.modalities.base import modality_of, settled;"
        f"recipe = tfl.Recipe(name='x', data=tfl.Data('x', input=tfl.Text()), backbone=tfl.Backbone({str(bert_folder)!r}));"
        "modality_of(settled(recipe)).check(b'a film');"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'keras_hub')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def vectors(modality: Any, network: Any, *sentences: str) -> np.ndarray:
    """Unit vectors: means over the tokens in use."""
    import tensorflow as tf

    tensors = modality.encode(tf.constant(sentences))
    mask = tensors["padding_mask"].numpy()[..., None]
    found = (network(tensors).numpy() * mask).sum(1) / mask.sum(1)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.slow
def test_the_real_encoder_finds_the_published_similarities(minilm: str) -> None:
    """Of https://www.sbert.net/docs/sentence_transformer/usage/semantic_textual_similarity.html, by all-MiniLM-L6-v2."""
    modality = modality_of(recipe(minilm, 32))
    network = modality.build_backbone(tfl.Backbone(minilm))
    weather, sunny, drove = vectors(
        modality, network, "The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."
    )
    assert [weather @ sunny, weather @ drove] == pytest.approx([0.6660, 0.1046], abs=2e-3)
    eating, bread = vectors(modality, network, "A man is eating food.", "A man is eating a piece of bread.")
    assert eating @ bread == pytest.approx(0.7553, abs=2e-3)
