"""Going on with a run: from nothing, from half a folder, and never with other images, weights or recipes."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import tfl
from tfl.errors import DataError, RunError, RunLockedError
from tfl.modalities.image.modality import ImageModality
from tfl.resume import earlier_run, refuse_other_inputs, status_of, vanished_files_reported, with_choices_of
from tfl.runs import Run


@pytest.fixture
def recipe():
    return tfl.Recipe(name="leaves", data=tfl.Data("photos", image_size=(32, 32)), backbone=tfl.Backbone("mini"))


@pytest.fixture
def console():
    return Console(record=True, width=200)


@pytest.mark.parametrize("held", [None, (), (".lock", "recipe.json"), (".lock", ".manifest.77.tmp.json", ".recipe.8.tmp.json")])
def test_where_nothing_was_begun_a_run_starts_from_the_beginning(tmp_path, recipe, console, held):
    folder = tmp_path / "run"
    if held is not None:
        folder.mkdir()
    for name in held or ():
        (folder / name).write_text("half")
    assert earlier_run(folder, recipe, console) is None
    assert "it starts from the beginning" in console.export_text()
    Run.refuse_if_taken(folder)


@pytest.mark.parametrize(
    "files", [("recipe.json",), ("recipe.json", "thesis.txt"), (".lock", ".a.b.tmp", "thesis.txt"), (".a.b.tmp",)]
)
def test_a_folder_of_something_else_is_left_alone(tmp_path, recipe, console, files):
    for name in files:
        (tmp_path / name).write_text("mine")
    with pytest.raises(RunError, match="no manifest"):
        earlier_run(tmp_path, recipe, console)
    assert sorted(os.listdir(tmp_path)) == sorted(files)


def test_a_run_of_another_recipe_is_refused(tmp_path, recipe, console):
    Run.create(tmp_path / "run", recipe, command=[])
    with pytest.raises(RunError, match=r"another recipe: seed was 0 and is 3\."):
        earlier_run(tmp_path / "run", dataclasses.replace(recipe, seed=3), console)
    assert earlier_run(tmp_path / "run", recipe, console) is not None


def test_what_the_examples_decided_is_no_other_recipe(tmp_path, recipe, console):
    asked = dataclasses.replace(recipe, data=tfl.Data("reviews.csv", input=tfl.Text()))
    settled = asked.override("data.input.length", 48)
    run = Run.create(tmp_path / "run", settled, command=[])
    assert earlier_run(tmp_path / "run", asked, console) is not None and with_choices_of(run, asked) == settled
    assert with_choices_of(run, recipe) == recipe
    with pytest.raises(RunError, match=r"data\.input\.length was 48 and is 32"):
        earlier_run(tmp_path / "run", asked.override("data.input.length", 32), console)
    Run.open(tmp_path / "run").path("model.keras").touch()
    with pytest.raises(
        RunError, match=f"to train its network further, with a new head: tfl run RECIPE --set backbone={tmp_path / 'run'}"
    ):
        earlier_run(tmp_path / "run", recipe.override("stages.head.epochs", 99), console)


def test_a_changed_recipe_is_told_field_by_field_and_how_to_train_on(tmp_path, recipe, console):
    run = Run.create(tmp_path / "my run", recipe, command=[])
    changed = recipe.override("stages.head.epochs", 99).override("data.validation", 0.3)
    with pytest.raises(
        RunError, match=r"data\.validation was 0\.2 and is 0\.3, stages\.head\.epochs was \d+ and is 99"
    ) as caught:
        earlier_run(run.folder, changed, console)
    assert "backbone=" not in str(caught.value), "it has no network yet"
    run.path("model.keras").touch()
    with pytest.raises(RunError, match=f"tfl run RECIPE --set 'backbone={run.folder}'"):
        earlier_run(run.folder, changed, console)
    longer = dataclasses.replace(recipe, stages=(*recipe.stages, tfl.Stage("more")))
    with pytest.raises(RunError, match=r"stages differs\."):
        earlier_run(run.folder, longer, console)


def test_a_run_of_an_older_version_is_not_gone_on_with_other_pixels(tmp_path, recipe, console):
    model = recipe.override("backbone", "m.keras")
    run = Run.create(tmp_path / "run", model, command=[])
    document = json.loads(run.path("recipe.json").read_text())
    del document["backbone"]["preprocessing"]  # there was no such field, and pixels were given to the network as they are
    run.path("recipe.json").write_text(json.dumps(document))
    with pytest.raises(RunError, match="older version") as caught:
        earlier_run(run.folder, model.override("backbone.preprocessing", "tf"), console)
    assert "--set backbone.preprocessing=none" in str(caught.value)
    assert earlier_run(run.folder, model.override("backbone.preprocessing", "none"), console) is not None
    with pytest.raises(RunError, match=r"backbone\.name was"):
        earlier_run(run.folder, recipe.override("backbone", "n.keras").override("backbone.preprocessing", "tf"), console)


@pytest.mark.slow
def test_a_run_as_backbone_brings_its_trained_blocks(tmp_path, recipe):
    from tfl.modalities.image.backbones.build import build_backbone
    from tfl.model.assemble import assemble

    run = Run.create(tmp_path / "my run", recipe, command=[])
    trained = assemble(recipe, ("ant", "bee")).model
    rng = np.random.default_rng(0)
    trained.set_weights([value + rng.normal(0, 0.1, value.shape).astype(value.dtype) for value in trained.get_weights()])
    trained.save(run.path("model.keras"))
    again = build_backbone(tfl.Backbone(str(run.folder)), image_size=recipe.data.image_size)
    kept, ours = again.get_weights(), trained.get_weights()
    assert len(ours) > len(kept) > 20, "all but those of the head"
    assert all(any(np.array_equal(value, other) for other in ours) for value in kept)


def test_a_run_that_is_going_on_is_refused_before_anything_is_read(tmp_path, recipe, console):
    run = Run.create(tmp_path / "run", recipe, command=[])
    hold = "print('held', flush=True); time.sleep(60)"
    code = f"import time; from tfl.storage import locked\nwith locked({str(run.folder)!r}): {hold}"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        with pytest.raises(RunLockedError, match=str(process.pid)):
            earlier_run(run.folder, recipe, console)
        process.kill()
    assert earlier_run(run.folder, recipe, console) is not None, "a dead process holds nothing"


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("ant", "bee"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(6):
            Image.fromarray(rng.integers(0, 255, (20, 20, 3), np.uint8)).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def bundle_of(photos):
    from tfl.data.bundle import Bundle
    from tfl.data.source import load_source
    from tfl.data.split import split

    data = tfl.Data(str(photos), image_size=(32, 32))
    examples = load_source(data)
    prints = tuple(examples.fingerprint_of(index) for index in range(len(examples)))
    parts = split(examples, validation=0.2, test=0.2, seed=0, fingerprints=prints)
    return Bundle(examples=examples, split=parts, data=data, seed=0, fingerprints=prints)


def test_other_images_are_refused_by_name(tmp_path, recipe, photos):
    from tfl.data.listing import write_listing

    run = Run.create(tmp_path / "run", recipe, command=[])
    write_listing(run.folder, bundle_of(photos))
    run.update_manifest(data={"fingerprint": "before"}, weights={"name": "mini", "sha256": "w"})
    (photos / "ant" / "2.png").unlink()
    weights = {"name": "mini", "sha256": "w"}
    with pytest.raises(RunError, match=r"1 removed \(ant/2\.png\)\. Put them back and run again with --resume") as caught:
        refuse_other_inputs(run, bundle_of(photos), fingerprint="after", weights=weights)
    assert "split" not in str(caught.value), "what one missing image moved is not its own news"
    refuse_other_inputs(run, bundle_of(photos), fingerprint="before", weights=weights)


def test_other_weights_are_refused(tmp_path, recipe, photos):
    run = Run.create(tmp_path / "run", recipe, command=[])
    run.update_manifest(data={"fingerprint": "f"}, weights={"name": "mini", "sha256": "w"})
    with pytest.raises(RunError, match="weights of mini are not those"):
        refuse_other_inputs(run, bundle_of(photos), fingerprint="f", weights={"name": "mini", "sha256": "x"})


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["python", "tensorflow"])
def test_a_file_that_vanishes_in_the_middle_is_named(photos, reader):
    from tfl.data.pipeline import make_dataset

    bundle = bundle_of(photos)
    (photos / "bee" / "4.png").unlink()
    with pytest.raises(DataError, match=r"1 of 12 images vanished.*bee/4\.png\. Put them back"), vanished_files_reported(bundle):
        if reader == "python":
            [bundle.examples.bytes_of(index) for index in range(12)]
        else:
            list(make_dataset(bundle.examples, range(12), modality=ImageModality(bundle.data), batch_size=4))


def test_another_failure_stays_what_it_is(photos):
    with pytest.raises(ZeroDivisionError), vanished_files_reported(bundle_of(photos)):
        raise ZeroDivisionError


@pytest.mark.parametrize(("raised", "status"), [(KeyboardInterrupt, "interrupted"), (ValueError, "failed")])
def test_the_manifest_says_how_it_ended(tmp_path, recipe, raised, status):
    run = Run.create(tmp_path / "run", recipe, command=[])
    with pytest.raises(raised), status_of(run):
        raise raised
    assert run.manifest["status"] == status


RECIPE = """
import tfl
recipe = tfl.Recipe(
    name="digits",
    data=tfl.Sample("digits", image_size=(32, 32), per_class=30),
    backbone=tfl.Backbone("mini"),
    stages=(tfl.Stage("head", epochs=2, batch_size=8), tfl.Stage("long", train="all", epochs=500, batch_size=8)),
    monitor=tfl.Monitor(patience=None),
    export=(),
)
"""


@pytest.fixture
def _heard():
    """Ctrl-C is heard: tests that a script runs in its background start with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("_heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_saves_and_says_how_to_go_on(tmp_path, number):
    (tmp_path / "digits.py").write_text(RECIPE)
    words = [sys.executable, "-m", "tfl.cli.main", "run", "digits.py", "--out", "my run"]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline and not list(tmp_path.glob("my run/checkpoints/long-1*")):
            time.sleep(0.05)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "Once more stops at once" in said
    assert "Resume with: tfl run digits.py --out 'my run' --resume" in said
    run = Run.open(tmp_path / "my run")
    assert run.manifest["status"] == "interrupted"
    state = run.state["stages"]["long"]
    assert state["epoch"] >= 1 and (state["within"] is None or state["within"]["steps"] > 0)
    assert json.loads((run.folder / "recipe.json").read_text())["name"] == "digits"
