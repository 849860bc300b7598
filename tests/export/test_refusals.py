"""What is refused does not take the rest with it, and what a network is sensitive to stays float32."""

import json

import keras
import numpy as np
import pytest
from rich.console import Console
from small_network import DATA, LABELS, MODALITY

import tfl
from tfl.cli.run import exports, refused
from tfl.data.examples import Examples
from tfl.data.pipeline import as_stored
from tfl.errors import ExportError
from tfl.export.certificate import FILE, Certifier
from tfl.export.flatbuffer import answers, operators_of
from tfl.export.half import in_half
from tfl.export.ship import ship
from tfl.export.shipment import prepare, read_about
from tfl.export.trial import Trial, decoder
from tfl.job import run_recipe
from tfl.model.head import head_layers, pooling_layer, put_on
from tfl.tasks.classify import TASK as CLASSIFY


def network_of_unequal_channels():
    """One channel is so much larger than the others that int8 sees it alone; the last layer ignores it."""
    keras.utils.set_random_seed(3)
    pixels = keras.Input((*DATA.image_size, 3))
    x = keras.layers.Rescaling(1 / 255)(pixels)
    first = keras.layers.Conv2D(8, 3, strides=4, activation="relu", name="first")
    last = keras.layers.Conv2D(64, 1, activation="relu", name="last")
    layers = [
        pooling_layer((None, None, None, 8), "avg", name="head_pool"),
        *head_layers(tfl.Head(), len(LABELS), seed=3),
        *CLASSIFY.output_layers(),
    ]
    model = keras.Model(pixels, put_on(layers, last(first(x))))
    kernel, bias = first.get_weights()
    kernel[..., 0] = 100
    first.set_weights([kernel, bias])
    kernel, bias = last.get_weights()
    kernel[:, :, 0] = 0
    last.set_weights([4 * kernel, bias])
    logits = model.get_layer("logits")
    logits.set_weights([8 * logits.get_weights()[0], logits.get_weights()[1]])
    return model


@pytest.fixture(scope="module")
def unequal(examples):
    model = network_of_unequal_channels()
    contents = [MODALITY.readable(examples.bytes_of(at)) for at in range(40)]
    images = np.asarray(as_stored(decoder(MODALITY)(contents), MODALITY.spec()))
    found = model.predict(images.astype("float32"), verbose=0)
    bias = model.get_layer("logits").bias
    bias.assign(bias - np.log(np.median(found, axis=0)))  # so that every class is an answer
    labels = model.predict(images.astype("float32"), verbose=0).argmax(-1)
    assert len(set(labels[20:].tolist())) > 1
    labelled = Examples(class_names=LABELS, labels=labels, arrays=examples.arrays)
    shipment = prepare(model, class_names=LABELS, modality=MODALITY, representative=images[:20])
    return shipment, Trial.of(MODALITY, examples=labelled, indices=np.arange(20, 40))


@pytest.mark.slow
def test_each_file_of_litert_is_refused_on_its_own(unequal, tmp_path):
    shipment, trial = unequal
    told = []
    done = ship(("litert", "keras"), shipment, tmp_path, certifier=Certifier(shipment, trial), tell=told.append)
    assert {file.name for file in (tmp_path / "litert").glob("*.tflite")} == {"model_float32.tflite", "model_float16.tflite"}
    assert read_about(tmp_path / "litert")["files"] == ["model_float32.tflite", "model_float16.tflite"]
    assert set(done.certificate["exports"]) == {"litert_float32", "litert_float16", "keras"} and done.certificate["holds"]
    row = json.loads((tmp_path / FILE).read_text())["refused"]["litert_int8"]
    assert "test" in row, row
    assert row["test"]["accuracy_lost"] > 0.01 and row["format"] == "litert"
    assert "points of accuracy on 20 test images" in row["reason"] and "--no-verify" in row["reason"]
    assert any(words.startswith("litert_int8: REFUSED") for words in told)
    done.require_any()  # something was written
    again = ship(("litert",), shipment, tmp_path, certifier=Certifier(shipment, trial), quantize=("int8",))
    with pytest.raises(ExportError, match=r"No export was written.*litert_int8"):
        again.require_any()
    assert (tmp_path / "litert" / "model_float32.tflite").is_file()  # what was there before stays
    assert set(json.loads((tmp_path / FILE).read_text())["exports"]) == {"litert_float32", "litert_float16", "keras"}


@pytest.mark.slow
def test_float16_keeps_in_float32_what_changes_the_probabilities_too_much(shipment, trial, tmp_path):
    folder = ship(("litert",), shipment, tmp_path, certifier=None, quantize=("float32",)).folders["litert"]
    whole = (folder / "model_float32.tflite").read_bytes()
    images = np.concatenate([batch for _, batch in trial.tensors()])
    expected = answers(whole, images, ("probabilities",))
    found = {most: in_half(whole, images, most=most) for most in (1.0, 0.0)}
    assert not kernels(found[1.0]) and len(kernels(found[0.0])) > 0
    difference = np.abs(answers(found[1.0], images, ("probabilities",)) - expected).max()
    half = in_half(whole, images, most=float(difference) / 2)
    assert np.abs(answers(half, images, ("probabilities",)) - expected).max() <= difference / 2
    assert 1 <= len(kernels(half)) <= len(kernels(whole)) and len(found[1.0]) < len(whole)


def kernels(content):
    return [operator.kernel for operator in operators_of(content) if operator.kernel is not None]


@pytest.mark.slow
def test_a_run_whose_exports_are_refused_ends_well(tmp_path, capsys):
    pixels = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.Conv2D(8, 3, strides=4, activation="relu")(x)
    x = keras.ops.erfinv(keras.ops.tanh(x))  # which LiteRT and ONNX lack
    keras.Model(pixels, keras.layers.Conv2D(8, 1, activation="relu")(x)).save(tmp_path / "own.keras")
    recipe = tfl.Recipe(
        name="own",
        data=tfl.Sample("digits", image_size=(32, 32), per_class=10),
        backbone=tfl.Backbone(str(tmp_path / "own.keras")),
        stages=(tfl.Stage("head", epochs=1),),
        export=("litert", "onnx", "keras"),
    )
    run = run_recipe(recipe, out=tmp_path / "run", console=Console(stderr=True))
    assert run.manifest["status"] == "done"
    assert list(exports(run)) == ["keras"] and not run.path("export", "onnx").exists()
    assert set(refused(run)) == {"litert_float32", "litert_float16", "litert_int8", "onnx"}
    assert "Erfinv" in refused(run)["onnx"] and "Erfinv" in refused(run)["litert_float32"]
    assert run.manifest["parity"]["keras"]["holds"] and "onnx: REFUSED" in capsys.readouterr().err
    report = run.path("report.html").read_text(encoding="utf-8")
    assert "<strong>onnx</strong> was not exported" in report and "Every export was compared" in report
