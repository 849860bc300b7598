"""Loading a model file with Keras, and what to say when it cannot be loaded."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from tfl.backbones import flat
from tfl.backbones.model_files import all_layers, name_of, read_config
from tfl.backbones.saving import remember_skipped_attributes
from tfl.backbones.weight_files import refuse_bomb
from tfl.errors import BackboneError

_NEXT = "In the Keras version that wrote it, build the network from Keras' own layers and save it with model.save('m.keras')."
_SHOWN = 2000


class _PlainDepthwise(keras.layers.DepthwiseConv2D):
    """Reads what Keras 2 wrote of a DepthwiseConv2D: with `groups=1`, which Keras 3 does not know and which changes nothing."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> keras.layers.DepthwiseConv2D:
        kept = {key: value for key, value in config.items() if (key, value) != ("groups", 1)}
        return keras.layers.DepthwiseConv2D.from_config(kept)


def load_network(path: Path) -> keras.Model:
    """The Functional or Sequential model in a `.keras` or `.h5` file, from an RGB input to one output.

    No code of the file is run. A model of Keras 2 with DepthwiseConv2D layers (MobileNets, Teachable Machine) loads too.

    Raises:
        BackboneError: It cannot be loaded; the message has Keras' own reason whole, or names the layers that Keras does not know.
    """
    remember_skipped_attributes()
    try:
        refuse_bomb(path)
        model = keras.models.load_model(path, compile=False, safe_mode=True, custom_objects={"DepthwiseConv2D": _PlainDepthwise})
    except BackboneError:
        raise
    except Exception as error:
        raise _not_loaded(path, error) from error
    inputs, outputs = len(getattr(model, "inputs", None) or []), len(getattr(model, "outputs", None) or [])
    if not flat.is_nested(model) or inputs != 1 or outputs != 1:
        raise BackboneError(
            f"{path} is not a Functional model with one input and one output.",
            received=f"{type(model).__name__} (inputs: {inputs}, outputs: {outputs})",
            fix="Build it with keras.Model(inputs, outputs), from an RGB input to a feature map or to class probabilities.",
        )
    if len(model.input_shape) != 4 or model.input_shape[-1] not in (3, None):
        raise BackboneError(
            f"{path} does not take RGB inputs.", received=f"input {model.input_shape}", allowed="(batch, height, width, 3)"
        )
    return model


def _not_loaded(path: Path, error: Exception) -> BackboneError:
    config = read_config(path)
    unknown = unknown_layers(config) if config is not None else []
    operations = [name for name in unknown if name.split(" ")[0].startswith("TFOpLambda") or _is_operation(name.split(" ")[0])]
    if operations:
        return BackboneError(
            f"{path} holds operations that Keras {keras.__version__} cannot read from this format: {', '.join(operations[:5])}.",
            allowed="layers, such as keras.layers.Rescaling in place of `/` and `-`",
            fix="In the Keras version that wrote it, replace them by layers and save it with model.save('m.keras').",
        )
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        return BackboneError(
            f"{path} has layers that are not part of Keras: {', '.join(unknown[:5])}{more}.",
            allowed="a network of Keras' own layers: no code of a model file is run",
            fix="Replace them by Keras' own layers, or cut the network off before them: "
            "keras.Model(model.input, model.get_layer(NAME).output).save('m.keras').",
        )
    return BackboneError(
        f"{path} cannot be loaded as a Keras model: {cause_of(error)}",
        allowed="a `.keras` or `.h5` file made of Keras' own layers (no Lambda, no custom code)",
        fix=_NEXT,
    )


def unknown_layers(config: Mapping[str, Any]) -> list[str]:
    """The layers of a model's description that are not Keras' own, as ``Class (layer `name`)``; the first of each class.

    Example:

    >>> from tfl.backbones.load import unknown_layers
    >>> layer = {"class_name": "Swish", "module": "my_project.layers", "config": {"name": "swish_1"}}
    >>> unknown_layers({"class_name": "Sequential", "config": {"layers": [layer]}})
    ['Swish (layer `swish_1`)']
    """
    found: dict[str, str] = {}
    for layer in all_layers(config):
        name = str(layer.get("class_name")).rsplit(">", 1)[-1]
        registered = str(layer.get("registered_name") or layer.get("class_name"))
        if "module" in layer:
            own = str(layer["module"]).split(".")[0] == "keras"
        else:
            own = hasattr(keras.layers, name) and ">" not in registered
        if not own:
            found.setdefault(name, f"{name} (layer `{name_of(layer)}`)")
    return list(found.values())


def _is_operation(name: str) -> bool:
    """Whether a class of a description is one of Keras' operations, such as TrueDivide, or a layer made of one."""
    return name in ("SlicingOpLambda", "TensorFlowOpLayer") or hasattr(keras.ops, re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower())


def cause_of(error: Exception) -> str:
    """What Keras gives as the reason, which stands behind the settings of every layer around it.

    Example:

    >>> from tfl.backbones.load import cause_of
    >>> cause_of(ValueError("Error when deserializing class 'Dense' using config={...}.\\n\\nException encountered: no units"))
    'no units'
    """
    text = inspect.cleandoc(str(error).strip() or type(error).__name__)
    marked = text.rsplit("Exception encountered:", 1)
    cause = marked[-1].strip() if len(marked) > 1 else text.split("\n")[0]
    cause = cause.split(" Full object config:")[0].strip()
    return cause if len(cause) <= _SHOWN else f"{cause[:_SHOWN]} …"
