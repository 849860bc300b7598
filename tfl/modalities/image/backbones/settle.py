"""What a recipe leaves to its network: the size of the images and how their pixels are prepared. No TensorFlow."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfl.backbones.model_files import input_size, model_file, read_config
from tfl.backbones.weight_files import find_imagenet_file
from tfl.errors import BackboneError
from tfl.modalities.image.backbones import catalog
from tfl.modalities.image.backbones.architectures import Expectation, architecture, expected_preprocessing
from tfl.modalities.image.backbones.presets import is_preset
from tfl.recipe import Backbone, Recipe

UNKNOWN_SIZE = (224, 224)
"""What is taken where nothing says at which size a network was trained: the size of most networks trained on ImageNet."""
FAR_BELOW, FAR_ABOVE = 0.75, 1.5
"""An image size below or above so many times the size that the weights were trained at is noted."""
WAYS = {
    "none": "the network takes 0..255 as they are",
    "tf": "scaled to -1..1",
    "caffe": "BGR, minus ImageNet's mean",
    "torch": "scaled to 0..1, minus ImageNet's mean, over its deviation",
}
"""What each `preprocessing` does to pixels 0..255."""


@dataclass(frozen=True)
class NativeSize:
    """The size of the images that a network was made for.

    Args:
        size: (height, width) in pixels.
        known: Whether the catalog or the model file says so; otherwise `size` is an assumption.
    """

    size: tuple[int, int]
    known: bool = True


def settled(recipe: Recipe) -> Recipe:
    """The recipe with an image size, and with a decided preprocessing for a model file whose layers decide it.

    A size or a preprocessing that the recipe states stays as it is.

    Raises:
        BackboneError: There is no such network, or the stated preprocessing contradicts the catalog's.

    Example:

    >>> import tfl
    >>> from tfl.modalities.image.backbones.settle import settled
    >>> recipe = tfl.Recipe(name="leaves", data=tfl.Data("photos"), backbone=tfl.Backbone("InceptionV3"))
    >>> settled(recipe).data.image_size
    (299, 299)
    """
    found = preprocessing_of(recipe.backbone).preprocessing
    is_file = not is_preset(recipe.backbone.name) and model_file(recipe.backbone.name) is not None
    if found is not None and is_file and recipe.backbone.preprocessing == "auto":
        recipe = dataclasses.replace(recipe, backbone=dataclasses.replace(recipe.backbone, preprocessing=found))
    if recipe.data.image_size is None:
        size = native_size(recipe.backbone).size
        recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, image_size=size))
    return recipe


def preprocessing_of(backbone: Backbone) -> Expectation:
    """What has to happen to pixels 0..255 before the network, and why; None where only the user can say it.

    Raises:
        BackboneError: There is no such network, or the stated preprocessing contradicts the catalog's.

    Example:

    >>> import tfl
    >>> preprocessing_of(tfl.Backbone("VGG16")).preprocessing
    'caffe'
    """
    if is_preset(backbone.name):
        stated = backbone.preprocessing
        return Expectation("none" if stated == "auto" else stated, "the preset prepares the pixels itself")
    path, stated = model_file(backbone.name), backbone.preprocessing
    if path is None:
        entry = catalog.entry(backbone.name)
        if stated not in ("auto", entry.preprocessing):
            raise BackboneError(
                f"{entry.name} of Keras Applications takes another preprocessing."
                if entry.name != "mini" and not entry.is_classic
                else f"{entry.name} scales the pixels itself.",
                received=f"preprocessing={stated!r}",
                allowed=f"auto or {entry.preprocessing} ({WAYS[entry.preprocessing]})",
                fix="A network with weights from elsewhere can be saved whole (model.save('m.keras')) and named as a file.",
            )
        reason = "its first layer scales the pixels" if entry.is_classic else f"as {entry.name} was trained"
        return Expectation(entry.preprocessing, reason)
    found = _expected_by(path)
    if stated == "auto" or stated == found.preprocessing:
        return found
    return Expectation(stated, "as stated" if found.preprocessing is None else f"as stated, although {found.reason}")


def preprocessing_note(backbone: Backbone) -> str | None:
    """The preprocessing of a model file and what decided it; None for a network of the catalog.

    Example:

    >>> import tfl
    >>> from tfl.modalities.image.backbones.settle import preprocessing_note
    >>> preprocessing_note(tfl.Backbone("VGG16")) is None
    True
    """
    if is_preset(backbone.name) or model_file(backbone.name) is None:
        return None
    found = preprocessing_of(backbone)
    return f"preprocessing {found.preprocessing}: {found.reason}"


def undecided(path: Path | str, reason: str, *, evidence: str = "") -> BackboneError:
    """The error that asks for the preprocessing of a model file.

    Args:
        path: Of the file.
        reason: What was looked at.
        evidence: What was measured on images, as sentences.
    """
    return BackboneError(
        f"{path} does not say how pixels 0..255 have to be prepared for it: {reason}.{evidence and ' ' + evidence}",
        allowed="; ".join(f"{name}: {way}" for name, way in WAYS.items()),
        fix="State the one that it was trained with: tfl.Backbone(..., preprocessing='tf'), or --set backbone.preprocessing=tf. "
        "For any other scaling, save it with a keras.layers.Rescaling in front.",
    )


def native_size(backbone: Backbone) -> NativeSize:
    """The size of the images that the network was made for.

    That of the catalog; of a run, the run's own; of a model file, the size of its input, else that of the network of Keras
    Applications that it begins with.

    Raises:
        BackboneError: There is no such network.

    Example:

    >>> import tfl
    >>> native_size(tfl.Backbone("EfficientNetB1")).size
    (240, 240)
    """
    if is_preset(backbone.name):
        from tfl.modalities.image.encoders import size_of

        return NativeSize(size_of(backbone.name))
    path = model_file(backbone.name)
    if path is None:
        side = catalog.entry(backbone.name).native_size
        return NativeSize((side, side))
    config = _config(path) or {}
    if (size := input_size(config)) is not None:
        return NativeSize(size)
    found = architecture(config)
    if found is None:
        return NativeSize(UNKNOWN_SIZE, known=False)
    side = catalog.entry(found).native_size
    return NativeSize((side, side))


def size_note(recipe: Recipe) -> str | None:
    """What to say about the image size: that it is assumed, or that it is far from the one that the weights were trained at.

    Far is below 0.75 or above 1.5 times that size, by the geometric mean of the sides.

    Example:

    >>> import tfl
    >>> from tfl.modalities.image.backbones.settle import size_note
    >>> data = tfl.Data("photos", image_size=(96, 96))
    >>> size_note(tfl.Recipe(name="leaves", data=data, backbone=tfl.Backbone("Xception"))).split(":")[0]
    '96 × 96 px is far from the 299 × 299 px that Xception was trained at'
    """
    backbone, stated = recipe.backbone, recipe.data.image_size
    native = native_size(backbone)
    if stated is None:
        height, width = native.size
        return None if native.known else f"{backbone.name} does not say its image size: {height} × {width} px are used. {_SET}"
    if not native.known or backbone.weights is None:
        return None
    own = _trained_at(backbone, stated, native.size)
    factor = ((stated[0] * stated[1]) / (own[0] * own[1])) ** 0.5
    if FAR_BELOW <= factor <= FAR_ABOVE:
        return None
    return (
        f"{stated[0]} × {stated[1]} px is far from the {own[0]} × {own[1]} px that {backbone.name} was trained at: its features "
        f"are usually worse there. Leave out data.image_size, or compare both sizes with `tfl probe`."
    )


_SET = "Set data.image_size to the size that it was trained at."


def _trained_at(backbone: Backbone, size: tuple[int, int], native: tuple[int, int]) -> tuple[int, int]:
    """The size of the weights that are loaded for an image size: some networks have weights of their own for several."""
    if is_preset(backbone.name):
        return native
    if model_file(backbone.name) is not None or backbone.weights not in ("pretrained", "imagenet") or size[0] != size[1]:
        return native
    entry = catalog.entry(backbone.name)
    if len(entry.sizes) == 1 or size[0] not in entry.sizes:
        return native
    own, usual = (entry.weights_file_for(backbone.arguments, each) for each in (size, None))
    found = find_imagenet_file(own, usual)
    return native if found is not None and found.name != own else size


def _expected_by(path: Path) -> Expectation:
    if _is_of_tfl(path):
        return Expectation("none", "a model of tfl prepares the pixels itself")
    config = _config(path)
    return Expectation(None, "its layers cannot be read") if config is None else expected_preprocessing(config)


def _is_of_tfl(path: Path) -> bool:
    """Whether a model file lies in a run folder or in an export, whose models begin with pixels 0..255."""
    beside = path.parent
    run = (beside / "manifest.json").is_file() and (beside / "recipe.json").is_file()
    return path.name == "model.keras" and (run or (beside / "tfl.json").is_file())


def _config(path: Path) -> dict[str, Any] | None:
    status = path.stat()
    return _config_of_version(path.absolute(), status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=16)
def _config_of_version(path: Path, mtime_ns: int, size: int) -> dict[str, Any] | None:
    return read_config(path)
