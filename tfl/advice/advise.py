"""Which network, how much of it to train and by which strategy, measured on some data within a time limit.

each network: one pass ─▶ probes of every block, transferability scores
the best:     fine-tuning under cross-validation · the same network with random weights · a learning curve of its probe
              ─▶ a ranked table, verdicts, a recipe
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.advice.advice import (
    SIMILAR,
    WORTH_LABELS,
    Advice,
    Expected,
    Network,
    Option,
    check_task,
    expected_accuracy,
    four_fields,
    points,
    ranked,
)
from tfl.advice.auto import Answers, Ladder
from tfl.advice.learning_curve import LearningCurve, learning_curve
from tfl.advice.networks import probe_network
from tfl.advice.transferability import h_score, log_me, n_leep
from tfl.backbones.titles import title_of
from tfl.data.bundle import Bundle
from tfl.prepare import data_fingerprint
from tfl.recipe import Auto, Backbone, Recipe
from tfl.train.evidence import Gain

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

PASSES_SHARE = 0.5
"""Of the time limit, for the passes of the networks; the rest is for fine-tuning."""
SAMPLE = 1000
"""At most so many training examples, and a quarter of it of validation examples, are looked at."""
_GRID = 24
ADAM_COPIES = 4
"""Weights, gradients and two moments."""
BYTES = 4
_SHOWN = 0.05
"""The p-value up to which transfer is shown to help."""
_NOT_WORSE = 0.2
"""The p-value up to which a network counts as shown to be worse than the best."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Advised:
    """What was measured, and what it comes to.

    Args:
        advice: The options, the networks, the verdicts.
        recipe: The recipe that is advised: the network, and `tfl.Auto`, which compares the options on all examples.
        features: Array of shape `(n, width)`, the pooled last block of the advised network for the examples looked at.
        labels: Integer array of shape `(n,)`, their classes.
        class_names: Tuple of strings, the names of the classes.
    """

    advice: Advice
    recipe: Recipe
    features: NDArray[np.float32]
    labels: NDArray[np.integer]
    class_names: tuple[str, ...]


def advise(recipe: Recipe, backbones: Sequence[Backbone], *, minutes: float, console: Console | None = None) -> Advised:
    """Measures the networks on the data of a recipe, the fastest first, and says what to do.

    Args:
        recipe: Its data, seed, monitor, class weights and, in its `Auto`, augmentation count; its network does not.
        backbones: Sequence of `Backbone`, the networks, in the order in which they are measured.
        minutes: Float, the time limit. The first network is measured in any case; of others, what does not fit is left out, and
            told.
        console: rich `Console` for progress. Defaults to None, which prints nothing.

    Returns:
        The advice, the recipe that it comes to, and the features it rests on.

    Raises:
        RecipeError: The task is another than one of several classes.
        TflError: The data or the weights cannot be used.

    Example:

    >>> import tfl
    >>> from tfl.advice.advise import advise
    >>> data = tfl.Sample("digits", image_size=(32, 32), per_class=12)
    >>> recipe = tfl.Recipe(name="digits", data=data, backbone=tfl.Backbone("mini"), stages=tfl.Auto())
    >>> found = advise(recipe, [tfl.Backbone("mini")], minutes=0)
    >>> found.advice.best.strategy, found.recipe.backbone.name
    ('features', 'mini')
    """
    check_task(recipe)
    return _Advisor(recipe, minutes=minutes, console=console).run(backbones)


class _Measured:
    """A network after its pass."""

    def __init__(self, backbone: Backbone, recipe: Recipe, ladder: Ladder, seconds: float, advisor: _Advisor) -> None:
        self.backbone, self.recipe, self.ladder, self.seconds = backbone, recipe, ladder, seconds
        self.bundle = ladder.bundle
        self.labels = np.asarray(self.bundle.examples.labels)[ladder.rows]
        self.loss = float(ladder.evidence.losses(ladder.logits, ladder.targets).mean())
        blocks = ladder.probes.blocks
        self.network = Network(
            backbone=backbone,
            depth=tuple((block.name, advisor.expected(block.logits, self.labels, self.bundle).mean) for block in blocks),
            scores={
                name: float(score(blocks[-1].vectors, self.labels))
                for name, score in (("log_me", log_me), ("h_score", h_score), ("n_leep", n_leep))
            }
            if backbone.weights is not None
            else {},
            loss=self.loss,
            seconds=seconds,
        )


