"""From files to labels: by a run, by an export, and what is no image."""

import io

import numpy as np
import pytest
from PIL import Image

import tfl
from tfl.errors import BadImageError, DataError, ExportError, RunError
from tfl.modalities.shipping import shipping_of_about
from tfl.runs import Run
from tfl.serve.predictor import Predictor, expand, find_saved_model, open_predictor

LABELS = ("blue", "red")


def png(colour, size=(20, 10)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def is_red(contents):
    """Stands for a model: red or blue, by the first pixel. What Pillow cannot decode, TensorFlow could not either."""
    import tensorflow as tf

    rows = []
    for content in contents:
        try:
            red = Image.open(io.BytesIO(content)).convert("RGB").getpixel((0, 0))[0] / 255
        except OSError as error:
            raise tf.errors.InvalidArgumentError(None, None, "damaged") from error
        rows.append((1 - red, red))
    return np.array(rows, "float32")


@pytest.fixture
def predictor(tmp_path):
    return Predictor(path=tmp_path, class_names=LABELS, outputs=is_red, batch_size=3)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    for number in range(4):
        (folder / f"{number}.png").write_bytes(png("red" if number % 2 else "blue"))
    (folder / "deeper" / "4.JPG").write_bytes(png("red"))  # by content, whatever its name
    (folder / "Thumbs.db").write_text("not meant")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


def test_a_folder_is_every_image_below_it_in_order(predictor, photos):
    rows = predictor.predict([photos])
    assert [row["file"] for row in rows] == [str(photos / name) for name in ("0.png", "1.png", "2.png", "3.png", "deeper/4.JPG")]
    assert [row["label"] for row in rows] == ["blue", "red", "blue", "red", "red"]
    assert rows[1]["probability"] == 1.0 and rows[1]["probabilities"] == {"blue": 0.0, "red": 1.0}


def test_a_bad_file_does_not_spoil_its_batch(predictor, photos):
    whole = png("red", size=(200, 200))
    bad = {"cut.png": whole[: len(whole) // 2], "empty.png": b"", "text.jpg": b"hello", "layers.png": b"8BPS\0\1"}
    for name, content in bad.items():
        (photos / name).write_bytes(content)
    found = predictor.look_at([photos], on_bad="skip")
    assert {entry["file"].split("/")[-1] for entry in found.unreadable} == set(bad)
    assert len(found.predictions) == 5
    with pytest.raises(BadImageError) as caught:
        predictor.predict([photos])
    assert all(name in str(caught.value) for name in bad) and 'on_bad="skip"' in str(caught.value)


def red_in(kind, **options):
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(buffer, kind, **options)
    return buffer.getvalue()


def test_formats_that_are_converted_are_predicted_as_the_others(predictor, tmp_path):
    import pillow_heif

    heic = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 64), "red")).save(heic)
    contents = {"1.tif": red_in("TIFF"), "2.avif": red_in("AVIF"), "3.jp2": red_in("JPEG2000"), "4.ppm": red_in("PPM")}
    contents |= {"5.heic": heic.getvalue(), "6.jpg": red_in("TIFF", compression="tiff_lzw")}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    found = predictor.look_at([tmp_path])
    assert [(row["file"].split("/")[-1], row["label"]) for row in found.predictions] == [(name, "red") for name in contents]
    assert found.unreadable == []


def test_what_cannot_be_converted_is_listed_with_its_reason(predictor, tmp_path):
    reasons = {"depth.tif": "TIFF of floating-point values", "clip.jpg": "a video (MP4 or QuickTime)"}
    buffer = io.BytesIO()
    Image.new("F", (9, 9)).save(buffer, "TIFF")
    (tmp_path / "depth.tif").write_bytes(buffer.getvalue())
    (tmp_path / "clip.jpg").write_bytes(b"\0\0\0\x18ftypisom\0\0\2\0isommp41")
    found = predictor.look_at([tmp_path], on_bad="skip")
    whys = {entry["file"].split("/")[-1]: entry["why"] for entry in found.unreadable}
    assert set(whys) == set(reasons) and all(words in whys[name] for name, words in reasons.items())


def sixteen_bits(folder, *, largest):
    for number, name in enumerate(("1.png", "2.tif")):
        values = np.full((9, 9), 7, np.uint16)
        values[0, 0] = largest - number
        Image.fromarray(values).save(folder / name)


