"""Image transformers of KerasHub (ViT, DINOv2, SigLIP and others) as one flat graph: preprocessing, embeddings, each layer.

A network that is saved loads where `keras_hub` was imported before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

from tfl.backbones import flat
from tfl.errors import BackboneError
from tfl.modalities import hub
from tfl.modalities.image.backbones.presets import ENCODERS

if TYPE_CHECKING:
    from tfl.recipe import Backbone

ANY_SIZE = ("DINOV2Backbone", "DINOV3Backbone")
"""Those whose position embeddings fit every size; the others have one size."""
_ALLOWED = "ViT, DeiT, DINOv2, DINOv3, SigLIP, CLIP and MetaCLIP 2"


def class_of(name: str) -> str:
    """The KerasHub class of an image encoder by the name of its preset.

    Args:
        name: A preset's name, address or folder.

    Raises:
        BackboneError: There is no such preset, or it is no image encoder that can be used.
        MissingExtraError: KerasHub is not installed.
        WeightsNotFoundError: It is an address that cannot be reached.
    """
    hub.require_extra(needed_for=f"The network `{name}`")
    folder = hub.folder_of(name)
    if folder is not None:
        found = str(hub.config_of(folder)["class_name"])
    elif not name.startswith(hub.ADDRESSES):
        return hub.class_of_name(name, ENCODERS, what="image encoder that can be used", allowed=_ALLOWED)
    else:
        found = type(hub.load_backbone(name, weights=False)).__name__
    if found not in ENCODERS:
        raise BackboneError(f"The preset `{name}` is no image encoder that can be used.", received=found, allowed=_ALLOWED)
    return found


def size_of(name: str) -> tuple[int, int]:
    """(height, width) in pixels that a preset was trained at. Of a folder, it is read without importing TensorFlow.

    Raises:
        BackboneError: There is no such preset, or it says no size.
        WeightsNotFoundError: It is not on this machine and cannot be fetched.
    """
    folder = hub.folder_of(name)
    config = hub.config_of(folder)["config"] if folder is not None else hub.load_backbone(name, weights=False).get_config()
    config = config.get("vision_encoder", {}).get("config", config)
    shape = config.get("image_shape")
    if not shape or len(shape) != 3:
        raise BackboneError(f"The preset `{name}` does not say the size of its images.", received=str(shape))
    return int(shape[0]), int(shape[1])


def build_encoder(backbone: Backbone, *, image_size: tuple[int, int], pooling: str = "avg") -> keras.Model:
    """The image encoder of a preset under the global dtype policy, from pixels 0..255 to a vector for each patch.

    Args:
        backbone: `name` is a preset; `weights` is `pretrained` or None for random ones; `preprocessing` is `auto` for what the
            preset's image converter says; `arguments` replace settings of the preset.
        image_size: (height, width) in pixels. DINOv2 and DINOv3 take any multiple of their patch size, the others their own.
        pooling: String, as `Head.pooling`: for `avg`, `max` and `flatten` a vector for each patch, `(batch, patches, width)`;
            for `first` the class token comes first among these; for `pooled` it is the network's own pooled output,
            `(batch, width)`, which SigLIP has. Defaults to `avg`.

    Raises:
        BackboneError: The preset, the size, the pooling or an argument does not fit.
        MissingExtraError: KerasHub is not installed.
        WeightsNotFoundError: The preset is not on this machine and cannot be fetched.

    Example:

    >>> import tfl
    >>> from tfl.modalities.image.encoders import build_encoder
    >>> build_encoder(tfl.Backbone("dinov2_small"), image_size=(224, 224)).output_shape  # doctest: +SKIP
    (None, 256, 384)
    """
    class_name = class_of(backbone.name)
    if backbone.weights not in ("pretrained", None):
        raise BackboneError("An image encoder brings its own weights.", received=backbone.weights, allowed="`pretrained` or None")
    hub.refuse_match(backbone)
    hub.check_arguments(class_name, backbone.arguments)
    arguments = dict(backbone.arguments)
    if class_name in ANY_SIZE:
        arguments["image_shape"] = (*image_size, 3)
    elif (own := size_of(backbone.name)) != tuple(image_size):
        raise BackboneError(
            f"`{backbone.name}` takes images of one size.",
            received=f"{image_size[0]}×{image_size[1]} px",
            allowed=f"{own[0]}×{own[1]} px",
            fix=f"--set data.image_size={own[0]},{own[1]}",
        )
    raw = hub.load_backbone(backbone.name, weights=backbone.weights is not None, arguments=arguments)
    return lay_out_flat(raw, image_size, prepare=_preparation(backbone), pooling=pooling)


Prepare = Callable[[Any], Any]
"""From pixels 0..255 to what the network takes, as Keras layers."""


def _preparation(backbone: Backbone) -> Prepare:
    """What the preset's image converter does to pixel values, or what the recipe says."""
    if backbone.preprocessing != "auto":
        from tfl.modalities.image.backbones.build import prepare

        return lambda x: prepare(x, backbone.preprocessing)
    import keras_hub

    try:
        converter = hub.loaded(backbone.name, keras_hub.layers.ImageConverter.from_preset)
    except BackboneError as error:
        raise BackboneError(
            f"The preset `{backbone.name}` does not say how pixels are prepared: {error.what}",
            fix="Say it: --set backbone.preprocessing=none, tf, torch or caffe; or save its ImageConverter with it.",
        ) from error
    return lambda x: rescaled(x, converter.scale, converter.offset)


