"""A KerasHub text encoder as one flat Functional model with the inputs `token_ids`, `padding_mask` and, for some, `segment_ids`.

It is made of KerasHub's own layers: a saved `.keras` file of it loads where `keras_hub` was imported before, and one of DeBERTa
where `tfl.modalities.text.relative` was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from tfl.backbones import flat
from tfl.backbones.weight_files import load_weights_file
from tfl.errors import BackboneError
from tfl.modalities.base import MASK
from tfl.modalities.hub import check_arguments, load_backbone, refuse_match
from tfl.modalities.text.presets import POOLED, class_of
from tfl.modalities.text.relative import RelativeEmbeddings
from tfl.recipe import Backbone

TOKENS, SEGMENTS = "token_ids", "segment_ids"
INPUTS = (TOKENS, MASK, SEGMENTS)


def build_backbone(backbone: Backbone, *, pooled: bool = False) -> keras.Model:
    """The encoder of a preset under the global dtype policy, from tokens to a vector for each token.

    Args:
        backbone: `name` is a preset; `weights` is `pretrained`, None for random ones, or the path of a weights file; `arguments`
            replace settings of the preset, such as `{"dropout": 0.0}`.
        pooled: Whether the output is the network's own pooled output, `(batch, width)`, instead of `(batch, length, width)`.
            Defaults to False.

    Raises:
        BackboneError: There is no such preset, it is no text encoder, or the arguments do not fit.
        MissingExtraError: KerasHub is not installed.
        WeightsNotFoundError: The preset is not on this machine and cannot be fetched.

    Example:

    >>> import tfl
    >>> from tfl.modalities.text.network import build_backbone
    >>> build_backbone(tfl.Backbone("bert_tiny_en_uncased")).output_shape  # doctest: +SKIP
    (None, None, 128)
    """
    class_name = class_of(backbone.name)
    _refuse(backbone, class_name, pooled=pooled)
    raw = load_backbone(backbone.name, weights=backbone.weights == "pretrained", arguments=backbone.arguments)
    if backbone.weights not in ("pretrained", None):
        load_weights_file(raw, Path(str(backbone.weights)), name=backbone.name)
    return lay_out_flat(raw, pooled=pooled)


def lay_out_flat(raw: Any, *, pooled: bool = False) -> keras.Model:
    """A KerasHub encoder laid out anew as a plain Functional model; the weights are shared, `raw` is of no other use after this.

    DeBERTa's relative embeddings, which are the same for every text, are called again before each of its layers: so one sequence
    is all that is needed above each layer.
    """
    flat.name_from_one(raw)
    relative = _relative_embeddings(raw)
    flat.forget_calls(raw)
    given = raw.input
    fresh = {name: keras.Input((None,), dtype="int32", name=name) for name in INPUTS if name in given}
    found = _with_repeats(raw, fresh, relative) if relative else flat.lay_out(raw, fresh)
    if isinstance(found, dict):
        found = found["pooled_output" if pooled else "sequence_output"]
    model = keras.Model(fresh, found, name=raw.name)
    flat.name_from_one(model)
    return model


def _relative_embeddings(raw: Any) -> Any:
    """The layer of DeBERTa that makes the relative embeddings; None for other encoders."""
    found = (one for one in flat.operations_inside(raw) if type(one).__name__ == "RelativeEmbedding")
    return next(found, None)


def _with_repeats(raw: Any, fresh: dict[str, Any], relative: Any) -> Any:
    """DeBERTa, with its relative embeddings called on what each layer takes: they read nothing of it but its batch size."""
    repeated = RelativeEmbeddings.like(relative)
    x = fresh[TOKENS]
    for node in flat.nodes_in_order(raw):
        if "rel_embeddings" in node.arguments.kwargs:
            x = node.operation(x, rel_embeddings=repeated(x), padding_mask=fresh[MASK])
        elif node.operation is not relative:
            x = node.operation(x)
    return x


def _refuse(backbone: Backbone, class_name: str, *, pooled: bool) -> None:
    if pooled and class_name not in POOLED:
        raise BackboneError(
            f"`{backbone.name}` has no pooled output.", received=class_name, allowed='`Head.pooling` of "avg", "max" or "first"'
        )
    if backbone.preprocessing not in ("auto", "none"):
        raise BackboneError(
            "`Backbone.preprocessing` is for networks of other kinds of examples: texts are prepared by the preset's tokenizer.",
            received=backbone.preprocessing,
            allowed="auto",
        )
    refuse_match(backbone)
    check_arguments(class_name, backbone.arguments)
    if backbone.weights == "imagenet":
        raise BackboneError(
            f"`{backbone.name}` brings its own weights.", received="imagenet", allowed="`pretrained`, None, or a weights file"
        )
