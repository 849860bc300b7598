"""What a model file expects of pixels and image size, read from the layers that it lists. No TensorFlow.

Two things decide. Arithmetic on the pixels before the first layer with weights (Rescaling, Normalization, or a traced
`preprocess_input`) means that the network prepares the pixels itself. Otherwise the first layers are compared with those of the
networks in Keras Applications: names, kernels, strides and biases together, which alpha, image size, pooling, a new head or
another model name do not change.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfl.backbones.model_files import all_layers, name_of, settings_of
from tfl.modalities.image.backbones import catalog
from tfl.modalities.image.backbones.catalog import Preprocessing

Layer = Mapping[str, Any]

SCALING = ("Rescaling", "Normalization", "TrueDivide", "Divide", "Subtract", "Multiply", "Add")
"""Layers and operations that change the range of pixels, where they stand before the first layer with weights."""
PASSING = (
    *("InputLayer", "ZeroPadding2D", "Cropping2D", "CenterCrop", "Resizing", "Identity", "Dropout", "GaussianNoise", "Permute"),
    *("Reshape", "MaxPooling2D", "AveragePooling2D", "Concatenate", "Stack", "GetItem", "Flip", "Cast", "Random*", "*Augment*"),
    *("AutoContrast", "Equalization", "MixUp", "CutMix", "Solarization", "AugMix"),
)
"""Those that may stand before it and leave the range as it is."""

_STEMS: dict[str, tuple[str, ...]] = {
    "VGG16": ("block1_conv1 Conv2D 3 1 bias", "block1_conv2 Conv2D 3 1 bias", "block2_conv1 Conv2D 3 1 bias"),
    "ResNet50": (
        *("conv1_conv Conv2D 7 2 bias", "conv1_bn BatchNormalization", "conv2_block1_1_conv Conv2D 1 1 bias"),
        *("conv2_block1_2_conv Conv2D 3 1 bias", "conv2_block1_0_conv Conv2D 1 1 bias"),
    ),
    "ResNet50 of Keras 2.2": (
        *("conv1 Conv2D 7 2 bias", "bn_conv1 BatchNormalization", "res2a_branch2a Conv2D 1 1 bias"),
        *("res2a_branch2b Conv2D 3 1 bias", "res2a_branch1 Conv2D 1 1 bias"),
    ),
    "ResNet50V2": (
        *("conv1_conv Conv2D 7 2 bias", "conv2_block1_preact_bn BatchNormalization", "conv2_block1_1_conv Conv2D 1 1 none"),
        "conv2_block1_2_conv Conv2D 3 1 none",
    ),
    "DenseNet121": (
        *("conv1?conv Conv2D 7 2 none", "conv2_block1_0_bn BatchNormalization", "conv2_block1_1_conv Conv2D 1 1 none"),
        "conv2_block1_2_conv Conv2D 3 1 none",
    ),
    "MobileNet": (
        *("conv1 Conv2D 3 2 none", "conv_dw_1 DepthwiseConv2D 3 1 none", "conv_pw_1 Conv2D 1 1 none"),
        "conv_dw_2 DepthwiseConv2D 3 2 none",
    ),
    "MobileNetV2": (
        *("Conv1 Conv2D 3 2 none", "expanded_conv_depthwise DepthwiseConv2D 3 1 none", "expanded_conv_project Conv2D 1 1 none"),
        *("block_1_expand Conv2D 1 1 none", "block_1_depthwise DepthwiseConv2D 3 2 none"),
    ),
    "MobileNetV3Large": (
        *("[Cc]onv Conv2D 3 2 none", "expanded_conv[_/]depthwise DepthwiseConv2D 3 ? none"),
        "expanded_conv[_/]project Conv2D 1 1 none",
    ),
    "InceptionV3": (
        *("* Conv2D 3 2 none", "* Conv2D 3 1 none", "* Conv2D 3 1 none", "* Conv2D 1 1 none", "* Conv2D 3 1 none"),
        "mixed0 Concatenate",
    ),
    "InceptionResNetV2": (
        *("* Conv2D 3 2 none", "* Conv2D 3 1 none", "* Conv2D 3 1 none", "* Conv2D 1 1 none", "* Conv2D 3 1 none"),
        "mixed_5b Concatenate",
    ),
    "Xception": (
        *("block1_conv1 Conv2D 3 2 none", "block1_conv2 Conv2D 3 1 none", "block2_sepconv1 SeparableConv2D 3 1 none"),
        "block2_sepconv2 SeparableConv2D 3 1 none",
    ),
    "NASNetMobile": (
        *("stem_conv1 Conv2D 3 2 none", "stem_bn1 BatchNormalization", "reduction_conv_1_stem_1 Conv2D 1 1 none"),
        "separable_conv_1_reduction_left1_stem_1 SeparableConv2D 5 2 none",
    ),
    "EfficientNetB0": (
        *("stem_conv Conv2D 3 2 none", "block1a_dwconv DepthwiseConv2D 3 1 none", "block1a_se_reduce Conv2D 1 1 bias"),
        "block1a_project_conv Conv2D 1 1 none",
    ),
    "EfficientNetV2B0": (
        *("stem_conv Conv2D 3 2 none", "block1a_project_conv Conv2D 3 1 none", "block2a_expand_conv Conv2D 3 2 none"),
    ),
    "ConvNeXtTiny": ("*_stem_conv Conv2D 4 4 bias", "*_stage_0_block_0_depthwise_conv Conv2D 7 1 bias"),
}
"""The first layers of each family in Keras 3.15.1 as `name class kernel stride bias`, and those of ResNet50 before 2019.

