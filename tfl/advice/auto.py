"""What `tfl.Auto` chooses: the head and the stages of a recipe, each candidate kept only where held-out examples speak for it.

    pooled features of every block ─▶ probes: the last block, several side by side ─▶ the head starts from the best probe
    features below a cut           ─▶ fine-tuning from that probe, by depth and rate ─▶ weights between start and trained ones

All candidates answer for the same examples under the same folds: the validation split is one fold, the training split makes the
others. A candidate replaces the one before it where the paired gain in calibrated loss is larger than chance explains
(`tfl.train.evidence`). What was tried is in `auto.json` of the run, the result in `chosen.json`.
"""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.advice.candidate_stages import LEAST_EPOCHS, WARMUP, candidate_stages
from tfl.advice.crossfit import FoldTrainer, HeldOutLogits
from tfl.advice.probe_candidates import ProbeCandidate, Probes, probe_candidates
from tfl.advice.sampling import examples_for, extra_examples_for
from tfl.data.bundle import Bundle, derived_seed
from tfl.fields import as_plain
from tfl.modalities.base import FEW_SHARES
from tfl.model.assemble import Assembled, assemble_for
from tfl.probes.head import LinearHead, linear_head
from tfl.progress import progress_shown
from tfl.recipe import Auto, Recipe, Stage
from tfl.runs import AUTO, AUTO_ARRAYS, CHOSEN, Run
from tfl.storage import finite, write_atomically
from tfl.train.evidence import Evidence, Gain, p_value
from tfl.train.start import standardised_inputs

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

MOST_VALIDATION = 2000
"""With more validation examples the network is not trained on them: they are worth more as evidence."""
LEAST_GAIN = 0.005
"""In calibrated loss: where examples are told apart nearly without a mistake, smaller gains are there for any candidate."""
SHARES = (0.5, 0.75, 1.0)
"""Places between the start and the trained weights that are compared."""
FIRST_ALPHA = 4.0
"""The first candidate may have a p-value so many times as large as `Auto.alpha`, and its metric may fall: on a few dozen examples
no test can tell, and the accuracy moves by several points by chance. It gained test accuracy on most of the small tasks of
`benchmarks/best_answer.py`, and where it lost, it lost little."""
MOST_FEW = 150
"""On so many held-out examples or fewer, of classes, the first candidate is kept at `FEW_SHARES` of the way without evidence,
unless its answers are shown to be worse."""
DROPPED = 0.9
"""With a p-value above this on the first fold, the others are not worth their time."""
LEAST_HELD = 100
"""A candidate after the first for which time leaves some of the folds alone needs about so many held-out examples in these."""
FINAL, FINISHING = 1.2, 0.125
"""What the final training takes, as a multiple of its steps, and the share of the time that is left for evaluation and report."""
MOST_BYTES = 2**31
"""Of the features that a candidate holds in memory."""


def choose_stages(
    run: Run,
    recipe: Recipe,
    auto: Auto,
    bundle: Bundle,
    *,
    precision: str | None = None,
    class_weights: NDArray[Any] | None = None,
    console: Console | None = None,
) -> Recipe:
    """The recipe with the head and the stages that do best on held-out examples; also written into the run, with the evidence.

    Args:
        run: Gets `auto.json`, `auto.npz` and, last, `chosen.json`; a run that has it is not measured again.
        recipe: Whose stages are chosen.
        auto: Its stages.
        bundle: The data.
        precision: Name of the dtype policy.
        class_weights: `(width,)` weights of the training loss, or None.
        console: Where progress and findings are shown; None shows nothing.
    """
    if run.path(CHOSEN).is_file():
        return run.recipe
    ladder = Ladder(recipe, auto, bundle, precision=precision, class_weights=class_weights, console=console)
    chosen = ladder.climb()
    content = io.BytesIO()
    np.savez(content, validation_logits=ladder.validation_logits)
    write_atomically(run.path(AUTO_ARRAYS), content.getvalue())
    run.write_json(AUTO, finite(ladder.document()))
    write_atomically(run.path(CHOSEN), chosen.to_json())
    return chosen


