"""Building a backbone: the network of the catalog, or a user's own, with its preprocessing, as one flat graph."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from tfl.backbones import flat
from tfl.backbones.blocks import find_cut_points
from tfl.backbones.load import cause_of, load_network
from tfl.backbones.matching import import_weights
from tfl.backbones.model_files import model_file
from tfl.backbones.source import SourceModel
from tfl.backbones.source_names import names_beside
from tfl.backbones.weight_files import find_imagenet_file, load_weights_file, not_found
from tfl.errors import BackboneError
from tfl.modalities.image.backbones import catalog, classic, mini
from tfl.modalities.image.backbones.available import check_match
from tfl.modalities.image.backbones.classic import IMAGENET_MEAN, IMAGENET_STD
from tfl.modalities.image.backbones.imagenet_names import imagenet_names
from tfl.modalities.image.backbones.settle import preprocessing_of, undecided
from tfl.recipe import Backbone

CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
_GLOBAL_POOLING = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)


def build_backbone(backbone: Backbone, *, image_size: tuple[int, int]) -> keras.Model:
    """The network without its classifier, as one flat Functional model from pixels to a feature map.

    Its input is float32 RGB 0..255 of shape (batch, height, width, 3); the family's preprocessing is part of it, in float32
    under every dtype policy and made of Keras' own layers, so that a saved model needs Keras alone. Layers that Keras named
    by a running number are numbered anew from each network's start: block names are the same in every process.

    Where `backbone.match` is not `exact`, the layers that take over weights of the file do so, and the others are random;
    `tfl.backbones.matching.matching_of` has which.

    Args:
        backbone: Name or path, weights and constructor arguments.
        image_size: (height, width) in pixels.

    Raises:
        BackboneError: The name, an argument or the image size does not fit, a `.keras` file cannot be used, or no layer of a
            weights file fits.
        WeightsNotFoundError: The weights are not on this machine and cannot be fetched.

    Example:

    >>> import tfl
    >>> from tfl.modalities.image.backbones.build import build_backbone
    >>> build_backbone(tfl.Backbone("mini", weights=None), image_size=(96, 64)).output_shape
    (None, 6, 4, 128)
    """
    if backbone.match != "exact":
        check_match(backbone)
        model = _build(dataclasses.replace(backbone, weights=None, match="exact"), image_size)
        import_weights(model, str(backbone.weights), match=backbone.match)
        return model
    return _build(backbone, image_size)


def _build(backbone: Backbone, image_size: tuple[int, int]) -> keras.Model:
    path = model_file(backbone.name)
    if path is not None:
        whole = _build_from_file(backbone, path, image_size)
        return keras.Model(whole.input, _end_of_backbone(whole, str(path)), name=whole.name)
    entry = _checked_entry(backbone, image_size)
    if entry.name == "mini":
        return _finish(_build_mini(backbone, image_size), image_size)
    if entry.is_classic:
        return _finish(_build_classic(entry, backbone, image_size), image_size)
    raw, around = _build_application(entry, backbone, dict(backbone.arguments), image_size)
    return _finish(raw, image_size, preprocessing=entry.preprocessing, around=around)


def build_source(backbone: Backbone, *, image_size: tuple[int, int]) -> SourceModel:
    """The network with the classifier that it was trained with: of a model file its own, of Keras Applications that of ImageNet.

    Args:
        backbone: Name or path, weights and constructor arguments.
        image_size: (height, width) in pixels.

    Raises:
        BackboneError: The network cannot be built at this size, or does not end in a classifier for one of several classes.
        WeightsNotFoundError: There are no weights with a classifier, they are not on this machine and cannot be fetched, or the
            names of ImageNet's classes are not.
    """
    path = model_file(backbone.name)
    if path is not None:
        whole, names = _build_from_file(backbone, path, image_size), names_beside(path)
    else:
        entry = _checked_entry(backbone, image_size)
        entry.refuse_without_classifier()
        names = imagenet_names()
        raw, around = _build_application(entry, backbone, dict(backbone.arguments), image_size, with_top=True)
        whole = _finish(raw, image_size, preprocessing=entry.preprocessing, around=around)
    title = str(path or backbone.name)
    return SourceModel(title=title, model=whole, backbone_output=_end_of_backbone(whole, title), class_names=names)


def _checked_entry(backbone: Backbone, image_size: tuple[int, int]) -> catalog.Entry:
    entry = catalog.entry(backbone.name)
    preprocessing_of(backbone)  # refuses another than the catalog's
    entry.check_arguments(backbone.arguments)
    _check_size(entry, image_size)
    return entry


def _check_size(entry: catalog.Entry, image_size: tuple[int, int]) -> None:
    if min(image_size) < entry.minimum_size:
        raise BackboneError(
            f"The image size is below the minimum of {entry.name}.",
            received=f"{image_size[0]}×{image_size[1]} px",
            allowed=f"at least {entry.minimum_size} px a side",
            fix=f"For example: --set data.image_size={max(entry.minimum_size, 96)},{max(entry.minimum_size, 96)}",
        )


def _build_mini(backbone: Backbone, image_size: tuple[int, int]) -> keras.Model:
    shape = (*image_size, 3)
    if backbone.weights == "pretrained" or backbone.weights is None:
        return mini.build_mini(shape, backbone.weights)  # type: ignore[arg-type]
    model = mini.build_mini(shape, None)
    if backbone.weights == "imagenet":
        raise BackboneError("mini has no ImageNet weights.", allowed="`pretrained` (the ones that ship), None, or a weights file")
    if backbone.weights.endswith(".npz"):
        mini.load_weights(model, Path(os.path.expanduser(backbone.weights)))
    else:
        load_weights_file(model, Path(backbone.weights), name="mini")
    return model


def _build_classic(entry: catalog.Entry, backbone: Backbone, image_size: tuple[int, int]) -> keras.Model:
    if backbone.weights in ("pretrained", "imagenet"):
        entry.refuse_without_weights()
    model: keras.Model = classic.BUILDERS[entry.name]((*image_size, 3))
    if backbone.weights is not None:
        load_weights_file(model, Path(backbone.weights), name=entry.name)
    return model


Around = Callable[[Any, flat.Tensor], flat.Tensor]


def _build_application(
    entry: catalog.Entry, backbone: Backbone, arguments: dict[str, Any], image_size: tuple[int, int], *, with_top: bool = False
) -> tuple[keras.Model, Around | None]:
    builder = getattr(keras.applications, entry.name)

    def construct(weights: str | None) -> keras.Model:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return builder(include_top=with_top, weights=weights, input_shape=(*image_size, 3), **arguments)

    if backbone.weights is None:
        return construct(None), None
    if with_top:
        _check_size_of_classifier(entry, image_size)
    if backbone.weights not in ("pretrained", "imagenet"):
        file = Path(os.path.expanduser(backbone.weights))
        model = construct(None)
        load_weights_file(model, file, name=entry.name, with_top=with_top)
        return model, _restore_std if entry.is_efficientnet_imagenet(file) else None
    names = [entry.weights_file_for(arguments, image_size), entry.weights_file_for(arguments)]
    wanted, usual = [catalog.with_classifier(name) for name in names] if with_top else names
    found = find_imagenet_file(wanted, usual)
    if found is None:
        try:
            return construct("imagenet"), None  # Keras downloads, checks and caches it
        except Exception as error:
            raise not_found(entry.name, wanted, error, with_top=with_top) from error
    model = construct(None)
    load_weights_file(model, found, name=entry.name, with_top=with_top)
    return model, _restore_std if entry.family == "EfficientNet" else None


def _check_size_of_classifier(entry: catalog.Entry, image_size: tuple[int, int]) -> None:
    """The classifiers of VGG read every place of the map by weights of its own."""
    if entry.family == "VGG" and image_size != (entry.native_size, entry.native_size):
        raise BackboneError(
            f"The classifier of {entry.name} takes one image size.",
            received=f"{image_size[0]}×{image_size[1]} px",
            allowed=f"{entry.native_size}×{entry.native_size} px",
            fix="Leave out data.image_size.",
        )


def _restore_std(operation: Any, x: flat.Tensor) -> flat.Tensor:
    """EfficientNet's ImageNet weights want the pixels over the deviation, not over its square root.

    Keras puts this layer in only when it loads those weights itself; see https://github.com/tensorflow/tensorflow/issues/49930.
    """
    if not isinstance(operation, keras.layers.Normalization):
        return x
    scale = [1 / math.sqrt(std) for std in IMAGENET_STD]
    return keras.layers.Rescaling(scale, dtype="float32", name="rescaling_std")(x)


def prepare(x: flat.Tensor, preprocessing: str) -> flat.Tensor:
    """The family's preprocessing as Keras layers in float32 (`keras.applications.imagenet_utils.preprocess_input`)."""
    if preprocessing == "tf":
        return keras.layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="scale_pixels")(x)
    if preprocessing == "torch":
        scale = [1 / (255 * std) for std in IMAGENET_STD]
        offset = [-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
        return keras.layers.Rescaling(scale, offset=offset, dtype="float32", name="scale_pixels")(x)
    if preprocessing == "caffe":
        x = keras.ops.flip(x, axis=-1)
        offset = [-mean for mean in CAFFE_MEAN_BGR]
        return keras.layers.Rescaling(1.0, offset=offset, dtype="float32", name="scale_pixels")(x)
    return x


def _finish(
    raw: keras.Model, image_size: tuple[int, int], *, preprocessing: str = "none", around: Around | None = None
) -> keras.Model:
    """`raw` laid out flat on a pixel input of the asked size, under the global dtype policy, with names that repeat."""
    flat.name_from_one(raw)
    if preprocessing == "none":
        flat.use_policy(raw, keras.config.dtype_policy().name)
    flat.forget_calls(raw)
    pixels = keras.Input((*image_size, 3), dtype="float32", name="pixels")
    x = prepare(pixels, preprocessing)
    model = keras.Model(pixels, flat.lay_out(raw, x, around=around), name=raw.name)
    if preprocessing == "caffe":
        flat.name_from_one(model)
    return model


def _build_from_file(backbone: Backbone, path: Path, image_size: tuple[int, int]) -> keras.Model:
    """The whole model in the file, with its classifier where it has one."""
    if backbone.arguments:
        raise BackboneError("A model file takes no arguments.", received=dict(backbone.arguments))
    if backbone.weights == "imagenet":
        raise BackboneError(
            f"{path} brings its own weights.", received="imagenet", allowed="`pretrained`, None, or a weights file"
        )
    model = load_network(path)
    preprocessing = _decided(backbone, path)
    try:
        if backbone.weights is None:
            model = keras.models.clone_model(model)
        elif backbone.weights != "pretrained":
            load_weights_file(model, Path(backbone.weights), name=path.name)
        flat.use_policy(model, keras.config.dtype_policy().name)
        return _finish(model, image_size, preprocessing=preprocessing)
    except BackboneError:
        raise
    except Exception as error:
        raise BackboneError(
            f"The network in {path} does not accept {image_size[0]}×{image_size[1]} px RGB images: {cause_of(error)}",
            fix=f"It was built for the input {model.input_shape}: set data.image_size to that.",
        ) from error


def _decided(backbone: Backbone, path: Path) -> str:
    """The preprocessing of a model file.

    Raises:
        BackboneError: Its layers do not decide it, and the recipe does not say it.
    """
    found = preprocessing_of(backbone)
    if found.preprocessing is None:
        raise undecided(path, found.reason)
    return found.preprocessing


def _end_of_backbone(model: keras.Model, title: str) -> flat.Tensor:
    """The feature map that all others lead to; where several end apart, the last that everything runs through.

    What a head reads of lower maps beside it (`head.taps`) is no map, and belongs to the head.
    """
    ends = _last_maps(model)
    if len(ends) != 1:
        ends = [cut.tensor for cut in find_cut_points(model) if len(cut.tensor.shape) == 4][-1:]
    if not ends:
        raise BackboneError(
            f"{title} has no feature map that every path runs through, so no head can be put on it.",
            fix="The network needs a convolutional part with one output of shape (batch, height, width, channels).",
        )
    return ends[0]


def _last_maps(model: keras.Model) -> list[flat.Tensor]:
    """The feature maps that no later one is made of.

    What is made of globally pooled features alone is no map, though it may be 1 × 1: MobileNet and MobileNetV3 end in
    convolutions there, the classifier of their old task.
    """
    ends: list[flat.Tensor] = []
    behind: dict[int, set[int]] = {}  # of each tensor: itself and all that it is made of
    pooled: set[int] = set()
    for node in flat.nodes_in_order(model):
        before = {known for tensor in node.input_tensors for known in behind.get(id(tensor), {id(tensor)})}
        is_pooled = isinstance(node.operation, _GLOBAL_POOLING) or all(id(tensor) in pooled for tensor in node.input_tensors)
        for tensor in node.outputs:
            behind[id(tensor)] = before | {id(tensor)}
            if is_pooled:
                pooled.add(id(tensor))
            elif len(tensor.shape) == 4:
                ends = [*(end for end in ends if id(end) not in before), tensor]
    return ends
