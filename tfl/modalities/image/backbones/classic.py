"""Networks of the classical tables that Keras Applications lacks: LeNet, AlexNet, ResNet18 and ResNet34, without weights.

Nobody publishes weights of them for Keras, so they begin with random ones, or with those of a file. Each takes pixels 0..255
and scales them in its first layer. What differs from the papers is said at each function.

References:
    LeCun et al. 1998, "Gradient-based learning applied to document recognition", section II.B and figure 2 (LeNet-5).
    Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural networks" (AlexNet).
    Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks" (AlexNet in one column).
    He et al. 2016, "Deep residual learning for image recognition", table 1 (ResNet18, ResNet34).
    He et al. 2015, "Delving deep into rectifiers" (the initial weights of layers before a ReLU).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tfl.errors import BackboneError

if TYPE_CHECKING:
    import keras

Shape = tuple[int | None, int | None, int]
SMALLEST = {"LeNet": 32, "AlexNet": 63, "ResNet18": 32, "ResNet34": 32}
"""Smallest height and width in pixels: below, LeNet's and AlexNet's last layers have nothing left to see."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of RGB in 0..1 over the ImageNet training set, as in `keras.applications.imagenet_utils`."""
_ALEXNET = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
"""Filters, kernel, stride and padding of each convolution of the one-column network (Krizhevsky 2014, section 5)."""
_POOLED = (1, 2, 5)
_BN: dict[str, Any] = {"epsilon": 1e-5, "momentum": 0.9}


def build_lenet(input_shape: Shape = (32, 32, 3)) -> keras.Model:
    """LeNet-5 (LeCun et al. 1998) up to its layer C5, for RGB.

    Other than in the paper, and as it is usually built: colour in place of grey, every map of C3 reads all maps of S2, the
    means of S2 and S4 have no weights of their own, and tanh is not scaled. F6 and the output are the head's part.

    Args:
        input_shape: Height, width and 3 channels; each side at least 32 px or None.

    Returns:
        A Functional model from pixels 0..255 `(batch, height, width, 3)` to `(batch, height / 4 - 7, width / 4 - 7, 120)`.

    Raises:
        BackboneError: The shape is too small or not RGB.

    Example:

    >>> from tfl.modalities.image.backbones.classic import build_lenet
    >>> build_lenet((32, 32, 3)).output_shape
    (None, 1, 1, 120)
    """
    inputs = _input(input_shape, "LeNet")
    import keras

    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale_pixels")(inputs)
    for name, filters, pool in (("c1", 6, "s2"), ("c3", 16, "s4"), ("c5", 120, None)):
        x = keras.layers.Conv2D(filters, 5, activation="tanh", name=name)(x)
        if pool is not None:
            x = keras.layers.AveragePooling2D(2, name=pool)(x)
    return keras.Model(inputs, x, name="LeNet")


def build_alexnet(input_shape: Shape = (224, 224, 3)) -> keras.Model:
    """AlexNet's convolutions in one column (Krizhevsky 2014), as in torchvision, not the two halves of 2012.

    There is no local response normalisation, and the initial weights are He's; the three dense layers are the head's part.

    Args:
        input_shape: Height, width and 3 channels; each side at least 63 px or None.

    Returns:
        A Functional model from pixels 0..255 `(batch, height, width, 3)` to a map of 256 channels, 6 × 6 for 224 px.

    Raises:
        BackboneError: The shape is too small or not RGB.

    Example:

    >>> from tfl.modalities.image.backbones.classic import build_alexnet
    >>> build_alexnet().output_shape
    (None, 6, 6, 256)
    """
    inputs = _input(input_shape, "AlexNet")
    import keras

    x = _scale(inputs)
    for number, (filters, size, stride, padding) in enumerate(_ALEXNET, start=1):
        x = _convolve(x, filters, size, stride=stride, padding=padding, name=f"conv{number}", activation="relu")
        if number in _POOLED:
            x = keras.layers.MaxPooling2D(3, strides=2, name=f"pool{number}")(x)
    return keras.Model(inputs, x, name="AlexNet")


