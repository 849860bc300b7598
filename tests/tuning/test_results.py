"""What a search leaves, from a folder written by hand: no training."""

import csv
import io

import pytest

import tfl
from tfl.errors import RunError
from tfl.evaluate.pages.tuning import collect_tuning, write_tuning_page
from tfl.evaluate.pages.tuning_charts import depth_chart, parallel_chart
from tfl.recipe import load_recipe
from tfl.storage import write_json
from tfl.tuning.confirm import finalists, t_interval
from tfl.tuning.folder import Clock, SearchFolder, fingerprint, refuse_if_changed
from tfl.tuning.results import winner, write_results

SPACE = {
    "stages.head.train": tfl.Choice(("head", "top:1", "top:2")),
    "stages.head.learning_rate": tfl.Between(1e-4, 1e-1, log=True),
}


def outcome(number, train, value, status="done", **more):
    values = {"stages.head.train": train, "stages.head.learning_rate": 0.001 * number}
    depth = 0 if train == "head" else int(train[-1]) if train[-1].isdigit() else 17
    row = {"number": number, "trial": f"{number - 1:02d}", "values": values, "status": status, "reason": "", "value": value}
    row |= {"epochs": 3, "best_epoch": 2, "history": [value] * 3, "depth": depth, "seconds": 1.5, "ended_s": 2.0 * number}
    return {**row, "train_seconds": 1.0, "feature_seconds": 0.2, **more}


@pytest.fixture
def recipe():
    return tfl.Recipe(
        name="leaves",
        data=tfl.Sample("digits"),
        backbone=tfl.Backbone("mini"),
        search=tfl.Search(space=SPACE),
        class_weight="balanced",
    )


@pytest.fixture
def folder(recipe, tmp_path):
    made = SearchFolder(tmp_path / "search")
    about = {
        "fingerprint": fingerprint(recipe, SPACE, "data"),
        "space": {path: {} for path in SPACE},
        "metric": "val_accuracy",
        "examples": {"train": 80, "val": 40},
        "blocks": ["a", "b"],
    }
    made.begin(recipe, about)
    rows = [
        outcome(1, "head", 0.7),
        outcome(2, "top:2", 0.9),
        outcome(3, "top:1", 0.8, "stopped", reason="worse than the median of the other trials"),
        outcome(4, "top:1", None, "failed", reason="<b>The loss is not finite, in stage `head`</b>"),
        outcome(10, "top:2", 0.85),
    ]
    for row in rows:
        write_json(made.trial(row["trial"]) / "outcome.json", row)
    write_json(made.trial("10") / "begun.json", {"number": 11, "trial": "10", "values": rows[0]["values"], "began_s": 9.0})
    return made


def confirm_by_hand(folder, **means):
    rows = [
        {"name": name.replace("_", " "), "values": values, "scores": scores, "mean": sum(scores) / len(scores), "depth": 1}
        | {"interval": t_interval(scores), "reason": ""}
        for name, (values, scores) in means.items()
    ]
    write_json(folder.path("confirmed.json"), {"seeds": 3, "rows": rows})


def test_trials_csv_has_a_line_a_trial_in_order_with_reasons(folder, recipe):
    write_results(folder, recipe)
    rows = list(csv.DictReader(io.StringIO(folder.path("trials.csv").read_text())))
    assert [row["trial"] for row in rows] == ["1", "2", "3", "4", "10", "11"]
    assert [row["status"] for row in rows] == ["done", "done", "stopped", "failed", "done", "unfinished"]
    assert "not finite" in rows[3]["reason"] and rows[1]["stages.head.train"] == "top:2" and rows[1]["value"] == "0.9"


def test_without_means_the_best_trial_wins_and_the_recipe_says_so(folder, recipe):
    write_results(folder, recipe)
    found = load_recipe(folder.path("best_recipe.py"))
    assert found.stages[0].train == "top:2" and found.stages[0].learning_rate == 0.002 and found.search is None
    assert found.class_weight == "balanced"
    text = folder.path("best_recipe.py").read_text()
    assert "trial 2, of 6 trials" in text and "not confirmed" in text


def test_means_over_seeds_decide_not_the_best_trial(folder, recipe):
    rows = {row["number"]: row["values"] for row in folder.outcomes()}
    confirm_by_hand(
        folder, as_it_was=({}, [0.7, 0.7, 0.7]), trial_2=(rows[2], [0.75, 0.75, 0.75]), trial_10=(rows[10], [0.8, 0.82, 0.84])
    )
    write_results(folder, recipe)
    best = folder.about["best"]
    assert best["name"] == "trial 10" and best["score"] == pytest.approx(0.82) and best["trial_score"] == 0.85
    assert (
        "0.8200" in folder.path("best_recipe.py").read_text() and "mean of 3 seeds" in folder.path("best_recipe.py").read_text()
    )


