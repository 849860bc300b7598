"""Run folders whose files are missing, cut short, replaced or edited: a command goes on, or says which file and what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from damage import tfl_says, untouched
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tfl.errors import RunError

pytestmark = pytest.mark.slow

many = settings(settings.get_profile("malformed"), max_examples=50)
DAMAGE = ("missing", "empty", "half", "most", "zeros", "text", "a list")
UNLIKE = ("missing", "half", "a list")
"""No file, no JSON, and another JSON than is wanted; the others are read as one of these, and one file has them all."""
JSON_FILES = (
    "manifest.json",
    "recipe.json",
    "metrics.json",
    "state.json",
    "plans.json",
    "ledger.json",
    "report/album.json",
)
REPORT_FILES = (*JSON_FILES, "history.csv", "seconds.json", "predictions.csv")
EXPORT = "export/saved_model/1/"


def spoil(file: Path, damage: str) -> None:
    content = file.read_bytes()
    made = {
        "empty": b"",
        "half": content[: len(content) // 2],
        "most": content[:-5],
        "zeros": bytes(len(content)),
        "text": b"nothing of the kind\n",
        "a list": b"[1, 2]",
    }
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(made[damage])


def check(result: Result, file: str) -> None:
    """Either the command could do without the file, or it names it."""
    if result.exit_code:
        assert file in result.stderr, result.stderr
        assert len(result.stderr) < 5000


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def damages(file: str, *, all_of: str) -> list[tuple[str, str]]:
    return [(file, damage) for damage in (DAMAGE if file == all_of else UNLIKE)]


@pytest.mark.parametrize(("file", "damage"), [pair for file in REPORT_FILES for pair in damages(file, all_of="metrics.json")])
def test_report(run_folder: Path, file: str, damage: str) -> None:
    spoil(run_folder / file, damage)
    with untouched(run_folder, but=("report.html", "report.json")):
        result = tfl_says("report", run_folder)
    check(result, file)
    if result.exit_code:
        assert (run_folder / "report.html").read_bytes() and (run_folder / "report.json").read_bytes()


@pytest.mark.parametrize(
    ("command", "file", "damage"),
    [("predict", "model.keras", damage) for damage in DAMAGE if damage not in UNLIKE]
    + [
        (command, file, damage)
        for command in ("predict", "evaluate", "export")
        for file in ("manifest.json", "recipe.json", "model.keras")
        for damage in UNLIKE
    ],
)
def test_commands_that_use_the_model(run_folder: Path, photo: Path, command: str, file: str, damage: str) -> None:
    spoil(run_folder / file, damage)
    more = {"predict": [photo], "evaluate": [], "export": ["--format", "saved_model", "--out", run_folder.parent / "out"]}[
        command
    ]
    with untouched(run_folder.parent):
        result = tfl_says(command, run_folder, *more)
    if command == "predict" and file == "manifest.json" and damage == "missing":
        pytest.skip("without its manifest a run is a folder with an export")
    assert result.exit_code == 2 and file in result.stderr


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        *damages("saved_model.pb", all_of="saved_model.pb"),
        *damages("variables/variables.index", all_of=""),
        *damages("assets/labels.txt", all_of=""),
        ("assets/labels.txt", "most"),
    ],
)
def test_an_export(run_folder: Path, photo: Path, file: str, damage: str) -> None:
    spoil(run_folder / EXPORT / file, damage)
    with untouched(run_folder):
        result = tfl_says("predict", run_folder / "export", photo)
    if (file, damage) != ("assets/labels.txt", "most"):  # the end of the last label: nobody could tell
        assert result.exit_code == 2 and "export" in result.stderr


@pytest.mark.parametrize("damage", ["missing", "half", "zeros"])
def test_the_weights_of_an_export(run_folder: Path, photo: Path, damage: str) -> None:
    (file,) = (run_folder / EXPORT / "variables").glob("variables.data*")
    spoil(file, damage)
    assert tfl_says("predict", run_folder / "export", photo).exit_code == 2


EDITS = {
    "manifest.json": [
        {"data": "digits"},
        {"data": {}},
        {"data": {"class_names": "038"}},
        {"data": {"class_names": ["0", "3"]}},
        {"data": {"class_names": ["0", "0", "0"]}},
        {"data": {"class_names": [0, 3, 8]}},
        {"status": 7},
        {"precision": "half"},
    ],
    "recipe.json": [
        {"data": {"source": "sample:digits", "image_size": [64, 64]}},
        {"data": "nowhere"},
        {"stages": []},
        {"name": "../../up"},
    ],
}


@pytest.mark.parametrize(("file", "edit"), [(file, edit) for file, edits in EDITS.items() for edit in edits])
def test_edited_files_are_told(run_folder: Path, photo: Path, file: str, edit: dict[str, Any]) -> None:
    document = json.loads((run_folder / file).read_text())
    (run_folder / file).write_text(json.dumps(document | edit))
    for words in (["predict", run_folder, photo], ["evaluate", run_folder], ["report", run_folder]):
        result = tfl_says(*words)
        assert result.exit_code == 2 or words[0] != "evaluate", "the run's own test split is no longer what it was"


def test_a_model_of_other_images_or_classes_is_told(run_folder: Path, photo: Path) -> None:
    import keras

    inputs = keras.Input((16, 16, 3))
    keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs))).save(run_folder / "model.keras")
    result = tfl_says("predict", run_folder, photo)
    assert result.exit_code == 2 and "(None, 16, 16, 3)" in result.stderr and "(None, 32, 32, 3)" in result.stderr


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def put_somewhere(value: Any, draw: Any) -> Any:
    """The document with one of its parts, however deep, replaced by another value."""
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(value)))
        return value | {key: put_somewhere(value[key], draw)}
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], put_somewhere(value[at], draw), *value[at + 1 :]]
    return draw(JSON)


def check_edited(finished: Path, place: Path, data: st.DataObject) -> None:
    from tfl.evaluate.report.page import write_report

    if not place.is_dir():
        shutil.copytree(finished, place, ignore=shutil.ignore_patterns("checkpoints", "export", "logs", "*.keras"))
    file = data.draw(st.sampled_from(JSON_FILES))
    document = json.loads((finished / file).read_text())
    (place / file).write_text(json.dumps(put_somewhere(document, data.draw)))
    try:
        write_report(place)
    except RunError as error:
        assert str(place) in str(error)
    finally:
        shutil.copyfile(finished / file, place / file)


@many
@given(data=st.data())
def test_a_report_of_many_edited_files_is_written_or_refused(
    finished: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    check_edited(finished, tmp_path_factory.getbasetemp() / "edited", data)


# Resuming


RESUME_FILES = ("manifest.json", "recipe.json", "state.json", "history.csv", "ledger.json", "seconds.json")


def resume(run_folder: Path, recipe: Path) -> Result:
    return tfl_says("run", recipe, "--out", run_folder, "--resume")


@pytest.fixture
def resumable(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A run that stopped after its first stage, and its recipe."""
    recipe = shutil.copyfile(run_folder / "recipe.json", run_folder.parent / "recipe.json")
    state = json.loads((run_folder / "state.json").read_text())
    del state["stages"]["finetune"]
    (run_folder / "state.json").write_text(json.dumps(state))
    for file in run_folder.glob("checkpoints/*finetune*"):
        file.unlink()
    return run_folder, Path(recipe)