A name of `*` stands for convolutions that Keras numbers; they are compared in their order.
"""
_SCALE_INSIDE = ("EfficientNet", "EfficientNetV2", "ConvNeXt")
"""Families that prepare pixels in layers of their own; built without them (`include_preprocessing=False`), they are undecided."""
_VARIANTS = {
    (16, 320): "EfficientNetB0",
    (23, 320): "EfficientNetB1",
    (23, 352): "EfficientNetB2",
    (26, 384): "EfficientNetB3",
    (32, 448): "EfficientNetB4",
    (39, 512): "EfficientNetB5",
    (45, 576): "EfficientNetB6",
    (55, 640): "EfficientNetB7",
    (21, 192): "EfficientNetV2B0",
    (27, 192): "EfficientNetV2B1",
    (28, 208): "EfficientNetV2B2",
    (32, 232): "EfficientNetV2B3",
    (40, 256): "EfficientNetV2S",
    (57, 512): "EfficientNetV2M",
    (79, 640): "EfficientNetV2L",
}
"""Projections and the last one's filters of each EfficientNet: its size in pixels depends on which it is."""
_LARGE_NASNET_FILTERS = 96


@dataclass(frozen=True)
class Expectation:
    """What a network expects of pixels 0..255.

    Args:
        preprocessing: See `tfl.modalities.image.backbones.catalog.Preprocessing`; None where the layers do not decide it.
        reason: What decided it, or what was looked at.
    """

    preprocessing: Preprocessing | None
    reason: str


