"""Small networks with random weights, what their weights are to the bit, and stages drawn at random for them."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from hypothesis import strategies as st

import tfl
from tfl.model.assemble import HEAD, Assembled, assemble
from tfl.model.freeze import Plan

SIDE = 32
CLASSES = ("lying", "none", "standing")
Bits = dict[str, list[bytes]]


def residual_network() -> keras.Model:
    """Three residual units with BatchNorm, as ResNet-D has them: shortcuts are pooled before they are projected.

    The gradient of a strided 1×1 convolution of as few channels corrupts memory in TensorFlow 2.21 with oneDNN at odd batch
    sizes (`Conv2DBackpropFilter` of (3, 16, 16, 8) to 16 channels), in `keras.Model.fit` too. At ResNet50's sizes it is right.
    """
    pixels = keras.Input((SIDE, SIDE, 3))
    x = _conv(keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(pixels), 8, "stem", stride=2)
    for number in (1, 2, 3):
        channels, stride = 8 * number, 2 if number > 1 else 1
        y = _conv(_conv(x, channels, f"unit{number}_a", stride=stride), channels, f"unit{number}_b", relu=False)
        short = x
        if stride > 1:
            pooled = keras.layers.AveragePooling2D(stride, padding="same", name=f"unit{number}_pool")(x)
            short = _conv(pooled, channels, f"unit{number}_short", size=1, relu=False)
        x = keras.layers.ReLU(name=f"unit{number}_out")(keras.layers.Add(name=f"unit{number}_add")([short, y]))
    return keras.Model(pixels, x, name="residual")


def dense_network() -> keras.Model:
    """Two blocks whose layers each read all that came before, as DenseNet has them, with transitions."""
    pixels = keras.Input((SIDE, SIDE, 3))
    x = _conv(keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(pixels), 8, "stem", stride=2)
    for block in (1, 2):
        for layer in (1, 2):
            name = f"block{block}_{layer}"
            y = keras.layers.ReLU(name=f"{name}_relu")(keras.layers.BatchNormalization(name=f"{name}_bn")(x))
            y = keras.layers.Conv2D(6, 3, padding="same", use_bias=False, name=f"{name}_conv")(y)
            x = keras.layers.Concatenate(name=f"{name}_concat")([x, y])
        x = keras.layers.AveragePooling2D(2, name=f"pool{block}")(_conv(x, 12, f"transition{block}", size=1))
    return keras.Model(pixels, x, name="dense")


def _conv(x: Any, channels: int, name: str, *, stride: int = 1, size: int = 3, relu: bool = True) -> Any:
    x = keras.layers.Conv2D(channels, size, strides=stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x


OWN = {"residual": residual_network, "dense": dense_network}


def recipe_of(family: str, folder: Path, *, stages: tuple[tfl.Stage, ...] = (tfl.Stage("head"),), **fields: Any) -> tfl.Recipe:
    """A recipe over the family's network, with random weights."""
    if family in OWN:
        file = folder / f"{family}.keras"
        if not file.is_file():
            keras.utils.set_random_seed(1)
            OWN[family]().save(file)
        backbone = tfl.Backbone(str(file))
    elif family == "mini":
        backbone = tfl.Backbone("mini", weights=None)
    else:
        backbone = tfl.Backbone(family, weights=None, arguments={"alpha": 0.35})
    data = fields.pop("data", tfl.Data("bars", image_size=(SIDE, SIDE)))
    return tfl.Recipe(name="bars", data=data, backbone=backbone, stages=stages, **fields)


@dataclass
class Subject:
    """A network, its first weights, and the momenta that its BatchNorm began with."""

    family: str
    folder: Path
    assembled: Assembled
    start: list[Any]
    momenta: dict[str, float]

    @property
    def blocks(self) -> list[str]:
        return [block.name for block in self.assembled.blocks]

    def restore(self) -> None:
        """Everything as it was when the network was built."""
        self.assembled.model.trainable = True
        for layer in self.assembled.model.layers:
            layer.trainable = True
            if layer.name in self.momenta:
                layer.momentum = self.momenta[layer.name]
        self.assembled.model.set_weights(self.start)


