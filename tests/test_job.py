"""The main job from one end to the other, on small real data."""

import dataclasses
import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import tfl
from tfl.errors import DataError, RunError, StorageError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recipe():
    return tfl.Recipe(
        name="digits",
        data=tfl.Sample("digits", image_size=(32, 32), per_class=20),
        backbone=tfl.Backbone("mini"),
        stages=(
            tfl.Stage("head", epochs=4, learning_rate=3e-3),
            tfl.Stage("finetune", train=tfl.top_blocks(2), epochs=3, augment=tfl.Augment(rotate_deg=10.0), views=2),
        ),
    )


@pytest.fixture(scope="module")
def bare(recipe):
    """The same without exports, which come after everything that is compared."""
    return recipe.override("export", [])


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory, with_pictures):
    from tfl.job import run_recipe

    with with_pictures():
        return run_recipe(recipe, out=tmp_path_factory.mktemp("runs") / "whole", command=["pytest"])


def test_a_run_leaves_what_the_design_names(finished):
    files = ("manifest.json", "recipe.json", "history.csv", "metrics.json", "ledger.json", "predictions.csv", "model.keras")
    for name in (*files, "report.html", "checkpoints", "logs", "export/saved_model/1/saved_model.pb"):
        assert finished.path(name).exists(), name
    assert finished.manifest["status"] == "done"
    assert not [path for path in finished.folder.rglob("*") if ".tmp" in path.name]


def test_metrics_have_the_documented_shape(finished, recipe):
    metrics = finished.read_json("metrics.json")
    for split in ("validation", "test"):
        assert {"accuracy", "macro_f1", "loss", "count"} <= set(metrics[split])
    assert {"total", "data", "features", "head", "finetune"} <= set(metrics["seconds"])
    assert metrics["test"]["count"] == 40
    assert metrics["test"]["accuracy"] > 0.3


def test_the_ledger_says_which_blocks_moved(finished):
    ledger = finished.read_json("ledger.json")
    text = json.dumps(ledger)
    assert "was_to_move" in text and "moved" in text
    for stage in ("head", "finetune"):
        assert stage in text


