"""Every format of one network of mixed precision: written whole, compared, certified, and run without tfl.

The lines in each README run as they stand, in a process that cannot import tfl, and come to the model's label.
"""

import dataclasses
import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_network import DATA, LABELS, MODALITY, make_network

from tfl.errors import ExportError, MissingExtraError
from tfl.export import certificate
from tfl.export import ship as shipping
from tfl.export.certificate import FILE, Certifier, summary
from tfl.export.kinds import KINDS, TOLERANCES, check_packages
from tfl.export.runtimes import Runtime, of_model, open_export
from tfl.export.ship import ship
from tfl.export.shipment import in_float32, prepare, read_about
from tfl.modalities.image.golden import golden_images
from tfl.modalities.image.resize import preprocess_batch
from tfl.model.policies import policy_of

pytestmark = pytest.mark.slow

NAMES = ("saved_model", "litert_float32", "litert_float16", "litert_int8", "onnx", "openvino", "keras")


def test_every_format_of_a_mixed_network_says_what_it_says_in_float32(shipped, network):
    rows = shipped.certificate["exports"]
    assert tuple(rows) == NAMES and shipped.certificate["holds"]
    assert policy_of(network) == "mixed_bfloat16" and shipped.certificate["as_trained"]["policy"] == "mixed_bfloat16"
    assert shipped.certificate["as_trained"]["largest_difference"] > 1e-4  # otherwise the policy was not used
    for name, row in rows.items():
        assert row["holds"], name
        assert row["count"] == row["golden"]["count"] + 20 and row["test"]["count"] == 20
        if row["weights"] in TOLERANCES:
            assert row["largest_difference"] <= TOLERANCES[row["weights"]] and not row["changed_labels"]
    assert rows["litert_int8"]["largest_difference"] > 1e-5  # it is another arithmetic


PICTURE = golden_images()["jpeg-turned-6.jpg"]
WITHOUT = """
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in BLOCKED else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
for name in BLOCKED:
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(name + " is still there")
"""
KERAS_TOO = """
import os
print("and Keras")
BLOCKED = ("tfl",)
os.chdir(KERAS)
"""
ANSWERS = """
import keras, numpy
found = keras.saving.load_model("model.keras").predict(numpy.load(OUT + "/images.npy"), verbose=0)
numpy.savez(OUT + "/found.npz", **found)
"""


def lines_of(folder, picture):
    [code] = re.findall(r"^```python\n(.*?)^```", (folder / "README.md").read_text(encoding="utf-8"), re.S | re.M)
    assert code.count('"photo.jpg"') == 1
    return code.replace('"photo.jpg"', repr(str(picture)))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "keras"])
def test_the_lines_run_without_tfl(kind, shipped, shipment, trial, tmp_path):
    """Those of Keras after those of the SavedModel, which run without Keras, in the same process; its file gives every output."""
    (picture := tmp_path / "photo.jpg").write_bytes(PICTURE)
    blocked = ("tfl", "keras", "tf_keras") + (("tensorflow",) if kind != "saved_model" else ())
    program = f"BLOCKED = {blocked!r}\n{WITHOUT}\n{lines_of(shipped.folders[kind], picture)}\n"
    images = next(iter(trial.tensors()))[1]
    if kind == "saved_model":
        np.save(tmp_path / "images.npy", images)
        folder = shipped.folders["keras"]
        program += f"KERAS, OUT = {str(folder)!r}, {str(tmp_path)!r}\n{KERAS_TOO}\n{lines_of(folder, picture)}\n{ANSWERS}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=shipped.folders[kind])
    assert done.returncode == 0, done.stderr[-2000:]
    pixels = preprocess_batch(tf.constant([PICTURE]), DATA.image_size, DATA.fit)
    expected = np.asarray(shipment.answer(pixels)["probabilities"])[0]
    assert np.sort(expected)[-1] - np.sort(expected)[-2] > 0.02  # the label does not hang on the decoder
    said = [part.splitlines()[-1] for part in done.stdout.split("and Keras\n")]
    assert said == [LABELS[expected.argmax()]] * (2 if kind == "saved_model" else 1)
    if kind == "saved_model":
        found, answer = np.load(tmp_path / "found.npz"), shipment.answer.predict(images, verbose=0)
        assert set(found.files) == set(answer) and "calibrated_probabilities" in answer
        for name, value in answer.items():
            np.testing.assert_allclose(found[name], value, atol=1e-6)


