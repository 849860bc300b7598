"""The part of a run that learns to name classes by their attributes: `zero_shot.json` and `zero_shot.npz`."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.bundle import Bundle, derived_seed
from tfl.errors import RunError
from tfl.recipe import Recipe
from tfl.runs import ZERO_SHOT, ZERO_SHOT_ARRAYS, Run
from tfl.storage import finite, write_atomically
from tfl.zero_shot.classes import Attributes, attributes_of
from tfl.zero_shot.fit import ZeroShotHead, evaluate_head, fit_head, refuse_few

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FeaturesOf = Callable[[Bundle, NDArray[np.int64]], NDArray[np.float32]]


def check_described(recipe: Recipe, bundle: Bundle, unseen: Bundle | None) -> Attributes | None:
    """The table of a recipe, which describes every class that is trained on or measured on; None where there is no table.

    Raises:
        DataError: The table cannot be used, or a class is not described.
    """
    if recipe.zero_shot is None:
        return None
    found = attributes_of(recipe.zero_shot.attributes)
    names = bundle.examples.class_names
    found.of(names if unseen is None else (*names, *unseen.examples.class_names))
    refuse_few(names)
    return found


def learn_attributes(
    run: Run, recipe: Recipe, bundle: Bundle, unseen: Bundle | None, attributes: Attributes, features_of: FeaturesOf
) -> dict[str, Any]:
    """Fits and evaluates what names unseen classes, and writes it into the run; where the run has it, nothing is done again.

    Args:
        run: Gets both files; the caller holds its lock.
        recipe: Its `zero_shot` and seed.
        bundle: The examples of the seen classes, split.
        unseen: Those of `unseen_data`; None for none.
        attributes: Of `check_described`.
        features_of: The features that the head reads, `(n, features)`, of the examples of a bundle at some positions.

    Returns:
        Plain data, as in `zero_shot.json`: `method`, `setting`, `folds`, `tried`, `scale`, `penalty`; `seen`, `classes` and
        `attributes`, the names; and `unseen`, what was measured, None without `unseen_data`.
    """
    if run.path(ZERO_SHOT).is_file() and run.path(ZERO_SHOT_ARRAYS).is_file():
        return run.read_json(ZERO_SHOT)
    settings: Any = recipe.zero_shot
    seed = derived_seed(recipe.seed, "zero_shot")
    parts = {name: (features_of(bundle, bundle.indices(name)), bundle.labels(name)) for name in ("train", "val", "test")}
    names = bundle.examples.class_names
    head, found = fit_head(*parts["train"], parts["val"], names, attributes, settings=settings, seed=seed)
    measured = None
    if unseen is not None:
        features = features_of(unseen, unseen.indices("test")), unseen.labels("test")
        measured = evaluate_head(head, parts["test"], features, unseen.examples.class_names, seed=seed)
    document: Any = finite(
        {
            "format": 1,
            **found,
            "scale": head.scale,
            "penalty": head.penalty,
            "seen": list(names),
            "classes": list(attributes.class_names),
            "attributes": list(attributes.names),
            "source": None if recipe.unseen_data is None else recipe.unseen_data.source,
            "unseen": measured,
        }
    )
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **head.arrays())
    write_atomically(run.path(ZERO_SHOT_ARRAYS), buffer.getvalue())
    run.write_json(ZERO_SHOT, document)
    return dict(document)


def head_of(run: Run) -> ZeroShotHead:
    """What a run learned of attributes.

    Raises:
        RunError: Its recipe has no `zero_shot`, or a file is missing or damaged.
    """
    if not run.path(ZERO_SHOT).is_file():
        raise RunError(
            f"{run.folder} has not learned which attributes its examples show, by which classes are named that it was not "
            "trained on.",
            fix="Give its recipe zero_shot=tfl.ZeroShot(TABLE), and run it in another folder.",
        )
    return ZeroShotHead.load(run.read_json(ZERO_SHOT), run.path(ZERO_SHOT_ARRAYS))