class _Advisor:
    def __init__(self, recipe: Recipe, *, minutes: float, console: Console | None) -> None:
        from rich.console import Console

        self.recipe, self.minutes = recipe, minutes
        self.console = console or Console(quiet=True)
        self.balanced = recipe.class_weight == "balanced"
        self.auto = recipe.stages if isinstance(recipe.stages, Auto) else Auto(augment=recipe.stages[-1].augment)
        self.began = time.perf_counter()
        self.curve: LearningCurve | None = None

    @property
    def left(self) -> float:
        """Seconds."""
        return 60 * self.minutes - (time.perf_counter() - self.began)

    def run(self, backbones: Sequence[Backbone]) -> Advised:
        """Measures, in the order of the module's docstring."""
        measured, skipped = self._networks(backbones)
        measured.sort(key=lambda one: one.loss)
        best = measured[0]
        self.curve = self._curve(best)
        random = self._random(best)
        tried = self._fine_tune(measured)
        chosen = min(measured, key=lambda one: float(one.ladder.evidence.losses(one.ladder.logits, one.ladder.targets).mean()))
        options = [option for one in measured for option in self._options(one, recommended=one is chosen)]
        against: Gain | None = None
        if random is not None:
            against = best.ladder.evidence.compare(best.ladder.best_probe.logits, random.ladder.logits)
            found = self.expected(random.ladder.logits, random.labels, random.bundle)
            options.append(
                Option(
                    backbone=random.backbone,
                    strategy="features",
                    name="a probe on random weights",
                    expected=found,
                    why="what the structure of the network alone gives",
                )
            )
        bundle = chosen.bundle
        labels = np.asarray(bundle.examples.labels)[np.concatenate([bundle.indices("train"), bundle.indices("val")])]
        counts = dict(zip(bundle.examples.class_names, np.bincount(labels, minlength=bundle.class_count).tolist(), strict=True))
        advice = Advice(
            source=self.recipe.data.source,
            nouns=bundle.modality.nouns,
            counts=counts,
            metric="balanced accuracy" if self.balanced else "accuracy",
            networks=(*(one.network for one in measured), *skipped),
            options=ranked(options),
            verdicts=tuple(self._verdicts(chosen, best, options, against, tried=tried, count=len(labels))),
            curve=None if self.curve is None else self._curve_document(len(labels)),
            minutes=self.minutes,
            seconds=time.perf_counter() - self.began,
            fingerprint=data_fingerprint(bundle),
        )
        return Advised(
            advice=advice,
            recipe=dataclasses.replace(chosen.recipe, stages=self.auto),
            features=chosen.ladder.probes.blocks[-1].vectors,
            labels=chosen.labels,
            class_names=tuple(bundle.examples.class_names),
        )

    def expected(self, logits: NDArray[np.floating], labels: NDArray[np.integer], bundle: Bundle) -> Expected:
        """The accuracy that logits of held-out examples make likely."""
        return expected_accuracy(logits.argmax(axis=1), labels, classes=bundle.class_count, balanced=self.balanced)

    def _networks(self, backbones: Sequence[Backbone]) -> tuple[list[_Measured], list[Network]]:
        measured: list[_Measured] = []
        skipped: list[Network] = []
        for backbone in backbones:
            expected = max((one.seconds for one in measured), default=0.0)
            if measured and expected > self.left - (1 - PASSES_SHARE) * 60 * self.minutes:
                why = f"no time was left of {self.minutes:g} minutes"
                skipped.append(Network(backbone=backbone, skipped=why))
                self.console.print(f"[bold]network[/]  {title_of(backbone)} is not measured: {why}.", highlight=False)
                continue
            self.console.print(f"[bold]network[/]  {title_of(backbone)}", highlight=False)
            measured.append(self._measure(backbone))
        return measured, skipped

    def _measure(self, backbone: Backbone) -> _Measured:
        found = probe_network(self.recipe, backbone, self.auto, sample=SAMPLE, console=self.console)
        return _Measured(backbone, found.recipe, found.ladder, found.seconds, self)

    def _curve(self, best: _Measured) -> LearningCurve | None:
        self.console.print("[bold]labels[/]   what more labelled examples would bring", highlight=False)
        if np.bincount(best.labels).min() < 4:
            return None
        return learning_curve(best.ladder.best_probe.vectors, best.labels, balanced=self.balanced, seed=self.recipe.seed)

    def _random(self, best: _Measured) -> _Measured | None:
        if best.backbone.weights is None or best.seconds > max(self.left, 0) / 4:
            return None
        self.console.print("[bold]network[/]  the same with random weights", highlight=False)
        return self._measure(dataclasses.replace(best.backbone, weights=None, match="exact"))

    def _fine_tune(self, measured: Sequence[_Measured]) -> int:
        """Fine-tunes the best network, and others that were not shown to be worse while there is time; how many."""
        best, *others = measured
        probe, tried = best.ladder.best_probe.logits, 0
        evidence = best.ladder.evidence
        for one in (best, *(one for one in others if evidence.compare(probe, one.ladder.logits).p > _NOT_WORSE)):
            if self.left <= 0:
                break
            self.console.print(f"[bold]network[/]  fine-tuning of {title_of(one.backbone)}", highlight=False)
            one.ladder.auto = dataclasses.replace(self.auto, minutes=min(self.auto.minutes, max(self.left, 0) / 60))
            one.ladder.fine_tune()
            tried += 1
        return tried

    def _options(self, one: _Measured, *, recommended: bool) -> list[Option]:
        """The probes that were compared and the fine-tuning that was tried, with the last that was kept as the advice."""
        ladder = one.ladder
        kept = max(at for at, row in enumerate(ladder.tried) if row["kept"])
        options = []
        for at, (row, answers) in enumerate(zip(ladder.tried, ladder.answers, strict=True)):
            expected = None
            if answers is not None:
                expected = self._of(answers, one).shifted(self._growth(ladder))
            probe = row["kind"] == "probe"
            stage: Any = row.get("stage")
            passed = one.seconds * ladder.known / len(ladder.rows)
            options.append(
                Option(
                    backbone=one.backbone,
                    strategy="features" if probe else "finetune",
                    name=row["name"],
                    taps=tuple(row.get("taps", ladder.chosen.head.taps)),
                    blocks=None if probe else int(str(stage["train"]).removeprefix("top:")),
                    expected=expected,
                    seconds=passed + row.get("train_seconds", 0.0) if answers is not None else None,
                    memory=self._memory(one, row) if answers is not None else None,
                    why=row.get("skipped", "") or _why(row, ladder.recipe.monitor.metric),
                    recommended=recommended and at == kept,
                )
            )
        return options

    def _of(self, answers: Answers, one: _Measured) -> Expected:
        """The accuracy of a candidate; where some folds alone were held out, by its distance to the best before it on these."""
        rows, labels = answers.rows, one.labels
        before = [self.expected(answers.before[some], labels[some], one.bundle).mean for some in (slice(None), rows)]
        return self.expected(answers.logits, labels[rows], one.bundle).shifted(before[0] - before[1])

    def _growth(self, ladder: Ladder) -> float:
        """What training on all examples adds to training on those of four folds of five."""
        if self.curve is None:
            return 0.0
        folds = int(ladder.folds.max()) + 1
        trained = len(ladder.rows) * (folds - 1) / folds
        return max(0.0, self.curve.at(ladder.trained).mean - self.curve.at(round(trained)).mean)

    def _memory(self, one: _Measured, row: Mapping[str, Any]) -> int:
        parameters = one.ladder.parameters
        features = int(row.get("bytes", 0)) or 2 * one.ladder.known * one.ladder.best_probe.vectors.shape[1]
        return BYTES * parameters * (1 if row["kind"] == "probe" else ADAM_COPIES) + features

    def _verdicts(
        self, chosen: _Measured, best: _Measured, options: Sequence[Option], against: Gain | None, *, tried: int, count: int
    ) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        similar = best.network.last_over_best >= SIMILAR
        field, strategy = four_fields(count=count, similar=similar)
        advised = next(option for option in options if option.recommended)
        agrees = advised.strategy == strategy
        last = f"the last block's probe has {best.network.last_over_best:.0%} of the accuracy of the best block's"
        found.append(
            {
                "kind": "four_fields",
                "words": f"The textbook's table says: {field} ({count} examples; {last}). What was measured "
                + ("says the same." if agrees else f"says otherwise: {advised.name}."),
            }
        )
        if against is not None:
            found.append(_transfer(best, against))
        if self.curve is not None:
            more = self.curve.gain(count)
            band = f"[{100 * more.low:+.1f}, {100 * more.high:+.1f}]"
            words = f"Twice as many labels are expected to bring {points(more.mean)} {band}"
            measured = [one.expected.mean for one in options if one.expected is not None and one.backbone == advised.backbone]
            spread = max(measured) - min(measured)
            if more.mean >= WORTH_LABELS and more.mean >= spread:
                found.append(
                    {"kind": "label_more", "words": f"Label more first. {words}, more than any choice of strategy does."}
                )
            else:
                found.append({"kind": "labels", "words": f"{words}."})
        if not tried:
            found.append({"kind": "time", "words": "There was no time for fine-tuning: give more --minutes to compare it."})
        return found

    def _curve_document(self, count: int) -> dict[str, Any]:
        curve: Any = self.curve
        ahead = {str(more): dataclasses.asdict(curve.gain(more)) for more in (100, count)}
        grid = np.unique(np.geomspace(min(curve.sizes), 4 * count, _GRID).astype(int))
        forecasts = [{"count": int(one), **dataclasses.asdict(curve.at(int(one)))} for one in grid]
        twice = {"count": 2 * count, **dataclasses.asdict(curve.at(2 * count))}
        return {**curve.as_json(), "examples": count, "gains": ahead, "forecasts": forecasts, "twice": twice}


