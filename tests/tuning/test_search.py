"""The search: each oracle, budgets, failures, a kill at any epoch, a changed space, shared work, workers."""

import dataclasses
import json
import os

import pytest

import tfl
from tfl.errors import RecipeError, RunError, TflError, TrainingError
from tfl.tuning import folder, trial
from tfl.tuning.folder import SearchFolder
from tfl.tuning.memory import growth_limit_mb
from tfl.tuning.workers import run_workers

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """Ends a search at once: nothing in tfl catches it."""


@pytest.fixture
def cut_search(monkeypatch, look_for):
    """A search that is cut after so many epochs; what it left on disk can be resumed."""

    def run(recipe, name, *, epoch):
        trained = []
        was = trial._Watch.on_epoch_end

        def cut(self, number, logs=None):
            trained.append(number)
            if len(trained) == epoch:
                raise Killed
            was(self, number, logs)

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(trial._Watch, "on_epoch_end", cut)
            look_for(recipe, name)

    return run


def test_a_grid_tries_every_combination_and_leaves_what_it_found(searched):
    found = searched
    rows = found.outcomes()
    assert [row["status"] for row in rows] == ["done"] * 4 and [row["epochs"] for row in rows] == [2] * 4
    assert len({json.dumps(row["values"]) for row in rows}) == 4
    assert {row["values"]["stages.head.train"]: row["depth"] for row in rows} == {"head": 0, "top:1": 1}
    assert found.path("trials.csv").read_text().count("\n") == 5
    assert found.about["best"]["score"] == max(row["value"] for row in rows)
    assert not list(found.path("trials").rglob("*.h5"))  # scores are all that is kept


def test_each_network_of_a_space_gets_its_own_image_size(recipe, look_for, searching, tmp_path):
    import keras

    files = {}
    for side in (24, 40):
        pixels = keras.Input((side, side, 3))
        x = keras.layers.Conv2D(4, 3, name="conv")(keras.layers.Rescaling(1 / 255)(pixels))
        files[str(tmp_path / f"net{side}.keras")] = (side, side)
        keras.Model(pixels, x).save(tmp_path / f"net{side}.keras")
    free = recipe.override("data.image_size", None).override("backbone", next(iter(files)))
    found = look_for(searching(free, space={"backbone": tfl.Choice(tuple(files))}))
    assert [row["status"] for row in found.outcomes()] == ["done", "done"]
    for row in found.outcomes():
        tried = tfl.load_recipe(found.trial(row["trial"]) / "run" / "recipe.json")
        assert tried.data.image_size == files[row["values"]["backbone"]]
    assert tfl.load_recipe(found.path("best_recipe.py")).data.image_size is None


def test_an_oracle_that_draws_tries_as_many_as_it_may(recipe, look_for, searching):
    recipe = recipe.override("stages.head.epochs", 1)
    space = {"stages.head.learning_rate": tfl.Between(1e-4, 1e-1, log=True), "stages.head.train": tfl.Choice(("head", "top:1"))}
    rows = look_for(searching(recipe, algorithm="random", trials=3, space=space)).outcomes()
    check_drawn(rows, 3)


def check_drawn(rows, count):
    assert [row["number"] for row in rows] == list(range(1, count + 1))
    assert len({row["values"]["stages.head.learning_rate"] for row in rows}) == count


def test_hyperband_goes_on_with_the_better_trials(recipe, look_for, searching):
    recipe = recipe.override("stages.head.epochs", 4)
    space = {"stages.head.learning_rate": tfl.Between(1e-4, 1e-1, log=True)}
    found = look_for(searching(recipe, algorithm="hyperband", trials=None, space=space))
    rows = found.outcomes()
    short = [row for row in rows if row["epochs"] < 4]
    assert short and all("Hyperband" in row["reason"] for row in short)
    went_on = [
        (row, early)
        for row in rows
        for early in short
        if row["epochs"] > early["epochs"] and row["values"] == early["values"] and row["number"] > early["number"]
    ]
    assert went_on
    for row, early in went_on:  # the same epochs, not trained again
        assert row["history"][: early["epochs"]] == early["history"]
    assert not list(found.path("trials").rglob("*.h5"))


def test_a_killed_bayesian_search_with_the_median_rule_ends_as_one_that_was_not(recipe, look_for, scores, searching, cut_search):
    space = {"stages.head.learning_rate": tfl.Between(1e-4, 1e-1, log=True), "head.dropout": tfl.Choice((0.0, 0.5))}
    recipe = searching(recipe, algorithm="bayesian", trials=4, space=space, stop_poor=True)
    undisturbed = scores(look_for(recipe, "whole"))
    check_drawn(undisturbed, 4)
    cut_search(recipe, "killed", epoch=5)
    assert scores(look_for(recipe, "killed", resume=True)) == undisturbed


