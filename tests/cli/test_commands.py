"""Each verb: what it parses, what it hands over, what it answers. What trains or loads TensorFlow is replaced, or marked slow."""

import importlib.metadata
import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import tfl
from tfl.cli.main import cli
from tfl.cli.options import latest_folder
from tfl.errors import DataError, RecipeError, RunError
from tfl.prepare import check_same_classes
from tfl.runs import Run

RECIPE = """
import tfl
recipe = tfl.Recipe(name="leaves", data=tfl.Sample("digits"), backbone=tfl.Backbone("mini"), stages=(tfl.Stage("head"),))
"""


def invoke(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))  # which network `tfl new` takes depends on what is there
    tmp_path.joinpath("leaves.py").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def calls(monkeypatch):
    """`tfl.job` replaced by one that records what it was asked and makes a run of nothing."""
    asked = []

    def run_recipe(recipe, *, out, resume, command, console):
        asked.append({"recipe": recipe, "out": out, "resume": resume, "command": command})
        run = Run.open(out) if resume else Run.create(out, recipe, command=command)
        run.write_json("metrics.json", {"test": {"accuracy": 0.9, "macro_f1": 0.8, "count": 10}})
        return run

    monkeypatch.setitem(sys.modules, "tfl.job", types.SimpleNamespace(run_recipe=run_recipe))
    return asked


def test_run_hands_the_changed_recipe_over(here, calls):
    words = ("--data", "photos", "--set", "stages.head.epochs=3", "--set", "data.image_size=64,48", "--skip-bad")
    result = invoke("run", "leaves.py", "--out", "done", *words, "--json")
    assert result.exit_code == 0, result.stderr
    recipe = calls[0]["recipe"]
    assert (recipe.data.source, recipe.data.image_size, recipe.data.on_bad) == ("photos", (64, 48), "skip")
    assert recipe.stages[0].epochs == 3
    assert json.loads(result.stdout) == {
        "run": "done",
        "metrics": {"test": {"accuracy": 0.9, "macro_f1": 0.8, "count": 10}},
        "export": {},
        "refused": {},
    }


def test_a_set_comes_after_data(here, calls):
    invoke("run", "leaves.py", "--out", "a", "--set", "data=sample:strawberry", "--data", "photos")
    assert calls[0]["recipe"].data.source == "sample:strawberry"


def test_smoke_is_short(here, calls):
    invoke("run", "leaves.py", "--out", "a", "--smoke")
    assert calls[0]["recipe"].stages[0].epochs == 1 and calls[0]["recipe"].data.per_class == 20


def test_run_says_the_figures_and_what_next(here, calls):
    result = invoke("run", "leaves.py")
    assert "Named 9 of 10 test images correctly: 90.0%" in result.stdout and "tfl predict runs/leaves/" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere.py",), "no recipe file"),
        (("leaves.py", "--set", "stages.head.epoch=3"), "Did you mean `epochs`?"),
        (("leaves.py", "--set", "stages.head.epochs=many"), "whole number"),
        (("leaves.py", "--set", "epochs"), "KEY=VALUE"),
        (("leaves.py", "--resume"), "no run of `leaves` to resume"),
    ],
)
def test_run_refuses(here, calls, words, message):
    result = invoke("run", *words)
    assert result.exit_code == 2 and message in " ".join(result.stderr.split()) and not calls
    assert sorted(entry.name for entry in here.iterdir()) == ["leaves.py"]


def test_resume_takes_the_latest_run_of_this_recipe(here, calls):
    recipe = tfl.load_recipe("leaves.py")
    for name in ("20240101-000000", "20240102-000000"):
        Run.create(here / "runs" / "leaves" / name, recipe, command=[])
    Run.create(here / "runs" / "other" / "20990101-000000", recipe, command=[])
    assert invoke("run", "leaves.py", "--resume").exit_code == 0
    assert calls[0]["out"].name == "20240102-000000" and calls[0]["resume"]
    with pytest.raises(RunError, match="never"):
        latest_folder("never", holds="manifest.json", what="run")


def test_an_interrupted_run_says_the_command_that_goes_on(here, calls, monkeypatch):
    def interrupted(recipe, *, out, resume, command, console):
        Run.create(out, recipe, command=[])
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "tfl.job", types.SimpleNamespace(run_recipe=interrupted))
    result = invoke("run", "leaves.py", "--out", "my run", "--set", 'data.labels=["3", "8"]')
    assert result.exit_code == 130
    assert "tfl run leaves.py --set 'data.labels=[\"3\", \"8\"]' --out 'my run' --resume" in result.stderr