def build_resnet18(input_shape: Shape = (224, 224, 3)) -> keras.Model:
    """ResNet18 (He et al. 2016): eight units of two 3×3 convolutions; see `build_resnet34`.

    Example:

    >>> from tfl.modalities.image.backbones.classic import build_resnet18
    >>> build_resnet18((64, 96, 3)).output_shape
    (None, 2, 3, 512)
    """
    return _resnet("ResNet18", (2, 2, 2, 2), input_shape)


def build_resnet34(input_shape: Shape = (224, 224, 3)) -> keras.Model:
    """ResNet34 (He et al. 2016): sixteen units of two 3×3 convolutions, with BatchNorm after each convolution.

    Shortcuts are projected where the shape changes (option B of the paper), and the first convolution of a unit has its stride.

    Args:
        input_shape: Height, width and 3 channels; each side at least 32 px or None.

    Returns:
        A Functional model from pixels 0..255 `(batch, height, width, 3)` to `(batch, height / 32, width / 32, 512)`.

    Raises:
        BackboneError: The shape is too small or not RGB.

    Example:

    >>> from tfl.modalities.image.backbones.classic import build_resnet34
    >>> build_resnet34((64, 64, 3)).output_shape
    (None, 2, 2, 512)
    """
    return _resnet("ResNet34", (3, 4, 6, 3), input_shape)


BUILDERS: dict[str, Callable[[Shape], Any]] = {
    "LeNet": build_lenet,
    "AlexNet": build_alexnet,
    "ResNet18": build_resnet18,
    "ResNet34": build_resnet34,
}
"""What builds each network, by its name in the catalog."""


def _resnet(name: str, depths: tuple[int, ...], input_shape: Shape) -> keras.Model:
    inputs = _input(input_shape, name)
    import keras

    x = _normed(_scale(inputs), 64, 7, stride=2, name="conv1")
    x = keras.layers.ReLU(name="conv1_relu")(x)
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, depth in enumerate(depths, start=2):
        for unit in range(1, depth + 1):
            stride = 2 if unit == 1 and stage > 2 else 1
            x = _unit(x, 64 * 2 ** (stage - 2), stride=stride, name=f"conv{stage}_block{unit}")
    return keras.Model(inputs, x, name=name)


def _unit(x: keras.KerasTensor, filters: int, *, stride: int, name: str) -> keras.KerasTensor:
    """Two 3×3 convolutions beside a shortcut."""
    import keras

    y = keras.layers.ReLU(name=f"{name}_1_relu")(_normed(x, filters, 3, stride=stride, name=f"{name}_1"))
    y = _normed(y, filters, 3, name=f"{name}_2")
    if stride > 1 or x.shape[-1] != filters:
        x = _normed(x, filters, 1, stride=stride, name=f"{name}_0")
    return keras.layers.ReLU(name=f"{name}_out")(keras.layers.Add(name=f"{name}_add")([x, y]))


def _normed(x: keras.KerasTensor, filters: int, size: int, *, name: str, stride: int = 1) -> keras.KerasTensor:
    import keras

    x = _convolve(x, filters, size, stride=stride, padding=size // 2, name=f"{name}_conv", use_bias=False)
    return keras.layers.BatchNormalization(name=f"{name}_bn", **_BN)(x)


def _convolve(
    x: keras.KerasTensor, filters: int, size: int, *, stride: int, padding: int, name: str, **options: Any
) -> keras.KerasTensor:
    """A convolution over as many zeros on every side; Keras' own padding differs between the sides where there is a stride."""
    import keras

    if padding and stride > 1:
        x = keras.layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
    return keras.layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding="same" if padding and stride == 1 else "valid",
        kernel_initializer="he_normal",
        name=name,
        **options,
    )(x)


def _scale(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Pixels minus ImageNet's mean, over its deviation, as torchvision does it."""
    import keras

    scale = [1 / (255 * std) for std in IMAGENET_STD]
    offset = [-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    return keras.layers.Rescaling(scale, offset=offset, name="scale_pixels")(inputs)


def _input(shape: Shape, name: str) -> keras.KerasTensor:
    least = SMALLEST[name]
    if len(shape) != 3 or shape[2] != 3 or any(side is not None and side < least for side in shape[:2]):
        raise BackboneError(
            f"{name} cannot take images of this shape.",
            received=f"input_shape={shape}",
            allowed=f"(height, width, 3), each side at least {least} px or None",
        )
    import keras

    return keras.Input(shape, name="pixels")