def test_a_killed_search_ends_as_one_that_was_not_and_trains_no_epoch_again(
    recipe, look_for, cut_search, whole, scores, tmp_path, monkeypatch
):
    cut_search(recipe, "killed", epoch=4)
    begun = [row for row in SearchFolder(tmp_path / "killed").outcomes() if row["status"] == "unfinished"]
    assert len(begun) == 1
    trained = []
    was = trial._Watch.on_epoch_end
    monkeypatch.setattr(
        trial._Watch, "on_epoch_end", lambda self, epoch, logs=None: (trained.append(epoch), was(self, epoch, logs))
    )
    resumed = look_for(recipe, "killed", resume=True)
    assert scores(resumed) == whole
    run = resumed.trial(begun[0]["trial"]) / "run"
    assert [line.split(",")[1] for line in (run / "history.csv").read_text().splitlines()[1:]] == ["1", "2"]
    assert len(trained) == 4 * 2 - 4


def test_a_larger_budget_goes_on_and_anything_else_is_refused_and_named(recipe, look_for, searching, scores, tmp_path):
    import numpy as np

    with np.load(recipe.data.source) as held:
        images, labels = held["images"].copy(), held["labels"]
    np.savez(tmp_path / "own.npz", images=images, labels=labels)
    recipe = recipe.override("data.source", str(tmp_path / "own.npz")).override("stages.head.epochs", 1)
    first = scores(look_for(searching(recipe, trials=1)))
    other_space = searching(recipe, space={"head.dropout": tfl.Choice((0.1, 0.2))})
    with pytest.raises(RunError, match="another space"):
        look_for(other_space, resume=True)
    with pytest.raises(RunError, match="another recipe"):
        look_for(recipe.override("stages.head.batch_size", 8), resume=True)
    with pytest.raises(RunError, match="another search"):
        look_for(searching(recipe, algorithm="random"), resume=True)
    with pytest.raises(RunError, match="--resume"):
        look_for(recipe)
    more = scores(look_for(searching(recipe, trials=9), resume=True))
    assert len(first) == 1 and len(more) == 4 and more[:1] == first
    images[0, 0, 0, 0] ^= 1
    np.savez(tmp_path / "own.npz", images=images, labels=labels)
    with pytest.raises(RunError, match="another data"):
        look_for(recipe, resume=True)


def test_a_failed_trial_is_shown_with_its_reason_and_ends_nothing(recipe, look_for, searching):
    depths = tfl.Choice(("top:99", "head"))
    found = look_for(searching(recipe, space={"stages.head.train": depths}))
    rows = {row["values"]["stages.head.train"]: row for row in found.outcomes()}
    assert rows["head"]["status"] == "done"
    assert rows["top:99"]["status"] == "failed" and "more blocks than the backbone has" in rows["top:99"]["reason"]
    assert "more blocks than the backbone has" in found.path("trials.csv").read_text()


def test_a_search_in_which_every_trial_fails_is_an_error_with_the_reasons(recipe, look_for, searching):
    with pytest.raises(TrainingError, match="more blocks than the backbone has"):
        look_for(searching(recipe, space={"stages.head.train": tfl.Choice(("top:98", "top:99"))}))


def test_a_space_that_names_no_field_is_refused_before_anything_is_written(recipe, look_for, searching, tmp_path):
    with pytest.raises(RecipeError, match="dropuot"):
        look_for(searching(recipe, space={"head.dropuot": tfl.Choice((0.1,))}))
    assert not (tmp_path / "search" / "search.json").exists()


def test_minutes_end_the_search_within_a_trial_and_more_of_them_go_on(recipe, look_for, searching, scores, whole, monkeypatch):
    asked = []

    def over(self):
        asked.append(0)
        return self.minutes is not None and len(asked) > 5  # asked before each trial, and after each epoch but its last

    monkeypatch.setattr(folder.Clock, "over", property(over))
    stopped = look_for(searching(recipe, trials=3, minutes=1.0))
    rows = stopped.outcomes()
    assert [row["status"] for row in rows] == ["done", "done", "unfinished"] and rows[-1]["epochs"] == 1
    assert "unfinished" in stopped.path("trials.csv").read_text()
    monkeypatch.undo()
    assert scores(look_for(searching(recipe, trials=3, minutes=60.0), resume=True)) == whole[:3]


def test_no_time_for_a_single_trial_is_an_error(recipe, look_for, searching):
    with pytest.raises(TrainingError, match="no time for one"):
        look_for(searching(recipe, minutes=0.0))


def test_poor_trials_stop_early(recipe, look_for, searching):
    recipe = recipe.override("stages.head.epochs", 4)
    rates = tfl.Choice((3e-2, 2e-2, 1e-2, 1e-9))
    rows = look_for(searching(recipe, space={"stages.head.learning_rate": rates}, stop_poor=True)).outcomes()
    poor = next(row for row in rows if row["values"]["stages.head.learning_rate"] == 1e-9)
    assert poor["status"] == "stopped" and poor["epochs"] < 4 and "median" in poor["reason"]