@pytest.mark.parametrize(("largest", "bits", "said"), [(4095, None, True), (65_535, None, False), (4095, 12, False)])
def test_16_bit_images_of_fewer_bits_are_said(tmp_path, largest, bits, said):
    sixteen_bits(tmp_path, largest=largest)
    predictor = Predictor(path=tmp_path, class_names=LABELS, outputs=is_red, shipping=shipping_of_about({"bits": bits}))
    found = predictor.look_at([tmp_path])
    assert len(found.predictions) == 2 and len(found.notes) == said
    if said:
        assert "2 16-bit images use values up to 4,095 only (12 bits), and would be nearly black" in found.notes[0]


def test_values_above_the_bits_of_the_model_are_refused(tmp_path):
    sixteen_bits(tmp_path, largest=5000)
    predictor = Predictor(path=tmp_path, class_names=LABELS, outputs=is_red, shipping=shipping_of_about({"bits": 12}))
    with pytest.raises(BadImageError, match=r"2 of the files .*up to 5,000; the model was trained on 12 bits, up to 4,095"):
        predictor.predict([tmp_path])


def test_a_header_that_promises_too_much_is_not_decoded(predictor, tmp_path):
    content = bytearray(png("red"))
    content[16:24] = (20_000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    huge = tmp_path / "huge.png"
    huge.write_bytes(content)
    with pytest.raises(BadImageError, match="million pixels"):
        predictor.predict([huge])


def test_what_training_takes_for_too_small_is_not_predicted(predictor, tmp_path):
    (tmp_path / "thin.png").write_bytes(png("red", size=(1, 500)))
    (tmp_path / "small.png").write_bytes(png("red", size=(4, 4)))
    found = predictor.look_at([tmp_path], on_bad="skip")
    assert [row["file"] for row in found.predictions] == [str(tmp_path / "small.png")]
    assert found.unreadable == [{"file": str(tmp_path / "thin.png"), "why": "smaller than 4×4 pixels (1×500)"}]


@pytest.mark.parametrize(("files", "message"), [(["nowhere.jpg"], "no file"), ([], "nothing to predict")])
def test_what_is_not_there_is_told(files, message):
    with pytest.raises(DataError, match=message):
        expand(files)


def test_a_folder_without_images_is_told(tmp_path):
    with pytest.raises(DataError, match="no image below"):
        expand([tmp_path])


def test_the_highest_version_of_an_export_is_found(tmp_path):
    for version in ("1", "2", "10"):
        (tmp_path / "saved_model" / version).mkdir(parents=True)
    for version in ("1", "2"):
        (tmp_path / "saved_model" / version / "saved_model.pb").touch()
    assert find_saved_model(tmp_path).name == "2"
    assert find_saved_model(tmp_path / "saved_model" / "1").name == "1"
    assert find_saved_model(tmp_path / "nowhere") is None


def test_what_is_neither_run_nor_export_is_told(tmp_path):
    with pytest.raises(RunError, match="neither a run nor an export"):
        open_predictor(tmp_path)
    with pytest.raises(RunError, match="no folder"):
        open_predictor(tmp_path / "nowhere")


def test_a_damaged_export_is_told(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(ExportError, match="damaged"):
        open_predictor(tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with a small untrained model and its export."""
    import keras

    from tfl.export.saved_model import export_saved_model
    from tfl.modalities.base import modality_of_data

    keras.utils.set_random_seed(4)
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(inputs)))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    recipe = tfl.Recipe(name="x", data=tfl.Data("unused", image_size=(16, 16)), backbone=tfl.Backbone("mini"))
    run = Run.create(tmp_path_factory.mktemp("runs") / "x", recipe, command=[])
    run.update_manifest(data={"class_names": list(LABELS)})
    model.save(run.path("model.keras"))
    export_saved_model(model, class_names=LABELS, modality=modality_of_data(recipe.data), folder=run.path("export"))
    return run


@pytest.mark.slow
def test_a_run_and_its_export_say_the_same(run, photos):
    whole = png("red", size=(300, 200))
    (photos / "cut.png").write_bytes(whole[: len(whole) // 2])
    by_run, by_export = (open_predictor(path).look_at([photos], on_bad="skip") for path in (run.folder, run.path("export")))
    assert [row["label"] for row in by_run.predictions] == [row["label"] for row in by_export.predictions]
    ours, theirs = ([list(row["probabilities"].values()) for row in found.predictions] for found in (by_run, by_export))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert [entry["file"] for entry in by_run.unreadable] == [str(photos / "cut.png")]
    assert by_run.unreadable == by_export.unreadable


def test_a_run_without_a_model_says_how_to_finish_it(tmp_path):
    recipe = tfl.Recipe(name="x", data=tfl.Sample("digits"), backbone=tfl.Backbone("mini"))
    run = Run.create(tmp_path / "r", recipe, command=[])
    with pytest.raises(RunError, match="--resume"):
        open_predictor(run.folder)