def test_every_runtime_gives_every_output(shipped, shipment, trial, certifier):
    for kind, folder in shipped.folders.items():
        for runtime in open_export(kind, folder):
            if runtime.quantized != "float32":
                continue
            found = runtime.look_at(trial)
            for name, expected in certifier.expected.items():
                assert found[name].dtype == expected.dtype and found[name].shape == expected.shape
                np.testing.assert_allclose(found[name], expected, atol=2e-5)
    assert {name for name in certifier.expected} == set(shipment.outputs)
    assert certifier.expected["is_out_of_distribution"].any() and not certifier.expected["prediction_set"].all()


def test_each_folder_says_what_it_is(shipped):
    for kind, folder in shipped.folders.items():
        about = read_about(folder)
        assert about["class_names"] == list(LABELS) and about["image_size"] == [32, 48] and about["fit"] == "pad"
        assert about["trained_in"] == "mixed_bfloat16" and "is_out_of_distribution" in about["outputs"]
        labels = folder / ("assets" if kind == "saved_model" else "") / "labels.txt"
        assert labels.read_text(encoding="utf-8").splitlines() == list(LABELS)
        text = (folder / "README.md").read_text(encoding="utf-8")
        assert all(f"`{name}`" in text for name in about["outputs"]) and '"Läuse"' in text


def test_the_certificate_is_beside_the_exports(shipped):
    folder = shipped.folders["onnx"].parent
    document = json.loads((folder / FILE).read_text())
    assert document["exports"].keys() == shipped.certificate["exports"].keys()
    assert document["read_by_pillow"]["largest_difference"] > 0 and "holds" not in document["read_by_pillow"]
    assert not [entry for entry in folder.rglob(".*")]  # nothing half written
    brief = summary(document, ("onnx",))
    assert list(brief) == ["onnx"] and "changed_labels" in brief["onnx"] and "no label" in brief["onnx"]["sentence"]


def test_a_certificate_keeps_what_it_says_of_other_formats_of_the_same_model(shipment, network, trial, tmp_path):
    def ship_keras(model, version):
        made = prepare(model, class_names=LABELS, modality=MODALITY)
        return ship(("keras",), made, tmp_path, certifier=Certifier(made, trial), version=version).certificate

    first = ship_keras(network, 1)
    document = json.loads((tmp_path / FILE).read_text())
    document["exports"] = {"other": {**document["exports"]["keras"], "path": "elsewhere"}, "gone": {"path": "nowhere"}}
    (tmp_path / FILE).write_text(json.dumps(document))
    (tmp_path / "elsewhere").mkdir()
    assert set(ship_keras(network, 1)["exports"]) == {"other", "keras"}
    assert set(ship_keras(make_network(seed=7), 1)["exports"]) == {"keras"}
    assert first["model"]["weights"] != json.loads((tmp_path / FILE).read_text())["model"]["weights"]


def test_past_the_tolerance_nothing_takes_its_place(shipment, certifier, trial, tmp_path, monkeypatch):
    def worse(kind, folder, *, name=None):
        [runtime] = open_export(kind, folder)
        if kind == "keras":
            return [runtime]
        return [Runtime(kind, True, lambda contents: spoiled(runtime.answer(contents)))]

    def spoiled(outputs):
        return {**outputs, "probabilities": outputs["probabilities"] + 2e-5}

    monkeypatch.setattr(shipping, "open_export", worse)
    old = tmp_path / "saved_model" / "1"
    old.mkdir(parents=True)
    (old / "kept").touch()
    done = ship(("saved_model",), shipment, tmp_path, certifier=certifier)
    assert done.folders == {} and "disagrees with its model by 2e-05" in done.refused["saved_model"]["reason"]
    with pytest.raises(ExportError, match="No export was written"):
        done.require_any()
    assert [entry.name for entry in old.iterdir()] == ["kept"]
    assert {entry.name for entry in tmp_path.rglob("*")} == {"saved_model", "1", "kept", FILE}
    ship(("saved_model", "keras"), shipment, tmp_path, certifier=Certifier(shipment, trial)).require_any()
    document = json.loads((tmp_path / FILE).read_text())
    assert list(document["exports"]) == ["keras"] and (tmp_path / "keras" / "model.keras").is_file() and document["holds"]
    assert document["refused"]["saved_model"]["largest_difference"] == pytest.approx(2e-5, rel=0.1)
    assert [entry.name for entry in old.iterdir()] == ["kept"]


