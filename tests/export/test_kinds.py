"""Exports of texts and sounds: from contents and from tensors, certified, for every task, served and predicted."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfl
from tfl.backbones.inputs import inputs_of
from tfl.data.examples import Examples
from tfl.evaluate.confidence import fit_confidence
from tfl.evaluate.explain import tensor_of
from tfl.export.certificate import Certifier
from tfl.export.ship import ship
from tfl.export.shipment import prepare, read_about
from tfl.export.trial import Trial, as_taken, tensors_of
from tfl.modalities.base import modality_of
from tfl.model.assemble import assemble
from tfl.serve.predictor import open_predictor
from tfl.tasks.base import task_of

pytestmark = pytest.mark.slow

NAMES = ("bad", "good", "odd")
WORDS = ["fine", "bad", "good", "odd", "film", "story", "with", "no", "end", "and", "great", "actors", "that", "sing"]


@pytest.fixture(scope="session")
def preset(tmp_path_factory):
    """A random BERT of two small layers, as a preset folder."""
    keras_hub = pytest.importorskip("keras_hub", reason="keras_hub is not installed: pip install 'tfl[text]'")
    pytest.importorskip("tensorflow_text", reason="tensorflow_text is not installed: pip install 'tfl[text]'")
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *".,!?", *(f"##{one}" for one in letters), *WORDS]
    keras.utils.set_random_seed(1)
    tokenizer = keras_hub.tokenizers.BertTokenizer(vocabulary=vocabulary, lowercase=True)
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32, "max_sequence_length": 32}
    backbone = keras_hub.models.BertBackbone(vocabulary_size=len(vocabulary), **sizes)
    folder = tmp_path_factory.mktemp("bert")
    backbone.save_to_preset(str(folder))
    tokenizer.save_to_preset(str(folder))
    return folder


def texts(count):
    drawn = np.random.default_rng(0)
    return [" ".join(drawn.choice(WORDS, drawn.integers(1, 20))).encode() for _ in range(count)]


def shipment_of(recipe, contents, targets):
    """A model of random weights with its confidence, and the trial on the last contents."""
    modality, task = modality_of(recipe), task_of(recipe.task)
    if recipe.task == "classify":
        examples = Examples(class_names=NAMES, labels=targets, contents=np.array(contents, object))
    else:
        examples = Examples(class_names=NAMES, targets=targets, contents=np.array(contents, object))
    wanted = task.targets(examples)
    task = task.fitted(wanted, NAMES)
    model = assemble(recipe, NAMES, modality=modality, task=task).model
    stored = tensors_of(examples, np.arange(20), modality=modality, at_most=20)
    inside = keras.Model(inputs_of(model), [tensor_of(model, "logits"), tensor_of(model, "head_pool")])
    logits, features = (np.asarray(part) for part in inside(as_taken(stored, modality)))
    confidence = fit_confidence(
        tfl.Calibration(), logits=logits, features=features, targets=wanted[:20], training_features=features, task=task
    )
    made = prepare(
        model,
        class_names=NAMES,
        modality=modality,
        task=task,
        metadata={"recipe": "kinds"},
        confidence=confidence,
        representative=stored,
    )
    return made, Trial.of(modality, examples=examples, targets=wanted, indices=np.arange(20, 30))


def text_recipe(preset, task="classify"):
    data = tfl.Data("unused", input=tfl.Text(length=12))
    return tfl.Recipe(name="kinds", task=task, data=data, backbone=tfl.Backbone(str(preset)))


@pytest.fixture(scope="session")
def of_texts(preset, tmp_path_factory):
    shipment, trial = shipment_of(text_recipe(preset), texts(30), np.arange(30) % 3)
    folder = tmp_path_factory.mktemp("texts")
    return shipment, ship(("saved_model", "onnx", "keras"), shipment, folder, certifier=Certifier(shipment, trial))


def test_texts_leave_with_their_tokenizer_inside_or_next_to_them(of_texts):
    shipment, done = of_texts
    assert done.certificate["holds"] and set(done.folders) == {"saved_model", "onnx", "keras"}, done.refusals
    assert done.certificate["golden"]["count"] > 15 and done.certificate["test"]["count"] == 10
    assert done.certificate["read_by_tokenizers"]["test"]["changed"] == 0
    assert "test texts" in done.sentences[0]
    about = read_about(done.folders["saved_model"])
    assert about["modality"] == "text" and about["task"] == "classify" and about["length"] == 12
    assert (done.folders["onnx"] / "tokenizer.json").is_file()
    signatures = tf.saved_model.load(str(done.folders["saved_model"])).signatures
    by_text = signatures["serving_default"](text=tf.constant(["a fine film", ""]))
    tokens = {name: tf.constant(array) for name, array in shipment.modality.encode(tf.constant(["a fine film", ""])).items()}
    by_tokens = signatures["tokens"](**tokens)
    np.testing.assert_allclose(by_text["probabilities"], by_tokens["probabilities"], atol=1e-6)
    assert set(tokens) == {"token_ids", "padding_mask", "segment_ids"}


@pytest.mark.parametrize("kind", ["saved_model", "onnx"])
def test_the_lines_of_the_readme_run_in_a_process_without_tfl(of_texts, kind):
    folder = of_texts[1].folders[kind]
    [code] = [part.split("```")[0] for part in (folder / "README.md").read_text(encoding="utf-8").split("```python\n")[1:]]
    names = ("tfl", "keras_hub") if kind == "saved_model" else ("tfl", "keras", "tensorflow")  # tensorflow_text imports Keras
    blocked = f"import sys\nfor name in {names}:\n    sys.modules[name] = None\n"
    done = subprocess.run([sys.executable, "-c", blocked + code], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    said = open_predictor(of_texts[1].folders["saved_model"]).look_at_contents({"": b"A fine film."}).predictions[0]["label"]
    assert done.stdout.splitlines()[-1] == said


def test_an_export_of_texts_predicts_and_says_what_is_no_text(of_texts, tmp_path):
    predictor = open_predictor(of_texts[1].folders["saved_model"])
    contents = {"a.txt": b"a fine film", "b.txt": b"", "c.txt": b"\x7fELF\0", "d.txt": b"caf\xe9"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    found = predictor.look_at([tmp_path], on_bad="skip")
    assert [row["label"] in NAMES for row in found.predictions] == [True]
    whys = {entry["file"].split("/")[-1]: entry["why"] for entry in found.unreadable}
    assert "empty" in whys["b.txt"] and "not a text" in whys["c.txt"] and "not UTF-8" in whys["d.txt"]


def test_texts_are_served_with_their_limits(of_texts):
    pytest.importorskip("fastapi", reason="fastapi is not installed: pip install 'tfl[serve]'")
    from fastapi.testclient import TestClient

    from tfl.serve.app import create_app
    from tfl.serve.limits import Limits
    from tfl.serve.models import Models
    from tfl.serve.page.routes import page_routes

    models = Models.open(of_texts[1].folders["saved_model"], limits=Limits(max_cost=1000, max_batch_size=2))
    try:
        client = TestClient(create_app(models, page=page_routes(models, None)))
        url = "/v1/models/kinds:predict"
        rows = client.post(url, json={"instances": ["a fine film", {"b64": "YmFk"}]}).json()["predictions"]
        assert len(rows) == 2 and rows[0]["labels"] == list(NAMES)
        tokens = of_texts[0].modality.encode(tf.constant(["a fine film"]))
        named = {name: array.numpy()[0].tolist() for name, array in tokens.items()}
        by_tokens = client.post(url, json={"signature_name": "tokens", "instances": [named]}).json()["predictions"][0]
        np.testing.assert_allclose(by_tokens["probabilities"], rows[0]["probabilities"], atol=1e-6)
        refused = client.post(url, json={"instances": ["fine", 1001 * "a"]})
        assert refused.status_code == 400 and "Text 1 of the request" in refused.json()["error"]
        assert "not a text" in client.post(url, json={"instances": [{"b64": "AAAA"}]}).json()["error"]
        shape = client.post(url, json={"signature_name": "tokens", "instances": [{**named, "token_ids": [1.5] * 12}]})
        assert shape.status_code == 400 and "int32" in shape.json()["error"]
        assert client.get("/page/about").json()["kind"] == "text"
        said = client.post("/page/look", content=b"a fine film").json()
        assert said["text"] == "a fine film" and said["label"] in NAMES
        empty = client.post("/page/look", content=b" ")
        assert empty.status_code == 400 and "no text that can be looked at" in empty.json()["error"]
        assert "tfl_serving_batch_texts" in client.get("/metrics").text
    finally:
        models.close()


@pytest.mark.parametrize("task", ["multilabel", "regress"])
def test_labels_and_numbers_leave_with_thresholds_and_intervals(preset, tmp_path, task):
    drawn = np.random.default_rng(3)
    targets = drawn.integers(0, 2, (30, 3)) if task == "multilabel" else drawn.normal(40, 10, (30, 3))
    shipment, trial = shipment_of(text_recipe(preset, task), texts(30), targets.astype("float32"))
    done = ship(("saved_model",), shipment, tmp_path, certifier=Certifier(shipment, trial))
    assert done.certificate["holds"], done.refusals
    row = open_predictor(done.folders["saved_model"]).look_at_contents({"x": b"a fine film"}).predictions[0]
    about = json.loads((done.folders["saved_model"] / "assets.extra" / "tfl.json").read_text())
    if task == "multilabel":
        assert "is_label" in about["outputs"] and set(row["labels"]) <= set(NAMES) and set(row["probabilities"]) == set(NAMES)
        assert "no set of labels" in done.sentences[0]
    else:
        assert {"values", "lower", "upper"} <= set(about["outputs"])
        assert all(row["lower"][name] <= row["values"][name] <= row["upper"][name] for name in NAMES)
        assert "mae" in done.sentences[0]


@pytest.fixture(scope="module")
def of_sounds(tmp_path_factory, small_network):
    from tfl.modalities.audio.golden import golden_sounds

    data = tfl.Data("unused", image_size=(32, 32), input=tfl.Audio(seconds=0.5, sample_rate=8000, mels=32))
    recipe = tfl.Recipe(name="kinds", data=data, backbone=tfl.Backbone(small_network))
    contents = [content for content in golden_sounds().values() for _ in range(2)][:30]
    shipment, trial = shipment_of(recipe, contents, np.arange(30) % 3)
    folder = tmp_path_factory.mktemp("sounds")
    return shipment, ship(("saved_model", "onnx"), shipment, folder, certifier=Certifier(shipment, trial))


def test_sounds_leave_from_wav_and_from_spectrograms(of_sounds):
    from tfl.modalities.audio.golden import golden_sounds

    shipment, done = of_sounds
    assert done.certificate["holds"] and set(done.folders) == {"saved_model", "onnx"}, done.refusals
    signatures = tf.saved_model.load(str(done.folders["saved_model"])).signatures
    content = golden_sounds()["rate_8000.wav"]
    by_bytes = signatures["serving_default"](audio_bytes=tf.constant([content]))
    by_tensor = signatures["spectrogram"](spectrogram=shipment.modality.encode(tf.constant([content])))
    np.testing.assert_allclose(by_bytes["probabilities"], by_tensor["probabilities"], atol=1e-6)
    assert read_about(done.folders["onnx"])["modality"] == "audio"
    shown = shipment.shipping.shown(content)
    assert shown["audio"].startswith("data:audio/wav") and shown["picture"]["width"] == 32


def test_an_export_of_sounds_predicts_and_says_what_is_no_sound(of_sounds, tmp_path):
    from tfl.modalities.audio.golden import golden_sounds

    (tmp_path / "a.wav").write_bytes(golden_sounds()["stereo.wav"])
    (tmp_path / "b.wav").write_bytes(b"<html>")
    found = open_predictor(of_sounds[1].folders["saved_model"]).look_at([tmp_path], on_bad="skip")
    assert [row["label"] in NAMES for row in found.predictions] == [True]
    assert "not a sound" in found.unreadable[0]["why"]


def test_the_readme_of_sounds_reads_them_as_the_graph_does(of_sounds):
    pytest.importorskip("librosa", reason="librosa is not installed: pip install librosa")
    from tfl.modalities.audio.golden import golden_sounds

    shipping = of_sounds[0].shipping
    for name in ("rate_8000.wav", "silence.wav"):
        content = golden_sounds()[name]
        ours = np.asarray(shipping.modality.encode(tf.constant([content])))[0]
        assert np.abs(shipping.read(content) - ours).max() <= 1
