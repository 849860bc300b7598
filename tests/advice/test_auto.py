"""`Auto` chooses a head and stages on held-out examples, and the run that it leaves behind is a run like any other."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from rich.console import Console

import tfl
from tfl.advice.auto import SHARES, Ladder, candidate_stages, choose_stages
from tfl.errors import RecipeError
from tfl.job import run_recipe
from tfl.model.assemble import assemble_for
from tfl.prepare import prepare
from tfl.repeat import repeat_run
from tfl.runs import Run
from tfl.train.evidence import Evidence
from tfl.tuning.search import search

QUIET = Console(quiet=True)


def digits(**options):
    return tfl.Recipe(
        **{
            "name": "digits",
            "data": tfl.Sample("digits", image_size=(32, 32), per_class=15),
            "backbone": tfl.Backbone("mini"),
            "stages": tfl.Auto(minutes=0),
            "export": (),
            **options,
        }
    )


THREE = tfl.Sample("digits", image_size=(32, 32), per_class=15, labels=("0", "3", "8"))


@pytest.fixture(scope="module")
def bundle():
    return prepare(digits(), QUIET).bundle


@pytest.fixture(scope="module")
def three():
    """Fewer classes, whose regressions take less."""
    return prepare(digits(data=THREE), QUIET).bundle


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    """`killed` beside it is what a kill would have left when the stages were chosen and nothing was trained."""
    from tfl.job.learn import train

    runs = tmp_path_factory.mktemp("runs")

    def copy_before(job):
        shutil.copytree(job.run.folder, runs / "killed")
        train(job)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfl.job.learn.train", copy_before)
        return run_recipe(digits(), out=runs / "probed", console=QUIET)


def test_maps_that_are_too_large_to_probe_are_refused_before_the_folder_is_made(tmp_path):
    data = tfl.Sample("digits", image_size=(64, 64), per_class=5)
    recipe = digits(data=data, head=tfl.Head(pooling="flatten"))
    with pytest.raises(RecipeError, match=r"head\.pooling=flatten.*90,112 numbers"):
        run_recipe(recipe, out=tmp_path / "run", console=QUIET)
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, small_network):
    """A run in which every candidate counts as better than the one before."""

    def better(self, *arguments, **options):
        return dataclasses.replace(compare(self, *arguments, **options), holds=True)

    compare = Evidence.compare
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evidence, "compare", better)
        patch.setattr("tfl.advice.candidate_stages.MOST_EPOCHS", 1)
        patch.setattr("tfl.advice.candidate_stages.CANDIDATES", ((0.3, 0.3), (0.7, 1.0)))
        small = {"data": THREE, "backbone": tfl.Backbone(small_network)}
        recipe = digits(stages=tfl.Auto(minutes=20), export=("keras",), **small)
        return run_recipe(recipe, out=tmp_path_factory.mktemp("runs") / "tuned", console=QUIET)


def tried_in(run):
    return run.read_json("auto.json")["tried"]


@pytest.mark.slow
def test_without_time_the_best_probe_is_the_network(probed):
    chosen = probed.recipe
    assert probed.asked.stages == tfl.Auto(minutes=0)
    assert [stage.epochs for stage in chosen.fixed_stages] == [0] and chosen.head.start == "probe"
    assert all(tried["kind"] == "probe" for tried in tried_in(probed))
    kept = [tried for tried in tried_in(probed) if tried["kept"]][-1]
    assert tuple(kept["taps"]) == chosen.head.taps
    assert probed.read_json("metrics.json")["test"]["accuracy"] > 0.6


@pytest.mark.slow
def test_a_network_that_trained_on_the_validation_split_is_not_validated_on_it(probed):
    metrics = probed.read_json("metrics.json")
    rows = [line.split(",") for line in probed.path("predictions.csv").read_text().splitlines()]
    count = sum("val" in row for row in rows)
    assert metrics["validation"]["count"] == count > 0
    assert metrics["validation"]["accuracy"] < 1  # of the cross-validation; on its training examples the probe makes no mistake


@pytest.mark.slow
def test_without_refit_the_validation_split_stays_unseen(small_network, tmp_path):
    recipe = digits(data=THREE, backbone=tfl.Backbone(small_network), stages=tfl.Auto(minutes=0, refit=False))
    run = run_recipe(recipe, out=tmp_path / "run", report=False, console=QUIET)
    assert run.read_json("auto.json")["refit"] is False
    assert run.read_json("metrics.json")["validation"]["count"] == 9


@pytest.mark.slow
def test_fine_tuning_starts_from_the_probe(tuned):
    (stage,) = tuned.recipe.fixed_stages
    fine = [tried for tried in tried_in(tuned) if tried["kind"] == "finetune"]
    kept = [tried for tried in fine if tried["kept"]]
    assert len(fine) == 2 and kept
    assert (stage.name, stage.train) == ("finetune", kept[-1]["stage"]["train"]) and stage.interpolate in SHARES
    assert tuned.recipe.head.start == "probe" and len(tuned.recipe.head.taps) == 4
    rows = tuned.path("history.csv").read_text().splitlines()
    assert len(rows) == 1 + stage.epochs
    ledger = {row["block"]: row["moved"] for row in tuned.read_json("ledger.json")["finetune"]}
    trained = 1 + int(stage.train.removeprefix("top:"))  # the head's too
    assert list(ledger.values()) == [False] * (len(ledger) - trained) + [True] * trained


@pytest.mark.slow
@pytest.mark.parametrize("worse", [False, True])
def test_few_images_keep_the_halfway_fine_tuning_unless_it_is_shown_to_be_worse(three, small_network, monkeypatch, worse):
    def never(self, *arguments, **options):
        return dataclasses.replace(compare(self, *arguments, **options), holds=False)

    compare = Evidence.compare
    monkeypatch.setattr(Evidence, "compare", never)
    monkeypatch.setattr("tfl.advice.candidate_stages.MOST_EPOCHS", 1)
    monkeypatch.setattr("tfl.advice.candidate_stages.CANDIDATES", ((0.3, 0.3),))
    if worse:
        monkeypatch.setattr(Ladder, "_worse", lambda self, held: True)
    recipe = digits(data=THREE, backbone=tfl.Backbone(small_network))
    ladder = Ladder(recipe, tfl.Auto(minutes=20), three, precision=None, class_weights=None, console=None)
    chosen, row = ladder.climb(), ladder.tried[-1]
    assert (row["kept"], row["by_default"], row["gain"]["holds"]) == (not worse, not worse, False)
    (stage,) = chosen.fixed_stages
    assert (stage.epochs, stage.interpolate) == ((0, 1.0) if worse else (1, 0.5))
    assert chosen.head.strengths == ladder.best_probe.strengths  # which are not looked for again


@pytest.mark.slow
def test_a_repeat_takes_the_choice_over_and_is_identical(tuned, tmp_path):
    found = repeat_run(tuned.folder, out=tmp_path / "again", console=QUIET)
    assert found["identical"], found["sentence"]
    assert Run.open(tmp_path / "again").recipe == tuned.recipe


@pytest.mark.slow
def test_a_resumed_run_keeps_its_choice(probed):
    killed = Run.open(probed.folder.parent / "killed")
    before = killed.path("auto.json").read_bytes()
    run = run_recipe(digits(), out=killed.folder, resume=True, report=False, console=QUIET)
    assert run.path("auto.json").read_bytes() == before
    first, second = probed.read_json("metrics.json"), run.read_json("metrics.json")
    assert first["test"]["accuracy"] == second["test"]["accuracy"]


@pytest.mark.slow
def test_another_auto_is_another_recipe(probed):
    with pytest.raises(tfl.errors.RunError, match=r"stages\.minutes"):
        run_recipe(digits(stages=tfl.Auto(minutes=3)), out=probed.folder, resume=True, console=QUIET)


@pytest.mark.slow
def test_the_report_has_every_candidate(tuned):
    page = tuned.path("report.html").read_text()
    assert "What was chosen, and why" in page
    for tried in tried_in(tuned):
        assert tried["name"] in page


@pytest.mark.slow
def test_the_chosen_recipe_runs_alone(probed, tmp_path):
    run = run_recipe(tfl.load_recipe(probed.path("chosen.json")), out=tmp_path / "run", report=False, console=QUIET)
    assert run.read_json("metrics.json")["test"]["accuracy"] > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [None, "balanced"])
def test_classes_of_different_sizes(tmp_path, three, weighted):
    labels = np.asarray(three.examples.labels)
    rare = np.flatnonzero(labels == 0)[3:]
    split = dataclasses.replace(three.split, train=np.setdiff1d(three.split.train, rare))
    recipe = digits(data=THREE, class_weight=weighted)
    run = Run.create(tmp_path / "run", recipe, command=[])
    chosen = choose_stages(run, recipe, recipe.stages, dataclasses.replace(three, split=split))
    assert chosen.class_weight == weighted and run.path("chosen.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("kept", [1, 2])
def test_one_training_example_of_a_class_is_enough(tmp_path, bundle, kept):
    labels = np.asarray(bundle.examples.labels)
    few = np.concatenate([bundle.split.train[labels[bundle.split.train] == label][:kept] for label in range(3)])
    val = bundle.split.val[labels[bundle.split.val] == 0]  # the others have none to validate
    split = dataclasses.replace(bundle.split, train=few if kept == 1 else few[:-1], val=val)
    run = Run.create(tmp_path / "run", digits(), command=[])
    choose_stages(run, digits(), tfl.Auto(minutes=0), dataclasses.replace(bundle, split=split))
    assert run.path("chosen.json").is_file()


def test_candidates_leave_a_block_frozen_and_differ(bundle):
    assembled = assemble_for(digits(), bundle)
    stages = candidate_stages(assembled, bundle, auto=tfl.Auto(), count=100)
    depths = [int(stage.train.removeprefix("top:")) for stage in stages]
    assert max(depths) == len(assembled.blocks) - 1 and min(depths) == depths[-1] < depths[0]
    assert len({(stage.train, stage.learning_rate) for stage in stages}) == len(stages)
    assert stages[0].learning_rate == min(stage.learning_rate for stage in stages)
    assert {stage.batch_size for stage in stages} == {16} and {stage.epochs for stage in stages} == {20}


@pytest.mark.slow
def test_many_validation_examples_are_not_trained_on(tmp_path, three, monkeypatch):
    monkeypatch.setattr("tfl.advice.auto.MOST_VALIDATION", 5)
    recipe = digits(data=THREE)
    run = Run.create(tmp_path / "run", recipe, command=[])
    choose_stages(run, recipe, tfl.Auto(minutes=0), three)
    assert run.read_json("auto.json")["refit"] is False


def test_with_validation_takes_every_example_but_the_test(bundle):
    merged = bundle.with_validation()
    assert sorted(merged.indices("train")) == sorted([*bundle.indices("train"), *bundle.indices("val")])
    assert len(merged.indices("val")) == 0 and (merged.indices("test") == bundle.indices("test")).all()


def test_a_search_refuses_stages_that_are_not_stated(tmp_path):
    with pytest.raises(RecipeError, match="leaves them to `Auto`"):
        search(digits(), out=tmp_path / "search")


def test_what_auto_would_not_use_is_refused():
    for head in (tfl.Head(hidden=(8,)), tfl.Head(taps=("*",))):
        with pytest.raises(RecipeError, match="chooses what the head reads"):
            digits(head=head)


def test_auto_in_a_recipe_is_plain_data():
    recipe = digits(stages=tfl.Auto(minutes=1, augment=tfl.Augment(flip="horizontal")))
    assert tfl.Recipe.from_json(recipe.to_json()) == recipe
    assert json.loads(recipe.to_json())["stages"]["kind"] == "auto"
    assert digits().override("stages.minutes", "5").stages.minutes == 5
    assert digits(stages=(tfl.Stage("head"),)).override("stages", "auto").stages == tfl.Auto()
    assert recipe.smoke().stages.minutes == 0.2
    with pytest.raises(RecipeError, match="does not fit examples of the kind `text`"):
        digits(data=tfl.Sample("reviews", input=tfl.Text()), stages=tfl.Auto(augment=tfl.Augment()))
