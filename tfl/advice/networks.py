"""Networks compared by linear probes on some data: one pass each over a sample, within a time limit."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tfl.advice.auto import Ladder
from tfl.backbones.titles import title_of
from tfl.prepare import prepare
from tfl.recipe import Auto, Backbone, Recipe

if TYPE_CHECKING:
    from rich.console import Console

SAMPLE = 500
"""At most so many training examples, and a quarter of it of validation examples, are compared on."""
ALPHA = 0.01
"""The largest p-value with which another network takes the place of the first: what is published of networks says more than a
probe on few examples. On two kinds of flowers mini was once taken with p = 0.002, and was as good as the first on test data."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Probed:
    """A network after its pass.

    Args:
        recipe: `Recipe`, with the network and every size that follows from it settled.
        ladder: `Ladder`, with its probes.
        seconds: Float, what the pass and the probes took.
    """

    recipe: Recipe
    ladder: Ladder
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What was found of one network.

    Args:
        title: String, the network in words.
        metric: String, the metric of the recipe's monitor.
        value: Float, the metric of its best probe on held-out examples; None where it was skipped.
        gain: Float, how much more that is than the value of the network that was best before it; None for the first.
        p: Float, the p-value of the gain, in calibrated loss; None likewise.
        chosen: Bool, whether this network is taken.
        skipped: String, why it was not measured.
    """

    title: str
    metric: str
    value: float | None = None
    gain: float | None = None
    p: float | None = None
    chosen: bool = False
    skipped: str = ""


def probe_network(recipe: Recipe, backbone: Backbone, auto: Auto, *, sample: int, console: Console) -> Probed:
    """Probes of every block of one network on the data of a recipe.

    Args:
        recipe: Its data, seed, monitor and class weights.
        backbone: The network.
        auto: The settings of the comparison among its probes.
        sample: Int, at most so many training examples, and a quarter of it of validation examples.
        console: Where progress is shown.

    Raises:
        TflError: The data or the weights cannot be used.
    """
    began = time.perf_counter()
    prepared = prepare(dataclasses.replace(recipe, backbone=backbone), console)
    balanced = recipe.class_weight == "balanced"
    weights = prepared.bundle.task.balanced_weights(prepared.bundle.targets_of("train")) if balanced else None
    ladder = Ladder(prepared.recipe, auto, prepared.bundle, precision=None, class_weights=weights, sample=sample, console=console)
    ladder.probe()
    return Probed(recipe=prepared.recipe, ladder=ladder, seconds=time.perf_counter() - began)


def compare_networks(
    recipe: Recipe, backbones: Sequence[Backbone], *, minutes: float, console: Console | None = None
) -> tuple[Backbone, tuple[Compared, ...]]:
    """The network to take: the first, or one whose probe is shown to be better on held-out examples.

    All are probed on the same examples under the same folds. A later network takes the place of the best one before it where
    the paired gain in calibrated loss has a p-value of at most 0.01 (`tfl.train.evidence`): on few examples the order in which
    the networks come, such as that of published accuracies, says more than a small difference does.

    Args:
        recipe: Its data, seed, monitor and class weights; its network does not count.
        backbones: Sequence of `Backbone`, the one to prefer in front.
        minutes: Float, the time limit. The first network is measured in any case; what is not expected to fit is skipped.
        console: rich `Console` for progress. Defaults to None, which prints nothing.

    Returns:
        The network, and a row for each of them, in their order.

    Raises:
        TflError: The data or the weights cannot be used.

    Example:

    >>> import tfl
    >>> from tfl.advice.networks import compare_networks
    >>> recipe = tfl.Recipe(
    ...     name="digits", data=tfl.Sample("digits", image_size=(32, 32), per_class=12), backbone=tfl.Backbone("mini")
    ... )
    >>> backbone, rows = compare_networks(recipe, [tfl.Backbone("mini"), tfl.Backbone("mini", weights=None)], minutes=1)
    >>> backbone.weights, [row.chosen for row in rows]
    ('pretrained', [True, False])
    """
    from rich.console import Console

    console = console or Console(quiet=True)
    auto = recipe.stages if isinstance(recipe.stages, Auto) else Auto()
    began, longest = time.perf_counter(), 0.0
    rows: list[Compared] = []
    chosen: tuple[int, Probed] | None = None
    for place, backbone in enumerate(backbones):
        about: dict[str, Any] = {"title": title_of(backbone), "metric": recipe.monitor.metric}
        if chosen is not None and longest > 60 * minutes - (time.perf_counter() - began):
            rows.append(Compared(**about, skipped=f"no time was left of {minutes:g} min"))
            continue
        console.print(f"Network {title_of(backbone)}: linear probes.", highlight=False, markup=False)
        found = probe_network(recipe, backbone, auto, sample=SAMPLE, console=console)
        longest = max(longest, found.seconds)
        evidence, targets = found.ladder.evidence, found.ladder.targets
        value = evidence.metric_of(found.ladder.logits, targets)
        if chosen is None:
            rows.append(Compared(**about, value=value))
            chosen = place, found
            continue
        gain = evidence.compare(found.ladder.logits, chosen[1].ladder.logits, alpha=ALPHA)
        rows.append(Compared(**about, value=value, gain=gain.metric, p=gain.p))
        if gain.holds:
            chosen = place, found
    if chosen is None:
        raise ValueError("There are no networks to compare.")
    rows[chosen[0]] = dataclasses.replace(rows[chosen[0]], chosen=True)
    return backbones[chosen[0]], tuple(rows)
