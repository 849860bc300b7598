"""Every task and every kind of example has its rows in the tables that others read."""

from typing import get_args

import numpy as np
import pytest

from tfl.export.measures import measure_of
from tfl.modalities.base import EXAMPLE_FILES, KINDS, NEAR_COPIES, NOUNS
from tfl.recipe import DETECT, GENERATE, HEADS, METRICS, OF_NUMBERS, SEVERAL, TASK_OF_KIND, Monitor, TargetKind, TaskName
from tfl.serve.rows import MAIN
from tfl.tasks.base import NAMES, task_of


def test_the_recipe_and_the_tasks_agree():
    assert get_args(TaskName) == NAMES == tuple(METRICS) and set(OF_NUMBERS) < set(NAMES)
    assert set(get_args(TargetKind)) == set(TASK_OF_KIND) and set(TASK_OF_KIND.values()) == set(NAMES) - {HEADS, GENERATE, DETECT}


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_is_better_in_the_direction_that_its_task_says(name):
    task = task_of(name)
    assert set(METRICS[name]) == set(task.metrics)
    for metric, higher in task.metrics.items():
        assert Monitor(metric).higher_is_better is higher


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (GENERATE, DETECT)])
def test_exports_and_the_server_know_the_output_of_every_task(name):
    assert measure_of(task_of(name)).output == MAIN[name] == task_of(name).output


def test_the_detections_of_an_export_are_named_as_the_task_names_them():
    assert set(measure_of(task_of(DETECT)).main) == set(task_of(DETECT).named(np.zeros((1, 2, 6))))


def test_every_kind_has_its_words():
    assert set(EXAMPLE_FILES) == set(NEAR_COPIES) == {*KINDS, SEVERAL, "passage"} == set(NOUNS) - {"table"}