@pytest.mark.parametrize("damage", ["missing", "half", "a list"])
@pytest.mark.parametrize("file", RESUME_FILES)
def test_resume(resumable: tuple[Path, Path], file: str, damage: str) -> None:
    run_folder, recipe = resumable
    spoil(run_folder / file, damage)
    before = {path: path.read_bytes() for path in (run_folder / "checkpoints").iterdir()}
    result = resume(run_folder, recipe)
    check(result, file)
    assert all(path.read_bytes() == content for path, content in before.items() if path.is_file() and "best" in path.name)
    assert not list(run_folder.rglob("*.tmp*"))


@pytest.mark.parametrize("damage", ["missing", "empty", "half", "zeros"])
def test_resume_from_a_damaged_checkpoint(resumable: tuple[Path, Path], damage: str) -> None:
    run_folder, recipe = resumable
    spoil(run_folder / "checkpoints" / "best-head.weights.h5", damage)
    result = resume(run_folder, recipe)
    assert result.exit_code == 2 and "best-head.weights.h5" in result.stderr
    assert not list(run_folder.rglob("*.tmp*"))


def test_resume_from_a_checkpoint_of_another_network(resumable: tuple[Path, Path]) -> None:
    import h5py

    run_folder, recipe = resumable
    with h5py.File(run_folder / "checkpoints" / "best-head.weights.h5", "w") as file:
        file.create_group("layers")
    result = resume(run_folder, recipe)
    assert result.exit_code == 2 and "best-head.weights.h5" in result.stderr


@pytest.mark.parametrize(
    "edit",
    [
        {"epoch": "two"},
        {"history": {"loss": 1}},
        {"done": "yes", "best_epoch": [1]},
        {"epoch": 10**6},
        {"ledger": 3, "notices": None},
    ],
)
def test_resume_from_an_edited_state(resumable: tuple[Path, Path], edit: dict[str, Any]) -> None:
    run_folder, recipe = resumable
    state = json.loads((run_folder / "state.json").read_text())
    state["stages"]["head"] |= {"done": False} | edit
    (run_folder / "state.json").write_text(json.dumps(state))
    result = resume(run_folder, recipe)
    assert result.exit_code == 2 and ("state.json" in result.stderr or "checkpoints" in result.stderr), result.stderr