def build(family: str, precision: str, folder: Path) -> Subject:
    recipe = recipe_of(family, folder, head=tfl.Head(dropout=0.2))
    keras.config.set_dtype_policy(precision)
    try:
        assembled = assemble(recipe, CLASSES)
    finally:
        keras.config.set_dtype_policy("float32")
    norms = [layer for layer in assembled.model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    _settle(assembled.model, norms)
    weights = [np.array(weight) for weight in assembled.model.get_weights()]
    return Subject(family, folder, assembled, weights, {layer.name: layer.momentum for layer in norms})


def _settle(model: keras.Model, norms: list[Any]) -> None:
    """Gives BatchNorm the statistics of some images: without, signals and gradients die away in deep random networks."""
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(np.random.default_rng(0).uniform(0, 255, (24, SIDE, SIDE, 3)).astype(np.float32), training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum


def bits(assembled: Assembled) -> Bits:
    """Every weight of every layer as bytes: an account of its own, beside the ledger's hashes."""
    return {layer.name: [np.array(weight).tobytes() for weight in layer.weights] for layer in assembled.model.layers}


@st.composite
def stages(draw: st.DrawFn, names: list[str], number: int = 0) -> tfl.Stage:
    """A stage over these blocks: any choice, any multipliers, some of them zero."""
    some = st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True).map(lambda found: tfl.blocks(*found))
    top = st.integers(1, len(names)).map(tfl.top_blocks)
    globs = st.sampled_from([*names, HEAD, "*", names[0][:3] + "*", names[-1][:3] + "*"])
    return tfl.Stage(
        f"stage{number}",
        train=draw(st.sampled_from(["head", "all"]) | top | some),
        layer_decay=draw(st.sampled_from([1.0, 0.8, 0.5, 0.0])),
        multipliers=draw(st.dictionaries(globs, st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0]), max_size=3)),
        batchnorm=draw(st.sampled_from(["inference", "train"])),
        optimizer=draw(st.sampled_from(["adam", "adamw", "sgd"])),
        weight_decay=draw(st.sampled_from([0.0, 0.01])),
        learning_rate=0.05,
        batch_size=6,
        epochs=draw(st.integers(1, 3)),
    )


def expected_shares(names: list[str], stage: tfl.Stage) -> dict[str, float]:
    """What share of the rate each block learns at, zero where it is frozen: by the words of `tfl.Stage`, not by its code."""
    shares = {}
    for place, name in enumerate([*names, HEAD]):
        share = stage.layer_decay ** (len(names) - place)
        for glob, factor in stage.multipliers.items():
            share = factor if fnmatch.fnmatchcase(name, glob) else share
        kind, _, rest = stage.train.partition(":")
        meant = {
            "all": True,
            "head": False,
            "top": place >= len(names) - int(rest or 0) if kind == "top" else False,
            "blocks": name in rest.split(","),
        }[kind]
        shares[name] = share if meant or name == HEAD else 0.0
    return shares


def check_moves(assembled: Assembled, stage: tfl.Stage, before: Bits, after: Bits) -> dict[str, bool]:
    """Fails where a frozen layer moved by a bit, or a live one did not; returns which blocks moved."""
    shares, found = expected_shares([block.name for block in assembled.blocks], stage), {}
    for block, share in shares.items():
        layers = [layer for layer in assembled.layers_of(block) if layer.weights]
        norms = [layer.name for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
        others = [layer.name for layer in layers if layer.name not in norms]
        moved = {layer.name: before[layer.name] != after[layer.name] for layer in layers}
        if share == 0:
            assert not any(moved.values()), f"{block} was frozen in {stage}"
        else:
            assert all(moved[name] for name in others), f"{block} was to learn at {share} in {stage}: {moved}"
            assert [moved[name] for name in norms] == [stage.batchnorm == "train"] * len(norms), (
                f"BatchNorm of {block} in {stage}"
            )
        found[block] = any(moved.values())
    return found


def check_plan(plan: Plan, names: list[str], stage: tfl.Stage) -> None:
    """The plan says what the words of the stage mean."""
    shares = expected_shares(names, stage)
    assert {row.block: row.multiplier for row in plan.rows} == shares
    assert {row.block: row.trainable for row in plan.rows} == {block: share > 0 for block, share in shares.items()}
    live = [place for place, share in enumerate(shares.values()) if share > 0]
    assert plan.first_trainable_block == min(live[0], len(names))
