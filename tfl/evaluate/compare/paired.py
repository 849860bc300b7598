"""Whether one network is better than another, from their answers on the same test examples. No TensorFlow.

For classes and labels the test is McNemar's (1947), exact: of the examples on which only one of the two is right, as many should
fall to either if they are equally good. For numbers it is Wilcoxon's signed-rank test (1945) on the absolute errors. Several
comparisons are corrected by Holm (1979).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tfl.data.listing import read_listing
from tfl.evaluate.predictions import NAME, Predictions, holds_boxes, read_predictions
from tfl.evaluate.render import percent
from tfl.recipe import GENERATE, HEADS, OF_NUMBERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALPHA = 0.05
"""A difference is called one where chance alone would bring as much less often than this."""
_RESAMPLES = 2000
Verdict = Literal["better", "worse", "no evidence"]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The answers of a run on its test examples.

    Args:
        predictions: `Predictions` of the test split.
        contents: Tuple of strings, the fingerprint of each example, in the order of `predictions`. None if the run did not keep
            them.
    """

    predictions: Predictions
    contents: tuple[str, ...] | None

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.predictions.task.name

    @property
    def right(self) -> NDArray[np.bool_]:
        """Boolean array of shape `(n,)`, whether the class, or every label, of an example was predicted correctly."""
        found = self.predictions
        if self.task == "classify":
            return np.asarray(found.outputs.argmax(axis=1) == found.labels)
        unknown = np.isnan(found.targets)
        return np.asarray(((found.predicted_labels == (found.targets > 0)) | unknown).all(axis=1))

    @property
    def errors(self) -> NDArray[np.float64]:
        """Array of shape `(n,)`, the mean absolute error of each example over its known numbers; of passages nats a byte."""
        if self.task == GENERATE:
            return np.asarray(self.predictions.outputs[:, 0] / self.predictions.targets[:, 0])
        return np.asarray(np.nanmean(np.abs(self.predictions.outputs - self.predictions.targets), axis=1))

    @property
    def truths(self) -> list[Hashable]:
        """The targets of each example, by name, so that two runs can be compared whatever the order of their outputs."""
        names, found = self.predictions.class_names, self.predictions
        if self.task == "classify":
            return [names[label] for label in found.labels]
        order = sorted(range(len(names)), key=lambda at: names[at])
        return [tuple((names[at], float(row[at])) for at in order if not np.isnan(row[at])) for row in found.targets]


