"""The SavedModel: whole, with its labels, alone with TensorFlow, and in agreement with the Keras model."""

import io
import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

import tfl
from tfl.errors import ExportError
from tfl.export.parity import check_parity, probe_contents
from tfl.export.saved_model import export_saved_model
from tfl.modalities.base import modality_of_data
from tfl.modalities.image.resize import preprocess_batch

LABELS = ("blight", "healthy", "Läuse")
DATA = tfl.Data("unused", image_size=(32, 48))
MODALITY = modality_of_data(DATA)


def small_model(classes=3, size=(32, 48), seed=1):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((*size, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.5)(x)
    logits = keras.layers.Dense(classes, kernel_initializer=keras.initializers.RandomNormal(stddev=3.0), dtype="float32")(x)
    return keras.Model(inputs, keras.layers.Softmax(dtype="float32")(logits))


def encoded(kind, mode="RGB", size=(70, 50), **options):
    noise = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 4), dtype="uint8")
    pixels = np.array(Image.fromarray(noise).resize((7, 5)).resize(size))
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation, kind="JPEG"):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(kind, exif=exif)


FILES = {
    "jpeg": encoded("JPEG"),
    "grey jpeg": encoded("JPEG", "L"),
    "cmyk jpeg": encoded("JPEG", "CMYK"),
    "rotated jpeg": turned(6),
    "mirrored jpeg": turned(5),
    "rotated png": turned(6, "PNG"),
    "rotated webp": turned(8, "WEBP"),
    "png": encoded("PNG", size=(201, 33)),
    "grey png": encoded("PNG", "L"),
    "alpha png": encoded("PNG", "RGBA"),
    "palette png": encoded("PNG", "P"),
    "gif": encoded("GIF", size=(16, 300)),
    "bmp": encoded("BMP", size=(640, 480)),
    "webp": encoded("WEBP"),
    "tiny": encoded("PNG", size=(4, 4)),
}


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    return export_saved_model(model, class_names=LABELS, modality=MODALITY, folder=folder, metadata={"recipe": "r"})


@pytest.fixture(scope="module")
def served(exported):
    return tf.saved_model.load(str(exported)).signatures


def test_it_lies_where_tensorflow_serving_looks(exported):
    assert exported.parts[-2:] == ("saved_model", "1")
    assert (exported / "saved_model.pb").is_file()
    assert (exported / "assets" / "labels.txt").read_text(encoding="utf-8").split() == list(LABELS)
    about = json.loads((exported / "assets.extra" / "tfl.json").read_text())
    assert about["class_names"] == list(LABELS) and about["image_size"] == [32, 48] and about["recipe"] == "r"


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_bytes_give_what_the_keras_model_gives(model, served, name):
    contents = tf.constant([FILES[name]])
    expected = model.predict(preprocess_batch(contents, DATA.image_size, DATA.fit), verbose=0)
    answer = served["serving_default"](image_bytes=contents)
    np.testing.assert_allclose(answer["probabilities"].numpy(), expected, atol=1e-5)
    assert answer["label"].numpy()[0].decode() == LABELS[expected[0].argmax()]
    assert [word.decode() for word in answer["labels"].numpy()[0]] == list(LABELS)


def test_a_rotated_photo_is_turned_in_the_graph(served):
    """The same pixels, stored upright and stored turned, get the same probabilities."""
    upright, flipped = served["serving_default"](image_bytes=tf.constant([turned(1), turned(3)]))["probabilities"].numpy()
    assert np.abs(upright - flipped).max() > 1e-4  # what the tag says matters
    half_turn = Image.open(io.BytesIO(turned(1))).rotate(180)
    buffer = io.BytesIO()
    half_turn.save(buffer, "PNG")
    by_hand = served["serving_default"](image_bytes=tf.constant([buffer.getvalue()]))["probabilities"].numpy()[0]
    np.testing.assert_allclose(flipped, by_hand, atol=1e-5)


@pytest.mark.slow
def test_the_bits_of_16_bit_images_are_part_of_the_graph(model, tmp_path):
    data = tfl.Data("unused", image_size=(32, 48), bits=12)
    folder = export_saved_model(model, class_names=LABELS, modality=modality_of_data(data), folder=tmp_path)
    values = np.random.default_rng(0).integers(0, 4096, (40, 60)).astype("uint16")
    buffers = [io.BytesIO(), io.BytesIO()]
    Image.fromarray(values).save(buffers[0], "PNG")
    Image.fromarray((values >> 4).astype("uint8")).save(buffers[1], "PNG")
    contents = tf.constant([buffer.getvalue() for buffer in buffers])
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    deep, shallow = served(image_bytes=contents)["probabilities"].numpy()
    np.testing.assert_array_equal(deep, shallow)
    dark = model.predict(preprocess_batch(contents[:1], DATA.image_size), verbose=0)[0]
    assert np.abs(deep - dark).max() > 1e-3  # as 16 bits they would be nearly black
    assert json.loads((folder / "assets.extra" / "tfl.json").read_text())["bits"] == 12
    assert "values of 12 bits, from 0 to 4,095" in (folder / "README.md").read_text()


