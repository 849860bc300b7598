"""`Stage`, what trains and how, and `Auto`, which leaves that to measurement."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from tfl.errors import RecipeError
from tfl.fields import check_fields, number
from tfl.recipe.augment import AudioAugment, Augment
from tfl.recipe.unlabelled import PseudoLabels

Trained = Literal["all", "biases", "lora", "adapters"]
_TOP = "top:[1-9][0-9]{0,5}"
_OF_INPUT = rf"[a-z][a-z0-9_]*\.(all|{_TOP})"


def top_blocks(count: int) -> str:
    """`train=` for the head and the `count` blocks below it: `"top:COUNT"`."""
    return f"top:{count}"


def blocks(*patterns: str) -> str:
    """`train=` for the head and every block whose name fits one of the globs: `"blocks:GLOB,GLOB"`."""
    return "blocks:" + ",".join(patterns)


@dataclass(frozen=True)
class Stage:
    """One `fit`: what trains, for how long, at what rate, on which augmentation.

    Args:
        name: Letters, digits, `_` and `-`; unique in the recipe.
        train: `head`, `all`, `top:K` (see `top_blocks`), `blocks:GLOB,…` (see `blocks`) or `unmatched`, the blocks with a layer
            that `Backbone.match` did not import. The head always trains. With several inputs `top:K` is K blocks of each network,
            and `photo.top:2,note.all` says it for each input; the names of blocks begin with the input's, as in `blocks:photo.*`.
        epochs: At most this many; the monitor may end the stage sooner. With 0 the network stays as it starts, which makes sense
            for a head that starts from a probe.
        batch_size: Images a step.
        learning_rate: Of the head; lower blocks may get less.
        optimizer: By its Keras name.
        momentum: Of `sgd`; the others have none.
        nesterov: Whether the momentum of `sgd` is Nesterov's.
        schedule: `constant`, or `cosine` down to zero over the stage.
        warmup_epochs: Linear from zero, before the schedule.
        weight_decay: Decoupled, an optimiser step's share of the weight; not on biases and BatchNorm.
        layer_decay: Each block below the head learns at this times the rate of the block above it.
        multipliers: Rate multipliers by glob, over `layer_decay`, of blocks, the `head` and its layers, such as `head_dense1`;
            zero means frozen.
        label_smoothing: Share of each label spread over all classes.
        augment: Random changes to the images, or None.
        views: With augmentation over a frozen prefix: how many augmented copies of each image are drawn and cached;
            epochs cycle through them. A stage in which everything trains draws anew in every epoch.
        batchnorm: `inference` keeps BatchNorm statistics, scale and shift as they are even in blocks that train; `train`
            lets those of blocks that train move, with a momentum of at most 0.9 so that statistics keep up with few steps.
        l2_sp: Penalty on the squared distance of the backbone's weights to where they were at the start of the stage, half this
            times the sum (L2-SP, Li et al. 2018); 0 for none.
        interpolate: Where the network ends between its weights at the start of the stage (0) and its trained weights (1), each
            weight by itself (WiSE-FT, Wortsman et al. 2022). Below 1 the stage needs a trained head to start from.
        weights: What trains in the blocks that train: `all` weights; the `biases`, with the shift of normalisation layers
            (BitFit, Zaken et al. 2022); `lora`, a low-rank change of each kernel, which is merged into the kernel at the end of
            the stage (LoRA, Hu et al. 2022); or `adapters`, the residual adapters of `Backbone.adapter_width` (Rebuffi et al.
            2017, Houlsby et al. 2019). With any of these three, BatchNorm runs with its stored statistics. The head trains all
            of its weights.
        lora_rank: With `weights="lora"`, the rank of the change. Keras splits a kernel at its last axis: of shape `(..., n)` it
            gets a matrix of shape `(..., rank)` and one of shape `(rank, n)`.
        pseudo_labels: Images of `Recipe.unlabelled` train, too, with the network's own answers; see `PseudoLabels`. The whole
            network runs in every epoch then.
        on: With the task `generate`: `others` trains and validates on the books of the other authors of the source, those that
            `Data.labels` leaves out, so that what follows is transfer. `data` is what the recipe is about.
    """

    name: str
    _: KW_ONLY
    train: str = "head"
    epochs: int = number(10, at_least=0, at_most=100_000)
    batch_size: int = number(32, at_least=1, at_most=65536)
    learning_rate: float = number(1e-3, at_least=0.0, at_most=100.0)
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    momentum: float = number(0.9, at_least=0.0, at_most=1.0)
    nesterov: bool = True
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: float = number(0.0, at_least=0.0)
    weight_decay: float = number(0.0, at_least=0.0, at_most=1.0)
    layer_decay: float = number(1.0, at_least=0.0, at_most=1.0)
    multipliers: Mapping[str, float] = dataclasses.field(default_factory=dict)
    label_smoothing: float = number(0.0, at_least=0.0, at_most=0.9)
    augment: Augment | AudioAugment | None = None
    views: int = number(4, at_least=1, at_most=1000)
    batchnorm: Literal["inference", "train"] = "inference"
    l2_sp: float = number(0.0, at_least=0.0, at_most=1000.0)
    interpolate: float = number(1.0, at_least=0.0, at_most=1.0)
    weights: Trained = "all"
    lora_rank: int = number(8, at_least=1, at_most=1024)
    pseudo_labels: PseudoLabels | None = None
    on: Literal["data", "others"] = "data"

    def __post_init__(self) -> None:
        check_fields(self)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", self.name):
            raise RecipeError(
                "A stage's name is also a file name.",
                received=self.name[:200],
                allowed="letters, digits, `_` and `-`, at most 64 of them",
            )
        if not re.fullmatch(rf"head|all|unmatched|{_TOP}|blocks:[^,]+(,[^,]+)*|{_OF_INPUT}(,{_OF_INPUT})*", self.train):
            raise RecipeError(
                f"Stage `{self.name}` does not say what trains.",
                received=self.train[:200],
                allowed="`head`, `all`, `unmatched`, `top:K` with K of at least 1, `blocks:GLOB,GLOB`, or with several inputs "
                "`INPUT.top:K,INPUT.all`",
            )
        if self.warmup_epochs > self.epochs:
            raise RecipeError(
                f"Stage `{self.name}` warms up for longer than it trains.",
                received=f"warmup_epochs={self.warmup_epochs}, epochs={self.epochs}",
            )
        for pattern, factor in self.multipliers.items():
            if factor < 0:
                raise RecipeError(f"The multiplier of `{pattern}` is negative.", received=factor, allowed="zero (frozen) or more")
        if self.weights != "all":
            self._check_part()

    def _check_part(self) -> None:
        """What does not go together with training a part of each block's weights."""
        if self.train == "head":
            raise RecipeError(
                f"Stage `{self.name}` trains the head alone, and `weights` is about the blocks below it.",
                received=f"train=head, weights={self.weights}",
                fix="Leave out `weights`, or train blocks: `all`, `top:K` or `blocks:GLOB,GLOB`.",
            )
        if self.batchnorm == "train":
            raise RecipeError(
                f"Stage `{self.name}` keeps the statistics of BatchNorm, since it trains a part of the weights.",
                received=f"batchnorm=train, weights={self.weights}",
                fix="Leave out `batchnorm`, or set weights=all.",
            )

    def nothing_matched(self) -> RecipeError:
        """The error for a stage that trains what was not matched, where the recipe matches no layers of a weights file."""
        return RecipeError(
            f"Stage `{self.name}` trains what was not matched, and the recipe matches no layers of a weights file.",
            received=f"train={self.train!r}, and a backbone with match='exact'",
            fix="Name a file and a way to match: tfl.Backbone(..., weights='own.keras', match='auto'); or train something else.",
        )