def read_answers(run_folder: Path | str) -> Answers | None:
    """The answers of a run on its test split; None if it was not tested.

    Raises:
        RunError: Its predictions or its list of examples are damaged.
    """
    if not (Path(run_folder) / NAME).is_file() or holds_boxes(run_folder):  # it has no figure of each example
        return None
    predictions = read_predictions(run_folder).get("test")
    if predictions is None:
        return None
    listing, contents = read_listing(run_folder), None
    if listing is not None and predictions.indices.max(initial=-1) < len(listing):
        contents = tuple(listing[index].fingerprint for index in predictions.indices)
    return Answers(predictions=predictions, contents=contents)


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """The examples that two runs were both tested on, with the same label.

    Args:
        first, second: Integer arrays of shape `(n,)`, positions of the examples in the test split of either run.
        by: String, `content` or `name`: how examples were matched. Names are used if a run did not keep fingerprints.
        relabelled: Int, the number of examples left out because the runs have different labels for them.
        same: Bool, whether these are all test examples of both runs.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    by: Literal["content", "name"]
    relabelled: int
    same: bool


def pair_examples(first: Answers, second: Answers) -> Pairing:
    """The test examples that two runs share. By name only whole test splits are matched: names alone prove little."""
    if first.contents is not None and second.contents is not None:
        return _pairing(first, second, first.contents, second.contents, by="content")
    found = _pairing(first, second, first.predictions.files, second.predictions.files, by="name")
    nothing = np.zeros(0, np.int64)
    return found if found.same else Pairing(first=nothing, second=nothing, by="name", relabelled=0, same=False)


def _pairing(
    first: Answers, second: Answers, keys: Sequence[Hashable], others: Sequence[Hashable], *, by: Literal["content", "name"]
) -> Pairing:
    waiting: dict[Hashable, list[int]] = defaultdict(list)
    for at in reversed(range(len(others))):
        waiting[others[at]].append(at)
    shared = [(at, waiting[key].pop()) for at, key in enumerate(keys) if waiting[key]]
    labels, other_labels = first.truths, second.truths
    kept = [(at, to) for at, to in shared if labels[at] == other_labels[to]]
    places = np.array(kept, np.int64).reshape(-1, 2)
    whole = len(kept) == len(keys) == len(others) > 0
    return Pairing(first=places[:, 0], second=places[:, 1], by=by, relabelled=len(shared) - len(kept), same=whole)


def compare_tests(first: Answers, second: Answers) -> dict[str, Any] | None:
    """The second run against the first, on the test examples that both have; None if there are none, the
    tasks differ, or there are several targets.

    Returns:
        `task`, `count`, `same_examples`, `matched_by`, `relabelled`; `difference` (second minus first) with its 95% bootstrap
        `interval`; and `p`. For classes and labels `accuracy` of both, `only_first` and `only_second`: the numbers of examples on
        which only the one is right; `p` is that of McNemar's exact test. For numbers `mae` of both, the mean absolute error;
        `p` is that of Wilcoxon's signed-rank test.
    """
    if first.task != second.task or first.task == HEADS:
        return None
    pairing = pair_examples(first, second)
    if not len(pairing.first):
        return None
    about = {
        "task": first.task,
        "count": len(pairing.first),
        "same_examples": pairing.same,
        "matched_by": pairing.by,
        "relabelled": pairing.relabelled,
    }
    if first.task in OF_NUMBERS:
        return about | _errors_compared(first.errors[pairing.first], second.errors[pairing.second])
    one, other = first.right[pairing.first], second.right[pairing.second]
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    difference, interval = paired_difference(other, one)
    return {
        **about,
        "accuracy": [float(one.mean()), float(other.mean())],
        "only_first": only_first,
        "only_second": only_second,
        "difference": difference,
        "interval": interval,
        "p": mcnemar(only_first, only_second),
    }


def _errors_compared(one: NDArray[np.float64], other: NDArray[np.float64]) -> dict[str, Any]:
    from scipy.stats import wilcoxon  # imported here: it takes half a second

    gaps = other - one
    drawn = np.random.default_rng(0).integers(0, len(gaps), size=(_RESAMPLES, len(gaps)))
    return {
        "mae": [float(one.mean()), float(other.mean())],
        "difference": float(gaps.mean()),
        "interval": [float(edge) for edge in np.percentile(gaps[drawn].mean(axis=1), [2.5, 97.5])],
        "p": float(wilcoxon(gaps).pvalue) if gaps.any() else 1.0,
    }


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p-value of McNemar's exact test.

    Args:
        only_first: Int, the number of examples that only the first network predicts correctly.
        only_second: Int, the number of examples that only the second network predicts correctly.

    Example:

    >>> mcnemar(0, 0), mcnemar(0, 5), mcnemar(0, 6), mcnemar(10, 12) > 0.5
    (1.0, 0.0625, 0.03125, True)
    """
    if only_first + only_second == 0:
        return 1.0
    from scipy.stats import binomtest  # imported here: it takes half a second

    return float(binomtest(only_first, only_first + only_second, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: with these, the chance of any false alarm among all of them stays below the level.

    Example:

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = largest
    return corrected


def verdict_of(pair: Mapping[str, Any]) -> Verdict:
    """What a pair of `compare_tests`, with its `p_corrected`, says of the second run."""
    if pair["p_corrected"] >= ALPHA or not pair["difference"]:
        return "no evidence"
    return _side(pair)


def _side(pair: Mapping[str, Any]) -> Literal["better", "worse"]:
    """Which side of the first run the second one is on; an error is better where it is smaller."""
    gain = -pair["difference"] if "mae" in pair else pair["difference"]
    return "better" if gain > 0 else "worse"


def pair_in_words(first: str, second: str, pair: Mapping[str, Any], *, nouns: tuple[str, str] = ("example", "examples")) -> str:
    """The result of a paired test as a sentence.

    Args:
        first, second: Strings, the titles of the two runs.
        pair: Dictionary from `compare_tests`, with its `p_corrected`.
        nouns: Pair of strings, the words for one example and for several. Defaults to `("example", "examples")`.
    """
    figures = (_mae_in_words if "mae" in pair else _accuracy_in_words)(pair, nouns[1])
    found = verdict_of(pair)
    if found != "no evidence":
        return f"{second} is {found} than {first}: {figures}."
    if "mae" in pair:
        if not pair["difference"]:
            return f"{second} and {first} have the same mean absolute error: {figures}."
        return f"There is no evidence that {second} is {_side(pair)} than {first}: {figures}; the difference could be chance."
    apart = pair["only_first"] + pair["only_second"]
    if not apart:
        share = percent(pair["accuracy"][0])
        return f"{second} and {first} are right and wrong on the same {nouns[1]}: {share} of {pair['count']}."
    words = f"There is no evidence that {second} is {_side(pair)} than {first}: {figures}; the difference could be chance."
    if 0.5 ** (apart - 1) > ALPHA:  # even if all of them fell to one side
        words += f" The two differ on {apart} {nouns[apart > 1]} only: too few for any difference to show."
    return words


def _accuracy_in_words(pair: Mapping[str, Any], nouns: str) -> str:
    low, high = pair["interval"]
    return (
        f"{percent(pair['accuracy'][1])} against {percent(pair['accuracy'][0])} of the same {pair['count']} test {nouns}, "
        f"{100 * pair['difference']:+.1f} points (95% interval {100 * low:+.1f} to {100 * high:+.1f}), "
        f"McNemar p {_p_in_words(pair['p_corrected'])}"
    )


def _mae_in_words(pair: Mapping[str, Any], nouns: str) -> str:
    low, high = pair["interval"]
    return (
        f"off by {pair['mae'][1]:.4g} against {pair['mae'][0]:.4g} on average on the same {pair['count']} test {nouns}, "
        f"{pair['difference']:+.3g} (95% interval {low:+.3g} to {high:+.3g}), Wilcoxon p {_p_in_words(pair['p_corrected'])}"
    )


def paired_difference(
    better: np.ndarray, other: np.ndarray, *, seed: int = 0, resamples: int = _RESAMPLES
) -> tuple[float, list[float]]:
    """The difference in accuracy of two networks on the same examples, and its 95% bootstrap interval over examples.

    Args:
        better: Boolean array of shape `(n,)`, whether the first network was correct.
        other: Boolean array of shape `(n,)`, whether the second network was correct.
        seed: Int, the seed of the resampling. Defaults to 0.
        resamples: Int, the number of resamples.

    Example:

    >>> paired_difference(np.array([True] * 50), np.array([True] * 50))
    (0.0, [0.0, 0.0])
    """
    gains = better.astype(float) - other.astype(float)
    generator = np.random.default_rng(seed)
    # Only three outcomes exist for an example (gain, loss, tie), so a resample is one multinomial draw.
    shares = np.array([(gains > 0).mean(), (gains < 0).mean(), (gains == 0).mean()])
    drawn = generator.multinomial(len(gains), shares / shares.sum(), size=resamples)
    edges = np.percentile((drawn[:, 0] - drawn[:, 1]) / len(gains), [2.5, 97.5])
    return float(gains.mean()), [float(edge) for edge in edges]


def _p_in_words(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"= {p:.2g}"
