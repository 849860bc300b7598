"""The causal network: `bytes`, a small transformer of Keras layers over bytes, the one of a run, or one of a KerasHub preset.

Each block is causal attention and two dense layers, each behind a layer normalisation and added to what came in (Vaswani et al.
2017, with the normalisation first as in GPT-2, Radford et al. 2019). Order is told by a causal convolution over the last bytes
below the blocks, which takes the place of embeddings of positions: so the network takes passages of any length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfl.backbones.flat import forget_calls, lay_out, name_from_one
from tfl.backbones.foreign import import_layers_of
from tfl.backbones.saving import remember_skipped_attributes
from tfl.backbones.weight_files import load_weights_file, refuse_bomb
from tfl.errors import BackboneError
from tfl.modalities import hub
from tfl.modalities.base import MASK
from tfl.modalities.passage.tokenizer import is_preset
from tfl.modalities.passage.tokens import TOKENS, VOCABULARY
from tfl.recipe import Backbone

BYTES = "bytes"
"""Name of the architecture, which comes without weights."""
NEXT_TOKEN, HIDDEN = "next_token", "head_pool"
"""Names of the layer that gives a logit for each token, and of the one below it."""
DEFAULTS: Mapping[str, Any] = {"width": 128, "blocks": 3, "heads": 4, "reach": 8, "dropout": 0.0}
"""Arguments of `bytes`: numbers in each vector, blocks, attention heads, bytes that the convolution sees, and dropout."""


@dataclass(frozen=True)
class LanguageModel:
    """A causal network without its last layer, and the weights of that layer.

    Args:
        model: From `token_ids`, `(batch, tokens)` int32, to a vector for each token.
        output: Kernel and bias of the layer that gives a logit for each token; empty where they start at random.
    """

    model: keras.Model
    output: tuple[np.ndarray, ...] = ()


def arguments_of(backbone: Backbone) -> dict[str, Any]:
    """The arguments of `bytes` with its defaults.

    Raises:
        BackboneError: One is not known, or out of range.

    Example:

    >>> import tfl
    >>> from tfl.modalities.passage.network import arguments_of
    >>> arguments_of(tfl.Backbone("bytes", weights=None, arguments={"blocks": 2}))["blocks"]
    2
    """
    if unknown := sorted(set(backbone.arguments) - set(DEFAULTS)):
        raise BackboneError("The network `bytes` has no such argument.", received=", ".join(unknown), allowed=list(DEFAULTS))
    found = {**DEFAULTS, **backbone.arguments}
    whole = all(isinstance(found[name], int) and 1 <= found[name] <= 4096 for name in ("width", "blocks", "heads", "reach"))
    if not whole or found["width"] % found["heads"] or not 0 <= found["dropout"] < 1:
        raise BackboneError(
            "The arguments of the network `bytes` do not fit.",
            received=", ".join(f"{name}={value}" for name, value in found.items()),
            allowed="whole numbers of 1 to 4096, a width that the number of heads divides, dropout from 0 to below 1",
        )
    return found


def build_language_model(backbone: Backbone) -> LanguageModel:
    """The network that a recipe names, under the global dtype policy.

    Args:
        backbone: `name` is `bytes`, with random weights, the path of the `model.keras` of a run of the task `generate`, or the
            folder of a causal KerasHub preset.

    Raises:
        BackboneError: There is no such network, or its file is none of a language model.
    """
    if is_preset(backbone.name):
        return _of_preset(backbone)
    if backbone.name != BYTES:
        return _of_file(Path(backbone.name).expanduser(), backbone)
    model = _bytes(**arguments_of(backbone))
    if backbone.weights is not None:
        load_weights_file(model, Path(backbone.weights), name=backbone.name)
    return LanguageModel(model)


def _bytes(*, width: int, blocks: int, heads: int, reach: int, dropout: float) -> keras.Model:
    layers = keras.layers
    tokens = keras.Input((None,), dtype="int32", name=TOKENS)
    unit = keras.initializers.RandomNormal(stddev=1.0)  # Keras' own, up to 0.05, are lost in the sums with what the blocks give
    x = layers.Embedding(VOCABULARY, width, embeddings_initializer=unit, name="embedding")(tokens)
    near = layers.Conv1D(width, reach, padding="causal", activation="gelu", name="near_bytes")(x)
    x = layers.Add(name="stem")([x, near])
    for number in range(1, blocks + 1):
        name = f"block{number}"
        y = layers.LayerNormalization(name=f"{name}_attention_norm")(x)
        attention = layers.MultiHeadAttention(heads, width // heads, dropout=dropout, name=f"{name}_attention")
        y = attention(y, y, use_causal_mask=True)
        x = layers.Add(name=f"{name}_attention_sum")([x, y])
        y = layers.LayerNormalization(name=f"{name}_dense_norm")(x)
        y = layers.Dense(4 * width, activation="gelu", name=f"{name}_wide")(y)
        y = layers.Dense(width, name=f"{name}_narrow")(y)
        y = layers.Dropout(dropout, name=f"{name}_dropout")(y) if dropout else y
        x = layers.Add(name=f"{name}_out")([x, y])
    x = layers.LayerNormalization(name="norm")(x)
    return keras.Model(tokens, x, name=BYTES)


def _of_preset(backbone: Backbone) -> LanguageModel:
    """The network without a padding mask: padding stands behind a passage, and a causal network sees nothing that stands behind.

    Its last layer begins as the embedding of tokens, which is that layer in the preset, and is trained apart from it.
    """
    hub.check_arguments(str(hub.config_of(Path(backbone.name).expanduser())["class_name"]), backbone.arguments)
    raw = hub.load_backbone(backbone.name, weights=backbone.weights is not None, arguments=backbone.arguments)
    embedding = raw.token_embedding
    kernel = embedding.embeddings if embedding.tie_weights else embedding.reverse_embeddings
    kernel = np.asarray(kernel).T if embedding.tie_weights else np.asarray(kernel)
    name_from_one(raw)
    forget_calls(raw)
    tokens = keras.Input((None,), dtype="int32", name=TOKENS)
    model = keras.Model(tokens, lay_out(raw, {TOKENS: tokens, MASK: None}), name=raw.name)
    name_from_one(model)
    return LanguageModel(model, (kernel,))


def _of_file(path: Path, backbone: Backbone) -> LanguageModel:
    file = path / "model.keras" if path.is_dir() else path
    import_layers_of(file)
    remember_skipped_attributes()
    try:
        refuse_bomb(file)
        model = keras.models.load_model(file, compile=False, safe_mode=True)
        hidden, output = model.get_layer(HIDDEN), model.get_layer(NEXT_TOKEN)
        inputs = {tensor.name: tensor for tensor in model.inputs}
    except BackboneError:
        raise
    except Exception as error:
        raise BackboneError(
            f"{file} is no language model of tfl: {str(error).splitlines()[0][:300] if str(error) else type(error).__name__}",
            allowed="`bytes`, the run or model.keras of a recipe with input=tfl.Passages(), or the folder of a KerasHub preset",
        ) from error
    found = keras.Model(inputs[TOKENS], hidden.input, name=model.name)
    name_from_one(found)
    return LanguageModel(found, tuple(np.asarray(weight) for weight in output.get_weights()))