def take_over_choice(run: Run, other: Run) -> None:
    """Copies what `Auto` chose in another run, so that this one repeats it."""
    for name in (AUTO_ARRAYS, AUTO, CHOSEN):
        write_atomically(run.path(name), other.path(name).read_bytes())


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What a candidate says of held-out examples.

    Args:
        rows: Integer array of shape `(m,)`, places in `Ladder.rows`.
        logits: Array of shape `(m, outputs)`, of the candidate.
        before: Array of shape `(n, outputs)`, of the best one before it, for all of `Ladder.rows`.
    """

    rows: NDArray[np.int64]
    logits: NDArray[np.float32]
    before: NDArray[np.float32]


class Ladder:
    """The candidates in their order, and what is the best so far.

    Args:
        recipe, auto, bundle, precision, class_weights, console: As of `choose_stages`.
        sample: Int, how many training examples are looked at, and a quarter of it of validation examples. Defaults to None:
            `TRAINING_SAMPLE`, and all validation examples.

    Attributes:
        rows: Integer array of shape `(n,)`, the examples that are compared on, as indices into `bundle.examples`.
        folds, units: Integer arrays of shape `(n,)`, the fold of each, and what is held out together.
        extra: Integer array, the examples of `Recipe.extra_data` that every fold trains on, likewise.
        logits: Array of shape `(n, outputs)`, what the best so far says of each example, not having been trained on it.
        probes: `Probes` of the network, once it was probed.
        best_probe: `ProbeCandidate`, the one that was kept.
        parameters: Int, those of the network with its head.
        tried: Dictionaries, what was tried, as `auto.json` has it.
        answers: For each of `tried` its `Answers`; None where it was skipped.
        chosen: The recipe with what is best so far.
    """

    def __init__(
        self,
        recipe: Recipe,
        auto: Auto,
        bundle: Bundle,
        *,
        precision: str | None,
        class_weights: NDArray[Any] | None,
        console: Console | None,
        sample: int | None = None,
    ) -> None:
        self.recipe, self.auto, self.bundle, self.precision, self.console = recipe, auto, bundle, precision, console
        known = [len(bundle.indices("train")) - bundle.extra, len(bundle.indices("val"))]
        self.refits = auto.refit and known[1] <= MOST_VALIDATION
        self.known, self.trained = sum(known), bundle.extra + (sum(known) if self.refits else known[0])
        self.class_weights = class_weights
        self.rows, self.folds, self.units = examples_for(bundle, recipe.seed, sample=sample)
        self.extra = extra_examples_for(bundle, recipe.seed, share=len(self.rows) / self.known)
        self._all = np.concatenate([self.rows, self.extra])
        self._all_folds = np.concatenate([self.folds, np.full(len(self.extra), -1)])
        self._all_units = np.concatenate([self.units, np.full(len(self.extra), -1)])
        self.validates = np.isin(self.rows, bundle.indices("val"))
        self.balanced = recipe.class_weight == "balanced"
        self.targets = bundle.targets[self.rows]
        self.evidence = Evidence(
            bundle.task,
            self.targets,
            metric=recipe.monitor.metric,
            balanced=self.balanced,
            alpha=self.auto.alpha,
            least=LEAST_GAIN,
            seed=derived_seed(recipe.seed, "auto"),
        )
        self.tried: list[dict[str, Any]] = []
        self.began, self._passes = time.perf_counter(), 0.0
        self._final = 0.0  # seconds that the final training of what was kept takes
        self.answers: list[Answers | None] = []
        self.logits = np.zeros(0, np.float32)
        self._fine_tuned = False
        self.chosen = recipe
        self.probes = Probes(candidates=(), blocks=())
        self.best_probe: ProbeCandidate
        self.parameters = 0

    def climb(self) -> Recipe:
        """Tries everything; the recipe with what was kept."""
        self.probe()
        ends = self.began + 60 * self.auto.minutes * (1 - FINISHING) + self.probes.pass_seconds
        return self.fine_tune(ends=ends) if self.auto.minutes > 0 else self.chosen

    def probe(self) -> Recipe:
        """Compares the probes; the recipe with the best one as its head."""
        self.best_probe = self._probes()
        self.logits = self.best_probe.logits
        self.chosen = _with(self.recipe, self.best_probe, Stage("probe", train="head", epochs=0))
        return self.chosen

    def fine_tune(self, *, ends: float | None = None) -> Recipe:
        """Compares fine-tuning with the best probe; the recipe with what was kept.

        Args:
            ends: Float, when the time is up, by `time.perf_counter()`; further passes over the examples come on top. Defaults to
                None, which gives `Auto.minutes` from now on.
        """
        ends = time.perf_counter() + 60 * self.auto.minutes if ends is None else ends
        stage = self._fine_tuning(self.chosen, self.best_probe, ends)
        if stage is not None:
            self.chosen = _with(self.recipe, self.best_probe, stage)
        return self.chosen

    @property
    def validation_logits(self) -> NDArray[np.float32]:
        """Logits of the validation examples, in their order, by a network that was not trained on them."""
        return self.logits[self.validates]

    def document(self) -> dict[str, Any]:
        """What was tried, as `auto.json` has it."""
        return {
            "format": 1,
            "examples": len(self.rows),
            "of": self.known,
            "folds": int(self.folds.max()) + 1,
            "alpha": self.auto.alpha,
            "minutes": self.auto.minutes,
            "refit": self.refits,
            "seconds": time.perf_counter() - self.began,
            "metric": self.recipe.monitor.metric,
            "tried": self.tried,
        }

    def _probes(self) -> ProbeCandidate:
        """The best probe; the first candidate where no other is better."""
        self._say("Probes: a pass over the examples, then regressions under cross-validation.")
        plain = dataclasses.replace(
            self.recipe, head=dataclasses.replace(self.recipe.head, taps=(), start="random", strengths=())
        )
        assembled = assemble_for(plain, self.bundle, precision=self.precision)
        self.parameters = int(assembled.model.count_params())
        words = f"features, {len(self._all)} {self.bundle.modality.nouns}"
        with progress_shown(self.console, words, len(self._all), nouns=self.bundle.modality.nouns) as progress:
            self.probes = probe_candidates(
                assembled,
                self.bundle,
                self._all,
                self._all_folds,
                self._all_units,
                recipe=self.recipe,
                losses=lambda logits: self.evidence.losses(logits, self.targets),
                console=self.console,
                progress=progress,
            )
        best, *others = self.probes.candidates
        self._tell(best, None, kept=True)
        for candidate in others:
            gain = self.evidence.compare(candidate.logits, best.logits)
            self._tell(candidate, gain, kept=gain.holds)
            best = candidate if gain.holds else best
        return best

    def _fine_tuning(self, chosen: Recipe, probe: ProbeCandidate, ends: float) -> Stage | None:
        """The stage that is better than the probe; None where there is none."""
        assembled = assemble_for(chosen, self.bundle, precision=self.precision)
        vectors = standardised_inputs(assembled, probe.vectors)
        heads = self._heads(vectors, probe)
        found: Stage | None = None
        for place, stage in enumerate(candidate_stages(assembled, self.bundle, auto=self.auto, count=self.trained)):
            if time.perf_counter() > ends + self._passes - self._final:
                self._say("No time is left for other candidates.")
                break
            better = self._try(assembled, stage, heads, first=not place, ends=ends)
            found = better or found
        return found

    def _heads(self, vectors: NDArray[np.float32], probe: ProbeCandidate) -> list[LinearHead]:
        scaled = self.bundle.task.scaled(self.bundle.targets[self._all])
        heads = []
        for fold in range(int(self.folds.max()) + 1):
            train = self._all_folds != fold
            heads.append(
                linear_head(
                    vectors[train],
                    scaled[train],
                    self._all_units[train],
                    task=self.bundle.task.name,
                    balanced=self.balanced,
                    strengths=probe.strengths,
                )
            )
        return heads

    def _try(self, assembled: Assembled, stage: Stage, heads: Sequence[LinearHead], *, first: bool, ends: float) -> Stage | None:
        """The stage with its epochs and its share, if it is better than what is best so far, which for the `first` one is easier;
        `ends` is when the time is up, passes over the examples not counted."""
        started = time.perf_counter()
        trainer = FoldTrainer(
            assembled,
            stage,
            self.bundle,
            self._all,
            recipe=self.recipe,
            class_weights=self.class_weights,
            console=self.console,
        )
        of_fold = round(len(self.rows) * (1 - 1 / len(heads))) + len(self.extra)
        seconds = trainer.seconds_per_example(of_fold)
        epochs = min(stage.epochs, int(60 * self.auto.minutes / 2 / (seconds * self.trained)))
        fold_seconds, final = seconds * of_fold * epochs, FINAL * seconds * self.trained * epochs
        left = ends + self._passes - max(final, self._final) - time.perf_counter()
        folds = min(len(heads), int(left / max(fold_seconds, 1e-9)))
        why = ""
        too_few = not first and folds < len(heads) and folds * len(self.rows) < LEAST_HELD * len(heads)
        if epochs < min(LEAST_EPOCHS, stage.epochs) or folds < 1 or too_few:
            why = f"{1000 * seconds:.1f} ms for an example leave no time for it within {self.auto.minutes:.2g} minutes"
        elif trainer.bytes_needed > MOST_BYTES:
            why = f"its features would take {trainer.bytes_needed / 2**30:.1f} GiB of memory"
        if why:
            trainer.restore()
            self._skip(stage, why)
            return None
        if epochs < stage.epochs:
            stage = dataclasses.replace(stage, epochs=epochs, warmup_epochs=WARMUP * epochs)
            trainer.limit(stage)
        passes, bytes_needed = time.perf_counter(), trainer.bytes_needed
        words = f"features for {stage.train}"
        with progress_shown(self.console, words, len(self._all), nouns=self.bundle.modality.nouns) as progress:
            trainer.prepare(progress)
        self._passes += time.perf_counter() - passes  # passes over the examples come on top
        held = trainer.held_out(self._all_folds, heads[:1], shares=(0.0, *SHARES))
        gains = self._gains(held, first=first)
        few = first and self._few
        if folds > 1 and (few or min(gain.p for gain in gains.values()) <= DROPPED):
            others = trainer.held_out(self._all_folds, heads[:folds], shares=(0.0, *SHARES), first=1)
            held = held.joined(others)
            gains = self._gains(held, first=first)
        else:
            folds = 1
        trainer.restore()
        share = max(gains, key=lambda one: (first or gains[one].metric >= 0, gains[one].mean))
        by_default = few and not gains[share].holds and folds == len(heads) and not self._worse(held)
        share = self._few_share if by_default else share
        stage, gain = dataclasses.replace(stage, interpolate=share), gains[share]
        kept = gain.holds or by_default
        self.tried.append(
            {
                "kind": "finetune",
                "name": _words(stage),
                "stage": as_plain(stage),
                "folds": folds,
                "shares": [{"share": one, **gains[one].as_json()} for one in gains],
                **self._figures(held.logits[share], held.rows),
                "gain": gain.as_json(),
                "kept": kept,
                "by_default": by_default,
                "seconds": time.perf_counter() - started,
                "train_seconds": final,
                "bytes": bytes_needed,
            }
        )
        self.answers.append(Answers(rows=held.rows, logits=held.logits[share], before=self.logits))
        on = f"on {len(held.rows)} held-out {self.bundle.modality.nouns}"
        words = gain.words(self.recipe.monitor.metric, kept=kept)
        self._say(f"{_words(stage)}: {words}, {on}{', where it is not shown to be right less often' if by_default else ''}.")
        if not kept:
            return None
        logits = np.array(self.logits)
        logits[held.rows] = held.logits[share]
        self.logits, self._final, self._fine_tuned = logits, final, True
        return stage

    @property
    def _few(self) -> bool:
        """Whether the first candidate is kept where nothing is shown."""
        return self._few_share > 0 and len(self.rows) <= MOST_FEW and self.auto.alpha > 0

    @property
    def _few_share(self) -> float:
        return FEW_SHARES.get(self.bundle.modality.kind, 0.0) if self.bundle.task.name == "classify" else 0.0

    def _worse(self, held: HeldOutLogits) -> bool:
        """Whether the answers at that share of the way are shown to be right less often than those at the start."""
        truth = self.targets[held.rows].argmax(axis=1)
        right = [(held.logits[share].argmax(axis=1) == truth).astype(float) for share in (0.0, self._few_share)]
        return p_value(*right) <= self.auto.alpha

    def _gains(self, held: HeldOutLogits, *, first: bool) -> dict[float, Gain]:
        """By share of the way, the gain over the start in the same folds, or over the fine-tuning that was kept before."""
        before = self.logits[held.rows] if self._fine_tuned else held.logits[0.0]
        alpha = min(FIRST_ALPHA * self.auto.alpha, 1.0) if first else self.auto.alpha
        return {
            share: self.evidence.compare(held.logits[share], before, held.rows, alpha=alpha, by_loss_alone=first)
            for share in SHARES
        }

    def _tell(self, candidate: ProbeCandidate, gain: Gain | None, *, kept: bool) -> None:
        figures = self._figures(candidate.logits, np.arange(len(self.rows)))
        self.tried.append(
            {
                "kind": "probe",
                "name": candidate.name,
                "taps": list(candidate.taps),
                "folds": int(self.folds.max()) + 1,
                **figures,
                "gain": None if gain is None else gain.as_json(),
                "kept": kept,
                "seconds": candidate.seconds,
            }
        )
        every = np.arange(len(self.rows))
        self.answers.append(Answers(rows=every, logits=candidate.logits, before=candidate.logits))
        metric = self.recipe.monitor.metric
        self._say(
            f"probe of {candidate.name}: " + (f"{metric} {figures['value']:.4f}" if gain is None else gain.words(metric)) + "."
        )

    def _skip(self, stage: Stage, why: str) -> None:
        self.tried.append({"kind": "finetune", "name": _words(stage), "stage": as_plain(stage), "skipped": why, "kept": False})
        self.answers.append(None)
        self._say(f"{_words(stage)} is not tried: {why}.")

    def _figures(self, logits: NDArray[np.float32], rows: NDArray[np.integer]) -> dict[str, Any]:
        metrics = self.bundle.task.validate(logits, self.targets[rows])
        return {"value": metrics[self.recipe.monitor.metric], "metrics": metrics, "count": len(rows)}

    def _say(self, words: str) -> None:
        if self.console is not None:
            self.console.print(f"         {words}", highlight=False, markup=False)


def _with(recipe: Recipe, probe: ProbeCandidate, stage: Stage) -> Recipe:
    head = dataclasses.replace(
        recipe.head, hidden=(), taps=probe.taps, start="probe", probe="logistic", strengths=probe.strengths
    )
    monitor = dataclasses.replace(recipe.monitor, alpha=1.0)  # the cross-validation is the evidence
    return dataclasses.replace(recipe, head=head, stages=(stage,), monitor=monitor)


def _words(stage: Stage) -> str:
    share = "" if stage.interpolate == 1 else f", {stage.interpolate:.0%} of the way"
    count = stage.train.removeprefix("top:")
    blocks = "1 block" if count == "1" else f"{count} blocks"
    return f"fine-tuning of {blocks} at {stage.learning_rate:g} for {stage.epochs} epochs{share}"
