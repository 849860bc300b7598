"""Several targets from the columns of a table: an empty cell is not known, and a row without any is left out."""

import dataclasses

import numpy as np
import pytest

import tfl
from tfl.data.source import load_source
from tfl.data.targets import target_text
from tfl.errors import DataError, MismatchError, RecipeError
from tfl.recipe import HEADS

TARGETS = {"kind": "class", "signs": tfl.Target("labels", column="Signs seen"), "size": "number"}
ROWS = [
    "1,ant,dew;holes,3",
    "2,bee,none,5.5",
    "3,,holes,",
    "4,ant,,2",
    "5,,,",
    "6,bee,[],nan",
]


def table(folder, rows, header="text,kind,Signs seen,size"):
    (folder / "rows.csv").write_text("\n".join([header, *(f"text number {row}" for row in rows)]) + "\n")
    return tfl.Data(str(folder / "rows.csv"), input=tfl.Text(column="text"), targets=TARGETS)


def test_cells_become_targets_side_by_side(tmp_path):
    found = load_source(table(tmp_path, ROWS), task=HEADS)
    assert found.class_names == ("kind=ant", "kind=bee", "signs=dew", "signs=holes", "size")
    nan = np.nan
    expected = [[1, 0, 1, 1, 3], [0, 1, 0, 0, 5.5], [nan, nan, 0, 1, nan], [1, 0, nan, nan, 2], [0, 1, 0, 0, nan]]
    np.testing.assert_array_equal(found.targets, expected)
    notes = " ".join(finding["note"] for finding in found.findings)
    assert "1 of 6 rows has none of the targets and is left out" in notes and "1 of 5 rows have none" in notes
    assert [target_text(found, at) for at in (0, 2)] == ["kind=ant;signs=dew;signs=holes;size=3", "signs=holes"]


def test_labels_may_be_columns_of_their_own(tmp_path):
    data = table(tmp_path, ["1,ant,1,0,3", "2,bee,0,,4", "3,ant,0,1,5"], header="text,kind,dew,holes,size")
    targets = {**data.targets, "signs": tfl.Target("labels", column="dew,holes")}
    found = load_source(tfl.Data(data.source, input=data.input, targets=targets), task=HEADS)
    assert found.class_names[2:4] == ("signs=dew", "signs=holes")
    np.testing.assert_array_equal(found.targets[:, 2:4], [[1, 0], [0, np.nan], [0, 1]])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["1,ant,dew,3", "2,bee,dew,tall"], "line 3: no number in `size`, but `tall`"),
        (["1,ant,dew,3", "2,ant,dew,4"], "target `kind` .* has fewer than two classes"),
        (["1,ant,dew,3", "2,bee,dew,3"], "nothing to learn of .*target `size`"),
        (["1,ant,none,3", "2,bee,,4"], "target `signs` .*no cell has a label"),
        ([f"{at},{at / 7},dew,{at}" for at in range(60)], "`kind` .*look like a number"),
        (["1,ant;bee,dew,3", "2,ant,dew,4", "3,bee,dew,5", "4,bee;ant,holes,6"], "`kind` .*look like several labels"),
    ],
)
def test_cells_that_do_not_fit_their_target_are_refused(tmp_path, rows, said):
    with pytest.raises(DataError, match=said):
        load_source(table(tmp_path, rows), task=HEADS)


def test_a_column_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="has no column `size` for the target `size`"):
        load_source(table(tmp_path, ["1,ant,dew,3"], header="text,kind,Signs seen,length"), task=HEADS)


def test_sources_that_are_no_table_are_refused(tmp_path):
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for at in range(3):
            (tmp_path / name / f"{at}.txt").write_text(f"{name} {at}")
    data = tfl.Data(str(tmp_path), input=tfl.Text(), targets={"kind": "class", "size": "number"})
    with pytest.raises((MismatchError, DataError), match=r"several targets are columns of a table|no column|table"):
        load_source(data, task=HEADS)


@pytest.mark.slow
def test_the_sample_has_its_targets(tmp_path):
    found = load_source(tfl.Sample("leaf_tasks", targets={"disease": "class", "severity": "number"}), task=HEADS)
    assert len(found.class_names) == 5 and np.isnan(found.targets).any(axis=0).all()
    assert np.isfinite(found.targets).any(axis=1).all()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"targets": {"kind": "class"}}, "names one target"),
        ({"targets": {"kind": "class", "Size": "number"}}, "name of a target"),
        ({"targets": {"kind": "class", "labels": "number"}}, "name of a target"),
        ({"targets": {"kind": "class", "kind_label": "number"}}, "output of another one. Received: kind and kind_label"),
        ({"targets": {"kind": "class", "size": "amount"}}, "`Target.kind` does not fit"),
        ({"targets": TARGETS, "label_column": "kind"}, "data.label_column"),
    ],
)
def test_targets_that_cannot_be_are_refused_at_once(fields, said):
    with pytest.raises(RecipeError, match=said):
        tfl.Data("rows.csv", **fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"task": "regress"}, "Leave `task` out"),
        ({"stages": tfl.Auto()}, "not there for several targets. Received: stages=tfl.Auto"),
        ({"head": tfl.Head(start="probe", probe="svm")}, "head.probe=svm"),
        ({"head": tfl.Head(loss_weights={"color": 2.0})}, "not there. Received: color"),
        ({"monitor": tfl.Monitor("val_accuracy")}, "val_kind_accuracy"),
        ({"monitor": tfl.Monitor("val_size_accuracy")}, "val_size_mae"),
    ],
)
def test_recipes_that_ask_for_what_several_targets_have_not_are_refused(fields, said):
    data = tfl.Data("rows.csv", targets=TARGETS)
    with pytest.raises(RecipeError, match=said):
        tfl.Recipe(name="rows", data=data, backbone=tfl.Backbone("mini"), **fields)


def test_a_recipe_of_several_targets_is_written_and_read_and_asked_for_one_of_them():
    data = tfl.Data("rows.csv", targets=TARGETS)
    head = tfl.Head(loss_weights="uncertainty")
    recipe = tfl.Recipe(
        name="rows",
        data=data,
        backbone=tfl.Backbone("mini"),
        head=head,
        monitor=tfl.Monitor("val_kind_macro_f1"),
        each_alone=True,
    )
    assert recipe.task == HEADS and tfl.Recipe.from_json(recipe.to_json()) == recipe
    assert recipe.override("head.loss_weights", '{"kind": 2}').head.loss_weights == {"kind": 2.0}
    assert recipe.override("data.targets.size.column", "cm").data.targets["size"].column == "cm"
    one, other = recipe.alone("kind"), recipe.alone("signs")
    assert (one.task, one.monitor.metric, one.data.label_column) == ("classify", "val_macro_f1", "kind")
    assert (other.task, other.monitor.metric, other.data.label_column) == ("multilabel", "val_loss", "Signs seen")
    rates = {"kind_logits": 2.0, "*_dense1": 3.0, "size_logits": 4.0, "loss_weights": 9.0, "unit1_*": 0.5}
    staged = dataclasses.replace(recipe, head=tfl.Head(hidden=(8,)), stages=(tfl.Stage("head", multipliers=rates),))
    assert dict(staged.alone("kind").stages[0].multipliers) == {"logits": 2.0, "head_dense1": 3.0, "unit1_*": 0.5}
    with pytest.raises(RecipeError, match=r"`data\.targets` names none"):
        tfl.Recipe(name="rows", data=tfl.Data("rows.csv"), backbone=tfl.Backbone("mini"), each_alone=True)