def test_the_model_loads_with_keras_alone_and_agrees_with_the_predictions(finished):
    code = (
        "import sys, csv, numpy as np, keras\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "assert not [name for name in sys.modules if name == 'tfl' or name.startswith('tfl.')]\n"
        "print(model.input_shape, model.output_shape)"
    )
    done = subprocess.run([sys.executable, "-c", code, finished.path("model.keras")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "(None, 32, 32, 3) (None, 10)" in done.stdout


def test_the_same_recipe_gives_the_same_model(finished, bare, tmp_path):
    from tfl.job import run_recipe

    again = run_recipe(bare, out=tmp_path / "again")
    assert same_model(finished.path("model.keras"), again.path("model.keras"))
    assert finished.path("predictions.csv").read_text() == again.path("predictions.csv").read_text()


def test_a_killed_run_resumes_to_the_same_result(finished, bare, tmp_path, monkeypatch):
    """It is killed in a stage, and when it goes on ended once more, when its network was just written."""
    from tfl.job import run_recipe

    (tmp_path / "recipe.json").write_text(bare.to_json())
    folder = tmp_path / "killed"
    code = "import sys, tfl; from tfl.job import run_recipe; run_recipe(tfl.load_recipe(sys.argv[1]), out=sys.argv[2])"
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "recipe.json", folder], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline and not reached(folder):
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert reached(folder) and not (folder / "model.keras").exists()

    def killed(*_, **__):
        assert (folder / "model.keras").exists()
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("tfl.job.keep.keep_album", killed)
        run_recipe(bare, out=folder, resume=True)
    run = run_recipe(bare, out=folder, resume=True)
    assert run.manifest["status"] == "done"
    assert same_model(finished.path("model.keras"), run.path("model.keras"))
    assert epochs_of(run) == epochs_of(finished)


def reached(folder):
    return bool(list(folder.glob("checkpoints/*finetune*")))


def epochs_of(run):
    return re.findall(r"^(\w+),(\d+)", run.path("history.csv").read_text(), re.M)


def same_model(first, second):
    import keras

    pairs = zip(keras.models.load_model(first).weights, keras.models.load_model(second).weights, strict=True)
    return all(np.array_equal(a.numpy(), b.numpy()) for a, b in pairs)


def test_resuming_by_another_recipe_is_refused(finished, recipe):
    from tfl.job import run_recipe

    with pytest.raises(RunError, match="seed"):
        run_recipe(recipe.override("seed", 5), out=finished.folder, resume=True)


def test_a_run_s_model_is_a_backbone_for_the_next(finished, tmp_path):
    from tfl.job import run_recipe

    recipe = tfl.Recipe(
        name="next",
        data=tfl.Sample("digits", image_size=(32, 32), per_class=10, labels=("0", "3", "7", "8")),
        backbone=tfl.Backbone(str(finished.path("model.keras"))),
        stages=(tfl.Stage("head", epochs=2),),
        export=(),
    )
    run = run_recipe(recipe, out=tmp_path / "next", report=False)
    assert len(run.class_names) == 4
    assert run.read_json("metrics.json")["test"]["count"] > 0


def test_the_size_is_the_networks_own_until_it_is_chosen(recipe, tmp_path):
    from rich.console import Console

    from tfl.job import run_recipe

    free = recipe.override("export", [])
    few = tfl.Sample("digits", per_class=8, labels=("3", "8"))
    small = dataclasses.replace(free, data=few, stages=(tfl.Stage("head", epochs=1),))
    told = Console(record=True, width=200)
    run = run_recipe(small, out=tmp_path / "own", console=told)
    assert run.recipe.data.image_size == (96, 96)
    assert "mini at 96 × 96 px" in told.export_text(clear=False) and "is far from" not in told.export_text()
    assert run_recipe(small, out=tmp_path / "own", resume=True, console=told).manifest["status"] == "done"
    chosen = run_recipe(small.override("data.image_size", "48,48"), out=tmp_path / "chosen", console=told)
    assert chosen.recipe.data.image_size == (48, 48)
    assert "48 × 48 px is far from the 96 × 96 px that mini was trained at" in told.export_text()
    assert "48 × 48 px is far from" in chosen.path("report.html").read_text(encoding="utf-8")


def test_a_failure_is_told_until_the_run_goes_on(tmp_path, recipe):
    from tfl.resume import status_of
    from tfl.runs import Run

    run = Run.create(tmp_path / "run", recipe, command=[])
    with pytest.raises(RuntimeError), status_of(run):
        raise RuntimeError("the disk fell out")
    assert (run.manifest["status"], run.manifest["error"]) == ("failed", "the disk fell out")
    with status_of(run):
        assert (run.manifest["status"], run.manifest["error"]) == ("running", None)


def test_a_cache_that_cannot_be_written_is_told_at_once_and_the_run_goes_on(small_network, tmp_path, monkeypatch):
    from rich.console import Console

    (tmp_path / "file").touch()
    small = tfl.Recipe(
        name="leaves",
        data=tfl.Sample("digits", image_size=(32, 32), per_class=10, labels=("3", "8")),
        backbone=tfl.Backbone(small_network),
        stages=(tfl.Stage("head", epochs=1),),
        export=(),
        confidence=None,
    )

    def run(name, *, resume=False, store="auto"):
        said = io.StringIO()
        recipe = small.override("features.store", store)
        console = Console(file=said, width=1000)
        return run_recipe(recipe, out=tmp_path / name, resume=resume, report=False, console=console), said.getvalue()

    from tfl.job import run_recipe

    stored, _ = run("stored")
    monkeypatch.setenv("TFL_CACHE", str(tmp_path / "file" / "cache"))
    done, said = run("told")
    first, *rest = said.splitlines()
    assert first.startswith(f"warning: Cannot write {tmp_path}/file/cache/features: a part of the path is a file, not a folder. ")
    assert "run in every epoch" in first and "TFL_CACHE" in first and rest[0].startswith("data ")
    assert sum("warning: Cannot write" in line for line in rest) == 0
    assert done.manifest["status"] == "done" and done.stage_state("head")["unstored"] is True
    with pytest.raises(StorageError, match="Point TFL_CACHE"):
        run("always", store="always")
    with pytest.raises(StorageError, match="Point TFL_CACHE"):  # its figures would be other ones
        run(stored.folder.name, resume=True)
    assert not (tmp_path / "always").exists()


def test_16_bit_images_of_fewer_bits_stop_a_run_before_it_begins(recipe, tmp_path):
    from tfl.job import prepare_data, run_recipe

    for number in range(12):
        folder = tmp_path / "data" / ("dark", "light")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(number).integers(0, 4096, (32, 32)).astype("uint16")
        Image.fromarray(values).save(folder / f"{number}.tif")
    data = tfl.Data(str(tmp_path / "data"), image_size=(32, 32))
    recipe = dataclasses.replace(recipe, data=data)
    with pytest.raises(DataError, match=r"12 16-bit images use values up to 4,\d+ only \(12 bits\).*--set data.bits=12"):
        run_recipe(recipe, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    told = dataclasses.replace(recipe, data=dataclasses.replace(data, bits=12))
    bundle, findings = prepare_data(told, Console(quiet=True))
    assert findings == [] or {one["kind"] for one in findings} <= {"classes_small", "odd_modes", "image_size"}
    assert bundle.cached is not None and 110 < bundle.cached[:].mean() < 145  # of 16 bits it would be 8
