"""Which kind of example a source holds, and which task its labels are for, as the source itself shows it."""

from __future__ import annotations

from collections.abc import Sequence

from tfl.data.examples import Examples
from tfl.data.source import load_source
from tfl.errors import MismatchError
from tfl.recipe import Backbone, Data, Recipe, TaskName


def find_kind_and_task(
    data: Data, task: TaskName, *, fixed: Sequence[str] = (), check_classes: bool = True
) -> tuple[Data, TaskName, Examples]:
    """The data with the kind of its examples, the task, and the examples, as the source shows them.

    Args:
        data: What the command line says; its kind is tried first.
        task: String, tried first.
        fixed: Strings, fields that the command line decides, which the source does not change.
        check_classes: Boolean, as of `tfl.data.source.load_source`. Defaults to True.

    Raises:
        DataError: The source cannot be used, whatever its kind and its task.
    """
    tried: list[object] = []
    while True:
        try:
            return data, task, load_source(data, task=task, check_classes=check_classes)
        except MismatchError as error:
            changes = dict(error.changes)
            if not changes or changes in tried or set(changes) & set(fixed):
                raise
            tried.append(changes)
            recipe = Recipe(name="data", data=data, backbone=Backbone("mini"), task=task)
            for key, value in changes.items():
                recipe = recipe.override(key, value)
            data, task = recipe.data, recipe.task