def test_a_full_disk_says_the_command_that_goes_on_where_there_is_one(here, calls, monkeypatch):
    def full(recipe, *, out, resume, command, console):
        Run.create(out, recipe, command=[])
        raise OSError(28, "No space left on device", "model.keras")

    monkeypatch.setitem(sys.modules, "tfl.job", types.SimpleNamespace(run_recipe=full))
    result = invoke("run", "leaves.py", "--out", "r")
    assert result.exit_code == 2 and "no space is left" in result.stderr
    assert "Resume with: tfl run leaves.py --out r --resume" in result.stderr


# new -----------------------------------------------------------------------------------------------------------------


def class_folders(base, **counts):
    for name, count in counts.items():
        (base / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (40, 30), (number * 7 % 255, 50, 90)).save(base / name / f"{number}.png")
    return base


def test_new_writes_a_recipe_that_loads(here):
    class_folders(here / "my photos", ant=12, bee=10)
    result = invoke("new", "insects", "--data", "my photos", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["classes"] == {"ant": 12, "bee": 10}
    recipe = tfl.load_recipe("insects.py")
    assert recipe.name == "insects" and recipe.data.source == "my photos" and recipe.class_weight is None
    text = here.joinpath("insects.py").read_text()
    assert len(text.splitlines()) < 60 and "22 images in 2 classes" in text


def test_new_sees_imbalance(here):
    class_folders(here / "photos", ant=20, bee=4)
    assert invoke("new", "insects", "--data", "photos").exit_code == 0
    recipe = tfl.load_recipe("insects.py")
    assert recipe.class_weight == "balanced" and recipe.monitor.metric == "val_macro_f1"


def test_new_writes_the_bits_that_16_bit_images_use(here):
    class_folders(here / "photos", ant=5, bee=5)
    invoke("new", "insects", "--data", "photos")
    assert tfl.load_recipe("insects.py").data.bits is None and "bits" not in here.joinpath("insects.py").read_text()
    values = np.linspace(0, 4095, 1200).reshape(30, 40).astype("uint16")
    for name in ("ant", "bee"):
        Image.fromarray(values).save(here / "photos" / name / "deep.tif")
    invoke("new", "microscope", "--data", "photos")
    assert tfl.load_recipe("microscope.py").data.bits == 12
    assert "values of 12 bits only" in here.joinpath("microscope.py").read_text()


def test_new_says_what_kind_of_pictures_a_sample_has(here, monkeypatch):
    monkeypatch.setattr("tfl.cli.mirror.MOST_IMAGES", 20)  # too few to compare: no network is needed
    monkeypatch.setattr("tfl.cli.new.load_tensorflow", lambda: None)
    invoke("new", "digits", "--data", "sample:digits")
    assert "scanned handwritten digits" in here.joinpath("digits.py").read_text()
    assert tfl.load_recipe("digits.py").data.image_size == (48, 48)


def test_new_leaves_a_test_without_labels_out_and_says_how_to_label_it(here):
    class_folders(here / "photos" / "train", ant=12, bee=10)
    class_folders(here / "photos", test=4)
    result = invoke("new", "insects", "--data", "photos")
    assert result.exit_code == 0, result.stderr
    said = " ".join(result.stdout.split())
    assert "22 images" in said and "4 files have no label" in said and "tfl predict RUN photos/test" in said
    assert "tfl predict RUN photos/test" in here.joinpath("insects.py").read_text()
    assert tfl.load_recipe("insects.py").data.source == "photos"


@pytest.mark.parametrize(("size", "chosen"), [((200, 150), None), ((49, 20), None), ((48, 20), (48, 48))])
def test_new_leaves_the_image_size_to_the_network_except_for_tiny_pictures(here, size, chosen):
    for name in ("ant", "bee"):
        (here / "photos" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", size, (number * 40, 50, 90)).save(here / "photos" / name / f"{number}.png")
    assert invoke("new", "insects", "--data", "photos").exit_code == 0
    recipe, text = tfl.load_recipe("insects.py"), here.joinpath("insects.py").read_text()
    assert recipe.data.image_size == chosen
    assert ("# image_size=(160, 160)," in text) == (chosen is None)
    assert ("small themselves (20 × 48 px)" in text) == (chosen is not None)


def test_new_survives_quotes_in_the_source(here):
    odd = class_folders(here / """it's "here" \\""", ant=5, bee=5)
    assert invoke("new", "insects", "--data", odd).exit_code == 0
    assert tfl.load_recipe("insects.py").data.source == str(odd)


@pytest.mark.parametrize(
    ("name", "counts", "message"),
    [
        ("leaves", {"ant": 5, "bee": 5}, "already there"),
        ("in sects", {"ant": 5, "bee": 5}, "folder name"),
        ("insects", {"ant": 5, "bee": 2}, "bee (2)"),
        ("insects", {"ant": 5}, "two classes"),
        ("insects", {}, "nothing at this source"),
    ],
)
def test_new_refuses_and_writes_nothing(here, name, counts, message):
    class_folders(here / "photos", **counts)
    result = invoke("new", name, "--data", "photos")
    assert result.exit_code == 2 and message in result.stderr
    assert here.joinpath("leaves.py").read_text() == RECIPE and not here.joinpath("insects.py").exists()


# backbones -----------------------------------------------------------------------------------------------------------


MOBILENET_V2 = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"


@pytest.fixture
def models(tmp_path, monkeypatch):
    """An empty folder where Keras looks, and caches without presets."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name in ("KAGGLEHUB_CACHE", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path / "models"


def test_backbones_lists_the_catalog(models, whole_file):
    whole_file(models / MOBILENET_V2)
    whole_file(models / "mobilenet_1_0_160_tf_no_top.h5")
    document = json.loads(invoke("backbones", "--json").stdout)
    rows = {row["name"]: row for row in document["backbones"]}
    assert rows["ResNet50"]["family"] == "ResNet" and rows["ResNet50"]["preprocessing"] == "caffe"
    assert rows["EfficientNetB1"]["native_size"] == 240 and rows["mini"]["native_size"] == 96
    assert rows["mini"]["at_hand"] and not rows["ResNet50"]["at_hand"] and rows["ResNet50"]["weights_here"] == []
    assert rows["MobileNetV2"]["weights_here"] == [MOBILENET_V2] and rows["MobileNetV2"]["variants"] == ["alpha=0.35"]
    assert rows["MobileNet"]["variants"] == ["160 px"] and rows["ResNet18"]["weights_file"] is None
    assert document["weights_folder"] == str(models)
    assert "none exist" in invoke("backbones").stdout


def test_backbones_lists_what_is_at_hand(models, whole_file, tmp_path):
    whole_file(models / MOBILENET_V2)
    whole_file(tmp_path / "carried" / "mobilenet_7_5_224_tf_no_top.h5")
    document = json.loads(invoke("backbones", "--at-hand", "--json").stdout)
    assert [row["name"] for row in document["backbones"]] == ["MobileNetV2", "mini"]
    assert document["backbones"][0]["arguments"] == {"alpha": 0.35} and document["backbones"][0]["accuracy"] == 60.3
    also = invoke("backbones", "--at-hand", "--folder", str(tmp_path / "carried"))
    assert also.exit_code == 0 and "MobileNet alpha=0.75" in also.stdout and "68.4%, ImageNet top-1" in also.stdout
    assert "ResNet50" not in also.stdout and "docs/weights.md" in also.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("MobilNetV2",), "Did you mean `MobileNetV2`?"),
        (("mini", "--image-size", "big"), "HEIGHT,WIDTH"),
        (("--image-size", "96,96"), "need the NAME"),
        (("--fetch",), "need the NAME"),
        (("mini", "--at-hand"), "takes no NAME"),
        (("--folder", "."), "goes with --at-hand"),
        (("--at-hand", "--folder", "there/is/none"), "There is no folder there/is/none"),
        (("ResNet34", "--fetch"), "no pretrained weights of ResNet34"),
        (("mini", "--set", "argument.alpha=1"), "Did you mean `arguments`?"),
        (("VGG16", "--set", "preprocessing=tf"), "Allowed: auto or caffe"),
        (("there-is-none.h5",), "There is no model file there-is-none.h5"),
    ],
)
def test_backbones_refuses(words, message):
    result = invoke("backbones", *words)
    assert result.exit_code == 2 and message in " ".join(result.stderr.split())


@pytest.mark.slow
def test_backbones_prints_blocks():
    result = invoke("backbones", "MobileNetV2", "--set", "arguments.alpha=0.35", "--image-size", "64,96", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["image_size"] == [64, 96] and 4 <= len(document["blocks"]) <= 40
    assert document["parameters"] == sum(block["parameters"] for block in document["blocks"]) == 410_208
    assert sum(block["flops_share"] for block in document["blocks"]) == pytest.approx(1)
    assert "block_1_project_BN" in invoke("backbones", "MobileNetV2").stdout


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_backbones_describes_a_model_file(here, suffix):
    import keras

    keras.applications.MobileNet(include_top=False, weights=None, alpha=0.25, input_shape=(96, 64, 3)).save(f"own.{suffix}")
    document = json.loads(invoke("backbones", f"own.{suffix}", "--json").stdout)
    assert document["image_size"] == [96, 64] and document["preprocessing"] == "tf" and len(document["blocks"]) == 14
    inputs = keras.Input((32, 32, 3))
    keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs)).save(f"plain.{suffix}")
    result = invoke("backbones", f"plain.{suffix}")
    assert result.exit_code == 0, result.stderr
    assert "preprocessing not known" in result.stdout and "backbone.preprocessing" in result.stdout


@pytest.mark.parametrize("verb", ["run", "probe"])
def test_a_file_that_is_no_network_is_refused_before_anything_else(here, verb):
    here.joinpath("net.onnx").touch()
    result = invoke(verb, "leaves.py", "--set", "backbone=net.onnx")
    assert result.exit_code == 2 and "is an ONNX file" in " ".join(result.stderr.split())


# evaluate, report, export, doctor ------------------------------------------------------------------------------------


def test_evaluate_refuses_classes_that_are_missing_or_added():
    check_same_classes(("b", "a"), ("a", "b"), source="photos")
    with pytest.raises(DataError, match="missing: b; added: c"):
        check_same_classes(("a", "c"), ("a", "b"), source="photos")


@pytest.mark.parametrize("words", [("evaluate",), ("report",), ("export", "--format", "saved_model")])
def test_what_is_no_run_is_refused(tmp_path, words):
    result = invoke(words[0], tmp_path, *words[1:])
    assert result.exit_code == 2 and "not a run folder" in result.stderr


@pytest.mark.parametrize("words", [("evaluate",), ("export", "--format", "saved_model")])
def test_a_run_without_a_model_is_told_apart(here, words):
    run = Run.create(here / "r", tfl.load_recipe("leaves.py"), command=[])
    result = invoke(words[0], run.folder, *words[1:])
    assert result.exit_code == 2 and ("classes" in result.stderr or "model.keras" in result.stderr)


@pytest.mark.slow
def test_doctor_finds_this_machine_well(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "some_notop.h5").touch()
    document = json.loads(invoke("doctor", "--json").stdout)
    assert document["weights"]["files"] == ["some_notop.h5"]
    assert document["tensorflow"]["mini_images_per_second"] > 1
    assert document["versions"]["tfl"] == tfl.__version__ and document["machine"]["cores"] >= 1


@pytest.mark.parametrize("version", ["2026.4.1", None])
def test_doctor_says_whether_openvino_is_there(version, monkeypatch):
    real = importlib.metadata.version

    def found(package):
        if package == "openvino" and version is None:
            raise importlib.metadata.PackageNotFoundError(package)
        return version if package == "openvino" else real(package)

    monkeypatch.setattr("importlib.metadata.version", found)
    monkeypatch.setattr("tfl.cli.doctor._tensorflow", lambda problems: None)
    assert json.loads(invoke("doctor", "--json").stdout)["versions"]["openvino"] == version
    shown = invoke("doctor").stdout
    assert "Keras, OpenVINO 2026.4.1" in shown if version else "pip install 'tfl[openvino]'" in shown


def test_doctor_says_what_to_do(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("TFL_CACHE", str(blocked / "cache"))
    monkeypatch.setattr("tfl.cli.doctor._tensorflow", lambda problems: None)
    result = invoke("doctor")
    assert result.exit_code == 2 and "cannot be written" in result.stdout and "TFL_CACHE" in result.stdout


# predict -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def predictor(monkeypatch):
    from tfl.serve.predictor import Predictor

    def scores(contents):
        return np.array([[0.25, 0.75]] * len(contents), "float32")

    fake = Predictor(path=None, class_names=("ant", "bee"), outputs=scores)
    monkeypatch.setattr("tfl.serve.predictor.open_predictor", lambda path: fake)


def test_predict_in_every_format(here, predictor):
    class_folders(here / "photos", x=2)
    document = json.loads(invoke("predict", "run", "photos", "--json").stdout)
    expected = {"file": "photos/x/0.png", "label": "bee", "probability": 0.75, "probabilities": {"ant": 0.25, "bee": 0.75}}
    assert document["predictions"][0] == expected and document["unreadable"] == []
    assert json.loads(invoke("predict", "run", "photos", "--format", "json").stdout) == document
    lines = invoke("predict", "run", "photos", "--format", "csv").stdout.splitlines()
    assert lines[:2] == ["file,label,probability,p_ant,p_bee", "photos/x/0.png,bee,0.750000,0.250000,0.750000"]
    table = invoke("predict", "run", "photos").stdout
    assert "bee" in table and "0.750" in table and "photos/x/1.png" in table


@pytest.mark.parametrize(("name", "start"), [("a.csv", "file,label"), ("a.json", "{"), ("a.txt", " ")])
def test_predict_writes_a_file_by_its_ending(here, predictor, name, start):
    class_folders(here / "photos", x=1)
    result = invoke("predict", "run", "photos", "--out", name)
    assert result.exit_code == 0 and result.stdout == f"1 predictions in {name}\n"
    assert here.joinpath(name).read_text().startswith(start)


def test_predict_lists_what_it_leaves_out_and_keeps_the_other_predictions(here, predictor):
    class_folders(here / "photos", x=1)
    here.joinpath("photos", "note.jpg").write_text("not a photo")
    here.joinpath("photos", "note.txt").write_text("not a photo either")
    here.joinpath("photos", "x", "0.png").rename(here / "photos" / "x" / "no_suffix")
    here.joinpath("photos", "@eaDir").mkdir()
    here.joinpath("photos", "@eaDir", "thumb.jpg").write_bytes(b"of a network drive")
    result = invoke("predict", "run", "photos", "--out", "a.csv")
    assert result.exit_code == 2 and result.stdout == "1 predictions in a.csv\n"
    assert here.joinpath("a.csv").read_text().splitlines()[1].startswith("photos/x/no_suffix,bee")
    assert "left out: photos/note.jpg: not an image" in result.stderr and "left out: photos/note.txt" in result.stderr
    assert "1 hidden or system entry was skipped: photos/@eaDir" in result.stderr
    assert "2 of 3 files cannot be read as images" in result.stderr and "--skip-bad" in result.stderr
    result = invoke("predict", "run", "photos", "--skip-bad", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0 and [entry["file"] for entry in document["predictions"]] == ["photos/x/no_suffix"]
    assert {entry["file"] for entry in document["unreadable"]} == {"photos/note.jpg", "photos/note.txt"}
    assert document["skipped"] == ["photos/@eaDir"]


def test_predict_without_any_image_is_one_error_that_lists_every_file(here, predictor):
    (here / "photos").mkdir()
    for number in range(12):
        here.joinpath("photos", f"{number}.txt").write_text("no photo")
    result = invoke("predict", "run", "photos", "--skip-bad", "--out", "a.csv")
    assert result.exit_code == 2 and not result.stdout and not here.joinpath("a.csv").exists()
    assert result.stderr.count("left out: ") == 12 and "None of the 12 files can be read as an image" in result.stderr


def test_predict_takes_the_files_that_training_takes(here, predictor):
    from tfl.data.source import load_source

    class_folders(here / "photos", ant=2, bee=2)
    for file in ("ant/deeper/scan", "ant/.hidden.png", "bee/@eaDir/1.png", "bee/2.png.part", "bee/photo.JPEG.png"):
        here.joinpath("photos", file).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9)).save(here / "photos" / file, "PNG")
    here.joinpath("elsewhere").mkdir()
    here.joinpath("photos", "ant", "linked").symlink_to(here / "elsewhere")
    result = invoke("predict", "run", "photos", "--json")
    trained_on = [str(path) for path in load_source(tfl.Data("photos")).paths]
    document = json.loads(result.stdout)
    assert sorted(row["file"] for row in document["predictions"]) == sorted(trained_on)
    assert {"photos/ant/linked", "photos/bee/2.png.part"} <= set(document["skipped"])
    assert "warning: 1 linked folder or special file was skipped: photos/ant/linked" in result.stderr and result.exit_code == 0


def test_a_file_that_vanishes_before_it_is_read_costs_the_others_nothing(here, predictor, monkeypatch):
    import tfl.serve.predictor as module

    class_folders(here / "photos", x=2)
    opened = module.open_predictor

    def slow(path):
        here.joinpath("photos", "x", "0.png").unlink()
        return opened(path)

    monkeypatch.setattr(module, "open_predictor", slow)
    result = invoke("predict", "run", "photos", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 2 and [row["file"] for row in document["predictions"]] == ["photos/x/1.png"]
    assert [row["file"] for row in document["unreadable"]] == ["photos/x/0.png"]


POSIX = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
PREDICTS = r"""
import sys
import numpy as np
import tfl.serve.predictor as module
from tfl.cli.main import cli
names = ("ant", "b\u00e9e")
scores = lambda contents: np.array([[0.25, 0.75]] * len(contents), "float32")
module.open_predictor = lambda path: module.Predictor(path=None, class_names=names, outputs=scores)
from tfl.cli.streams import keep_streams_open
keep_streams_open()
for shape in sys.argv[1:]:
    for words in ((), ("--out", "answer-" + shape)):
        try:
            cli(["predict", "run", "photos", "--format", shape, *words])
        except SystemExit as end:
            if end.code:
                raise
        print("\f", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("locale", "shapes"), [(POSIX, ("csv", "table")), ({"LC_ALL": "C.UTF-8"}, ("json",))], ids=["POSIX", "UTF-8"]
)
def test_every_file_name_survives_every_locale(here, locale, shapes):
    (here / "photos").mkdir()
    names = [b"plain.png", b"caf\xe9.png", "caf\u00e9.png".encode()]
    for name in names:
        with open(os.fsencode(here / "photos") + b"/" + name, "wb") as file:
            Image.new("RGB", (9, 9)).save(file, "PNG")
    words = [sys.executable, "-c", PREDICTS, *shapes]
    printed = subprocess.run(words, env={**os.environ, **locale}, capture_output=True, check=True).stdout.split(b"\f")
    files = [here.joinpath(f"answer-{shape}").read_bytes() for shape in shapes]
    for shape, written in zip(2 * shapes, [*printed[: 2 * len(shapes) : 2], *files], strict=True):
        if shape == "json":
            rows = json.loads(written)["predictions"]
            assert sorted(os.fsencode(row["file"]) for row in rows) == sorted(b"photos/" + name for name in names)
        else:
            assert all(b"photos/" + name in written for name in names) and "b\u00e9e".encode() in written


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.txt"])
def test_predict_keeps_a_file_name_that_is_not_utf_8(here, predictor, name):
    class_folders(here / "photos", x=1)
    strange = os.fsencode(here / "photos" / "x") + b"/caf\xe9.png"
    os.rename(here / "photos" / "x" / "0.png", strange)
    assert invoke("predict", "run", "photos", "--out", name).exit_code == 0
    written = here.joinpath(name).read_bytes()
    if name == "a.json":
        (row,) = json.loads(written)["predictions"]
        assert os.fsencode(row["file"]) == b"photos/x/caf\xe9.png"
    else:
        assert b"photos/x/caf\xe9.png" in written


def test_predict_refuses_a_place_that_cannot_be_written_before_it_opens_the_model(here, monkeypatch):
    class_folders(here / "photos", x=1)
    monkeypatch.setattr("tfl.serve.predictor.open_predictor", lambda path: pytest.fail("the model was opened"))
    result = invoke("predict", "run", "photos", "--out", "photos/x/0.png/deeper/a.csv")
    assert result.exit_code == 2 and "Cannot write photos/x/0.png/deeper/a.csv" in result.stderr


def test_recipe_errors_name_the_setting():
    from tfl.cli.options import changed

    recipe = tfl.Recipe(name="x", data=tfl.Sample("digits"), backbone=tfl.Backbone("mini"))
    with pytest.raises(RecipeError, match="--set seed=-1"):
        changed(recipe, data=None, settings=[("seed", "-1")])