def test_the_readme_says_how_other_formats_are_converted(exported, tmp_path):
    text = (exported / "README.md").read_text(encoding="utf-8")
    assert "TIFF, AVIF, HEIC, JPEG 2000 and PNM files cannot be decoded inside the graph" in text
    [line] = re.findall(r"`(ImageOps.*?)`", text)
    scan = tmp_path / "photo.tif"
    Image.fromarray(np.arange(12, dtype="uint8").reshape(2, 2, 3)).save(scan)
    exec(line.replace('"photo', f'"{tmp_path}/photo'), {"Image": Image, "ImageOps": ImageOps})
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "photo.png")), np.asarray(Image.open(scan)))
    assert "16-bit images" not in text


def test_pixels_give_the_same_for_any_batch(model, served):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 48, 3)).astype("float32")
    answer = served["pixels"](pixels=tf.constant(pixels))
    np.testing.assert_allclose(answer["probabilities"], model.predict(pixels, verbose=0), atol=1e-5)
    assert served["pixels"](pixels=tf.constant(pixels[:1]))["label"].shape == (1,)


def test_warm_up_requests_run(exported):
    """Each is a request that the version answers, in the file that TensorFlow Serving reads."""
    from tensorflow_serving.apis import prediction_log_pb2

    file = exported / "assets.extra" / "tf_serving_warmup_requests"
    loaded, batches = tf.saved_model.load(str(exported)), []
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.name == "r"
        inputs = {name: tf.io.parse_tensor(proto.SerializeToString(), proto.dtype) for name, proto in request.inputs.items()}
        answer = loaded.signatures[request.model_spec.signature_name](**inputs)
        batches.append((request.model_spec.signature_name, len(answer["label"])))
    assert {("serving_default", 1), ("serving_default", 8), ("pixels", 1), ("pixels", 8)} == set(batches)
    assert file.stat().st_size < 400_000


@pytest.mark.slow
def test_mixed_precision_gives_float32_probabilities(tmp_path):
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        mixed = small_model()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    target = export_saved_model(mixed, class_names=LABELS, modality=MODALITY, folder=tmp_path)
    answer = tf.saved_model.load(str(target)).signatures["serving_default"](image_bytes=tf.constant(list(FILES.values())))
    assert answer["probabilities"].dtype == tf.float32
    np.testing.assert_allclose(answer["probabilities"].numpy().sum(-1), 1, atol=1e-5)
    assert check_parity(mixed, target, list(FILES.values()), MODALITY)["holds"]


@pytest.mark.slow
def test_the_fit_travels_with_the_export(model, exported, tmp_path):
    data = tfl.Data("unused", image_size=(32, 48), fit="crop")
    target = export_saved_model(model, class_names=LABELS, modality=modality_of_data(data), folder=tmp_path)
    assert check_parity(model, target, [FILES["gif"], FILES["png"]], modality_of_data(data))["holds"]
    with pytest.raises(ExportError, match="disagrees"):
        check_parity(model, exported, [FILES["gif"], FILES["png"]], modality_of_data(data))


@pytest.mark.slow
def test_exporting_again_replaces_it_and_leaves_no_scratch(model, tmp_path):
    first = export_saved_model(model, class_names=LABELS, modality=MODALITY, folder=tmp_path)
    again = export_saved_model(small_model(seed=2), class_names=("x", "y", "z"), modality=MODALITY, folder=tmp_path)
    assert first == again and (again / "assets" / "labels.txt").read_text() == "x\ny\nz\n"
    assert [entry.name for entry in again.parent.iterdir()] == ["1"]


@pytest.mark.parametrize(
    ("labels", "data", "message"),
    [
        (("a", "b"), DATA, "3 outputs"),
        (("a", "b", "b"), DATA, "share a name"),
        (LABELS, tfl.Data("unused", image_size=(48, 48)), "another image size"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(model, tmp_path, labels, data, message):
    with pytest.raises(ExportError, match=message):
        export_saved_model(model, class_names=labels, modality=modality_of_data(data), folder=tmp_path / "export")
    assert not (tmp_path / "export").exists()


@pytest.mark.slow
def test_parity_sees_another_model(model, exported):
    result = check_parity(model, exported, probe_contents(MODALITY), MODALITY)
    assert result["holds"] and result["count"] == len(probe_contents(MODALITY)) and result["changed_labels"] == 0
    with pytest.raises(ExportError, match="disagrees"):
        check_parity(small_model(seed=9), exported, probe_contents(MODALITY), MODALITY)


def test_parity_needs_an_image_and_an_export(model, exported, tmp_path):
    with pytest.raises(ExportError, match="no file"):
        check_parity(model, exported, [], MODALITY)
    with pytest.raises(ExportError, match="cannot be loaded"):
        check_parity(model, tmp_path, probe_contents(MODALITY), MODALITY)
