"""The method chosen on classes that are held out of training, fitted on all seen ones, and evaluated on unseen ones."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import DataError, RunError
from tfl.recipe import ZeroShot
from tfl.tasks.intervals import RESAMPLES
from tfl.zero_shot.classes import Attributes
from tfl.zero_shot.methods import METHODS, Compatibility, candidates

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST = 4
"""With fewer seen classes none can be held out and two be left to learn from."""
FOLDS = 5
"""How often some seen classes are held out."""
_SCALES = tuple(10.0**power for power in np.arange(-1, 3.01, 0.25))
_ARRAYS = ("kernel", "bias", "prior", "mean", "spread")


@dataclass(frozen=True, eq=False)
class ZeroShotHead:
    """What names classes by their attributes, on the features of a run's network.

    Args:
        attributes: The table, with the names of the attributes.
        seen: Names of the classes that the network was trained on.
        found: How well features go with attributes.
        scale: What scores are multiplied with to be logits.
        penalty: What is taken away from the logit of a seen class where there are unseen ones as well (calibrated stacking; Chao
            et al. 2016).
        mean, spread: Arrays of shape `(features,)`, of the training examples, for comparing examples with each other.
    """

    attributes: Attributes
    seen: tuple[str, ...]
    found: Compatibility
    scale: float
    penalty: float
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    def logits(self, features: NDArray[np.floating], classes: Attributes, *, stacked: bool = True) -> NDArray[np.float64]:
        """The logits of each example for some classes, `(n, classes)`.

        Args:
            features: `(n, features)`, what the head of the run's network reads.
            classes: The classes, with the attributes that the run learned.
            stacked: Whether seen classes pay their penalty where there are unseen ones as well.
        """
        scores = self.scale * self.found.scores(features, classes.like(self.attributes).values)
        seen = np.isin(classes.class_names, self.seen)
        return scores - self.penalty * seen if stacked and not seen.all() else scores

    def standardised(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Features of length 1, after their mean over the training examples was taken away and their spread divided out."""
        rows = (np.asarray(features, np.float64) - self.mean) / self.spread
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `zero_shot.npz` holds."""
        arrays = {"kernel": self.found.kernel, "bias": self.found.bias, "prior": self.found.prior}
        return {**arrays, "mean": self.mean, "spread": self.spread, "values": self.attributes.values}

    @classmethod
    def load(cls, document: dict[str, Any], file: Path) -> ZeroShotHead:
        """The head of a run, from its `zero_shot.json` and `zero_shot.npz`.

        Raises:
            RunError: A file is missing or damaged.
        """
        try:
            with np.load(file, allow_pickle=False) as stored:
                arrays = {name: np.asarray(stored[name], np.float64) for name in (*_ARRAYS, "values")}
            attributes = Attributes(tuple(document["classes"]), tuple(document["attributes"]), arrays["values"])
            found = Compatibility(
                arrays["kernel"], arrays["bias"], arrays["prior"], document["method"] == "eszsl", document["method"]
            )
            numbers = {name: float(document[name]) for name in ("scale", "penalty")}
            return cls(attributes, tuple(document["seen"]), found, mean=arrays["mean"], spread=arrays["spread"], **numbers)
        except Exception as error:  # zip, zlib and NumPy's reader raise a dozen kinds, by what is damaged
            raise RunError(f"{file} cannot be read: {error}.", fix="Run the recipe again in another folder.") from error


def fit_head(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    validation: tuple[NDArray[np.floating], NDArray[np.integer]],
    class_names: Sequence[str],
    attributes: Attributes,
    *,
    settings: ZeroShot,
    seed: int,
) -> tuple[ZeroShotHead, dict[str, Any]]:
    """The head for classes that were never seen.

    Seen classes are held out, a few at a time: what learns from the others has to name their examples. The method and its
    penalties with the highest accuracy on held-out classes are taken, of equal ones those with the lowest log loss; then the
    penalty of seen classes with the highest harmonic mean of both, and the scale with the lowest log loss.

    Args:
        features: `(n, features)`, of the training examples.
        labels: `(n,)`, indices into `class_names`.
        validation: Features and labels of other examples of the same classes.
        class_names: The seen classes.
        attributes: Describe at least these.
        settings: `Recipe.zero_shot`.
        seed: Decides which classes are held out together.

    Returns:
        The head; and plain data: `method`, `setting`, `folds`, and `tried`, for each method its best `accuracy` on held-out
        classes and the `chance` there.

    Raises:
        DataError: There are fewer than four seen classes, or one of them is not described.
    """
    values = attributes.of(class_names)
    count = len(class_names)
    refuse_few(class_names)
    inputs: NDArray[np.float64] = np.asarray(features, np.float64)
    methods = METHODS if settings.method == "auto" else (settings.method,)
    folds = _held_out(count, len(attributes.class_names) - count, seed=seed)
    scored = [_fold(inputs, labels, validation, values, fold, methods=methods) for fold in folds]
    accuracies = np.array([[one["accuracy"] for one in row] for row in scored]).mean(axis=0)
    losses = np.array([[one["losses"] for one in row] for row in scored]).mean(axis=0).min(axis=1)
    best = int(np.lexsort((losses, -accuracies.round(9)))[0])
    chosen = [row[best] for row in scored]
    penalty_of_scores = _penalty(chosen) if settings.calibrated else 0.0
    scale = _scale(chosen, penalty_of_scores)
    found = next(itertools.islice(candidates(inputs, labels, values, methods=methods), best, None))
    mean, spread = inputs.mean(axis=0), inputs.std(axis=0)
    head = ZeroShotHead(
        attributes, tuple(class_names), found, scale, scale * penalty_of_scores, mean, np.where(spread < 1e-8, 1.0, spread)
    )
    of_method = [one["method"] for one in scored[0]]
    tried = [
        {
            "method": method,
            "accuracy": float(max(value for value, own in zip(accuracies, of_method, strict=True) if own == method)),
            "chance": float(np.mean([1 / len(fold) for fold in folds])),
        }
        for method in methods
    ]
    return head, {"method": found.method, "setting": found.setting, "folds": len(folds), "tried": tried}


def _held_out(count: int, unseen: int, *, seed: int) -> list[NDArray[np.int64]]:
    """Which seen classes are held out together, several times: of all classes as large a share as the unseen ones are, since what
    suits the choice among two does not suit that among many. At least two, and at most half."""
    most = min(max(2, round(count * unseen / (count + unseen))), count // 2)
    draw = np.random.default_rng(seed)
    return [np.sort(draw.permutation(count)[:most]) for _ in range(FOLDS)]


def refuse_few(class_names: Sequence[str]) -> None:
    """Raises where there are too few seen classes.

    Raises:
        DataError: There are.
    """
    if len(class_names) < FEWEST:
        raise DataError(
            "Attributes are learned from several classes, some of which are held out to choose the method.",
            received=f"{len(class_names)} classes: {', '.join(class_names)}",
            allowed=f"{FEWEST} or more",
        )


def _fold(
    features: NDArray[np.float64],
    labels: NDArray[np.integer],
    validation: tuple[NDArray[np.floating], NDArray[np.integer]],
    values: NDArray[np.float64],
    held: NDArray[np.integer],
    *,
    methods: Any,
) -> list[dict[str, Any]]:
    """For each candidate, fitted without the classes that are held out: its accuracy among them, its log loss by scale, and
    scores for all classes of their training examples and of the validation examples of the others."""
    out = np.isin(labels, held)
    rows = []
    others = ~np.isin(validation[1], held)
    for one in candidates(features[~out], labels[~out], values, methods=methods):
        unseen = one.scores(features[out], values)
        seen = one.scores(validation[0][others], values) if others.any() else np.zeros((0, len(values)))
        answered = np.asarray(held)[unseen[:, held].argmax(axis=1)]
        rows.append(
            {
                "method": one.method,
                "accuracy": per_class_accuracy(answered, labels[out]),
                "losses": [_log_loss(scale * unseen[:, held], np.searchsorted(held, labels[out])) for scale in _SCALES],
                "held": held,
                "scores": np.concatenate([unseen, seen]),
                "labels": np.concatenate([labels[out], np.asarray(validation[1])[others]]),
            }
        )
    return rows


def _penalty(folds: Sequence[dict[str, Any]]) -> float:
    """What seen classes pay, in scores: the smallest value whose mean harmonic mean over the folds is within one standard error
    of the highest (the rule of Breiman et al. 1984 for pruning), since few classes say little about it."""
    gaps = []
    for one in folds:
        new = np.isin(np.arange(one["scores"].shape[1]), one["held"])
        gaps.append(one["scores"][:, ~new].max(axis=1) - one["scores"][:, new].max(axis=1))
    tried = np.unique(np.maximum(np.quantile(np.concatenate(gaps), np.linspace(0, 1, 201)), 0.0))
    found = np.array([[harmonic(*_both(one, penalty)) for one in folds] for penalty in tried])
    means, best = found.mean(axis=1), int(found.mean(axis=1).argmax())
    error = found[best].std(ddof=1) / np.sqrt(len(folds))
    return float(tried[means >= means[best] - error].min())


def _both(one: dict[str, Any], penalty: float) -> tuple[float, float]:
    """The accuracy of seen and of held-out classes among all classes."""
    new = np.isin(np.arange(one["scores"].shape[1]), one["held"])
    answered, held = (one["scores"] - penalty * ~new).argmax(axis=1), np.isin(one["labels"], one["held"])
    return tuple(per_class_accuracy(answered[part], one["labels"][part]) if part.any() else 0.0 for part in (~held, held))  # type: ignore[return-value]


def _scale(folds: Sequence[dict[str, Any]], penalty: float) -> float:
    """What scores are multiplied with: the value with the lowest log loss of held-out examples among all classes."""

    def loss(scale: float) -> float:
        parts = []
        for one in folds:
            new = np.isin(np.arange(one["scores"].shape[1]), one["held"])
            parts.append(_log_loss(scale * (one["scores"] - penalty * ~new), one["labels"]))
        return float(np.mean(parts))

    return min(_SCALES, key=loss)


def _log_loss(logits: NDArray[np.float64], labels: NDArray[np.integer]) -> float:
    """The mean log loss of some examples."""
    top = logits.max(axis=1)
    return float((top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - logits[np.arange(len(logits)), labels]).mean())


def per_class_accuracy(answered: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
    """The mean over classes of the share that is right (Xian et al. 2018, equation 14).

    Example:

    >>> per_class_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    0.75
    """
    return float(np.mean([(answered[labels == name] == name).mean() for name in np.unique(labels)]))


def harmonic(seen: float, unseen: float) -> float:
    """The harmonic mean of two accuracies (Xian et al. 2018, equation 15).

    Example:

    >>> round(harmonic(0.9, 0.3), 3), harmonic(0.0, 0.0)
    (0.45, 0.0)
    """
    return 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0


def evaluate_head(
    head: ZeroShotHead,
    seen: tuple[NDArray[np.floating], NDArray[np.integer]],
    unseen: tuple[NDArray[np.floating], NDArray[np.integer]],
    unseen_names: Sequence[str],
    *,
    seed: int,
) -> dict[str, Any]:
    """How often classes that were never seen are named.

    Args:
        head: Fitted.
        seen: Features and labels of test examples of the seen classes.
        unseen: Features and labels, indices into `unseen_names`, of examples of the others.
        unseen_names: Their names.
        seed: Of the draws that the interval rests on.

    Returns:
        `count`; `accuracy` among unseen classes alone, the mean over classes, with its 95% `interval` and `chance`;
        `generalised` and `uncalibrated`, each with `seen`, `unseen` and `harmonic`, where all classes can be the answer; and
        `rows`, a row for each unseen class with `name`, `count`, `accuracy` and `taken_for`, the most frequent wrong answer.
    """
    names = (*head.seen, *unseen_names)
    every = dataclasses.replace(head.attributes, class_names=names, values=head.attributes.of(names))
    new = dataclasses.replace(every, class_names=tuple(unseen_names), values=head.attributes.of(unseen_names))
    answered, labels = head.logits(unseen[0], new).argmax(axis=1), np.asarray(unseen[1])
    document: dict[str, Any] = {
        "count": len(labels),
        "accuracy": per_class_accuracy(answered, labels),
        "interval": _interval(answered, labels, seed=seed),
        "chance": 1 / len(unseen_names),
    }
    for name, stacked in (("generalised", True), ("uncalibrated", False)):
        own = per_class_accuracy(head.logits(seen[0], every, stacked=stacked).argmax(axis=1), np.asarray(seen[1]))
        among = head.logits(unseen[0], every, stacked=stacked).argmax(axis=1)
        other = per_class_accuracy(among, labels + len(head.seen))
        document[name] = {"seen": own, "unseen": other, "harmonic": harmonic(own, other)}
    document["rows"] = [_row(unseen_names, at, answered[labels == at]) for at in np.unique(labels)]
    return document


def _row(names: Sequence[str], at: int, answered: NDArray[np.integer]) -> dict[str, Any]:
    wrong = answered[answered != at]
    taken = names[int(np.bincount(wrong).argmax())] if len(wrong) else None
    return {"name": names[at], "count": len(answered), "accuracy": float((answered == at).mean()), "taken_for": taken}


def _interval(answered: NDArray[np.integer], labels: NDArray[np.integer], *, seed: int) -> list[float]:
    """The middle 95% of the mean over classes, each class's share drawn from its posterior under Jeffreys' prior, which, other
    than resamples, knows that a share of 0 or 1 among few examples is not certain (Brown, Cai and DasGupta 2001)."""
    draw, right = np.random.default_rng(seed), answered == labels
    counts = [(right[labels == name].sum(), (labels == name).sum()) for name in np.unique(labels)]
    shares = [draw.beta(hits + 0.5, count - hits + 0.5, RESAMPLES) for hits, count in counts]
    low, high = np.percentile(np.mean(shares, axis=0), [2.5, 97.5])
    value = np.mean([hits / count for hits, count in counts])
    return [float(min(low, value)), float(max(high, value))]
