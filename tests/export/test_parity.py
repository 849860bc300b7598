"""The comparison: what counts as the same, what is past it, and what is told of each file."""

import numpy as np
import pytest

import tfl
from tfl.errors import ExportError
from tfl.export.parity import compare, require
from tfl.export.runtimes import Runtime
from tfl.export.trial import Trial
from tfl.modalities.base import modality_of_data

NAMES = ("a", "b")
MODALITY = modality_of_data(tfl.Data("unused", image_size=(8, 8)))
TARGETS = np.array([[np.nan, np.nan], [1, 0], [0, 1], [0, 1]], "float32")
TRIAL = Trial(names=("gold", "one", "two", "three"), golden=1, targets=TARGETS, read=lambda at: b"", modality=MODALITY)
OURS = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
EXPECTED = {
    "probabilities": OURS,
    "prediction_set": OURS > 0.35,
    "out_of_distribution_score": OURS[:, 0],
    "is_out_of_distribution": OURS[:, 0] > 0.5,
}


def exported(weights="float32"):
    return Runtime("some", False, lambda batch: {}, weights)


def judged(probabilities, weights="float32", **others):
    return compare(exported(weights), {**EXPECTED, "probabilities": probabilities, **others}, EXPECTED, TRIAL, NAMES)


def test_the_same_holds_and_loses_nothing():
    row = judged(OURS)
    assert row["holds"] and row["largest_difference"] == 0 and row["count"] == 4 and row["changed"] == 0
    assert row["golden"]["count"] == 1 and row["test"] == {
        **{"count": 3, "largest_difference": 0.0, "changed": 0, "accuracy_lost": 0.0},
        **{"accuracy": 1.0, "accuracy_of_model": 1.0},
    }
    assert require(row) is None


@pytest.mark.parametrize(("weights", "by", "holds"), [("float32", 1e-6, True), ("float32", 3e-5, False), ("float16", 9e-3, True)])
def test_the_tolerance_is_that_of_the_weights(weights, by, holds):
    row = judged(OURS + [[0, 0], [by, 0], [0, 0], [0, 0]], weights)
    assert row["holds"] is holds and row["largest_difference"] == pytest.approx(by)
    if not holds:
        with pytest.raises(ExportError, match="disagrees"):
            require(row)


def test_a_changed_label_is_told_with_its_file_and_probabilities():
    theirs = OURS.copy()
    theirs[1] = (0.45, 0.55)
    row = judged(theirs)
    assert row["changed_labels"] == [
        {
            **{"file": "one", "set": "test", "from": "a", "to": "b", "truth": "a"},
            "probabilities": {"model": {"a": 0.6, "b": 0.4}, "export": {"a": 0.45, "b": 0.55}},
        }
    ]
    assert row["test"]["accuracy_lost"] == pytest.approx(1 / 3) and row["golden"]["changed"] == 0 and not row["holds"]


def test_changed_sets_and_claims_are_counted_by_file():
    sets = EXPECTED["prediction_set"].copy()
    sets[2] = ~sets[2]
    others = judged(OURS, prediction_set=sets, out_of_distribution_score=OURS[:, 0] + 0.25)["other_outputs"]
    assert others["prediction_set"]["changed"] == 1 and others["is_out_of_distribution"]["changed"] == 0
    assert others["out_of_distribution_score"]["largest_difference"] == pytest.approx(0.25)


def test_what_is_no_number_never_holds():
    theirs = OURS.copy()
    theirs[3, 0] = np.nan
    row = judged(theirs)
    assert row["largest_difference"] == float("inf") and row["holds"] is False


def test_int8_is_judged_by_accuracy():
    theirs = OURS.copy()
    theirs[1] = (0.45, 0.55)
    lost = judged(theirs, "int8")
    assert lost["holds"] is False and lost["tolerance"] is None
    with pytest.raises(ExportError, match=r"loses 33 points of accuracy on 3 test images .* at most 1 point"):
        require(lost)
    assert judged(np.clip(OURS + 0.05, 0, 1), "int8")["holds"] is True
    golden = Trial(names=("gold",), golden=1, targets=TARGETS[:1], read=lambda at: b"", modality=MODALITY)
    first = {name: value[:1] for name, value in EXPECTED.items()}
    assert compare(exported("int8"), first, first, golden, NAMES)["holds"] is None


def test_a_missing_output_and_another_shape_are_told():
    with pytest.raises(ExportError, match="every output"):
        compare(exported(), {"probabilities": OURS}, EXPECTED, TRIAL, NAMES)
    with pytest.raises(ExportError, match="another shape"):
        judged(OURS[:, :1])