def expected_preprocessing(config: Mapping[str, Any]) -> Expectation:
    """What a model's layers say about its preprocessing.

    Args:
        config: The model's description, as `tfl.backbones.model_files.read_config` reads it.

    Example:

    >>> from tfl.modalities.image.backbones.architectures import expected_preprocessing
    >>> rescaling, conv = {"class_name": "Rescaling", "config": {"name": "scale"}}, {"class_name": "Conv2D", "config": {}}
    >>> expected_preprocessing({"class_name": "Sequential", "config": {"layers": [rescaling, conv]}}).reason
    'the layer `scale` (Rescaling) at its input prepares the pixels'
    """
    layers = list(all_layers(config))
    before, first = _until_weights(layers)
    for layer in before:
        if layer.get("class_name") in SCALING:
            return Expectation("none", f"the layer `{name_of(layer)}` ({layer['class_name']}) at its input prepares the pixels")
    family = _matching(layers, first)
    if family is not None and (entry := catalog.entry(family)).family not in _SCALE_INSIDE:
        inside = entry.preprocessing == "none"  # MobileNetV3 with include_preprocessing=False takes -1..1
        return Expectation(
            "tf" if inside else entry.preprocessing, f"its first layers are those of {entry.family} in Keras Applications"
        )
    if first is None:
        return Expectation(None, "it lists no layer with weights")
    return Expectation(
        None,
        f"nothing before its first layer with weights, `{name_of(first)}` ({first.get('class_name')}), scales the pixels, and "
        f"its first layers are those of no network in Keras Applications{' without its own scaling' if family else ''}",
    )


def architecture(config: Mapping[str, Any]) -> str | None:
    """The network of Keras Applications that a model begins with, by its catalog name; None where it is none of them.

    Of a family whose members share their size in pixels, it is the first one.
    """
    layers = list(all_layers(config))
    found = _matching(layers, _until_weights(layers)[1])
    if found is None:
        return None
    if found.startswith("EfficientNet"):
        last = [layer for layer in layers if name_of(layer).endswith("_project_conv")]
        return _VARIANTS.get((len(last), int(settings_of(last[-1]).get("filters", 0))))
    if found == "NASNetMobile" and any(
        name_of(layer) == "stem_conv1" and settings_of(layer).get("filters") == _LARGE_NASNET_FILTERS for layer in layers
    ):
        return "NASNetLarge"
    return found


def _until_weights(layers: Sequence[Layer]) -> tuple[Sequence[Layer], Layer | None]:
    """The layers before the first one with weights, and that one."""
    for place, layer in enumerate(layers):
        kind = str(layer.get("class_name"))
        if kind not in SCALING and not any(fnmatch.fnmatchcase(kind, pattern) for pattern in PASSING):
            return layers[:place], layer
    return layers, None


def _matching(layers: Sequence[Layer], first: Layer | None) -> str | None:
    by_name = {name_of(layer): layer for layer in layers}
    convolutions = [layer for layer in layers if layer.get("class_name") == "Conv2D"]
    for name, stem in _STEMS.items():
        if first is not None and _is_like(first, stem[0]) and _has_stem(by_name, convolutions, stem):
            return name.split(" ")[0]
    return None


def _has_stem(by_name: Mapping[str, Layer], convolutions: Sequence[Layer], stem: Sequence[str]) -> bool:
    numbered = [line for line in stem if line.startswith("* ")]
    if len(convolutions) < len(numbered):
        return False
    if not all(_is_like(layer, line) for layer, line in zip(convolutions, numbered, strict=False)):
        return False
    named = [line for line in stem if not line.startswith("* ")]
    return all(any(_is_like(layer, line) for layer in by_name.values()) for line in named)


def _is_like(layer: Layer, line: str) -> bool:
    """Whether a layer is what a line of `_STEMS` says."""
    name, kind, *numbers = line.split(" ")
    if layer.get("class_name") != kind or not fnmatch.fnmatchcase(name_of(layer), name):
        return False
    if not numbers:
        return True
    settings = settings_of(layer)
    bias = "bias" if settings.get("use_bias") else "none"
    found = (*(_side(settings.get(key)) for key in ("kernel_size", "strides")), bias)
    return all(wanted in (word, "?") for wanted, word in zip(numbers, found, strict=True))


def _side(value: Any) -> str:
    """Both sides of a kernel or a stride as one number, as text; empty where they differ."""
    sides = value if isinstance(value, list | tuple) else [value, value]
    return str(sides[0]) if len(set(map(str, sides))) == 1 else ""
