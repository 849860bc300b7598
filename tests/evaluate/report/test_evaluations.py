"""Evaluations on other sources are kept in the run folder, and its report shows them."""

import numpy as np
import pytest

from tfl.errors import RunError
from tfl.evaluate.report.evaluations import evaluation_facts, keep_evaluation, overlap_in_words
from tfl.evaluate.report.page import collect_report, write_report
from tfl.tasks.class_metrics import evaluate_classes

NAMES = ("healthy", "leaf_scorch", "leaf_spot", "powdery_mildew")


def figures(right, count):
    labels = np.arange(count) % 4
    said = np.where(np.arange(count) < right, labels, (labels + 1) % 4)
    return evaluate_classes(np.eye(4)[said] * 0.9 + 0.025, labels, NAMES, bootstraps=50)


def document(*, train=80, val=16, test=24, near=None, notes=(), files=1):
    unseen = 120 - train - val - (near or 0)
    overlap = {"train": train, "val": val, "test": test, "near": near, "unseen": unseen, "notes": list(notes)}
    overlap["files"] = [{"file": f"more/<b>{number}.png", "split": "train", "how": "same content"} for number in range(files)]
    return {
        "metrics": figures(89, 120),
        "metrics_unseen": figures(13, unseen) if unseen else None,
        "overlap": overlap,
    }


def test_the_report_shows_both_figures_and_the_overlap(new_run):
    run = new_run()
    keep_evaluation(run, "more/", document(near=0, files=30, notes=["Something could not be checked."]))
    page = write_report(run.folder).read_text(encoding="utf-8")
    for words in (
        "96 of the 120 images are images that this model was trained on (80 train, 16 validation).",
        "images that the model has not seen",
        "54.2%",
        "74.2%",
        "Something could not be checked.",
        "and 10 more",
        "more/&lt;b&gt;0.png",
        'href="#evaluations"',
    ):
        assert words in page, words
    assert page.index("54.2%") < page.index("74.2%")
    assert collect_report(run)["evaluations"][0]["metrics_unseen"]["count"] == 24


def test_where_nothing_is_left_the_report_says_so(new_run):
    run = new_run()
    keep_evaluation(run, "more/", document(train=100, val=20, test=0))
    page = write_report(run.folder).read_text(encoding="utf-8")
    assert (
        "The model was trained or validated on all of these images" in page and "images that the model has not seen" not in page
    )


def test_a_source_is_kept_once_and_others_beside_it(new_run, tmp_path):
    run = new_run()
    (tmp_path / "more").mkdir()
    keep_evaluation(run, str(tmp_path / "more"), document())
    keep_evaluation(run, "sample:strawberry", document(train=0, val=0))
    keep_evaluation(run, str(tmp_path / "more" / ".." / "more"), document(train=90, val=6))
    facts = evaluation_facts(run)
    assert len(facts) == 2
    assert {row["sentence"].split(" ")[0] for row in facts} == {"96", "None"}
    assert sorted(file.name for file in run.path("evaluations").iterdir()) == ["0001.json", "0002.json"]


def test_a_damaged_evaluation_is_named(new_run):
    run = new_run()
    file = keep_evaluation(run, "more/", document())
    file.write_text("{")
    with pytest.raises(RunError, match=r"0001\.json is damaged"):
        write_report(run.folder)
    file.write_text("{}")
    with pytest.raises(RunError, match="evaluations"):
        write_report(run.folder)


@pytest.mark.parametrize(
    ("overlap", "words"),
    [
        ({"train": 1, "val": 0, "test": 0, "near": 1}, "1 of the 120 images is an image that this model was trained on (1 train"),
        (
            {"train": 0, "val": 0, "test": 0, "near": 2},
            "None of the 120 images was used to train or validate this model. 2 are near",
        ),
        ({"train": 2, "val": 0, "test": 1, "near": None}, "1 is an image of its test split."),
        ({"train": 0, "val": 0, "test": 120, "near": None}, "None of the 120 images was used to train or validate this model."),
    ],
)
def test_the_overlap_in_words(overlap, words):
    assert words in overlap_in_words({**overlap, "unseen": 1}, 120, kind="image")
    assert overlap_in_words({**overlap, "unseen": None}, 120, kind="image") == ""