@dataclass(frozen=True, kw_only=True)
class Auto:
    """Stages that the run chooses by measurement, for `Recipe.stages`.

    A linear probe on features of the frozen network comes first: which blocks the head reads is decided by cross-validation over
    the training and validation examples. Fine-tuning then starts from that probe, for several depths and learning rates, and is
    kept only where it is better on held-out examples by a paired test. The head and the stages that were chosen are in
    `chosen.json` of the run.

    Args:
        kind: Always `auto`.
        minutes: Limit of the time for probes, fine-tuning and the final training, in minutes; 0 leaves the choice to the probes.
            Passes over the examples, which compute features, come on top.
        augment: Random changes to the training examples that fine-tuning may use; None uses none.
        alpha: A candidate replaces the one before it where the p-value of the paired one-sided test is at most this; the first
            fine-tuning, at a small rate, where it is at most four times this.
        refit: Whether the final network is also trained on the validation examples. The figures of the validation split are then
            those of the networks of the cross-validation, each on the examples that it was not trained on.
    """

    kind: Literal["auto"] = "auto"
    minutes: float = number(2.0, at_least=0.0, at_most=100_000.0)
    augment: Augment | AudioAugment | None = None
    alpha: float = number(0.1, at_least=0.0, at_most=1.0)
    refit: bool = True

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def from_text(cls, text: str) -> Auto:
        """What `--set stages=auto` means."""
        if text != "auto":
            raise RecipeError("`Recipe.stages` does not fit.", received=text, allowed="`auto`, or stages as JSON")
        return cls()