def test_stages_before_the_last_are_trained_once_and_a_trial_scores_what_its_recipe_scores(recipe, look_for, searching, tmp_path):
    """Nothing that trials share makes them another thing than a run of their recipe."""
    from tfl.job import run_recipe
    from tfl.tuning.space import recipe_of

    stages = (dataclasses.replace(recipe.stages[0], name="warm"), dataclasses.replace(recipe.stages[0], train="top:1"))
    recipe = searching(dataclasses.replace(recipe, stages=stages), space={"stages.head.learning_rate": tfl.Choice((1e-2, 1e-3))})
    found = look_for(recipe)
    assert len(list(found.path("starts").iterdir())) == 1
    states = [json.loads((found.trial(row["trial"]) / "run" / "state.json").read_text()) for row in found.outcomes()]
    assert states[0]["stages"]["warm"] == states[1]["stages"]["warm"] and states[0]["stages"]["warm"]["done"]
    row = found.outcomes()[-1]
    run = run_recipe(recipe_of(recipe, row["values"]), out=tmp_path / "run")
    history = [line["val_accuracy"] for line in run.stage_state("head")["history"]]
    assert history == pytest.approx(row["history"], abs=1e-6)


def test_memory_that_grew_hands_the_trials_to_a_new_process(recipe, look_for, searching, whole, scores, monkeypatch):
    monkeypatch.setenv("TFL_TRIALS_GROWTH_MB", "0.001")
    handed = look_for(searching(recipe, trials=2), "handed")
    assert scores(handed) == whole[:2]
    assert "KERASTUNER_ORACLE_IP" not in os.environ
    assert (handed.path("workers", "worker1.log")).is_file()


def test_a_process_of_trials_stays_within_its_limit(recipe, look_for, searching, monkeypatch):
    """Four trials: what a process grows by is bounded by the limit and one trial's own growth, not by the number of trials."""
    from tfl.tuning import memory, trials

    seen = []
    was = memory.Growth.too_far.fget

    def watched(self):
        answer = was(self)
        seen.append(memory.resident_mb() - self._first)
        return answer

    monkeypatch.setenv("TFL_TRIALS_GROWTH_MB", "40")
    monkeypatch.setattr(trials.Growth, "too_far", property(watched))
    recipe = recipe.override("stages.head.epochs", 1)
    space = {"stages.head.learning_rate": tfl.Between(1e-4, 1e-1, log=True), "stages.head.train": tfl.Choice(("top:1",))}
    rows = look_for(searching(recipe, algorithm="random", trials=4, space=space)).outcomes()
    assert len(rows) == 4 and all(row["status"] == "done" for row in rows)
    assert all(grown <= 40 for grown in seen[:-1])  # only the last look may find it over, and then the process is left


def test_workers_share_the_trials(recipe, look_for, whole):
    alone = {json.dumps(row["values"], sort_keys=True): row["value"] for row in whole}
    found = look_for(recipe, "shared", workers=2)
    rows = found.outcomes()
    assert [row["status"] for row in rows] == ["done"] * 4
    assert {json.dumps(row["values"], sort_keys=True): row["value"] for row in rows} == pytest.approx(alone)
    assert {file.name for file in found.path("workers").iterdir()} == {"worker1.log", "worker2.log"}
    assert found.about["best"] is not None


def test_a_worker_that_dies_is_an_error_with_its_last_words(tmp_path):
    (tmp_path / "recipe.json").write_text('{"name": 3')  # no worker takes that
    with pytest.raises(RunError, match=r"(?s)Worker [12] ended with code [^0].*This is not JSON.*--resume"):
        run_workers(SearchFolder(tmp_path), 2, chief=lambda: None, tick=lambda: None)
    assert "KERASTUNER_ORACLE_IP" not in os.environ


def test_a_limit_of_growth_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setenv("TFL_TRIALS_GROWTH_MB", "none")
    with pytest.raises(TflError, match="no number of megabytes"):
        growth_limit_mb()


def test_the_winner_is_chosen_by_means_over_seeds_that_no_trial_saw(recipe, look_for, searching):
    found = look_for(searching(recipe.override("stages.head.epochs", 1), trials=2, seeds=2))
    confirmed = json.loads(found.path("confirmed.json").read_text())["rows"]
    assert confirmed[0]["name"] == "as it was" and 2 <= len(confirmed) <= 3
    assert all(len(row["scores"]) == 2 for row in confirmed)
    best = max(confirmed, key=lambda row: row["mean"])
    assert found.about["best"]["name"] == best["name"] and found.about["best"]["score"] == best["mean"]
    runs = [tfl.Recipe.from_json(file.read_text()) for file in found.path("confirm").glob("*/run/recipe.json")]
    assert {run.seed for run in runs} == {1, 2} and {run.split_seed for run in runs} == {recipe.split_seed}
