"""Model files as backbones: which file a name stands for, and the layers that it lists. No TensorFlow."""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfl.errors import BackboneError

SUFFIXES = (".keras", ".h5", ".hdf5")
"""Of files that Keras loads: its own format, and whole models in HDF5 as Keras 2 wrote them."""
_CONVERT = (
    "Load the original network in Keras, or rebuild it there and copy its weights; then save it with model.save('m.keras')."
)
_OTHER_FORMATS = {
    ".tflite": "a LiteRT (TensorFlow Lite) file",
    ".lite": "a LiteRT (TensorFlow Lite) file",
    ".onnx": "an ONNX file",
    ".pt": "a PyTorch file",
    ".pth": "a PyTorch file",
    ".safetensors": "a file of weights without a network",
    ".ckpt": "a checkpoint of weights without a network",
    ".pb": "a frozen TensorFlow graph",
    ".xml": "an OpenVINO network",
    ".mlmodel": "a Core ML file",
    ".mlpackage": "a Core ML file",
}
_MOST_CONFIG_BYTES = 100_000_000


def model_file(name: str) -> Path | None:
    """The model file that a backbone's name stands for, or None where it is a name of the catalog.

    Args:
        name: The path of a `.keras`, `.h5` or `.hdf5` file, a folder with a `model.keras` (a run), or a catalog name.

    Raises:
        BackboneError: It is a path, but there is no such file, or the file has a format that Keras cannot load.

    Example:

    >>> from tfl.backbones.model_files import model_file
    >>> model_file("MobileNetV2") is None
    True
    """
    path = Path(os.path.expanduser(name))
    suffix = path.suffix.lower()
    is_path = "/" in name or suffix in SUFFIXES or suffix in _OTHER_FORMATS
    if path.is_dir():
        return _in_folder(path, is_path=is_path)
    if not is_path:
        return None
    if not path.is_file():
        raise BackboneError(
            f"There is no model file {path}.",
            allowed="a `.keras` or `.h5` file, a run folder with a `model.keras`, or a name that `tfl backbones` lists",
        )
    if suffix in _OTHER_FORMATS:
        raise BackboneError(
            f"{path} is {_OTHER_FORMATS[suffix]}.", allowed="a model that Keras can load: .keras or .h5", fix=_CONVERT
        )
    _refuse_other_content(path)
    if suffix in (".h5", ".hdf5"):
        _refuse_weights_only(path)
    return path


def _refuse_other_content(path: Path) -> None:
    """Refuses a file that its first and last bytes show to be damaged, or to be in another format than its suffix says."""
    is_keras, is_hdf5 = zipfile.is_zipfile(path), _is_hdf5(path)
    if is_keras and path.suffix != ".keras":
        found, suffix = "a `.keras` file by its content", ".keras"
    elif is_hdf5 and path.suffix not in (".h5", ".hdf5"):
        found, suffix = "an HDF5 file by its content", ".h5"
    elif is_keras or is_hdf5:
        return
    else:
        raise BackboneError(
            f"{path} is empty." if path.stat().st_size == 0 else f"{path} is damaged, or no model that Keras saved.",
            allowed="a whole `.keras` file (a ZIP archive) or a whole `.h5` file (HDF5)",
            fix="Copy or download it again, or save it anew with model.save('m.keras').",
        )
    raise BackboneError(
        f"{path} is {found}, and Keras goes by the suffix.",
        received=path.suffix,
        allowed=suffix,
        fix=f"Rename it: {path.with_suffix(suffix).name}",
    )


def _is_hdf5(path: Path) -> bool:
    import h5py

    return bool(h5py.is_hdf5(path))


def _in_folder(path: Path, *, is_path: bool) -> Path | None:
    if (path / "model.keras").is_file():
        return path / "model.keras"
    if (path / "saved_model.pb").is_file():
        raise BackboneError(
            f"{path} is a TensorFlow SavedModel, which holds functions and not Keras' layers.",
            allowed="a `.keras` or `.h5` file, or a run folder with a `model.keras`",
            fix="For an export of tfl name its run folder. Otherwise load it with the Keras that wrote it "
            "and save it with model.save('m.keras').",
        )
    if is_path:
        raise BackboneError(
            f"The folder {path} holds no model.keras.", allowed="a `.keras` or `.h5` file, or the folder of a finished run"
        )
    return None


def _refuse_weights_only(path: Path) -> None:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            whole = "model_config" in file.attrs
    except OSError:
        return  # Keras says what is wrong with it
    if not whole:
        raise BackboneError(
            f"{path} holds weights only, without a network.",
            fix=f"Name the network as backbone and this file as its weights: tfl.Backbone('MobileNetV2', weights={str(path)!r}). "
            "For a network of your own, save the whole model with model.save('m.keras').",
        )


def read_config(path: Path) -> dict[str, Any] | None:
    """The description of a model, as Keras wrote it into the file; None where there is none that can be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, RecursionError):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if archive.getinfo("config.json").file_size > _MOST_CONFIG_BYTES:
                    return None
                config = json.loads(archive.read("config.json"))
        else:
            import h5py

            with h5py.File(path, "r") as file:
                config = json.loads(file.attrs["model_config"])
        return config if isinstance(config, dict) else None
    return None


def layers_of(config: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The layers that a model's description lists, input side first; empty where it is no Functional or Sequential model."""
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, Mapping) else inner  # a list in the first Sequential models
    return [layer for layer in layers if isinstance(layer, Mapping)] if isinstance(layers, list) else []


def all_layers(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every layer of a description, nested models opened up."""
    for layer in layers_of(config):
        if layers_of(layer):
            yield from all_layers(layer)
        else:
            yield layer


def name_of(layer: Mapping[str, Any]) -> str:
    """What a layer of a description is called."""
    return str(settings_of(layer).get("name") or layer.get("name") or "")


def settings_of(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a layer of a description."""
    inner = layer.get("config")
    return inner if isinstance(inner, Mapping) else {}


def input_size(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """(height, width) of the inputs that a model was built for; None where it takes any size, or does not say.

    Example:

    >>> from tfl.backbones.model_files import input_size
    >>> layer = {"class_name": "InputLayer", "config": {"batch_shape": [None, 160, 128, 3]}}
    >>> input_size({"class_name": "Functional", "config": {"layers": [layer]}})
    (160, 128)
    """
    layers = layers_of(config)
    if not layers:
        return None
    first = settings_of(layers[0])
    shape = first.get("batch_shape") or first.get("batch_input_shape")
    if shape is None and layers_of(layers[0]):
        return input_size(layers[0])
    if not isinstance(shape, list | tuple) or len(shape) != 4:
        return None
    height, width = shape[1:3]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None