def test_the_recipe_as_it_was_may_win(folder, recipe):
    rows = {row["number"]: row["values"] for row in folder.outcomes()}
    confirm_by_hand(folder, as_it_was=({}, [0.9, 0.9]), trial_2=(rows[2], [0.8, 0.8]))
    write_results(folder, recipe)
    assert load_recipe(folder.path("best_recipe.py")) == recipe.override("search", None)
    assert "no trial was better" in folder.path("best_recipe.py").read_text()


def test_the_lowest_loss_wins(folder, recipe):
    by_loss = recipe.override("monitor.metric", "val_loss")
    assert winner(folder, by_loss)["name"] == "trial 1"
    assert [name for name, _ in finalists(folder, by_loss)] == [
        "as it was",
        "trial 3",
        "trial 10",
    ]  # trial 1 is the recipe as it was


def test_finalists_are_other_recipes(folder, recipe):
    assert [name for name, _ in finalists(folder, recipe)] == ["as it was", "trial 2", "trial 10"]
    same = recipe.override("stages.head.train", "top:2").override("stages.head.learning_rate", 0.002)
    assert [name for name, _ in finalists(folder, same)] == ["as it was", "trial 10", "trial 3"]


def test_nothing_scored_leaves_a_table_and_no_recipe(recipe, folder):
    for row in folder.outcomes():
        write_json(folder.trial(row["trial"]) / "outcome.json", {**row, "value": None, "status": "failed"})
    write_results(folder, recipe)
    assert folder.path("trials.csv").is_file() and not folder.path("best_recipe.py").exists()
    assert "No trial" in collect_tuning(folder.folder)["sentence"]


def test_the_page_is_whole_and_escapes_what_it_is_given(folder, recipe):
    write_results(folder, recipe)
    text = write_tuning_page(folder.folder).read_text()
    assert "&lt;b&gt;The loss is not finite" in text and "<b>The loss is not finite" not in text
    for figure in ("figure-depth", "figure-parallel", "figure-time"):
        assert f'id="{figure}"' in text
    assert "http://" not in text.split("<script>")[0] and "src=" not in text.split("<script>")[0]


def test_the_page_says_how_far_the_winner_is_from_the_recipe_as_it_was(folder, recipe):
    rows = {row["number"]: row["values"] for row in folder.outcomes()}
    confirm_by_hand(folder, as_it_was=({}, [0.7, 0.7]), trial_2=(rows[2], [0.8, 0.8]))
    write_results(folder, recipe)
    sentence = collect_tuning(folder.folder)["sentence"]
    assert "80.0%" in sentence and "70.0%" in sentence


def test_an_interval_stands_at_the_best_of_each_depth(folder):
    figure = depth_chart(folder.outcomes(), [], metric="val_accuracy", count=40)
    done = next(trace for trace in figure["data"] if trace["name"] == "trial")
    widths = dict(zip(zip(done["x"], done["y"], strict=True), done["error_y"]["array"], strict=True))
    assert widths[(2, 0.9)] > 0 and widths[(2, 0.85)] == 0 and widths[(0, 0.7)] > 0


def test_categories_are_in_order_of_depth(folder):
    rows = [outcome(at, train, 0.5) for at, train in enumerate(("top:10", "all", "head", "top:2"), start=1)]
    figure = parallel_chart(rows, metric="val_accuracy")
    words = [note["text"] for note in figure["layout"]["annotations"] if note["x"] == 0 and note["xanchor"] == "right"]
    assert words == ["head", "top:2", "top:10", "all"]
    assert all(0 <= place <= 1 for line in figure["data"] for place in line["y"])


def test_a_budget_may_change_and_nothing_else(folder, recipe):
    more = recipe.override("search.trials", 99).override("search.minutes", 5.0).override("search.seeds", 7)
    refuse_if_changed(folder, fingerprint(more, SPACE, "data"))
    with pytest.raises(RunError, match="another data"):
        refuse_if_changed(folder, fingerprint(recipe, SPACE, "other"))
    with pytest.raises(RunError, match="another recipe and another space"):
        refuse_if_changed(folder, fingerprint(recipe.override("seed", 3), {}, "data"))


def test_a_folder_that_holds_something_else_is_not_taken(recipe, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty"):
        SearchFolder(tmp_path).begin(recipe, {})
    with pytest.raises(RunError, match="holds no search"):
        collect_tuning(tmp_path)


def test_the_clock_counts_over_resumptions(tmp_path):
    folder = SearchFolder(tmp_path)
    write_json(folder.path("clock.json"), {"seconds": 120.0})
    clock = Clock(folder, 2.0)
    assert clock.over and clock.seconds >= 120.0
    assert not Clock(folder, 3.0).over and not Clock(folder, None).over
    clock.tick(at_least=0.0)
    assert Clock(folder, None).seconds > 120.0


def test_reading_a_search_needs_no_tensorflow():
    import subprocess
    import sys

    code = "import sys, tfl.evaluate.pages.tuning, tfl.cli.tune, tfl.tuning.results; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
