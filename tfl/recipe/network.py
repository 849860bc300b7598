"""`Backbone` and `Head`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

from tfl.errors import RecipeError
from tfl.fields import check_fields, number


@dataclass(frozen=True)
class Backbone:
    """The network whose knowledge is kept.

    Args:
        name: A Keras Applications name (`MobileNetV2`), `mini`, or the path of a Functional `.keras` or `.h5` model.
        weights: `pretrained` (ImageNet for Keras Applications, the shipped ones for `mini`, its own for a `.keras` file),
            `imagenet`, the path of a weights file, or None for random ones.
        arguments: What the Keras constructor takes beside these, such as `{"alpha": 0.35}`.
        preprocessing: What has to happen to pixels 0..255 before the network: `none`, `tf` (to -1..1), `caffe` (BGR, minus
            ImageNet's mean), `torch` (to 0..1, minus ImageNet's mean, over its deviation), or `auto`: as the catalog says, and
            for a model file as its layers say. Where they do not decide it, an error asks for it.
        match: Which layers of the weights file are taken, for networks for images: `exact`, all of them, which have to fit;
            `name`, those of the name and the shapes of a layer of the network, as Keras' `load_weights(by_name=True,
            skip_mismatch=True)`; `order`, those that agree in kind and shapes in order; `auto`, by name and then by order. The
            other layers start at random.
        adapter_width: Channels within a residual adapter, `x + up(relu(down(norm(x))))`, that follows each block; 0 for no
            adapters. They start at zero, so that the network is the same with them, and are what `Stage(weights="adapters")`
            trains.
    """

    name: str
    _: KW_ONLY
    weights: str | None = "pretrained"
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto"
    match: Literal["exact", "name", "order", "auto"] = "exact"
    adapter_width: int = number(0, at_least=0, at_most=65536)

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def from_text(cls, text: str) -> Backbone:
        """The backbone of that name, with its defaults: what `--set backbone=MobileNetV2` means."""
        return cls(text)


@dataclass(frozen=True, kw_only=True)
class Backbones(Backbone):
    """The networks of several inputs. A recipe may give them as a dictionary, and is written so.

    Args:
        inputs: The network of each input that has one, by the name of the input.
        name: Follows from `inputs`: the names of the networks, joined by ` + `.
    """

    name: str = ""
    inputs: Mapping[str, Backbone]
    written_as: ClassVar[str] = "inputs"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", "")
        check_fields(self)
        object.__setattr__(self, "name", " + ".join(one.name for one in self.inputs.values()))


LinearProbe = Literal["logistic", "svm", "class_means"]
ProbeMethod = Literal[LinearProbe, "knn"]


@dataclass(frozen=True, kw_only=True)
class Head:
    """The new layers on top: pooling, dense layers with dropout, and one logit per class.

    Args:
        hidden: Units of each hidden dense layer, input side first. With the task `detect`, channels of the 3 × 3 convolutions on
            the maps; none stands for 128, 128.
        dropout: Share of the features dropped before each dense layer while training.
        pooling: How a feature map or a sequence becomes one vector: `avg` and `max` over its positions (those of real tokens
            where there is padding); `flatten` puts all positions side by side, which takes a fixed size; `first` is the first
            token's vector, `pooled` the network's own pooled output, where it has these.
        activation: After each hidden layer.
        join: How the vectors of several inputs become one: `concat` puts them side by side; `mean` averages projections of them,
            those that are there; `gated` adds up the projections by weights that a softmax over the inputs gives to each example
            (after the gated multimodal unit, Arevalo et al. 2017). Each vector is standardised over the training examples first.
        join_width: Numbers in each projection of `mean` and `gated`.
        drop_input: How often, in training, each of several inputs is left out of an example, so that the head learns to do
            without it; one always stays.
        loss_weights: With several targets, what the loss of each counts, by name, as in Keras; 1 where it is not named.
            `uncertainty` learns it: the sum of `exp(-s) * loss + s / 2` over the targets, with a trained number `s` for each, the
            logarithm of its variance (Kendall, Gal and Cipolla 2018). The head of each target has its own `hidden` layers.
        taps: Blocks, by name or glob, whose pooled outputs the head reads side by side (after Head2Toe, Evci et al. 2022),
            standardised over the training images; none means the last block alone, as it is. With the task `detect`, the blocks
            whose maps it reads; none means the last block of 8, 16 and 32 pixels for each place.
        start: `random` weights, or those of a linear `probe` on the frozen features of the training images, its penalty by
            cross-validation (LP-FT, Kumar et al. 2022). With a probe the first stage, too, keeps its start where no epoch is
            better. `source` keeps the classifier of the source network, and adds up the probabilities of its classes by class
        of the data; nothing is trained.
    probe: With `start="probe"`, for one of several classes: `logistic` regression, a linear `svm`, `class_means`, the
        nearest class mean, or `knn`, the k nearest training examples, which become part of the network: nothing can train
        then, so that every stage has `epochs=0`. Other tasks have `logistic`, which for numbers is a ridge regression.
    strengths: With `start="probe"`, the penalty of the probe, in the place of cross-validation: scikit-learn's `C` for classes,
        or the temperature of class means; for several labels or numbers one value each, `C` or `alpha`.
    """

    hidden: tuple[int, ...] = number((), at_least=1, at_most=65536)
    dropout: float = number(0.2, at_least=0.0, at_most=0.95)
    pooling: Literal["avg", "max", "flatten", "first", "pooled"] = "avg"
    activation: Literal["relu", "gelu", "silu", "tanh"] = "relu"
    taps: tuple[str, ...] = ()
    start: Literal["random", "probe", "source"] = "random"
    probe: ProbeMethod = "logistic"
    strengths: tuple[float, ...] = number((), at_least=1e-12)
    join: Literal["concat", "mean", "gated"] = "concat"
    join_width: int = number(128, at_least=1, at_most=65536)
    drop_input: float = number(0.2, at_least=0.0, at_most=0.9)
    loss_weights: Literal["uncertainty"] | Mapping[str, float] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_fields(self)
        if not isinstance(self.loss_weights, str) and (low := [name for name, one in self.loss_weights.items() if one <= 0]):
            raise RecipeError(
                "A weight of `Head.loss_weights` is not above zero.",
                received=", ".join(f"{name}={self.loss_weights[name]:g}" for name in low),
                allowed="numbers above zero",
                fix="Leave a target that is not to be learnt out of `data.targets`.",
            )
        if self.strengths and (self.start != "probe" or self.probe == "knn"):
            raise RecipeError(
                "Only a head that starts from a regression has a penalty.",
                received=f"strengths={self.strengths}, start={self.start!r}, probe={self.probe!r}",
                fix='Leave out `strengths`, or give the head start="probe" and another probe.',
            )
        if self.start == "source" and (self.hidden or self.taps or self.probe != "logistic"):
            raise RecipeError(
                "A head that is the classifier of the source network has no layers of its own.",
                received=f"hidden={self.hidden}, taps={self.taps}, probe={self.probe}",
                fix="Leave out `hidden`, `taps` and `probe`, or `start`.",
            )
        if self.start == "probe" and self.hidden:
            raise RecipeError(
                "A head that starts from a probe is linear.",
                received=f"hidden={self.hidden}",
                fix="Leave out `hidden`, or `start`.",
            )
        if self.probe == "knn" and self.start != "probe":
            raise RecipeError(
                "A head of nearest neighbours is made of training examples, and has no random weights to start from.",
                received=f"probe={self.probe!r}, start={self.start!r}",
                fix='Give it start="probe", or leave out `probe`.',
            )
