"""`tfl evaluate` on images that the model has seen: the count, the figures without them, and the report."""

import json

import pytest
from click.testing import CliRunner
from PIL import Image

from tfl.cli.main import cli
from tfl.data.listing import read_listing
from tfl.modalities.image.sample import load_sample

pytestmark = pytest.mark.slow

RECIPE = """
import tfl
recipe = tfl.Recipe(
    name="digits",
    data=tfl.Data("photos", image_size=(32, 32)),
    backbone=tfl.Backbone("mini"),
    stages=(tfl.Stage("head", epochs=2, learning_rate=1e-2),),
    export=(),
    confidence=None,
)
"""


def invoke(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture(scope="module")
def base(tmp_path_factory, small_network):
    """A run on `photos/`, of digits 0, 3 and 8, and as many others in `new/`."""
    base, sample = tmp_path_factory.mktemp("evaluate"), load_sample("digits")
    numbers = [number for number in range(300) if sample.class_names[sample.labels[number]] in ("0", "3", "8")]
    for place, some in (("photos", numbers[:45]), ("new", numbers[45:60])):
        for number in some:
            folder = base / place / sample.class_names[sample.labels[number]]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sample.images[number]).save(folder / f"{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        (base / "digits.py").write_text(RECIPE.replace("mini", small_network))
        result = invoke("run", "digits.py", "--out", "run")
        assert result.exit_code == 0, result.stderr[-2000:]
    return base


@pytest.fixture(autouse=True)
def here(base, monkeypatch):
    monkeypatch.chdir(base)


def test_the_runs_own_images_are_told_and_left_out_of_the_figure_to_go_by(base):
    document = json.loads(invoke("evaluate", "run", "--data", "photos", "--json").stdout)
    parts = [row.split for row in read_listing(base / "run")]
    counts = {part: parts.count(part) for part in ("train", "val", "test")}
    overlap = document["overlap"]
    assert {part: overlap[part] for part in counts} == counts and overlap["near"] == 0
    assert document["metrics"]["count"] == 45 and document["metrics_unseen"]["count"] == counts["test"] == overlap["unseen"]
    own = json.loads(invoke("evaluate", "run", "--json").stdout)
    assert document["metrics_unseen"]["accuracy"] == own["metrics"]["accuracy"]
    assert own["metrics_unseen"] == own["metrics"] and own["overlap"]["train"] == 0
    shown = invoke("evaluate", "run", "--data", "photos").stdout
    used = counts["train"] + counts["val"]
    assert f"{used} of the 45 images are images that this model was trained on" in shown
    assert f"without them ({counts['test']})" in shown and "on all (45)" in shown
    assert f"{used} of the 45 images" in (base / "run" / "report.html").read_text()


def test_new_images_have_one_figure(base):
    result = invoke("evaluate", "run", "--data", "new")
    assert "None of the 15 images was used to train or validate this model." in result.stdout
    assert "without them" not in result.stdout and "looking for near copies of" in result.stderr
    assert "looking for near copies" not in invoke("evaluate", "run", "--data", "new", "--quick").stderr


def test_nothing_left_is_said(base):
    used = [row for row in read_listing(base / "run") if row.split in ("train", "val")]
    for row in used:
        (base / "used" / row.label).mkdir(parents=True, exist_ok=True)
        (base / "used" / row.file).write_bytes((base / "photos" / row.file).read_bytes())
    result = invoke("evaluate", "run", "--data", "used")
    assert result.exit_code == 0 and "No other image is left" in result.stdout
    document = json.loads(invoke("evaluate", "run", "--data", "used", "--json").stdout)
    assert document["metrics_unseen"] is None and document["metrics"]["count"] == len(used)


def test_a_run_in_use_is_evaluated_and_its_report_left_alone(base):
    from tfl.runs import Run

    before = sorted(file.name for file in (base / "run" / "evaluations").iterdir())
    with Run.open(base / "run").lock():
        result = invoke("evaluate", "run", "--data", base / "new" / ".." / "new")
    assert result.exit_code == 0 and "accuracy" in result.stdout and "not in the report of run" in result.stderr
    assert sorted(file.name for file in (base / "run" / "evaluations").iterdir()) == before


def test_a_run_is_evaluated_and_exported_after_its_network_file_is_gone(base):
    import keras

    inputs = keras.Input((32, 32, 3))
    keras.Model(inputs, keras.layers.Conv2D(4, 3, strides=2)(keras.layers.Rescaling(1 / 255)(inputs))).save("own.keras")
    assert invoke("run", "digits.py", "--out", "of_file", "--set", "backbone=own.keras").exit_code == 0
    (base / "own.keras").unlink()
    evaluated = invoke("evaluate", "of_file", "--json")
    assert evaluated.exit_code == 0, evaluated.stderr
    figures = json.loads((base / "of_file" / "metrics.json").read_text())["test"]
    assert f'"accuracy": {figures["accuracy"]}' in evaluated.stdout
    exported = invoke("export", "of_file", "--format", "keras")
    assert exported.exit_code == 0, exported.stderr
