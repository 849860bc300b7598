"""What is learned from examples without labels: `Unlabelled`, `Pretrain`, `PseudoLabels` and `Adapt`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal, cast

from tfl.errors import RecipeError
from tfl.fields import check_fields, number
from tfl.recipe.augment import Augment


@dataclass(frozen=True)
class Unlabelled:
    """Images without labels, for `Recipe.unlabelled`.

    Args:
        source: A folder with images at any depth, an archive of one, a folder of IDX files, an `.npz` file, `tfds:NAME` or
            `sample:NAME`; a table that lists labelled images does, too. Labels and the names of folders are not used.
        limit: At most this many images, drawn by the recipe's seed; None takes all.
        on_bad: What happens when a file cannot be read as an image: `skip` lists and skips them, `error` lists them and stops.
    """

    source: str
    _: KW_ONLY
    limit: int | None = number(None, at_least=2)
    on_bad: Literal["error", "skip"] = "skip"

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.source.strip():
            raise RecipeError("`Unlabelled.source` is empty.", allowed="a folder of images, an archive, arrays, or a sample")

    @classmethod
    def from_text(cls, text: str) -> Unlabelled:
        """The images at a SOURCE as the command line writes it."""
        return cls(text)


PRETRAIN = "pretrain"
"""What the state of a run calls the training on images without labels."""
_VIEWS = Augment(flip="horizontal", crop=0.2, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
"""Two random views of an image: crops and changes of colour as SimCLR has them for CIFAR-10 (Chen et al. 2020, B.9, at half
strength), without grey images, and a smallest crop of 0.2 in the place of 0.08, since the images are small."""
_UPRIGHT = Augment(flip="horizontal", crop=0.6)
"""Views for telling rotations apart: nothing that hides which way is up (Gidaris et al. 2018 shift and mirror)."""


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """The backbone learns without labels before the first stage: from `Recipe.unlabelled` and from the training images.

    A linear probe on the labelled training images, cross-validated, decides whether the stages begin from the weights that come
    of it or from those before. The network is in `pretrained.keras` of the run either way, and can be the backbone of other runs.

    Args:
        method: `simclr` (Chen et al. 2020) tells the two views of an image from those of others; `vicreg` (Bardes et al. 2022)
            makes both views alike while each number of the embedding varies and no two say the same; `rotation` (Gidaris et al.
            2018) tells by how many quarter turns an image was rotated.
        epochs: Passes over the images.
        minutes: Limit of the training time, in minutes: as many epochs as fit into it by the first steps, at most `epochs`. None
            sets no limit. With a limit the result depends on the speed of the machine.
        batch_size: Images a step, of which `simclr` and `vicreg` see two views each; for `rotation` four turns of a quarter of
            so many images.
        learning_rate: Of Adam, after a warm-up of one epoch; it falls to zero by a cosine.
        weight_decay: Decoupled, a step's share of the weight; not on biases and BatchNorm.
        augment: How views are made; None takes what suits the method.
        width: Numbers of the embedding of `simclr` and `vicreg`: the width of the dense layers between backbone and loss, two
            for `simclr` and three for `vicreg`, which are dropped afterwards.
        temperature: Of `simclr`; 0.5 was the best for CIFAR-10 (Chen et al. 2020, B.9).
        similarity, variance, covariance: Weights of the three parts of `vicreg`: 25, 25 and 1 (Bardes et al. 2022, 4.2).
        alpha: The stages begin from the new weights where the p-value of a paired one-sided test of the probes' loss, on held-out
            training images, is at most this, and their metric is no worse. 1 asks for no evidence: the weights from before are
            kept only where loss and metric are both worse. None takes 1 where the backbone starts from random weights
            (`weights=None`), and 0.05 where it starts from a file.
    """

    method: Literal["simclr", "vicreg", "rotation"] = "simclr"
    epochs: int = number(50, at_least=1, at_most=100_000)
    minutes: float | None = number(None, at_least=0.01, at_most=100_000.0)
    batch_size: int = number(128, at_least=8, at_most=65536)
    learning_rate: float = number(1e-3, at_least=0.0, at_most=100.0)
    weight_decay: float = number(0.0, at_least=0.0, at_most=1.0)
    augment: Augment | None = None
    width: int = number(128, at_least=2, at_most=65536)
    temperature: float = number(0.5, at_least=0.01, at_most=10.0)
    similarity: float = number(25.0, at_least=0.0, at_most=1000.0)
    variance: float = number(25.0, at_least=0.0, at_most=1000.0)
    covariance: float = number(1.0, at_least=0.0, at_most=1000.0)
    alpha: float | None = number(None, at_least=0.0, at_most=1.0)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.augment is not None and self.augment.mixes:
            raise RecipeError(
                "`Pretrain.augment` makes views of one image, and MixUp and CutMix mix two.",
                received=f"mixup={self.augment.mixup}, cutmix={self.augment.cutmix}",
                fix="Leave out `mixup` and `cutmix`.",
            )

    @classmethod
    def from_text(cls, text: str) -> Pretrain:
        """What `--set pretrain=vicreg` means."""
        return cls(method=text)  # type: ignore[arg-type]

    def alpha_for(self, weights: str | None) -> float:
        """The `alpha` that applies to a backbone of these `weights`.

        Args:
            weights: As `Backbone.weights` has them; None for random ones.

        Examples:
            >>> Pretrain().alpha_for(None), Pretrain().alpha_for("imagenet"), Pretrain(alpha=0.1).alpha_for(None)
            (1.0, 0.05, 0.1)
        """
        if self.alpha is not None:
            return self.alpha
        return 1.0 if weights is None else 0.05

    @property
    def views(self) -> Augment:
        """How views of an image are made: `augment`, or what suits the method."""
        return self.augment or (_UPRIGHT if self.method == "rotation" else _VIEWS)


@dataclass(frozen=True, kw_only=True)
class PseudoLabels:
    """Images of `Recipe.unlabelled` train next to labelled ones, with the network's own answers as labels (FixMatch).

    Where the network is sure of the class of a weakly changed image, that is the label of a strongly changed copy:
    `loss + weight * mean(1[max(p) >= threshold] * cross_entropy(argmax(p), strong))` (Sohn et al. 2020, equations 3 and 4).

    Args:
        weight: Of the second loss; 1 in the paper.
        threshold: The probability from which an answer is a label; 0.95 in the paper.
        ratio: Unlabelled images for each labelled one of a step; 7 in the paper.
        strong: How the strongly changed copies are made. The weakly changed ones, as the labelled images, are made by the
            stage's `augment`.
    """

    weight: float = number(1.0, at_least=0.0, at_most=1000.0)
    threshold: float = number(0.95, at_least=0.0, at_most=1.0)
    ratio: int = number(7, at_least=1, at_most=1000)
    strong: Augment = Augment(flip="horizontal", crop=0.6, randaugment=2, magnitude=0.5)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.strong.mixes:
            raise RecipeError(
                "`PseudoLabels.strong` changes one image, and MixUp and CutMix mix two.",
                received=f"mixup={self.strong.mixup}, cutmix={self.strong.cutmix}",
                fix="Leave out `mixup` and `cutmix`.",
            )


AdaptMethod = Literal["adabn", "coral", "deep_coral", "dann", "self_training", "tent"]
ADAPT_METHODS: tuple[AdaptMethod, ...] = ("adabn", "coral", "deep_coral", "dann", "self_training", "tent")


@dataclass(frozen=True, kw_only=True)
class Adapt:
    """How the trained network is adapted to the unlabelled examples of `Recipe.target_data`.

    Args:
        methods: What is tried: `adabn` (each domain has its own BatchNorm statistics), `coral` (vectors of the source are aligned
            with those of the target, and the head is fitted anew), `deep_coral` and `dann` (the upper blocks train on both
            domains), `self_training` (the head is also fitted to its own sure answers), `tent` (BatchNorm's scale and shift train
            on the entropy of answers). Of several methods, those for the head are also tried on top of the others. One method
            alone is taken as it is, without a choice.
        criterion: What chooses among several, the network without adaptation included, and asks for no target labels:
            `information`, how sure the answers are and how near the shares of the classes come to those of the source (Krause et
            al. 2010); `snd`, the soft neighbourhood density of the answers (Saito et al. 2021); `source`, the accuracy on the
            source's validation examples.
        guard: A candidate whose accuracy on the source's validation examples falls by more than this is left out.
        minutes: Limit of the time, in minutes; methods that have not come to their end by then are left out.
    """

    methods: tuple[AdaptMethod, ...] = ADAPT_METHODS
    criterion: Literal["information", "snd", "source"] = "information"
    guard: float = number(0.1, at_least=0.0, at_most=1.0)
    minutes: float = number(5.0, at_least=0.0, at_most=100_000.0)

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise RecipeError(
                "`Adapt.methods` names one method or more, each once.", received=self.methods, allowed=ADAPT_METHODS
            )

    @classmethod
    def from_text(cls, text: str) -> Adapt:
        """What `--set adapt=coral` or `--set adapt=coral,tent` means."""
        return cls(methods=cast(tuple[AdaptMethod, ...], tuple(name.strip() for name in text.split(","))))