def _transfer(best: _Measured, against: Gain) -> dict[str, str]:
    """Whether the pretrained weights of a network are better than random ones, by the probes on both."""
    title, gain = best.network.title, points(against.metric)
    if against.metric > 0 and against.p <= _SHOWN:
        words = f"The pretrained weights help: {gain} over random weights of the same network, as probes (p = {against.p:.2g})."
        return {"kind": "transfer", "words": words}
    if against.metric > 0:
        words = (
            f"The pretrained weights of {title} have {gain} over random ones, which so few {best.bundle.modality.nouns} do not "
        )
        return {"kind": "transfer_not_shown", "words": f"{words}prove (p = {against.p:.2g})."}
    words = f"Do not count on transfer: the pretrained weights of {title} are not shown to be better than random ones here "
    return {
        "kind": "do_not_transfer",
        "words": f"{words}(p = {against.p:.2g}). Train from nothing beside it: tfl run RECIPE --strategy scratch.",
    }


def _why(row: Mapping[str, Any], metric: str) -> str:
    gain = row["gain"]
    if gain is None:
        return "the first that the others are compared with"
    sign = "better" if gain["holds"] else "not shown to be worse" if row.get("by_default") else "not shown to be better"
    return f"{sign} than the best before it: {metric} {gain['metric']:+.3f}, loss {-gain['mean']:+.3f}, p = {gain['p']:.2g}"
