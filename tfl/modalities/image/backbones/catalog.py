"""Which networks there are: name → family, input range, minimum size, arguments and weights file. No TensorFlow.

The table follows Keras 3.15.1 (`keras.applications`); `mini` and the networks of `classic.py` are tfl's own.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tfl.errors import BackboneError, WeightsNotFoundError, did_you_mean
from tfl.modalities.defaults import no_classifier

Preprocessing = Literal["none", "tf", "caffe", "torch"]
"""What must happen to pixels 0..255 before the network: `none` (it does so itself), `tf` (to -1..1), `caffe` (BGR, minus the
ImageNet mean), `torch` (to 0..1, minus the mean, over the standard deviation)."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One network of the catalog.

    Args:
        name: As in `keras.applications`, `mini`, or as in `classic.py`.
        family: Networks that differ in depth or width only.
        preprocessing: See `Preprocessing`.
        minimum_size: Smallest height and width in pixels.
        pattern: The name of the ImageNet weights file without its top; `{alpha}`, `{size}` and `{minimalistic}` vary. Empty where
            there are no pretrained weights.
        address: The URL that Keras fetches it from: `{file}` is its name. Empty where nothing is fetched.
        arguments: What the constructor takes, with its defaults.
        weights_for: The values of an argument for which weights were published; others have to start from random ones.
        sizes: Image sizes with weights of their own; any other size takes those of the last.
        native_size: Height and width in pixels that the ImageNet weights were trained at; the default of `Data.image_size`.
    """

    name: str
    family: str
    preprocessing: Preprocessing
    minimum_size: int = 32
    pattern: str = ""
    address: str = ""
    arguments: tuple[tuple[str, Any], ...] = ()
    weights_for: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    sizes: tuple[int, ...] = (224,)
    native_size: int = 224

    @property
    def weights_file(self) -> str:
        """The ImageNet weights file for the default arguments at the default size."""
        return self.weights_file_for({})

    def weights_file_for(self, arguments: Mapping[str, Any], image_size: tuple[int, int] | None = None) -> str:
        """The ImageNet weights file that Keras looks for, given these constructor arguments and this image size.

        Raises:
            BackboneError: No such weights were published, or (`WeightsNotFoundError`) none at all of this network.

        Example:

        >>> from tfl.modalities.image.backbones import catalog
        >>> catalog.entry("MobileNet").weights_file_for({"alpha": 0.75})
        'mobilenet_7_5_224_tf_no_top.h5'
        """
        self.refuse_without_weights()
        values = dict(self.arguments) | dict(arguments)
        for key, published in self.weights_for:
            if values[key] not in published:
                raise BackboneError(
                    f"There are no ImageNet weights of {self.name} for this `{key}`.",
                    received=values[key],
                    allowed=published,
                    fix="Take one of these, or weights=None for random ones.",
                )
        if values.get("minimalistic") and values["alpha"] != 1.0:
            raise BackboneError(
                f"There are no ImageNet weights of the minimalistic {self.name} for this `alpha`.",
                received=values["alpha"],
                allowed="1.0",
            )
        height, width = image_size or (self.sizes[-1],) * 2
        size = height if height == width and height in self.sizes else self.sizes[-1]
        alpha = float(values.get("alpha", 1.0))
        text = _MOBILENET_ALPHA[alpha] if self.name == "MobileNet" else str(alpha)
        return self.pattern.format(alpha=text, size=size, minimalistic="_minimalistic" if values.get("minimalistic") else "")

    @property
    def is_classic(self) -> bool:
        """Whether it is one of `classic.py`, of which there are no pretrained weights."""
        return not self.pattern

    def refuse_without_weights(self) -> None:
        """Makes sure that there are pretrained weights of this network.

        Raises:
            WeightsNotFoundError: Nobody publishes any for Keras.
        """
        if self.is_classic:
            raise WeightsNotFoundError(
                f"There are no pretrained weights of {self.name} for Keras.",
                fix="Begin with random ones (weights=None, --set backbone.weights=none), name a weights file of this network "
                "without its classifier (weights=PATH), or take a network with weights: `tfl backbones --at-hand` lists those on "
                "this machine.",
            )

    def refuse_without_classifier(self) -> None:
        """Makes sure that there are pretrained weights of this network with a classifier.

        Raises:
            WeightsNotFoundError: There are none.
        """
        self.refuse_without_weights()
        if self.name == "mini":
            raise no_classifier("The weights of mini", self.name)

    def check_arguments(self, arguments: Mapping[str, Any]) -> None:
        """Makes sure that the constructor takes these arguments.

        Raises:
            BackboneError: It does not, or a value is of another type or not positive.
        """
        known = dict(self.arguments)
        for key, value in arguments.items():
            if key not in known:
                raise BackboneError(
                    f"{self.name} does not take the argument `{key}`.",
                    allowed=tuple(known) or "none",
                    fix=did_you_mean(key, known) or None,
                )
            kinds = (int, float) if isinstance(known[key], float) else (type(known[key]),)
            if type(value) not in kinds or (not isinstance(value, bool) and value <= 0):
                raise BackboneError(
                    f"The argument `{key}` of {self.name} does not fit.", received=value, allowed=f"like {known[key]}"
                )

    def is_efficientnet_imagenet(self, file: Path) -> bool:
        """Whether a file is the ImageNet weights of this EfficientNet, with which Keras puts in a layer of its own."""
        return self.family == "EfficientNet" and file.name in (self.weights_file, with_classifier(self.weights_file))

    def address_of(self, file_name: str) -> str:
        """The URL that Keras fetches a weights file of this network from; an empty string where there is none."""
        return self.address.replace("{file}", file_name)


def with_classifier(weights_file: str) -> str:
    """The name of the ImageNet weights file with the classifier, from that of the one without.

    Example:

    >>> from tfl.modalities.image.backbones.catalog import with_classifier
    >>> with_classifier("mobilenet_1_0_224_tf_no_top.h5"), with_classifier("convnext_tiny_notop.h5")
    ('mobilenet_1_0_224_tf.h5', 'convnext_tiny.h5')
    """
    return re.sub(r"_no_?top(_v2)?", "", weights_file)


_MOBILENET_ALPHA = {1.0: "1_0", 0.75: "7_5", 0.5: "5_0", 0.25: "2_5"}
_FOLDER = "https://storage.googleapis.com/tensorflow/keras-applications/"
_CLASSIC_FILE = "{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
_V3_ARGUMENTS = (("alpha", 1.0), ("minimalistic", False))


def _plain(
    family: str, names: str, preprocessing: Preprocessing, folder: str, minimum_size: int = 32, native_size: int = 224
) -> list[Entry]:
    """Entries without arguments; `{name}` in the folder and in the file is the name in lower case."""
    return [
        Entry(
            name=name,
            family=family,
            preprocessing=preprocessing,
            minimum_size=minimum_size,
            pattern=_CLASSIC_FILE.replace("{name}", name.lower()),
            address=_FOLDER + folder.replace("{name}", name.lower()) + "/{file}",
            native_size=native_size,
        )
        for name in names.split()
    ]


_ENTRIES: tuple[Entry, ...] = (
    Entry(name="mini", family="mini", preprocessing="none", pattern="mini.npz", native_size=96),
    *(
        Entry(
            name=f"ConvNeXt{size}",
            family="ConvNeXt",
            preprocessing="none",
            pattern=f"convnext_{size.lower()}_notop.h5",
            address=_FOLDER + "convnext/{file}",
        )
        for size in ("Tiny", "Small", "Base", "Large", "XLarge")
    ),
    *_plain("DenseNet", "DenseNet121 DenseNet169 DenseNet201", "torch", "densenet"),
    *(
        Entry(
            name=f"EfficientNetB{number}",
            family="EfficientNet",
            preprocessing="none",
            pattern=f"efficientnetb{number}_notop.h5",
            address="https://storage.googleapis.com/keras-applications/{file}",
            native_size=size,
        )
        for number, size in enumerate((224, 240, 260, 300, 380, 456, 528, 600))
    ),
    *(
        Entry(
            name=f"EfficientNetV2{size}",
            family="EfficientNetV2",
            preprocessing="none",
            pattern=f"efficientnetv2-{size.lower()}_notop.h5",
            address=_FOLDER + "efficientnet_v2/{file}",
            native_size=pixels,
        )
        for size, pixels in (("B0", 224), ("B1", 240), ("B2", 260), ("B3", 300), ("S", 384), ("M", 480), ("L", 480))
    ),
    Entry(
        name="InceptionResNetV2",
        family="InceptionResNet",
        preprocessing="tf",
        minimum_size=75,
        pattern="inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        address=_FOLDER + "inception_resnet_v2/{file}",
        native_size=299,
    ),
    Entry(
        name="InceptionV3",
        family="Inception",
        preprocessing="tf",
        minimum_size=75,
        pattern="inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        address=_FOLDER + "inception_v3/{file}",
        native_size=299,
    ),
    Entry(
        name="MobileNet",
        family="MobileNet",
        preprocessing="tf",
        pattern="mobilenet_{alpha}_{size}_tf_no_top.h5",
        address=_FOLDER + "mobilenet/{file}",
        arguments=(("alpha", 1.0), ("depth_multiplier", 1)),
        weights_for=(("alpha", (0.25, 0.5, 0.75, 1.0)), ("depth_multiplier", (1,))),
        sizes=(128, 160, 192, 224),
    ),
    Entry(
        name="MobileNetV2",
        family="MobileNetV2",
        preprocessing="tf",
        pattern="mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{size}_no_top.h5",
        address=_FOLDER + "mobilenet_v2/{file}",
        arguments=(("alpha", 1.0),),
        weights_for=(("alpha", (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)),),
        sizes=(96, 128, 160, 192, 224),
    ),
    *(
        Entry(
            name=f"MobileNetV3{size}",
            family="MobileNetV3",
            preprocessing="none",
            pattern=f"weights_mobilenet_v3_{size.lower()}{{minimalistic}}_224_{{alpha}}_float_no_top_v2.h5",
            address=_FOLDER + "mobilenet_v3/{file}",
            arguments=_V3_ARGUMENTS,
            weights_for=(("alpha", (0.75, 1.0)),),
        )
        for size in ("Large", "Small")
    ),
    *(
        Entry(
            name=f"NASNet{size}",
            family="NASNet",
            preprocessing="tf",
            pattern=f"nasnet_{size.lower()}_no_top.h5",
            address=f"{_FOLDER}nasnet/NASNet-{size.lower()}-no-top.h5",
            native_size=pixels,
        )
        for size, pixels in (("Large", 331), ("Mobile", 224))
    ),
    *_plain("ResNet", "ResNet50 ResNet101 ResNet152", "caffe", "resnet"),
    *_plain("ResNetV2", "ResNet50V2 ResNet101V2 ResNet152V2", "tf", "resnet"),
    *_plain("VGG", "VGG16 VGG19", "caffe", "{name}"),
    *(
        Entry(name=name, family=family, preprocessing="none", minimum_size=least, native_size=pixels)
        for name, family, least, pixels in (
            ("LeNet", "LeNet", 32, 32),
            ("AlexNet", "AlexNet", 63, 224),
            ("ResNet18", "ResNet18/34", 32, 224),
            ("ResNet34", "ResNet18/34", 32, 224),
        )
    ),
    *_plain("Xception", "Xception", "tf", "xception", 71, 299),
)
_BY_NAME: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}


def names() -> tuple[str, ...]:
    """Every network by name: `mini` first, then those of Keras Applications, among them those of `classic.py`."""
    return tuple(_BY_NAME)


def entry(name: str) -> Entry:
    """The entry of the network called `name`.

    Raises:
        BackboneError: There is none; the message has the nearest name.

    Example:

    >>> from tfl.modalities.image.backbones import catalog
    >>> catalog.entry("ResNet50").preprocessing
    'caffe'
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    near = difflib.get_close_matches(name, names(), n=5, cutoff=0.5)
    raise BackboneError(
        f"There is no backbone `{name}`.",
        allowed=f"{', '.join(near)}, …" if near else "a name that `tfl backbones` lists, or the path of a `.keras` model",
        fix=did_you_mean(name, names()) or "List them with: tfl backbones",
    )
