"""The benchmarks start, say what they do, and compute `holds`; what they measure is not tested here."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
STEMS = ("flower_photos", "stage_times", "sentences", "keras_guide", "by_hand", "harness", "planted", "serving_clients")
SCRIPTS = sorted(file.stem for file in FOLDER.glob("*.py") if file.stem not in STEMS)


@pytest.fixture
def module(monkeypatch):
    """Imports a module of the benchmarks by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


HELP = """
import contextlib, io, json, runpy, sys
folder, said = sys.argv[1], {}
for script in sys.argv[2:]:
    text, sys.argv = io.StringIO(), [script, "--help"]
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        runpy.run_path(f"{folder}/{script}.py", run_name="__main__")
    said[script] = text.getvalue(), "tensorflow" in sys.modules
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said():
    """What each script says of itself, and whether TensorFlow is imported by then; all in one process."""
    words = [sys.executable, "-c", HELP, str(FOLDER), *SCRIPTS]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(FOLDER), *sys.path])}
    return json.loads(subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_names_the_command_and_imports_no_tensorflow(said, script):
    text, imports_tensorflow = said[script]
    assert text.startswith("usage:") and not imports_tensorflow


@pytest.mark.parametrize(
    "value, reach, holds",
    [(1.2, {"at_most": 1.25}, True), (1.3, {"at_most": 1.25}, False), (7.4, {"at_least": 7.5}, False), (3.0, {}, None)],
)
def test_holds_is_computed_from_the_value(module, value, reach, holds):
    assert module("harness").figure("a", value, "ratio", **reach)["holds"] is holds


def test_a_document_becomes_a_table(module):
    harness, as_markdown = module("harness"), module("as_markdown")
    rows = [harness.figure("a", 2.0, "s", at_most=1.0), harness.figure("b", 0.5, "share", between=(0.4, 0.6))]
    lines = as_markdown.table_of(json.loads(json.dumps(harness.document("x", rows, [])))).splitlines()
    assert lines[-2:] == ["| a | 2 s | <= 1 | **no** |", "| b | 0.5 share [0.4, 0.6] |  |  |"]


def test_the_time_to_the_best_score_is_the_mean_over_all_orders(module):
    depth_search = module("depth_search")
    trials = [{"score": score, "seconds": seconds} for score, seconds in ((0.5, 10.0), (0.9, 4.0), (0.7, 6.0))]
    orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    until_best = [sum(trials[at]["seconds"] for at in order[: order.index(1) + 1]) for order in orders]
    assert depth_search.time_to_best(trials) == pytest.approx(sum(until_best) / len(orders))


def test_the_time_to_a_score_counts_what_goes_before_the_trials(module):
    part = {"before_and_after_trials": 5.0, "trials": [{"score": 0.5, "ended": 10.0}, {"score": 0.8, "ended": 30.0}]}
    depth_search = module("depth_search")
    assert depth_search.time_to(0.6, part) == 35.0
    assert depth_search.time_to(0.9, part) == float("inf")


def test_tfl_gets_the_split_of_the_guide(module, tmp_path):
    training, held_out = ["a/1.jpg", "b/2.jpg"], ["a/3.jpg", "a/4.jpg", "b/5.jpg", "b/6.jpg"]
    table = module("flower_photos").write_table(training, held_out, tmp_path / "photos.csv").read_text().splitlines()
    assert table[1:] == [
        "a/1.jpg,a,train",
        "b/2.jpg,b,train",
        "a/3.jpg,a,test",
        "a/4.jpg,a,val",
        "b/5.jpg,b,test",
        "b/6.jpg,b,val",
    ]


@pytest.mark.slow
@pytest.mark.real_weights
@pytest.mark.real_photos
def test_a_block_of_the_guide_is_a_block_of_tfl(module, photos):
    """The cut by hand is the cut of the stage: otherwise two different things are timed."""
    import tfl
    from tfl.model.assemble import assemble
    from tfl.model.freeze import make_plan

    flower_photos, guide = module("flower_photos"), module("keras_guide")
    recipe = tfl.Recipe(name="x", data=tfl.Data("x"), backbone=flower_photos.NETWORK)
    assembled = assemble(recipe, ("a", "b"))
    base = guide.build_base((224, 224))
    for block, cut in guide.CUTS.items():
        plan = make_plan(assembled, tfl.Stage("x", train=flower_photos.top_of(block)))
        assert assembled.blocks[plan.first_trainable_block].layers[0] == f"block_{block}_expand"
        below = assembled.blocks[plan.first_trainable_block - 1]
        assert below.name == cut and below.output_shape == base.get_layer(cut).output.shape[1:]


@pytest.mark.slow
def test_the_pass_by_hand_runs_in_the_precision_of_the_engine(module):
    openvino = pytest.importorskip("openvino")
    import keras

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs))
    for precision, wanted in (("float32", openvino.Type.f32), ("bfloat16", openvino.Type.bf16)):
        compiled = module("by_hand").compile_openvino(model, precision)
        assert compiled.get_property("INFERENCE_PRECISION_HINT") == wanted


def test_the_engine_of_the_pass_by_hand_is_read_from_the_store(module, tmp_path, monkeypatch):
    import numpy as np

    from tfl.features.store import space_of, stored_features

    monkeypatch.setenv("TFL_CACHE", str(tmp_path))
    space = space_of(about={"engine": "openvino bfloat16"}, number=1)
    stored_features([space], ["a"], lambda missing: [[np.ones((len(missing), 2), "float32")]], dtypes=["float32"])
    assert module("stage_times").engine_used() == "openvino bfloat16"
