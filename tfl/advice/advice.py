"""What `tfl advise` finds, as plain data and in words. No TensorFlow."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tfl.backbones.titles import title_of
from tfl.errors import RecipeError
from tfl.fields import as_plain
from tfl.recipe import Backbone, Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

SET_VARIANCE = 0.25
"""By how much accuracy differs between training sets of n examples: so many times the variance of n held-out answers. Nadeau and
Bengio's correction takes it for 1; a quarter is what gains on synthetic classes show. With it 86% of the 90% intervals of
`expected_accuracy` hold on 2,160 draws of synthetic classes, with 0 82%, with Nadeau and Bengio's 95%
(benchmarks/expected_accuracy.py)."""
_Z90 = 1.6448536269514722
LARGE = 1000
"""Training examples from which the four-field table calls a data set large; textbooks give no number."""
SIMILAR = 0.98
"""Where the last block's probe has at least this share of the accuracy of the best block's, the table calls the tasks similar."""
WORTH_LABELS = 0.02
"""A gain by twice as many labels that is worth a sentence."""
Strategy = Literal["features", "finetune"]


def check_task(recipe: Recipe) -> None:
    """Checks that networks can be compared on the data of a recipe.

    Raises:
        RecipeError: The task is another than one of several classes.
    """
    if recipe.task != "classify":
        raise RecipeError(
            "Networks are compared by how well linear probes tell classes apart, and these data have another task.",
            received=recipe.task,
            allowed="classify",
            fix="Compare networks and depths with `tfl tune` or `tfl study`, which take every task.",
        )


@dataclass(frozen=True, kw_only=True)
class Expected:
    """An accuracy that is expected on new examples.

    Args:
        mean: Float from 0 to 1, of the cross-validation.
        low, high: Floats, its 90% interval.
        count: Int, how many held-out examples it comes from.
    """

    mean: float
    low: float
    high: float
    count: int

    def shifted(self, by: float) -> Expected:
        """The same after a change of the accuracy."""
        edges = (min(1.0, max(0.0, value + by)) for value in (self.mean, self.low, self.high))
        return Expected(**dict(zip(("mean", "low", "high"), edges, strict=True)), count=self.count)


def expected_accuracy(
    predicted: NDArray[np.integer], labels: NDArray[np.integer], *, classes: int, balanced: bool = False
) -> Expected:
    """The accuracy on new examples that a cross-validation makes likely, with a 90% interval.

    The variance is that of a share, by class, with one success and one failure added (Agresti and Coull 1998), times
    `1 + SET_VARIANCE` for what other training examples would change.

    Args:
        predicted: Integer array of shape `(n,)`, the class that was predicted for each held-out example.
        labels: Integer array of shape `(n,)`, the true classes.
        classes: Int, the number of classes.
        balanced: Bool, whether every class counts alike (the mean of the recalls). Defaults to False.

    Example:

    >>> import numpy as np
    >>> labels = np.arange(100) % 2
    >>> found = expected_accuracy(np.where(np.arange(100) < 90, labels, 1 - labels), labels, classes=2)
    >>> round(found.mean, 2), round(found.low, 2), round(found.high, 2)
    (0.9, 0.84, 0.96)
    """
    counts = np.bincount(labels, minlength=classes).astype(float)
    right = np.bincount(labels[predicted == labels], minlength=classes)
    there = counts > 0
    counts, right = counts[there], right[there]
    weights = np.full(len(counts), 1 / len(counts)) if balanced else counts / counts.sum()
    mean = float(weights @ (right / counts))
    smooth = (right + 1) / (counts + 2)
    half = _Z90 * math.sqrt(float(weights**2 @ (smooth * (1 - smooth) / counts)) * (1 + SET_VARIANCE))
    return Expected(mean=mean, low=max(0.0, mean - half), high=min(1.0, mean + half), count=len(labels))


@dataclass(frozen=True, kw_only=True)
class Option:
    """One way to train, with what it is expected to bring.

    Args:
        backbone: `Backbone`, the network.
        strategy: String: `features` (a regression on the frozen network) or `finetune`.
        name: String, the head or the depth in words.
        taps: Tuple of strings, the blocks that the head reads; empty for the last one.
        blocks: Int, how many blocks train. None where the options of the network have no depth.
        expected: The accuracy on new examples. None where it was not measured; `why` says the reason.
        seconds: Float, the time that the training takes on this machine, features included. None where it was not measured.
        memory: Int, the bytes that weights, optimizer and features take.
        why: String, what speaks for or against it.
        recommended: Bool, whether this is the advice.
    """

    backbone: Backbone
    strategy: Strategy
    name: str
    taps: tuple[str, ...] = ()
    blocks: int | None = None
    expected: Expected | None
    seconds: float | None = None
    memory: int | None = None
    why: str = ""
    recommended: bool = False

    @property
    def title(self) -> str:
        """The network in words."""
        return title_of(self.backbone)


@dataclass(frozen=True, kw_only=True)
class Network:
    """What one pass over the examples says of a network.

    Args:
        backbone: `Backbone`, the network.
        depth: Sequence of pairs, the name of each block, input side first, and the accuracy of a probe on it alone.
        scores: Floats by name: `log_me`, `h_score` and `n_leep` of the last block.
        loss: Float, the calibrated loss of its best probe on held-out examples, by which networks are ranked.
        seconds: Float, the time of the pass and of the probes.
        skipped: String, why it was not measured; empty where it was.
    """

    backbone: Backbone
    depth: tuple[tuple[str, float], ...] = ()
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
    loss: float | None = None
    seconds: float = 0.0
    skipped: str = ""

    @property
    def title(self) -> str:
        """The network in words."""
        return title_of(self.backbone)

    @property
    def last_over_best(self) -> float:
        """Float, the accuracy of the last block's probe over that of the best block's."""
        best = max(accuracy for _, accuracy in self.depth)
        return self.depth[-1][1] / best if best else 1.0


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What `tfl advise` finds.

    Args:
        source: String, the data.
        nouns: String, what messages call the examples.
        counts: Ints by class, the examples to train and validate on.
        metric: String, `accuracy` or `balanced accuracy` (the mean of the recalls, where some classes are rare).
        networks: The networks that were looked at, best first.
        options: What can be done, the highest expected accuracy first.
        verdicts: Dictionaries with `kind` and `words`: the four-field table beside what was measured, and what follows.
        curve: Dictionary, the learning curve of the best probe: `sizes`, `means`, `forecasts`. None where there was no time.
        minutes: Float, the time limit.
        seconds: Float, the time it took.
        fingerprint: String, SHA-256 of the data.
    """

    source: str
    nouns: str
    counts: Mapping[str, int]
    metric: str
    networks: tuple[Network, ...]
    options: tuple[Option, ...]
    verdicts: tuple[Mapping[str, str], ...]
    curve: Mapping[str, Any] | None
    minutes: float
    seconds: float
    fingerprint: str

    @property
    def best(self) -> Option:
        """The option that is recommended."""
        return next(option for option in self.options if option.recommended)

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data, as `advice.json` has it."""
        networks = [{**as_plain(one), "title": one.title} for one in self.networks]
        options = [{**as_plain(one), "title": one.title} for one in self.options]
        return {"format": 1, **as_plain(self), "networks": networks, "options": options}


def four_fields(*, count: int, similar: bool) -> tuple[str, Strategy]:
    """What textbooks advise by the size of the data and the likeness of the tasks (CS231n, Stanford, *Transfer Learning*).

    Args:
        count: Int, the number of training examples.
        similar: Bool, whether the task is like the one that the network was trained on.

    Returns:
        The field in words, and the strategy.

    Example:

    >>> four_fields(count=100, similar=True)
    ('little data, a similar task: a linear classifier on the last block', 'features')
    """
    if count < LARGE:
        if similar:
            return "little data, a similar task: a linear classifier on the last block", "features"
        return "little data, another task: a linear classifier on earlier blocks", "features"
    likeness = "a similar task" if similar else "another task"
    return f"much data, {likeness}: fine-tune the whole network", "finetune"


def points(share: float) -> str:
    """A difference of accuracies in words.

    Example:

    >>> points(0.0213), points(-0.01)
    ('+2.1 points', '-1.0 points')
    """
    return f"{100 * share:+.1f} points"


def ranked(options: Sequence[Option]) -> tuple[Option, ...]:
    """The recommended option first, then by expected accuracy; those without one last."""
    return tuple(
        sorted(options, key=lambda one: (not one.recommended, -(one.expected.mean if one.expected is not None else -1.0)))
    )
