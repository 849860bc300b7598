"""What a user can get wrong with `tfl run`: one message that says what, where and what to do, exit 2, nothing half written."""

import os
import struct
import zlib

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tfl.cli.main import cli

RECIPE = """
import tfl
recipe = tfl.Recipe(
    name="bad",
    data=tfl.Data({source!r}, image_size=(32, 32)),
    backbone=tfl.Backbone({backbone!r}),
    stages=(tfl.Stage("head", epochs=1),),
    export=(),
)
"""


def photos(folder, classes=("a", "b"), count=10):
    rng = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(folder / name / f"{i}.png")
    return folder


def png_header(width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")


@pytest.fixture
def tfl_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(source, *options, backbone="mini"):
        (tmp_path / "r.py").write_text(RECIPE.format(source=str(source), backbone=backbone))
        return CliRunner().invoke(cli, ["run", "r.py", "--out", "out", *options])

    return run


def refused(result, *words):
    said = result.output + (result.stderr if result.stderr_bytes is not None else "")
    assert result.exit_code == 2, f"{said}\n{result.exception!r}"
    assert "Traceback" not in said
    for word in words:
        assert word in said, said
    assert not os.path.exists("out/manifest.json")
    assert not os.path.exists("out/model.keras")


def test_an_empty_folder(tfl_run, tmp_path):
    (tmp_path / "photos").mkdir()
    refused(tfl_run("photos"), "photos")


def test_a_folder_that_is_not_there(tfl_run):
    refused(tfl_run("nowhere"), "nowhere")


def test_one_class(tfl_run, tmp_path):
    refused(tfl_run(photos(tmp_path / "photos", classes=("only",))), "only")


def test_a_class_with_one_image(tfl_run, tmp_path):
    folder = photos(tmp_path / "photos")
    photos(folder, classes=("rare",), count=1)
    refused(tfl_run(folder), "rare", "1 image")


def test_a_folder_of_non_images(tfl_run, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(5):
            (tmp_path / "photos" / name / f"{i}.txt").write_text("hello")
    refused(tfl_run("photos"), "photos")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("truncated.jpg", None),
        ("empty.jpg", b""),
        ("text.jpg", b"this is a text, not a picture\n" * 20),
        ("huge.png", png_header(20_000, 20_000)),
    ],
)
def test_a_file_that_is_no_image_is_named_and_can_be_skipped(tfl_run, tmp_path, small_network, name, content):
    folder = photos(tmp_path / "photos")
    if content is None:
        Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)).save(folder / "a" / name)
        content = (folder / "a" / name).read_bytes()[:900]
    (folder / "a" / name).write_bytes(content)
    refused(tfl_run(folder), name, "--skip-bad")
    if name == "truncated.jpg":  # a run, of all kinds
        (folder / "b" / "empty.jpg").write_bytes(b"")
        (folder / "b" / "text.jpg").write_bytes(b"this is a text, not a picture\n" * 20)
        (folder / "b" / "huge.png").write_bytes(png_header(20_000, 20_000))
        skipped = tfl_run(folder, "--skip-bad", backbone=small_network)
        assert skipped.exit_code == 0, skipped.output
        manifest = (tmp_path / "out" / "manifest.json").read_text()
        assert all(one in manifest for one in (name, "empty.jpg", "text.jpg", "huge.png"))


def test_a_one_pixel_image_is_named(tfl_run, tmp_path):
    folder = photos(tmp_path / "photos")
    Image.new("RGB", (1, 1)).save(folder / "a" / "dot.png")
    refused(tfl_run(folder), "dot.png")


def test_csv_that_points_nowhere(tfl_run, tmp_path):
    (tmp_path / "labels.csv").write_text("path,label\nmissing1.jpg,a\nmissing2.jpg,b\n")
    refused(tfl_run("labels.csv"), "missing1.jpg")


def test_classes_that_differ_by_case(tfl_run, tmp_path):
    refused(tfl_run(photos(tmp_path / "photos", classes=("Cat", "cat", "dog"))), "Cat", "cat")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read any folder")
def test_an_unreadable_folder(tfl_run, tmp_path):
    folder = photos(tmp_path / "photos")
    (folder / "a").chmod(0)
    try:
        refused(tfl_run(folder), "photos")
    finally:
        (folder / "a").chmod(0o755)


def test_an_unknown_backbone(tfl_run, tmp_path):
    refused(tfl_run(photos(tmp_path / "photos"), backbone="MobilNetV2"), "MobilNetV2", "MobileNetV2")


@pytest.mark.slow
def test_weights_that_cannot_be_had(tfl_run, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    result = tfl_run(photos(tmp_path / "photos"), backbone="MobileNetV2")
    refused(result, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5", "KERAS_HOME")


@pytest.mark.slow
def test_an_unknown_block(tfl_run, tmp_path):
    refused(tfl_run(photos(tmp_path / "photos"), "--set", "stages.head.train=blocks:conv99*"), "conv99*")


@pytest.mark.slow
def test_more_blocks_than_there_are(tfl_run, tmp_path):
    refused(tfl_run(photos(tmp_path / "photos"), "--set", "stages.head.train=top:99"), "99")


def test_an_unknown_field(tfl_run, tmp_path):
    refused(tfl_run(photos(tmp_path / "photos"), "--set", "stages.head.epoch=3"), "epochs")


def test_an_image_size_below_the_network_s_minimum(tfl_run, tmp_path):
    refused(tfl_run(photos(tmp_path / "photos"), "--set", "data.image_size=8,8"), "8")


def test_a_recipe_that_raises_and_one_without_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text, word in (("1 / 0\n", "ZeroDivisionError"), ("x = 1\n", "recipe = tfl.Recipe")):
        (tmp_path / "r.py").write_text(text)
        refused(CliRunner().invoke(cli, ["run", "r.py", "--out", "out"]), "r.py", word)


def test_an_out_that_holds_another_run_is_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.py").write_text(RECIPE.format(source=str(photos(tmp_path / "photos")), backbone="mini"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text("{}")
    result = CliRunner().invoke(cli, ["run", "r.py", "--out", "out"])
    assert result.exit_code == 2 and "--out" in result.output + result.stderr
    assert (tmp_path / "out" / "manifest.json").read_text() == "{}" and os.listdir(tmp_path / "out") == ["manifest.json"]


def test_tfds_without_a_network_says_how_to_get_it(tfl_run, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    refused(tfl_run("tfds:plant_village"), "plant_village")
