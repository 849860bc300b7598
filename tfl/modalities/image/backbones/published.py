"""What is published of the weights in Keras Applications, and what their networks cost: the order in which to try them.

Networks that are better at ImageNet are usually better at other sets too (Kornblith, Shlens and Le 2019, "Do better ImageNet
models transfer better?"), which makes the figure a first guess and no more: `tfl probe` measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Published(NamedTuple):
    """Facts about the weights of a network.

    Attributes:
        accuracy: Top-1 accuracy on ImageNet's validation set, in percent; None for `mini`, which was not trained on it.
        parameters: Of the network without its classifier.
        flops: For one image at the size that the weights were trained at; twice the multiply-adds.
    """

    accuracy: float | None
    parameters: int
    flops: float


BENCHMARK = "ImageNet top-1"
_TABLE: dict[str, tuple[float | None, int, float]] = {
    "ConvNeXtBase": (85.3, 87_566_464, 30.7),
    "ConvNeXtLarge": (86.3, 196_230_336, 68.7),
    "ConvNeXtSmall": (82.3, 49_454_688, 17.4),
    "ConvNeXtTiny": (81.3, 27_820_128, 8.91),
    "ConvNeXtXLarge": (86.7, 348_147_968, 122),
    "DenseNet121": (75.0, 7_037_504, 5.67),
    "DenseNet169": (76.2, 12_642_880, 6.72),
    "DenseNet201": (77.3, 18_321_984, 8.58),
    "EfficientNetB0": (77.1, 4_049_571, 0.769),
    "EfficientNetB1": (79.1, 6_575_239, 1.37),
    "EfficientNetB2": (80.1, 7_768_569, 1.98),
    "EfficientNetB3": (81.6, 10_783_535, 3.65),
    "EfficientNetB4": (82.9, 17_673_823, 8.78),
    "EfficientNetB5": (83.6, 28_513_527, 20.5),
    "EfficientNetB6": (84.0, 40_960_143, 38.1),
    "EfficientNetB7": (84.3, 64_097_687, 75.5),
    "EfficientNetV2B0": (78.7, 5_919_312, 1.43),
    "EfficientNetV2B1": (79.8, 6_931_124, 2.39),
    "EfficientNetV2B2": (80.5, 8_769_374, 3.39),
    "EfficientNetV2B3": (82.0, 12_930_622, 6.02),
    "EfficientNetV2L": (85.7, 117_746_848, 112),
    "EfficientNetV2M": (85.3, 53_150_388, 49.2),
    "EfficientNetV2S": (83.9, 20_331_360, 16.7),
    "InceptionResNetV2": (80.3, 54_336_736, 26.3),
    "InceptionV3": (77.9, 21_802_784, 11.4),
    "MobileNet": (70.4, 3_228_864, 1.14),
    "MobileNet alpha 0.25": (49.8, 218_544, 0.0815),
    "MobileNet alpha 0.5": (63.3, 829_536, 0.298),
    "MobileNet alpha 0.75": (68.4, 1_832_976, 0.649),
    "MobileNetV2": (71.3, 2_257_984, 0.599),
    "MobileNetV2 alpha 0.35": (60.3, 410_208, 0.116),
    "MobileNetV2 alpha 0.5": (65.4, 706_224, 0.192),
    "MobileNetV2 alpha 0.75": (69.8, 1_382_064, 0.416),
    "MobileNetV2 alpha 1.3": (74.4, 3_766_048, 1.02),
    "MobileNetV2 alpha 1.4": (75.0, 4_363_712, 1.16),
    "MobileNetV3Large": (75.6, 2_996_352, 0.428),
    "MobileNetV3Large alpha 0.75": (73.3, 1_808_736, 0.305),
    "MobileNetV3Large minimalistic": (72.3, 1_437_608, 0.413),
    "MobileNetV3Small": (68.1, 939_120, 0.11),
    "MobileNetV3Small alpha 0.75": (65.4, 583_160, 0.0839),
    "MobileNetV3Small minimalistic": (61.9, 441_000, 0.101),
    "NASNetLarge": (82.5, 84_916_818, 47.6),
    "NASNetMobile": (74.4, 4_269_716, 1.13),
    "ResNet101": (76.4, 42_658_176, 15.1),
    "ResNet101V2": (77.2, 42_626_560, 14.4),
    "ResNet152": (76.6, 58_370_944, 22.6),
    "ResNet152V2": (78.0, 58_331_648, 21.8),
    "ResNet50": (74.9, 23_587_712, 7.71),
    "ResNet50V2": (76.0, 23_564_800, 6.96),
    "VGG16": (71.3, 14_714_688, 30.7),
    "VGG19": (71.3, 20_024_384, 39),
    "Xception": (79.0, 20_861_480, 16.7),
    "mini": (None, 950_632, 0.261),
}
"""Accuracy in percent, parameters without the classifier, and 10^9 FLOPs at the network's own size.

Accuracies: the table of Keras Applications (https://keras.io/api/applications/); for MobileNetV3 the docstrings of Keras 3.15.1,
`keras/src/applications/mobilenet_v3.py`; for the other widths of MobileNet and MobileNetV2 the tables of the checkpoints that
they were converted from, `research/slim/nets/mobilenet_v1.md` and `mobilenet/README.md` of github.com/tensorflow/models.
Parameters and FLOPs: counted by `tfl backbones NAME --json` (`parameters`, and the sum of `flops`).
"""
_AT_OTHER_SIZES: dict[str, dict[int, float]] = {
    "MobileNet": {192: 70.0, 160: 68.0, 128: 65.2},
    "MobileNet alpha 0.75": {192: 67.2, 160: 65.3, 128: 62.1},
    "MobileNet alpha 0.5": {192: 61.7, 160: 59.1, 128: 56.3},
    "MobileNet alpha 0.25": {192: 47.7, 160: 45.5, 128: 41.5},
    "MobileNetV2": {192: 70.7, 160: 68.8, 128: 65.3, 96: 60.3},
    "MobileNetV2 alpha 0.75": {192: 68.7, 160: 66.4, 128: 63.2, 96: 58.8},
    "MobileNetV2 alpha 0.5": {192: 63.9, 160: 61.0, 128: 57.7, 96: 51.2},
    "MobileNetV2 alpha 0.35": {192: 58.2, 160: 55.7, 128: 50.8, 96: 45.5},
}
"""Accuracy of the weights for other sizes than 224 px, from the same tables, which have none of MobileNetV2 alpha 1.3 and 1.4."""


def published(name: str, arguments: Mapping[str, Any], size: int, *, native_size: int) -> Published:
    """The facts about the weights of a network of the catalog.

    Args:
        name: Of a network with pretrained weights.
        arguments: Of its constructor, those that differ from the defaults.
        size: Height and width in pixels that these weights were trained at.
        native_size: The catalog's, for which the table holds.

    Example:

    >>> from tfl.modalities.image.backbones.published import published
    >>> published("MobileNet", {"alpha": 0.75}, 224, native_size=224).accuracy
    68.4
    """
    alpha = "" if float(arguments.get("alpha", 1.0)) == 1.0 else f" alpha {float(arguments['alpha']):g}"
    key = name + alpha + (" minimalistic" if arguments.get("minimalistic") else "")
    accuracy, parameters, gigaflops = _TABLE[key]
    if size != native_size:
        accuracy = _AT_OTHER_SIZES.get(key, {}).get(size)
    return Published(accuracy, parameters, round(gigaflops * (size / native_size) ** 2 * 1e9))
