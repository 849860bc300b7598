"""Each model trained on old rows, on new rows, on both, and warm-started on new rows step by step; and when to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from tfl.tasks.intervals import wilson_interval
from tfl.warm_start.linear import Linear
from tfl.warm_start.net import Net
from tfl.warm_start.tables import Pair, Rows
from tfl.warm_start.trees import Boosting

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tfl.warm_start.options import Model, WarmOptions

Way = Literal["old", "new", "both", "warm", "replay", "ewc"]
WAYS: tuple[Way, ...] = ("old", "new", "both", "warm", "replay", "ewc")
STEPPED: tuple[Way, ...] = ("warm", "replay", "ewc")


class Learner(Protocol):
    """What the models have in common."""

    def fit(self, rows: Rows) -> None:
        """Trains from nothing."""

    def step(self, rows: Rows) -> None:
        """Trains on by one step."""

    def copy(self) -> Any:
        """A copy that trains on by itself."""

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.int64]:
        """`(n,)` classes."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What it is kept as."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """How one model does on old and on new rows.

    Args:
        model: Its name.
        way: `old`, `new` or `both` (trained from nothing on those rows), `warm` (trained on old, then on new), `replay` (on
            new with some old ones among them) or `ewc`.
        step: Steps of the warm start; 0 for what was trained from nothing.
        validation, test: Accuracy on `old` and on `new` rows, 0 to 1.
        intervals: By `old` and `new`, the 95% interval on test rows (Wilson).
        seconds: Of training, those of the old model not counted in a warm start.
    """

    model: str
    way: Way
    step: int
    validation: dict[str, float]
    test: dict[str, float]
    intervals: dict[str, list[float]]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """As a document."""
        return asdict(self)


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Args:
        rows: In the order of measurement.
        stops: For each model and way of a warm start, where to stop; step 0 stands for the old model as it is.
        chosen: The best of `stops`.
        arrays: The chosen model.
    """

    rows: tuple[Row, ...]
    stops: tuple[Row, ...]
    chosen: Row
    arrays: dict[str, NDArray[Any]]


def learner_of(model: Model, pair: Pair, options: WarmOptions) -> Learner:
    """A model that has learnt nothing yet."""
    classes = len(pair.classes)
    if model == "boosting":
        return Boosting(classes, seed=options.seed)
    if model == "net":
        return Net(pair.old["train"].x.shape[1], classes, seed=options.seed)
    return Linear(model, classes, rate=options.rate, seed=options.seed)


def models_for(pair: Pair, options: WarmOptions) -> tuple[Model, ...]:
    """The models that can be measured: boosting needs the same classes in both tables."""
    same = not pair.only_old and not pair.only_new
    return tuple(model for model in options.models if same or model != "boosting")


def measure(pair: Pair, options: WarmOptions, *, progress: Callable[[int], None] = lambda done: None) -> Measured:
    """Trains and measures everything.

    Args:
        pair: Both tables.
        options: Models, steps, criterion, strengths.
        progress: Called with how many models are done.
    """
    rows: list[Row] = []
    kept: dict[tuple[str, Way, int], dict[str, NDArray[Any]]] = {}
    for number, model in enumerate(models_for(pair, options), 1):
        for row, learner in _curves(model, pair, options):
            rows.append(row)
            kept[row.model, row.way, row.step] = learner.arrays()
        progress(number)
    stops = tuple(
        stop_of([row for row in rows if row.model == model and row.way in ("old", way)], options.criterion)
        for model in models_for(pair, options)
        for way in STEPPED
        if any((row.model, row.way) == (model, way) for row in rows)
    )
    chosen = stop_of(stops, options.criterion)
    return Measured(tuple(rows), stops, chosen, kept[chosen.model, chosen.way, chosen.step])


def worth(row: Row, criterion: str) -> float:
    """What the criterion says of a row, on validation rows.

    Example:

    >>> from tfl.warm_start.measure import Row, worth
    >>> row = Row(model="net", way="warm", step=1, validation={"old": 0.5, "new": 1.0}, test={}, intervals={}, seconds=0.0)
    >>> worth(row, "mean"), worth(row, "worst")
    (0.75, 0.5)
    """
    old, new = row.validation["old"], row.validation["new"]
    return min(old, new) if criterion == "worst" else (old + new) / 2


def stop_of(rows: Sequence[Row], criterion: str) -> Row:
    """The row that is best by the criterion; of equal ones the one of fewest steps."""
    return max(rows, key=lambda row: (worth(row, criterion), -row.step))


def _curves(model: Model, pair: Pair, options: WarmOptions) -> list[tuple[Row, Learner]]:
    found: list[tuple[Row, Learner]] = []

    def note(way: Way, step: int, learner: Learner, seconds: float) -> None:
        found.append((_row(model, way, step, learner, pair, seconds), learner))

    old, new = pair.old["train"], pair.new["train"]
    for way, rows in (("old", old), ("new", new), ("both", old + new)):
        learner, began = learner_of(model, pair, options), time.perf_counter()
        learner.fit(rows)
        note(way, 0, learner, time.perf_counter() - began)  # type: ignore[arg-type]
    trained = found[0][1]
    for way in STEPPED if model == "net" else STEPPED[:-1]:
        learner = trained.copy()
        if isinstance(learner, Net) and way == "ewc":
            learner.consolidate(old, options.ewc)
        rng, seconds = np.random.default_rng((options.seed, 1)), 0.0
        for step in range(1, max(options.steps) + 1):
            rows = new + _replayed(old, len(new), options.replay, rng) if way == "replay" else new
            began = time.perf_counter()
            learner.step(rows)
            seconds += time.perf_counter() - began
            if step in options.steps:
                note(way, step, learner.copy(), seconds)
    return found


def _replayed(old: Rows, count: int, share: float, rng: np.random.Generator) -> Rows:
    """Old rows of which there are `share` among them and `count` new ones; all of them where there are not so many.

    Of every class there is one at least, so that nothing is forgotten unseen.
    """
    wanted = min(len(old), max(1, round(count * share / (1 - share))))
    at = rng.permutation(len(old))
    first = [int(at[old.y[at] == label][0]) for label in np.unique(old.y)]
    rest = at[~np.isin(at, first)][: max(0, wanted - len(first))]
    chosen = np.concatenate([first, rest]).astype(np.int64)
    return Rows(old.x[chosen], old.y[chosen])


def _row(model: str, way: Way, step: int, learner: Learner, pair: Pair, seconds: float) -> Row:
    right = {
        part: {name: learner.predict(side[part].x) == side[part].y for name, side in (("old", pair.old), ("new", pair.new))}
        for part in ("validation", "test")
    }
    test = right["test"]
    return Row(
        model=model,
        way=way,
        step=step,
        validation={name: float(values.mean()) for name, values in right["validation"].items()},
        test={name: float(values.mean()) for name, values in test.items()},
        intervals={name: wilson_interval(int(values.sum()), len(values)) or [0.0, 1.0] for name, values in test.items()},
        seconds=round(seconds, 3),
    )
