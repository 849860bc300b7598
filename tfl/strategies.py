"""The strategies of transfer learning by one word: what each makes of a recipe's head and stages.

scratch     random weights, everything trains: what transfer has to be compared with
direct      the classifier of the source network as it is, its classes mapped to those of the data; nothing trains
features    a linear probe on features of the frozen network, and nothing else: logistic regression
svm         the same by a linear support vector machine
class_means the same by the nearest class mean
knn         the same by the k nearest training examples
finetune    a new head on the frozen network, then everything trains
gradual     the head, then one, two and four more blocks with it (Howard and Ruder 2018, *ULMFiT*)
lp_ft       a probe, then everything trains from it (Kumar et al. 2022, *Fine-Tuning can Distort Pretrained Features*)
wise_ft     the same, with weights halfway between both (Wortsman et al. 2022, *Robust fine-tuning of zero-shot models*)
l2_sp       lp_ft with a penalty on the distance to the pretrained weights (Li et al. 2018, *Explicit Inductive Bias for Transfer
            Learning with Convolutional Networks*)
bitfit      lp_ft of the biases alone (Zaken et al. 2022, *BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based
            Masked Language-models*)
adapters    lp_ft by low-rank changes of the kernels (Hu et al. 2022, *LoRA: Low-Rank Adaptation of Large Language Models*)
residual_adapters
            lp_ft of small networks beside each block, while the backbone stays as it is (Rebuffi et al. 2017, *Learning multiple
            visual domains with residual adapters*; Houlsby et al. 2019, *Parameter-Efficient Transfer Learning for NLP*)
auto        chosen by measurement, see `tfl.Auto`
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, cast, get_args

from tfl.errors import RecipeError, did_you_mean
from tfl.modalities.base import FINE_TUNING_RATES, PART_RATES
from tfl.recipe import Adapt, Auto, Backbone, Backbones, ProbeMethod, Recipe, Stage, Trained

Strategy = Literal[
    "scratch",
    "direct",
    "features",
    "svm",
    "class_means",
    "knn",
    "finetune",
    "gradual",
    "lp_ft",
    "wise_ft",
    "l2_sp",
    "bitfit",
    "adapters",
    "residual_adapters",
    "auto",
]
STRATEGIES: tuple[str, ...] = get_args(Strategy)
SCRATCH_RATE, HEAD_RATE = 1e-3, 1e-3
SCRATCH_EPOCHS, HEAD_EPOCHS, EPOCHS, STEP_EPOCHS = 60, 20, 20, 5
"""Epochs at most: a stage ends sooner where the monitor's patience runs out."""
SCRATCH_PATIENCE = 20
"""Epochs without progress, at least: networks with random weights may stay at chance for the first ten."""
ADAPTER_WIDTH = 16
"""Channels within an adapter. Houlsby et al. (2019) compare 2 to 256 for BERT, where smaller ones serve smaller data sets."""
L2_SP = 0.01
"""One of the values that Li et al. (2018) compare, 0.001 to 0.1."""

_PARTS: dict[str, Trained] = {"bitfit": "biases", "adapters": "lora", "residual_adapters": "adapters"}
"""What the strategies train that leave the rest of each block as it is."""


