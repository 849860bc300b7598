"""A run's confidence, from training to the folder: what is kept, where the training features come from, and old runs."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import tfl
from tfl.cli.main import cli
from tfl.evaluate.confidence import ARRAYS, NAME, Confidence
from tfl.evaluate.neighbours import NAME as NEIGHBOURS
from tfl.evaluate.out_of_distribution import out_of_distribution_scores
from tfl.job import run_recipe
from tfl.modalities.image.modality import ImageModality

pytestmark = pytest.mark.slow


def recipe(network, *stages, **changes):
    return tfl.Recipe(
        name="digits",
        data=tfl.Sample("digits", image_size=(32, 32), per_class=20, labels=("0", "3", "8")),
        backbone=tfl.Backbone(network),
        stages=stages,
        features=tfl.Features(store="always"),
        export=(),
        **changes,
    )


STAGES = {
    "head": (tfl.Stage("head", epochs=2, learning_rate=1e-2),),
    "blocks": (tfl.Stage("top", train=tfl.top_blocks(2), epochs=1, learning_rate=1e-3),),
    "augmented": (tfl.Stage("top", epochs=1, augment=tfl.Augment(flip="horizontal"), views=1),),
}


@pytest.fixture(scope="module", params=STAGES)
def run(request, small_network, tmp_path_factory):
    return run_recipe(recipe(small_network, *STAGES[request.param]), out=tmp_path_factory.mktemp("runs") / request.param)


def test_the_kept_features_are_those_of_the_network(run):
    """Wherever they came from: the store of the last stage, through the blocks above it, or the pixels."""
    import keras

    from tfl.evaluate.explain import tensor_of
    from tfl.job import prepare_data
    from tfl.serve.predictor import load_run_model

    bundle, _ = prepare_data(run.recipe, _nowhere())
    model = load_run_model(run)
    kept = np.load(run.path(NEIGHBOURS))
    indices = kept["indices"]
    assert indices.tolist() == bundle.indices("train").tolist()
    assert kept["labels"].tolist() == bundle.labels("train").tolist()
    features = keras.Model(model.input, tensor_of(model, "head_pool")).predict(_pixels(bundle, indices), verbose=0)
    confidence = Confidence.load(run.folder)
    assert out_of_distribution_scores(features, confidence.bank).max() < 2e-3
    np.testing.assert_allclose(confidence.bank, kept["vectors"].astype(np.float32))


def _pixels(bundle, indices):
    from tfl.data.pipeline import make_dataset

    dataset = make_dataset(
        bundle.examples, indices, modality=ImageModality(bundle.data), batch_size=len(indices), cached=bundle.cached
    )
    return next(iter(dataset))[0].numpy()


def _nowhere():
    from rich.console import Console

    return Console(quiet=True)


def test_metrics_and_report_have_what_was_measured(run):
    figures = run.read_json("metrics.json")["confidence"]
    assert figures["temperature"]["test"]["count"] == figures["sets"]["test"]["count"] == 12
    assert figures["temperature"]["test"]["log_loss"][0] == pytest.approx(run.read_json("metrics.json")["test"]["loss"], abs=1e-6)
    assert figures["out_of_distribution"]["note"]  # twelve validation images are too few for 0.99
    assert "Are the probabilities calibrated?" in run.path("report.html").read_text()


@pytest.mark.parametrize("run", ["blocks"], indirect=True)
def test_an_old_run_gets_its_confidence_afterwards(run):
    before = json.loads(run.path(NAME).read_text())
    old = json.loads(run.path("recipe.json").read_text())
    run.path("recipe.json").write_text(json.dumps({key: value for key, value in old.items() if key != "confidence"}))
    metrics = run.read_json("metrics.json")
    run.write_json("metrics.json", {key: value for key, value in metrics.items() if key != "confidence"})
    for name in (NAME, ARRAYS, NEIGHBOURS):
        run.path(name).unlink()
    plain = CliRunner().invoke(cli, ["evaluate", str(run.folder), "--json"])
    assert plain.exit_code == 0 and "confidence" not in json.loads(plain.stdout) and not run.path(NAME).exists()
    result = CliRunner().invoke(cli, ["evaluate", str(run.folder), "--confidence", "--json"])
    assert result.exit_code == 0, result.stderr[-2000:]
    found, document = json.loads(run.path(NAME).read_text()), json.loads(result.stdout)
    assert found["temperature"] == pytest.approx(before["temperature"], rel=1e-3)
    assert found["set_threshold"] == pytest.approx(before["set_threshold"], abs=1e-4)
    assert found["out_of_distribution_threshold"] == pytest.approx(before["out_of_distribution_threshold"], abs=2e-3)
    assert document["confidence"] == run.read_json("metrics.json")["confidence"] and run.path(NEIGHBOURS).is_file()
    assert document["metrics"]["accuracy"] == metrics["test"]["accuracy"]


@pytest.mark.parametrize("run", ["blocks"], indirect=True)
def test_confidence_is_fitted_on_own_images_alone(run):
    result = CliRunner().invoke(cli, ["evaluate", str(run.folder), "--confidence", "--data", "sample:digits"])
    assert result.exit_code == 2 and "leave out --data" in result.stderr


@pytest.mark.parametrize("run", ["augmented"], indirect=True)
def test_a_recipe_may_leave_it_out(run, small_network):
    """The step of the run makes nothing then, and the export gets None."""
    from types import SimpleNamespace

    from tfl.job.measure import fit_confidence

    without = recipe(small_network, *STAGES["augmented"], confidence=None)
    assert tfl.Recipe.from_json(without.to_json()) == without
    assert fit_confidence(SimpleNamespace(recipe=without), None, {}) is None
