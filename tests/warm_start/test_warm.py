"""Old and new rows: the textbook's picture, what EWC and replay compute, the kept model, and what is refused."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

import tfl
from tfl.cli.main import cli
from tfl.errors import DataError, RecipeError, RunError
from tfl.warm_start import linear, net, trees
from tfl.warm_start.kept import KeptModel
from tfl.warm_start.measure import measure
from tfl.warm_start.options import WarmOptions
from tfl.warm_start.samples import drawn_table
from tfl.warm_start.tables import Rows, cells_of, open_table, read_pair

SAMPLES = ("sample:machines_old", "sample:machines_new")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return tfl.warm(*SAMPLES, tmp_path_factory.mktemp("warm") / "all", target="state", steps=(1, 4), predict=SAMPLES[0])


def accuracies(document, model):
    return {
        (row["way"], row["step"]): (row["test"]["old"], row["test"]["new"]) for row in document["rows"] if row["model"] == model
    }


@pytest.mark.slow
def test_the_picture_of_the_textbook(done):
    found = accuracies(done.document, "logistic")
    for key, (old, new) in {("old", 0): (0.94, 0.80), ("both", 0): (0.95, 0.90), ("warm", 1): (0.65, 0.90)}.items():
        assert abs(found[key][0] - old) < 0.06 and abs(found[key][1] - new) < 0.06, (key, found[key])
    assert found["replay", 4][0] > found["warm", 4][0] + 0.1
    network = accuracies(done.document, "net")
    assert network["ewc", 4][0] > network["warm", 4][0] + 0.05
    assert {row["model"] for row in done.document["stops"]} == {"logistic", "svm", "boosting", "net"}


def test_every_file_is_there_and_the_choice_is_by_validation(done):
    chosen, stops = done.document["chosen"], done.document["stops"]
    worth = [sum(row["validation"].values()) / 2 for row in stops]
    assert sum(chosen["validation"].values()) / 2 == max(worth)
    low, high = chosen["intervals"]["new"]
    assert low < chosen["test"]["new"] < high
    assert len(list(csv.DictReader((done.folder / "curves.csv").open()))) == len(done.document["rows"])
    page = done.report.read_text()
    assert page.count('class="chart"') == 4 and "stop here" in page and "chosen" in page
    with pytest.raises(RunError, match="already holds"):
        tfl.warm(*SAMPLES, done.folder, target="state")


def test_the_kept_model_answers_as_measured(done):
    pair = read_pair(*SAMPLES, target="state", columns=(), seed=0)
    columns, rows = drawn_table("machines_old")
    answers = [row["state"] for row in csv.DictReader((done.folder / "predictions.csv").open())]
    assert answers == done.model.predict("sample:machines_old") == KeptModel.open(done.folder).predict(SAMPLES[0])
    assert np.mean([answer == row[-1] for answer, row in zip(answers, rows, strict=True)]) > 0.85
    assert pair.classes == ("good", "worn") and columns[-1] == "state"
    (done.folder / "model.npz").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(RunError, match="damaged"):
        KeptModel.open(done.folder)


@pytest.mark.parametrize("classes", [2, 3])
def test_arrays_answer_as_the_models_do(classes):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4)).astype(np.float32)
    rows = Rows(x, (np.digitize(x[:, 0] + 0.5 * x[:, 1], [-0.4, 0.4][: classes - 1])).astype(np.int64))
    models = (
        (linear.Linear("logistic", classes, rate=0.05, seed=0), linear.scores),
        (linear.Linear("svm", classes, rate=0.05, seed=0), linear.scores),
        (trees.Boosting(classes, seed=0), trees.scores),
        (net.Net(4, classes, seed=0), net.scores),
    )
    for model, scores in models:
        model.fit(rows)
        model.step(Rows(rows.x + 0.3, rows.y))
        assert np.array_equal(scores(model.arrays(), x).argmax(axis=1), model.predict(x))
        assert (model.predict(x) == rows.y).mean() > 0.75


def test_trees_for_rows_of_which_the_old_ones_are_sure_and_wrong_have_leaves_of_limited_size():
    rng = np.random.default_rng(0)
    old = rng.normal(size=(300, 4)).astype(np.float32)
    new = rng.normal(size=(300, 4)).astype(np.float32) + np.float32([0, 0, 0, 8])  # another place, where the classes are swapped
    of_old = np.digitize(old[:, 0], [-0.4, 0.4])
    of_new = (np.digitize(new[:, 0], [-0.4, 0.4]) + 1) % 3
    model = trees.Boosting(3, seed=0)
    model.fit(Rows(old, of_old))
    for _ in range(5):
        model.step(Rows(new, of_new))
    added = model.model.estimators_[trees.TREES :]
    assert len(added) == 5 * trees.MORE
    assert max(abs(tree.tree_.value).max() for tree in added.ravel()) == trees.LARGEST_LEAF
    assert (model.predict(new) == of_new).mean() > 0.9


def test_the_gradient_and_the_fisher_information_are_those_of_differences():
    rng = np.random.default_rng(0)
    model, x, y = net.Net(3, 3, seed=1), rng.normal(size=(7, 3)).astype(np.float32), rng.integers(0, 3, 7)

    def log_probability(name, at, shift, row, label):
        moved = {key: value.copy() for key, value in model.weights.items()}
        moved[name][at] += shift
        return np.log(net.probabilities(moved, x[row : row + 1])[0, label])

    gradient, information = net.gradient(model.weights, x, y), net.fisher(model.weights, x)
    answers = net.probabilities(model.weights, x)
    for name, at in (("w1", (1, 4)), ("b1", (9,)), ("w2", (5, 2)), ("b2", (0,))):
        slope = np.array(
            [
                [(log_probability(name, at, 1e-5, row, c) - log_probability(name, at, -1e-5, row, c)) / 2e-5 for c in range(3)]
                for row in range(7)
            ]
        )
        assert gradient[name][at] == pytest.approx(-slope[np.arange(7), y].mean(), abs=1e-6)
        assert information[name][at] == pytest.approx((answers * slope**2).sum(axis=1).mean(), abs=1e-6)


@pytest.mark.slow
def test_a_strong_consolidation_holds_the_answers():
    pair = read_pair(*SAMPLES, target="state", columns=(), seed=0)
    found = {}
    for strength in (0.0, 1e6):
        rows = measure(pair, WarmOptions(models=("net",), steps=(4,), ewc=strength)).rows
        found[strength] = {row.way: row.test for row in rows}
    assert found[0.0]["ewc"] == found[0.0]["warm"]
    assert abs(found[1e6]["ewc"]["old"] - found[1e6]["old"]["old"]) < 0.03


def written(path, rows, columns=("size", "colour", "label")):
    with open(path, "w", newline="") as handle:
        csv.writer(handle).writerows([columns, *rows])
    return path


def some_rows(count=60, classes=("a", "b")):
    rng = np.random.default_rng(0)
    return [
        [f"{rng.normal() + 2 * (at % len(classes)):.3f}", "red" if at % 3 else "", classes[at % len(classes)]]
        for at in range(count)
    ]


def test_words_and_missing_cells_and_a_class_in_one_table_alone(tmp_path):
    old = written(tmp_path / "old.csv", some_rows())
    new = written(tmp_path / "new.csv", some_rows(90, ("a", "b", "c")))
    pair = read_pair(old, new, target=None, columns=(), seed=0)
    assert pair.target == "label" and pair.only_new == ("c",) and pair.old["train"].x.shape[1] == 4
    assert sum(len(rows) for rows in pair.new.values()) == 90
    done = tfl.warm(old, new, tmp_path / "out", steps=(1, 2))
    assert {row["model"] for row in done.document["rows"]} == {"logistic", "svm", "net"}
    assert any("Only the new table has c" in note for note in done.document["notes"])
    with pytest.raises(DataError, match="No model is left"):
        tfl.warm(old, new, tmp_path / "none", models=("boosting",))
    assert done.model.predict(written(tmp_path / "more.csv", [["", "blue"]], ("size", "colour")))[0] in "abc"
    with pytest.raises(DataError, match="no column `colour`"):
        done.model.predict(written(tmp_path / "short.csv", [["1"]], ("size",)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: ([row[:2] + ["x"] + row[2:] for row in rows], ("size", "colour", "extra", "label")),
            "only .*new.csv has `extra`",
        ),
        (lambda rows: ([[*rows[0][:2], ""], *rows[1:]], None), "1 row of .*have no `label`.*line 2"),
        (lambda rows: (rows[:20], None), "too few rows"),
        (lambda rows: ([*rows, ["1", "red", "c"]], None), r"Classes of .*c \(1\)"),
        (lambda rows: (rows, ("size", "colour", "kind")), "different columns"),
    ],
)
def test_refused(tmp_path, change, message):
    old = written(tmp_path / "old.csv", some_rows())
    rows, columns = change(some_rows())
    new = written(tmp_path / "new.csv", rows, columns or ("size", "colour", "label"))
    with pytest.raises(DataError, match=message):
        tfl.warm(old, new, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_is_refused(tmp_path):
    old = written(tmp_path / "old.csv", some_rows(), ("size", "colour", "kind"))
    with pytest.raises(DataError, match="--target"):
        tfl.warm(old, old, tmp_path / "out")
    with pytest.raises(DataError, match="Leave it out"):
        tfl.warm(old, old, tmp_path / "out", target="kind", columns=("size", "kind"))
    with pytest.raises(DataError, match="Did you mean"):
        tfl.warm(old, old, tmp_path / "out", target="kinds")
    with pytest.raises(DataError, match="no table"):
        open_table(written(tmp_path / "a.txt", []))
    with pytest.raises(DataError, match="machines_old"):
        open_table("sample:machine_old")
    for options in ({"steps": (2, 1)}, {"models": ()}, {"replay": 0.0}, {"models": ("net", "net")}):
        with pytest.raises(RecipeError):
            WarmOptions(**options)
    assert cells_of(open_table(SAMPLES[0]), ["state"])[0]["state"] in ("good", "worn")


def test_the_command_answers(tmp_path):
    words = ["warm", *SAMPLES, "--target", "state", "--model", "logistic", "--steps", "1,2", "--out", str(tmp_path / "a")]
    result = CliRunner().invoke(cli, [*words, "--json"])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["chosen"]["model"] == "logistic" and found["report"].endswith("warm.html")
    result = CliRunner().invoke(cli, [*words[:-1], str(tmp_path / "b")])
    assert "on old test rows" in result.stdout and "model.npz" in result.stdout
    assert CliRunner().invoke(cli, ["warm", "gone.csv", "gone.csv"]).exit_code == 2
    assert CliRunner().invoke(cli, [*words[:-3], "1,x", "--out", "c"]).exit_code == 2