def rescaled(x: Any, scale: Any, offset: Any) -> Any:
    """`x * scale + offset` as one Keras layer in float32; each a number, one for each channel, or None."""
    if scale is None and offset is None:
        return x
    return keras.layers.Rescaling(
        1.0 if scale is None else scale, offset=0.0 if offset is None else offset, dtype="float32", name="scale_pixels"
    )(x)


def lay_out_flat(raw: Any, image_size: tuple[int, int], *, prepare: Prepare, pooling: str = "avg") -> keras.Model:
    """An image encoder of KerasHub as a plain Functional model; the weights are shared, `raw` is of no other use after this."""
    raw = _part_for_images(raw)
    tokens = prefix_tokens(raw)
    _refuse(raw, tokens, pooling)
    for operation in flat.operations_inside(raw):
        operation.name = operation.name.removeprefix(f"{raw.name}_")
    flat.name_from_one(raw)
    flat.forget_calls(raw)
    pixels = keras.Input((*image_size, 3), dtype="float32", name="pixels")
    x = prepare(pixels)
    for node in flat.nodes_in_order(raw):
        operation = node.operation
        if "Pooling" in type(operation).__name__ and pooling != "pooled":
            continue  # SigLIP's attention pooling
        if type(operation).__name__ != "DINOV3RopePositionEmbedding":
            x = _unrolled(operation, x, raw)
    if pooling in ("avg", "max", "flatten") and tokens:
        x = keras.layers.Cropping1D((tokens, 0), name="patches", dtype=x.dtype)(x)
    model = keras.Model(pixels, x, name=raw.name)
    flat.name_from_one(model)
    return model


def _part_for_images(raw: Any) -> Any:
    """The network itself, or the part of a network of two parts that takes images, under the global dtype policy.

    KerasHub gives the policy to the whole and not to its parts where a preset says theirs.
    """
    part = getattr(raw, "vision_encoder", None)
    if part is None:
        return raw
    policy = keras.config.dtype_policy()
    if part.layers[-1].dtype_policy.name == policy.name:
        return part
    fresh = type(part).from_config({**part.get_config(), "dtype": policy})
    fresh.set_weights(part.get_weights())
    return fresh


def prefix_tokens(raw: Any) -> int:
    """How many tokens stand before those of the patches: the class token, DeiT's distillation token, registers."""
    kind = type(raw).__name__
    if kind == "ViTBackbone":
        return int(raw.use_class_token)
    if kind in ("DINOV2Backbone", "DINOV3Backbone"):
        return 1 + int(raw.num_register_tokens)
    return {"DeiTBackbone": 2, "SigLIPVisionEncoder": 0}.get(kind, 1)


def _refuse(raw: Any, tokens: int, pooling: str) -> None:
    has_pooled = any("Pooling" in type(operation).__name__ for operation in flat.operations_inside(raw))
    if pooling == "pooled" and not has_pooled:
        raise BackboneError("This network has no pooled output.", received=type(raw).__name__, allowed="`avg`, `max` or `first`")
    if pooling == "first" and not tokens:
        raise BackboneError(
            "This network has no class token.", received=type(raw).__name__, allowed="`avg`, `max`" + ", `pooled`" * has_pooled
        )


def _unrolled(operation: Any, x: Any, raw: Any) -> Any:
    """A layer of the network; one that holds all transformer layers is called layer by layer, as its own `call` does."""
    kind = type(operation).__name__
    if kind == "ViTEncoder":
        return _through([operation.dropout, *operation.encoder_layers, operation.layer_norm], x)
    if kind == "DINOV2Encoder":
        return _through(operation.layers, x)
    if kind == "DINOV3Encoder":
        cos, sin = (keras.ops.convert_to_numpy(part) for part in raw.rope_embedding(keras.ops.zeros((1, *raw.image_shape))))
        for layer in operation.layers:
            x = layer(x, position_embeddings=(cos, sin), num_prefix_tokens=prefix_tokens(raw))
        return x
    if kind == "DeiTEncoder":
        for layer in operation.encoder_layers:
            x = layer(x, return_attention_scores=True)[0]  # without the scores it returns None for them, which is no tensor
        return operation.layer_norm(x)
    return operation(x)


def _through(layers: list[Any], x: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x