def test_a_version_beside_another(shipped, shipment, tmp_path):
    from tfl.export.saved_model import next_version

    assert next_version(tmp_path) == 1
    done = ship(("saved_model",), shipment, tmp_path, certifier=None, version=3)
    assert done.folders["saved_model"].name == "3" and done.certificate is None and next_version(tmp_path) == 4
    with pytest.raises(ExportError, match="whole number"):
        ship(("saved_model",), shipment, tmp_path, certifier=None, version=0)


def test_int8_needs_images_and_computes_the_head_in_float32(shipped, shipment, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(shipped.folders["litert"] / "model_int8.tflite"))
    types = {tensor["name"]: np.dtype(tensor["dtype"]).name for tensor in interpreter.get_tensor_details()}
    kernels = [name for name in types if "logits" in name]
    assert kernels and {types[name] for name in kernels} == {"float32"}
    assert "int8" in {kind for name, kind in types.items() if "conv" in name}
    bare = dataclasses.replace(shipment, representative=None)
    done = ship(("litert",), bare, tmp_path, certifier=None, quantize=("int8",))
    assert "needs images" in done.refused["litert_int8"]["reason"] and not (tmp_path / "litert").exists()
    done = ship(("litert",), bare, tmp_path, certifier=None, quantize=("int8", "float32"))
    assert list(done.refused) == ["litert_int8"] and not (tmp_path / "litert" / "model_int8.tflite").exists()
    assert read_about(done.folders["litert"])["files"] == ["model_float32.tflite"]


def test_what_is_not_installed_is_named_before_anything_is_written(shipment, tmp_path, monkeypatch):
    import importlib.util

    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else there(name))
    with pytest.raises(MissingExtraError, match=r"pip install 'tfl\[export\]'"):
        ship(("keras", "onnx"), shipment, tmp_path, certifier=None)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ExportError, match="not a format"):
        check_packages(["caffe"])


def test_a_layer_of_python_code_cannot_be_made_float32():
    class Own(keras.layers.Layer):
        def __init__(self, needed, **options):
            super().__init__(**options)

        def get_config(self):
            return {"name": self.name}  # without what the constructor needs

        def call(self, x):
            return x

    pixels = keras.Input((8, 8, 3))
    x = Own(1, dtype="mixed_bfloat16")(pixels)
    model = keras.Model(pixels, keras.layers.Softmax()(keras.layers.GlobalAveragePooling2D()(x)))
    with pytest.raises(ExportError, match="cannot be exported in float32"):
        in_float32(model)


def test_a_damaged_file_is_told(shipped, tmp_path):
    for kind in KINDS:
        with pytest.raises(ExportError):
            open_export(kind, tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"damaged")
    (tmp_path / "model.keras").write_bytes(b"damaged")
    for kind in ("onnx", "keras"):
        with pytest.raises(ExportError, match="cannot be loaded"):
            open_export(kind, tmp_path)
    with pytest.raises(ExportError, match="no tfl"):
        read_about(tmp_path)


def test_what_float32_itself_rounds_by_is_allowed_to_runtimes_that_fold(shipment, trial, monkeypatch):
    """A runtime that is 4e-5 off: refused where the model folded is the model, allowed where that is 2e-5 off too."""
    certifier = Certifier(shipment, trial)
    expected = certifier.expected["probabilities"]
    where = iter(range(0, len(trial), 16))

    def off_by(gap):
        return Runtime("onnx", False, lambda pixels: {**look(pixels), "probabilities": look(pixels)["probabilities"] + gap})

    look = of_model(shipment.answer).answer
    with pytest.raises(ExportError, match="disagrees"):
        certifier.certify(off_by(4e-5))

    def rounded(model):
        def forward(pixels):
            start = next(where)
            return [expected[start : start + len(pixels)] + 2e-5]

        return forward

    monkeypatch.setattr(certificate, "constant_forward", rounded)
    row = (again := Certifier(shipment, trial)).certify(off_by(4e-5))
    assert row["holds"] and row["rounding"] == pytest.approx(2e-5, rel=0.01) and row["tolerance"] == 10 * row["rounding"]
    with pytest.raises(ExportError, match="disagrees"):
        again.certify(off_by(5e-4))
    with pytest.raises(ExportError, match="disagrees"):
        again.certify(dataclasses.replace(off_by(4e-5), exact=True))