def with_strategy(recipe: Recipe, name: str) -> Recipe:
    """The recipe with the head and the stages of a strategy; data, network, monitor and everything else stay as they are.

    `scratch` also takes random weights, which have no source task to forget, and waits longer for progress.
    `residual_adapters` gives the network adapters, as wide as its `adapter_width` says or `ADAPTER_WIDTH`; the others take away
    those that it would have.
    The batch size and the augmentation are those of the recipe's last stage, or of its `Auto`. Rates suit the kind of the
    examples.

    Args:
        recipe: What to change.
        name: String, one of `STRATEGIES`.

    Raises:
        RecipeError: There is no such strategy.

    Example:

    >>> import tfl
    >>> recipe = tfl.Recipe(name="leaves", data=tfl.Sample("strawberry"), backbone=tfl.Backbone("mini"))
    >>> [stage.train for stage in with_strategy(recipe, "gradual").stages]
    ['head', 'top:1', 'top:2', 'top:4']
    """
    if name not in STRATEGIES:
        raise RecipeError(
            "There is no such strategy.", received=name, allowed=STRATEGIES, fix=did_you_mean(name, STRATEGIES) or None
        )
    width = (recipe.backbone.adapter_width or ADAPTER_WIDTH) if name == "residual_adapters" else 0
    recipe = dataclasses.replace(recipe, backbone=dataclasses.replace(recipe.backbone, adapter_width=width))
    before = recipe.stages
    augment = before.augment if isinstance(before, Auto) else before[-1].augment
    size = 32 if isinstance(before, Auto) else before[-1].batch_size
    rate = FINE_TUNING_RATES[recipe.data.kind]
    plain = dataclasses.replace(recipe.head, hidden=(), taps=(), start="random", probe="logistic", strengths=())
    probe = dataclasses.replace(plain, start="probe")
    head = Stage("head", train="head", epochs=HEAD_EPOCHS, batch_size=size, learning_rate=HEAD_RATE)
    everything = Stage(
        "finetune",
        train="all",
        epochs=EPOCHS,
        batch_size=size,
        learning_rate=rate,
        layer_decay=0.8,
        schedule="cosine",
        warmup_epochs=2,
        augment=augment,
    )
    if name == "auto":
        stages: Auto | tuple[Stage, ...] = before if isinstance(before, Auto) else Auto(augment=augment)
        return dataclasses.replace(recipe, head=plain, stages=stages)
    if name == "scratch":
        stage = Stage(
            "scratch",
            train="all",
            epochs=SCRATCH_EPOCHS,
            batch_size=size,
            learning_rate=SCRATCH_RATE,
            schedule="cosine",
            warmup_epochs=2,
            augment=augment,
            batchnorm="train",
        )
        backbone = without_weights(recipe.backbone)
        patience = recipe.monitor.patience
        monitor = dataclasses.replace(recipe.monitor, patience=patience and max(patience, SCRATCH_PATIENCE))
        return dataclasses.replace(
            recipe,
            backbone=backbone,
            head=plain,
            stages=(stage,),
            monitor=monitor,
            source_data=None,
            extra_data=None,
            pretrain=None,
        )
    if name == "direct":
        recipe = dataclasses.replace(recipe, pretrain=None)
        head_ = dataclasses.replace(plain, start="source")
        return dataclasses.replace(
            recipe,
            head=head_,
            stages=(Stage("source", train="head", epochs=0),),
            extra_data=None,
            target_data=None,
            adapt=Adapt(),
        )
    if name in ("features", "svm", "class_means", "knn"):
        head_ = probe if name == "features" else dataclasses.replace(probe, probe=cast(ProbeMethod, name))
        without: dict[str, Any] = (
            {"target_data": None, "adapt": Adapt()} if name == "knn" else {}
        )  # its head has no weights to adapt
        return dataclasses.replace(recipe, head=head_, stages=(Stage("probe", train="head", epochs=0),), **without)
    if name == "finetune":
        return dataclasses.replace(recipe, head=plain, stages=(head, everything))
    if name == "gradual":
        step = dataclasses.replace(everything, epochs=STEP_EPOCHS, warmup_epochs=0.0)
        steps = [dataclasses.replace(step, name=f"top{count}", train=f"top:{count}") for count in (1, 2, 4)]
        return dataclasses.replace(recipe, head=plain, stages=(head, *steps))
    if name == "l2_sp":
        return dataclasses.replace(recipe, head=probe, stages=(dataclasses.replace(everything, l2_sp=L2_SP),))
    if name in _PARTS:
        part = dataclasses.replace(everything, name=name, weights=_PARTS[name], learning_rate=PART_RATES[recipe.data.kind])
        return dataclasses.replace(recipe, head=probe, stages=(part,))
    share = 0.5 if name == "wise_ft" else 1.0
    return dataclasses.replace(recipe, head=probe, stages=(dataclasses.replace(everything, interpolate=share),))


def without_weights(backbone: Backbone) -> Backbone:
    """The same network, or networks of several inputs, with random weights."""
    if isinstance(backbone, Backbones):
        return Backbones(inputs={name: without_weights(one) for name, one in backbone.inputs.items()})
    return dataclasses.replace(backbone, weights=None, match="exact")
