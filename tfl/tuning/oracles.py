"""KerasTuner's oracles, which choose the values of the next trial, made fit to be killed and resumed.

As of KerasTuner 1.4.8 they write their state in place, so that a kill may leave half a file; a grid forgets where it was; a
Gaussian process draws from a generator whose state is not kept, and may propose what was tried. Each is put right here.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from tfl.data.bundle import derived_seed
from tfl.recipe import Recipe, Search
from tfl.storage import write_json

_NEVER = 10**9


class _Kept:
    """Writes its files atomically; a trial that was half registered at a kill is chosen again; `first` is tried before anything
    drawn."""

    first: Sequence[Mapping[str, Any]] = ()
    trials: dict[str, Any]

    def save(self) -> None:
        write_json(self._get_oracle_fname(), self.get_state())  # type: ignore[attr-defined]

    def _save_trial(self, trial: Any) -> None:
        write_json(f"{self._get_trial_dir(trial.trial_id)}/trial.json", trial.get_state())  # type: ignore[attr-defined]

    def reload(self) -> None:
        super().reload()  # type: ignore[misc]
        started = set(self.start_order)  # type: ignore[attr-defined]
        self.trials = {key: trial for key, trial in self.trials.items() if key in started}

    def _random_values(self) -> dict[str, Any] | None:
        for values in self.first:
            if not self._duplicate(values):  # type: ignore[attr-defined]
                return dict(values)
        drawn: dict[str, Any] | None = super()._random_values()  # type: ignore[misc]
        return drawn


class RandomOracle(_Kept, keras_tuner.oracles.RandomSearchOracle):
    """Random values, none twice."""


class HyperbandOracle(_Kept, keras_tuner.oracles.HyperbandOracle):
    """Many short trials; the better ones are continued."""


class BayesianOracle(_Kept, keras_tuner.oracles.BayesianOptimizationOracle):
    """Random values first, then the values that a Gaussian process over the scores suggests; nothing is tried twice."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        self._random_state = np.random.RandomState(derived_seed(self.seed, trial_id))
        with warnings.catch_warnings():
            # equal scores, common on small sets, make length scales that run into their bounds; there is nothing to do about it
            warnings.simplefilter("ignore", ConvergenceWarning)
            found: dict[str, Any] = super().populate_space(trial_id)
        if found.get("values") and self._duplicate(found["values"]):
            found = self._random_populate_space()
        return found


class GridOracle(_Kept, keras_tuner.oracles.GridSearchOracle):
    """Every combination, in order."""

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        for before, trial_id in zip([None, *self.start_order], self.start_order, strict=False):
            self._ordered_ids.insert(trial_id, before)
        self._populate_next = self.start_order[-1:]


def make_oracle(
    recipe: Recipe, search: Search, hyperparameters: keras_tuner.HyperParameters, *, first: Sequence[Mapping[str, Any]] = ()
) -> keras_tuner.Oracle:
    """The KerasTuner oracle of a search.

    Args:
        recipe: `Recipe`; its metric, its seed and the epochs of its last stage (which Hyperband divides among trials) are used.
        search: `Search`, the algorithm and the number of trials.
        hyperparameters: KerasTuner `HyperParameters`, from `tfl.tuning.space.hyperparameters`.
        first: Sequence of dictionaries, the values of the first trials as KerasTuner samples them. A grid search keeps its own
            order.
    """
    common: dict[str, Any] = {
        "objective": keras_tuner.Objective(recipe.monitor.metric, "max" if recipe.monitor.higher_is_better else "min"),
        "hyperparameters": hyperparameters,
        "seed": recipe.seed + 1,  # KerasTuner takes 0 for none
        "allow_new_entries": False,
        "max_consecutive_failed_trials": _NEVER,
    }
    oracle: keras_tuner.Oracle
    if search.algorithm == "hyperband":
        oracle = HyperbandOracle(max_epochs=recipe.fixed_stages[-1].epochs, **common)
    elif search.algorithm == "bayesian":
        drawn = min(3 * len(hyperparameters.space), max(4, (search.trials or 30) // 3))
        oracle = BayesianOracle(num_initial_points=max(drawn, len(first)), **common)
    elif search.algorithm == "grid":
        oracle = GridOracle(**common)
    else:
        oracle = RandomOracle(**common)
    oracle.max_trials, oracle.first, oracle.verbose = search.trials, tuple(first), 0
    return oracle
