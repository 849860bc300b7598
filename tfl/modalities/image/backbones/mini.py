"""The small backbone whose weights ship with tfl.

A plain residual network for pictures of about 96 px: dense 3×3 convolutions, which two CPU cores do well, a stem and
seven residual units at strides 2, 4, 8 and 16, 0.95 million parameters. Its weights are float16 on disk, under two
megabytes, and come from `recipes/pretrain_mini.py`; the card beside them (`weights/mini.md`) says from what, how long
and how well. Nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tfl.errors import BackboneError, WeightsNotFoundError
from tfl.storage import write_atomically, write_json

if TYPE_CHECKING:
    import keras
    import numpy as np

WEIGHTS_FILE: Path = Path(__file__).parent / "weights" / "mini.npz"
CARD_FILE: Path = WEIGHTS_FILE.with_suffix(".json")
MINIMUM_SIZE_PX = 32
STEM_CHANNELS = 24
UNITS: tuple[tuple[int, int], ...] = ((24, 1), (48, 2), (48, 1), (96, 2), (96, 1), (128, 2), (128, 1))
"""Channels and stride of each residual unit, input side first."""


def build_mini(
    input_shape: tuple[int | None, int | None, int] = (96, 96, 3),
    weights: Literal["pretrained"] | None = "pretrained",
    *,
    name: str = "mini",
) -> keras.Model:
    """Build the mini backbone, without a classifier, as a flat Functional model.

    Args:
        input_shape: height, width and 3 channels, each side at least 32 px or None. Input pixels are float32 RGB in
            0..255; the scaling to -1..1 is the first layer.
        weights: "pretrained" loads the weights that ship, after checking them against the card; None draws new ones.
        name: the model's name.

    Returns:
        A model from `(batch, height, width, 3)` to a feature map `(batch, height / 16, width / 16, 128)`. Every unit
        ends in a layer `unit<k>_out` that all paths run through.

    Raises:
        BackboneError: the shape is too small or not RGB, or the weights file is missing (then it is
            a `WeightsNotFoundError`) or not the one of the card.

    Example:
        >>> build_mini((64, 96, 3), weights=None).output_shape
        (None, 4, 6, 128)
    """
    _check_arguments(input_shape, weights)
    import keras

    inputs = keras.Input(input_shape, name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale_pixels")(inputs)
    x = _convolve(x, STEM_CHANNELS, "stem_conv", size=3, stride=2)
    x = keras.layers.ReLU(name="stem_out")(x)
    for number, (channels, stride) in enumerate(UNITS, start=1):
        x = _residual_unit(x, channels, f"unit{number}", stride=stride)
    model = keras.Model(inputs, x, name=name)
    if weights == "pretrained":
        load_weights(model, WEIGHTS_FILE)
    return model


def _check_arguments(input_shape: tuple[int | None, int | None, int], weights: object) -> None:
    if len(input_shape) != 3 or input_shape[2] != 3:
        raise BackboneError("mini takes RGB pictures.", received=f"input_shape={input_shape}", allowed="(height, width, 3)")
    if any(side is not None and side < MINIMUM_SIZE_PX for side in input_shape[:2]):
        raise BackboneError(
            "The image size is below the minimum of mini.",
            received=f"input_shape={input_shape}",
            allowed=f"at least {MINIMUM_SIZE_PX} px a side",
            fix="Use a larger image size: 96 px is what its weights were trained at.",
        )
    if weights not in ("pretrained", None):
        raise BackboneError("mini has no such weights.", received=weights, allowed=("pretrained", None))


def _residual_unit(x: keras.KerasTensor, channels: int, name: str, *, stride: int) -> keras.KerasTensor:
    """Two 3×3 convolutions beside a shortcut, which is averaged and projected where the shape changes."""
    import keras

    y = _convolve(x, channels, f"{name}_conv1", size=3, stride=stride)
    y = keras.layers.ReLU(name=f"{name}_relu1")(y)
    y = _convolve(y, channels, f"{name}_conv2", size=3)
    if stride > 1:
        x = keras.layers.AveragePooling2D(stride, padding="same", name=f"{name}_pool")(x)
    if x.shape[-1] != channels:
        x = _convolve(x, channels, f"{name}_project", size=1)
    x = keras.layers.Add(name=f"{name}_add")([x, y])
    return keras.layers.ReLU(name=f"{name}_out")(x)


def _convolve(x: keras.KerasTensor, channels: int, name: str, *, size: int, stride: int = 1) -> keras.KerasTensor:
    import keras

    x = keras.layers.Conv2D(
        channels, size, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    return keras.layers.BatchNormalization(name=f"{name}_bn")(x)


def load_weights(model: keras.Model, file: Path) -> None:
    """Set a mini's weights from a weights file, which must be the one that its card describes.

    Args:
        model: what `build_mini` returned.
        file: the `.npz` with float16 arrays named `layer/variable`; a `.json` card of the same name lies beside it.

    Raises:
        WeightsNotFoundError: the file or its card is missing or unreadable.
        BackboneError: its SHA-256 is not the card's, or an array is missing or of another shape.
    """
    import numpy as np

    content = _read_checked(file)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except Exception as error:  # zip, zlib and NumPy's reader raise a dozen kinds
        raise BackboneError(f"{file} is not a readable .npz file: {error}.") from error
    wanted = named_variables(model)
    if differing := sorted(wanted.keys() ^ arrays.keys()):
        raise BackboneError(f"{file} does not fit this network: {', '.join(differing[:4])} is on one side only.")
    for key, variable in wanted.items():
        if tuple(variable.shape) != arrays[key].shape:
            raise BackboneError(
                f"{file} does not fit this network at {key}.", received=arrays[key].shape, allowed=str(tuple(variable.shape))
            )
        variable.assign(arrays[key].astype("float32"))


def save_weights(model: keras.Model, file: Path, *, card: dict[str, Any]) -> None:
    """Write a mini's weights as float16 and their card, which gets the file's SHA-256 and size added.

    Args:
        model: what `build_mini` returned.
        file: the `.npz` to write.
        card: where the weights come from; "command", "teacher", "data" and so on, anything that JSON can hold.
    """
    import numpy as np

    arrays = {key: np.asarray(variable).astype("float16") for key, variable in named_variables(model).items()}
    data = _as_npz(arrays)
    write_atomically(file, data)
    write_card(file, card | {"parameters": model.count_params(), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})


def write_card(file: Path, card: dict[str, Any]) -> None:
    """Write the card of a weights file twice: `.json` to be checked against, `.md` to be read."""
    write_json(file.with_suffix(".json"), card)
    lines = [f"# The weights of {file.stem}", "", "Written by `recipes/pretrain_mini.py`.", "", "| what | |", "|---|---|"]
    lines += [f"| {key.replace('_', ' ')} | {_as_text(value)} |" for key, value in card.items() if key != "scores"]
    if scores := card.get("scores"):
        lines += [
            "",
            "## Scores",
            "",
            f"`{scores['command']}`, on {scores['machine']}",
            "",
            "| figure | value | to reach |",
            "|---|---|---|",
        ]
        lines += [f"| {row['name']} | {row['value']:.3f} | {_as_reach(row)} |" for row in scores["figures"]]
    write_atomically(file.with_suffix(".md"), "\n".join(lines) + "\n")


def _as_text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _as_reach(row: dict[str, Any]) -> str:
    return "" if row["reach"] is None else f"above {row['reach']:g}: {'yes' if row['holds'] else 'no'}"


def _as_npz(arrays: dict[str, np.ndarray]) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def named_variables(model: keras.Model) -> dict[str, Any]:
    """A mini's variables by the name they are stored under, `layer/variable`."""
    return {f"{layer.name}/{variable.name}": variable for layer in model.layers for variable in layer.weights}


def _read_checked(file: Path) -> bytes:
    """The bytes of a weights file, once its SHA-256 was found to be the one on its card."""
    card = file.with_suffix(".json")
    try:
        data = file.read_bytes()
        expected = json.loads(card.read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsNotFoundError(
            f"The weights of mini can't be read: {error}. Looked for {file} and its card {card.name} beside it.",
            fix="They come with the package: install tfl again, or use weights=None for random ones.",
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise BackboneError(
            f"{file} is not the file that its card describes.",
            received=f"SHA-256 {found}",
            allowed=f"SHA-256 {expected}",
            fix="Install tfl again, or make new weights with recipes/pretrain_mini.py.",
        )
    return data
