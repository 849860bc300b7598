"""The depth profile: how well each block's features serve a task, how sure that is, and what to do with it."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse

from tfl.fields import as_plain
from tfl.tasks.intervals import wilson_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.table import Table

Metric = Literal["accuracy", "macro_f1"]
Interval = tuple[float, float]
RESAMPLES = 1000
_MANY_MORE = 1.5
_WORTHWHILE = 0.8  # a block that takes at most so much of the computation is worth a word
_CHUNK_CELLS = 4_000_000  # resampling weights in memory at a time


@dataclass(frozen=True, kw_only=True)
class Row:
    """The linear probe on the pooled output of one block, or of several.

    Args:
        block: String, the name of the block; several names are joined by ` + `.
        taps: Tuple of strings, the value of `head.taps` for a head with the same input.
        output_shape: Tuple of ints, the output shape of the block without the batch axis; of several blocks, that of the last.
        features: Int, the width of the feature vector.
        accuracy, macro_f1: Floats, on held-out examples, each with its 95% interval.
        C: Float, the inverse penalty that cross-validation chose.
        p_best: Float, the share of resamples in which this block is the best; of several blocks, in which they beat the best
            single block.
        behind: Float, how much the best block is better in the metric of the profile, with its 95% interval over the same
            examples.
        compute: Float, the share of the FLOPs of the whole backbone up to this block.
    """

    block: str
    taps: tuple[str, ...]
    output_shape: tuple[int | None, ...]
    features: int
    accuracy: float
    interval: Interval
    macro_f1: float
    macro_f1_interval: Interval
    C: float
    p_best: float
    behind: float
    behind_interval: Interval
    compute: float


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Linear probes at every block, and what they suggest.

    Args:
        rows: Sequence of `Row`, one for each block, input side first.
        together: `Row` of the best few blocks side by side, as `head.taps` reads them. None if there is only one block.
        metric: String, `accuracy` or `macro_f1`: the metric that *best* refers to.
        examples, classes, folds: Ints, the size of the data that the probes were run on.
        units: Int, the number of independent examples or groups of examples: the units of the bootstrap.
        commonest: Float, the accuracy of always predicting the most frequent class.
        train_examples: Int, the number of training examples of a run of the recipe. None if it is not known.
        nouns: String, what messages call the examples. Defaults to `examples`.
        seconds: Dictionary of floats, the seconds spent on `features` and on `probes`.
    """

    rows: tuple[Row, ...]
    together: Row | None
    metric: Metric
    examples: int
    classes: int
    folds: int
    units: int
    commonest: float
    train_examples: int | None = None
    nouns: str = "examples"
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def best(self) -> Row:
        """The block with the highest score; of equals the earliest."""
        return max(self.rows, key=lambda row: float(getattr(row, self.metric)))

    @property
    def tied_with_best(self) -> tuple[str, ...]:
        """Other blocks whose distance to the best is within the interval of noise, input side first."""
        best = self.best.block
        return tuple(row.block for row in self.rows if row.block != best and row.behind_interval[0] <= 0)

    @property
    def scores(self) -> dict[str, float]:
        """The metric by block."""
        return {row.block: getattr(row, self.metric) for row in self.rows}

    @property
    def advice(self) -> tuple[str, ...]:
        """What the profile says, as sentences."""
        return tuple(_advice(self))

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data: the fields, and `best`, `tied_with_best` and `advice`."""
        document = as_plain(self)
        return {**document, "best": self.best.block, "tied_with_best": list(self.tied_with_best), "advice": list(self.advice)}

    def _repr_html_(self) -> str:
        """The table and the advice, for notebooks."""
        columns = ("block", "output", "features", "accuracy", "95% interval", "macro-F1", "C", "P(best)", "compute", "")
        head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
        rows = ((*_cells(row), self._mark(row)) for row in self._all_rows)
        lines = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows)
        said = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in self.advice)
        return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>{said}"

    @property
    def _all_rows(self) -> tuple[Row, ...]:
        return (*self.rows, *([self.together] if self.together else []))

    def _mark(self, row: Row) -> str:
        return "best" if row is self.best else "tied" if row.block in self.tied_with_best else ""

    def table(self) -> Table:
        """The profile to print; the best block is marked, and those that are not distinguishable from it."""
        from rich import box
        from rich.table import Table

        title = f"Linear probes on {self.examples} {self.nouns}, {self.folds} folds"
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
        table.add_column("block", overflow="fold")
        for column in ("output", "features", "accuracy", "95% interval", "macro-F1", "C", "P(best)", "compute"):
            table.add_column(column, justify="right")
        table.add_column("")
        for row in self._all_rows:
            mark = self._mark(row)
            table.add_row(*_cells(row), mark, style=None if mark else "dim" if row is not self.together else None)
        return table


def make_profile(
    rows: Sequence[Mapping[str, Any]],
    predicted: NDArray[np.integer],
    labels: NDArray[np.integer],
    units: NDArray[np.integer],
    *,
    metric: Metric = "accuracy",
    seed: int = 0,
    **about: Any,
) -> Profile:
    """The profile of held-out predictions, with bootstrap intervals.

    Intervals are percentile bootstraps (Efron 1979) over the independent units, the same resamples for every block, so that two
    blocks are compared on the same examples. They hold for probes trained on as many examples; that the folds share training
    examples is not in them. A score of exactly 0 or 1 cannot vary in a resample and gets Wilson's interval (Wilson 1927).

    Args:
        rows: Sequence of dictionaries with `block`, `taps`, `output_shape`, `features`, `C` and `compute`; a row with several
            taps is the last.
        predicted: Integer array of shape `(rows, n)`, the class that each probe predicts.
        labels: Integer array of shape `(n,)`.
        units: Integer array of shape `(n,)`; examples with the same number are resampled together.
        metric: String, `accuracy` or `macro_f1`.
        seed: Int, the seed of the resamples. Defaults to 0.
        about: The other fields of the profile.
    """
    count = int(sum(len(row["taps"]) == 1 for row in rows))
    point = {name: values[0] for name, values in _figures(predicted, labels, np.ones((1, len(labels)))).items()}
    draws = _resampled(predicted, labels, units, seed=seed)
    best = int(np.argmax(point[metric][:count]))
    winners = draws[metric][:, :count] == draws[metric][:, :count].max(axis=1, keepdims=True)
    shares = (winners / winners.sum(axis=1, keepdims=True)).mean(axis=0)
    found = []
    for position, row in enumerate(rows):
        ahead = draws[metric][:, best] - draws[metric][:, position]
        found.append(
            Row(
                **row,
                accuracy=float(point["accuracy"][position]),
                interval=_interval(point["accuracy"][position], draws["accuracy"][:, position], int(units.max()) + 1),
                macro_f1=float(point["macro_f1"][position]),
                macro_f1_interval=_interval(point["macro_f1"][position], draws["macro_f1"][:, position], int(units.max()) + 1),
                p_best=float(shares[position] if position < count else np.mean(ahead < 0) + np.mean(ahead == 0) / 2),
                behind=float(point[metric][best] - point[metric][position]),
                behind_interval=_percentiles(ahead),
            )
        )
    return Profile(
        rows=tuple(found[:count]),
        together=found[count] if count < len(found) else None,
        metric=metric,
        examples=len(labels),
        units=int(units.max()) + 1,
        commonest=float(np.bincount(labels).max() / len(labels)),
        **about,
    )


def _figures(
    predicted: NDArray[np.integer], labels: NDArray[np.integer], weights: NDArray[np.floating]
) -> dict[str, NDArray[np.float64]]:
    """Accuracy and macro-F1 `(resamples, rows)` by `weights` `(resamples, n)`: how often each example was drawn."""
    classes = int(max(labels.max(), predicted.max())) + 1
    present = weights @ _one_hot(labels, classes)
    found: dict[str, list[NDArray[np.float64]]] = {"accuracy": [], "macro_f1": []}
    for answers in predicted:
        right = answers == labels
        hits, said = weights[:, right] @ _one_hot(labels[right], classes), weights @ _one_hot(answers, classes)
        with np.errstate(invalid="ignore"):
            f1 = 2 * hits / (said + present)  # a class that is neither there nor named does not count
        found["accuracy"].append(hits.sum(axis=1) / weights.sum(axis=1))
        found["macro_f1"].append(np.nanmean(f1, axis=1))
    return {name: np.stack(columns, axis=1) for name, columns in found.items()}


def _one_hot(labels: NDArray[np.integer], classes: int) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.ones(len(labels)), (np.arange(len(labels)), labels)), shape=(len(labels), classes))


def _resampled(
    predicted: NDArray[np.integer], labels: NDArray[np.integer], units: NDArray[np.integer], *, seed: int
) -> dict[str, NDArray[np.float64]]:
    rng, count = np.random.default_rng(seed), int(units.max()) + 1
    parts = []
    at_once = max(1, min(RESAMPLES, _CHUNK_CELLS // len(labels)))
    for start in range(0, RESAMPLES, at_once):
        rows = min(at_once, RESAMPLES - start)
        drawn = rng.integers(0, count, size=(rows, count)) + count * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
        parts.append(_figures(predicted, labels, weights[:, units]))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _interval(point: float, draws: NDArray[np.float64], units: int) -> Interval:
    if point in (0.0, 1.0):
        low, high = wilson_interval(round(point * units), units) or (0.0, 1.0)
        return low, high
    return _percentiles(draws)


def _percentiles(draws: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def _cells(row: Row) -> tuple[str, ...]:
    shape = "×".join("?" if side is None else str(side) for side in row.output_shape)
    interval = f"{row.interval[0]:.3f} to {row.interval[1]:.3f}"
    return (
        *(row.block, shape if len(row.taps) == 1 else "", str(row.features), f"{row.accuracy:.3f}", interval),
        *(f"{row.macro_f1:.3f}", f"{row.C:.2g}", f"{row.p_best:.0%}", f"{row.compute:.0%}"),
    )


def _advice(profile: Profile) -> Iterator[str]:
    best, last, tied = profile.best, profile.rows[-1], profile.tied_with_best
    place = [row.block for row in profile.rows].index(best.block) + 1
    name = "accuracy" if profile.metric == "accuracy" else "macro-F1"
    edges = best.interval if profile.metric == "accuracy" else best.macro_f1_interval
    yield (
        f"`{best.block}`, block {place} of {len(profile.rows)}, serves this task best: {name} "
        f"{getattr(best, profile.metric):.3f} [{edges[0]:.3f}, {edges[1]:.3f}], the best in {best.p_best:.0%} of resamples."
    )
    if tied:
        yield f"Not distinguishable from it on {profile.examples} {profile.nouns}: {', '.join(f'`{block}`' for block in tied)}."
    read = last if last.block in (best.block, *tied) else best
    if best.block == last.block:
        yield "The head reads the last block by default, which is right here."
    elif read is last:
        yield "The last block, which a head reads by default, is one of these."
    else:
        yield (
            f"The last block, which a head reads by default, is behind by {_points(last)}. To read the best one: "
            f"{_setting(best)}. The blocks above it are then left out, and the network computes {best.compute:.0%} as much."
        )
    first = next(row for row in profile.rows if row.block in (best.block, *tied))
    if first.compute <= _WORTHWHILE * read.compute:
        yield f"The earliest of these, `{first.block}`, takes {first.compute:.0%} of the computation: {_setting(first)}."
    if profile.together is not None:
        yield _together(profile.together, best)
    learnt_from = profile.examples * (profile.folds - 1) // profile.folds
    if profile.train_examples is not None and learnt_from > _MANY_MORE * profile.train_examples:
        yield (
            f"Each probe learnt from {learnt_from} {profile.nouns}, those of validation among them, and a run would train on "
            f"{profile.train_examples}: with so few the best block may be another."
        )


def _together(row: Row, best: Row) -> str:
    low, high = -row.behind_interval[1], -row.behind_interval[0]
    names = ", ".join(f"`{block}`" for block in row.taps)
    gain = f"{100 * -row.behind:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}] against `{best.block}`"
    verdict = "better" if low > 0 else "worse" if high < 0 else "not distinguishable from it"
    return f"{names} read side by side: {gain}, {verdict}." + (f" To read them: {_setting(row)}." if low > 0 else "")


def _points(row: Row) -> str:
    low, high = row.behind_interval
    return f"{100 * row.behind:.1f} points [{100 * low:.1f}, {100 * high:.1f}]"


def _setting(row: Row) -> str:
    return f"`head=tfl.Head(taps={row.taps!r})`, or `--set head.taps={','.join(row.taps)}`"
