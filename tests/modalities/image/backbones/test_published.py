"""What is published of the weights: a row for each, and costs as `tfl backbones` counts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

import tfl
from tfl.backbones.blocks import find_blocks
from tfl.modalities.image.backbones import catalog
from tfl.modalities.image.backbones.build import build_backbone
from tfl.modalities.image.backbones.published import published

SMALL = [
    ("mini", {}),
    ("MobileNet", {"alpha": 0.75}),
    ("MobileNetV2", {"alpha": 0.35}),
    ("MobileNetV3Small", {"minimalistic": True}),
    ("ResNet50", {}),
]
BETWEEN = {
    *(f"EfficientNetB{number}" for number in range(1, 7)),
    *("EfficientNetV2B1", "EfficientNetV2B2", "EfficientNetV2B3", "EfficientNetV2S", "EfficientNetV2M"),
    *("DenseNet169", "ResNet101", "ResNet101V2", "ResNet152V2", "ConvNeXtSmall", "ConvNeXtBase", "EfficientNetV2L"),
}
"""Of each row of sizes the smallest and one of the largest are built; those between are the same code with other numbers."""
OTHERS = [
    (name, {})
    for name in catalog.names()
    if not catalog.entry(name).is_classic and (name, {}) not in SMALL and name not in BETWEEN and "Large" not in name
]


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(("name", "arguments"), [*SMALL, *(pytest.param(*each, marks=pytest.mark.slow) for each in OTHERS)])
def test_costs_are_those_of_the_network_and_no_network_has_more_than_40_blocks(name: str, arguments: Mapping[str, Any]) -> None:
    side = catalog.entry(name).native_size
    model = build_backbone(tfl.Backbone(name, weights=None, arguments=arguments), image_size=(side, side))
    facts = published(name, arguments, side, native_size=side)
    assert facts.parameters == model.count_params()
    blocks = find_blocks(model)
    assert facts.flops == pytest.approx(sum(block.flops for block in blocks), rel=0.005)
    assert 4 <= len(blocks) <= 40


def test_other_sizes_have_their_own_accuracy() -> None:
    assert published("MobileNetV2", {}, 96, native_size=224).accuracy == 60.3
    assert published("MobileNetV2", {"alpha": 1.3}, 96, native_size=224).accuracy is None
    assert published("MobileNet", {"alpha": 1}, 112, native_size=224).flops == pytest.approx(1.14e9 / 4)
