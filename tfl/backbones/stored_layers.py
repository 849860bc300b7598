"""The layers in a file of weights: names, kinds, and arrays, read without building a network. No TensorFlow.

Two layouts of HDF5 are read: that of Keras 3 (`layers/conv2d_1/vars/0`), alone in a `.weights.h5` or packed in a `.keras` file,
and that of Keras 2 (a group for each layer, listed in the attribute `layer_names`), alone in an `.h5` or in a whole model.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.backbones.model_files import layers_of, name_of, read_config
from tfl.backbones.weight_files import refuse_bomb
from tfl.errors import BackboneError, WeightsNotFoundError

if TYPE_CHECKING:
    import h5py
    from numpy.typing import NDArray

_KERAS_3, _KERAS_2, _WEIGHTS = "layers", "layer_names", "model.weights.h5"
_SEED = "seed_generator"
"""What Dropout keeps: a state and no weight."""
_ALLOWED = "a `.keras`, `.weights.h5` or `.h5` file that Keras saved"


@dataclass(frozen=True, kw_only=True)
class StoredLayer:
    """A layer with weights, as a file has it.

    Args:
        name: Of the layer.
        kind: Its class in snake case, such as `conv2d`; empty where the file does not say it.
        arrays: Its weights by their place within the layer, such as `vars/0`.
        group: Where they are in the file.
    """

    name: str
    kind: str
    arrays: Mapping[str, h5py.Dataset] = field(repr=False)
    group: str = ""

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the weights, in order."""
        return tuple(array.shape for array in self.arrays.values())

    @property
    def parameters(self) -> int:
        """Numbers in its weights."""
        return sum(int(np.prod(shape)) for shape in self.shapes)

    @property
    def signature(self) -> tuple[Any, ...]:
        """Place, shape and sort of number of each weight: two layers with equal ones can take each other's weights."""
        return tuple((place, array.shape, _sort_of_number(array)) for place, array in self.arrays.items())


@dataclass(frozen=True)
class StoredLayers:
    """The layers with weights in a file.

    Args:
        layers: In the order of the network where `ordered`, else in that of the network among layers of one kind.
        ordered: Whether the file has the order among layers of different kinds.
    """

    layers: tuple[StoredLayer, ...]
    ordered: bool = True


def kind_of(class_name: str) -> str:
    """A class name as Keras writes it into weights files (`keras.src.utils.naming.to_snake_case` of Keras 3.15).

    Example:

    >>> from tfl.backbones.stored_layers import kind_of
    >>> kind_of("DepthwiseConv2D"), kind_of("BatchNormalization")
    ('depthwise_conv2d', 'batch_normalization')
    """
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def shapes_in_words(shapes: Sequence[Sequence[int]]) -> str:
    """Shapes as people write them.

    Example:

    >>> from tfl.backbones.stored_layers import shapes_in_words
    >>> shapes_in_words([(3, 3, 3, 64), (64,)])
    '3×3×3×64, 64'
    """
    return ", ".join("×".join(map(str, shape)) or "scalar" for shape in shapes)


def check_file(file: Path | str) -> Path:
    """The path of a file whose layers can be read, by its first bytes.

    Raises:
        WeightsNotFoundError: There is no such file.
        BackboneError: It is in another format, or damaged.
    """
    import h5py

    path = Path(os.path.expanduser(file))
    if not path.is_file():
        raise WeightsNotFoundError(
            f"There is no weights file {path}.", fix="Name an existing file, or use weights=None for random ones."
        )
    refuse_bomb(path)
    if not (h5py.is_hdf5(path) or (zipfile.is_zipfile(path) and path.suffix != ".npz")):
        raise BackboneError(
            f"The layers of {path} cannot be read.",
            received="an empty file" if path.stat().st_size == 0 else "another format, or a damaged file",
            allowed=_ALLOWED,
        )
    return path


@contextlib.contextmanager
def stored_layers(file: Path | str) -> Iterator[StoredLayers]:
    """The layers in a file, whose arrays can be read within the block.

    Raises:
        WeightsNotFoundError: There is no such file.
        BackboneError: It cannot be read, or holds no layers with weights.
    """
    path = check_file(file)
    try:
        with _opened(path) as root:
            found = _layers_in(root, read_config(path))
            if not found.layers:
                raise BackboneError(f"{path} holds no layers with weights of a Functional or Sequential model.", allowed=_ALLOWED)
            yield found
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, zipfile.BadZipFile) as error:
        if isinstance(error, BackboneError):
            raise
        raise BackboneError(f"The layers of {path} cannot be read: {error}", allowed=_ALLOWED) from error


def values_of(array: h5py.Dataset) -> NDArray[Any]:
    """The numbers of a weight; bfloat16, which HDF5 does not know, as float32."""
    if array.attrs.get("dtype") == "bfloat16":
        import ml_dtypes

        return np.array(array).view(ml_dtypes.bfloat16).astype(np.float32)
    return np.asarray(array)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    import h5py

    if not zipfile.is_zipfile(path):
        with h5py.File(path, "r") as root:
            yield root
        return
    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read(_WEIGHTS))
    with h5py.File(content, "r") as root:
        yield root


def _layers_in(root: h5py.File, config: Mapping[str, Any] | None) -> StoredLayers:
    whole = root.get("model_weights", root)
    if any(name.startswith(_KERAS_2) for name in whole.attrs):
        return StoredLayers(tuple(_of_keras_2(whole, config)))
    if _KERAS_3 not in root:
        return StoredLayers(())
    if config is not None:
        return StoredLayers(tuple(_of_description(root, config)))
    return StoredLayers(tuple(_of_groups(root[_KERAS_3])), ordered=False)


def _of_description(root: h5py.File, config: Mapping[str, Any], within: str = _KERAS_3) -> Iterator[StoredLayer]:
    """Layers of Keras 3 in the order of a model's description, nested models opened up."""
    taken: Counter[str] = Counter()
    for layer in layers_of(config):
        kind = kind_of(str(layer.get("class_name")))
        group = f"{within}/{numbered(kind, taken)}"
        if layers_of(layer):
            yield from _of_description(root, layer, f"{group}/{_KERAS_3}")
        elif group in root and (arrays := arrays_in(root[group])):
            yield StoredLayer(name=name_of(layer), kind=kind, arrays=arrays, group=group)


def numbered(kind: str, taken: Counter[str]) -> str:
    """The name of a layer's group: its kind, with a running number from the second of that kind."""
    taken[kind] += 1
    return kind if taken[kind] == 1 else f"{kind}_{taken[kind] - 1}"


def _of_groups(groups: h5py.Group) -> Iterator[StoredLayer]:
    """Layers of Keras 3 without a description: what is known of the order is the number within each kind.

    Where the layers of a nested model stand among those around it is not known: they come first, as a base under a new top.
    """
    for name in sorted(groups, key=lambda name: (_KERAS_3 not in groups[name], _kind_and_number(name))):
        group = groups[name]
        if _KERAS_3 in group:
            yield from _of_groups(group[_KERAS_3])
        elif arrays := arrays_in(group):
            said = group["vars"].attrs.get("name", name) if "vars" in group else name
            yield StoredLayer(name=str(said), kind=_kind_and_number(name)[0], arrays=arrays, group=group.name.strip("/"))


def _kind_and_number(group: str) -> tuple[str, int]:
    found = re.fullmatch(r"(.*?)(?:_(\d+))?", group)
    return (found[1], int(found[2] or 0)) if found else (group, 0)


def arrays_in(group: h5py.Group, within: str = "") -> dict[str, h5py.Dataset]:
    """The weights below a layer's group by their place in it; what a file links from elsewhere is refused.

    Raises:
        BackboneError: An array is in another file.
    """
    import h5py

    found: dict[str, Any] = {}
    for name in sorted(group, key=_kind_and_number):
        entry = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
        place = f"{within}{name}"
        if isinstance(entry, h5py.Group):
            found |= {} if name == _SEED else arrays_in(entry, f"{place}/")
        elif entry is None or entry.external or entry.is_virtual:
            raise BackboneError(f"The weights file has an array elsewhere: {group.name}/{name}.", allowed=_ALLOWED)
        else:
            found[place] = entry
    return found


def _of_keras_2(root: h5py.Group, config: Mapping[str, Any] | None) -> list[StoredLayer]:
    """Layers of Keras 2, whose file has their names in order; a nested model is one entry with the weights of all its layers."""
    known = {} if config is None else {name_of(layer): kind_of(str(layer["class_name"])) for layer in _leaves(config)}
    position = {name: number for number, name in enumerate(known)}
    found: list[StoredLayer] = []
    for name in _listed(root, _KERAS_2):
        arrays = arrays_in(root[name])
        layers: dict[str, list[Any]] = {}
        for path in _listed(root[name], "weight_names"):
            layers.setdefault(_owner(name, path, known), []).append(arrays[path])
        found += [
            StoredLayer(name=one, kind=known.get(one, ""), arrays={f"vars/{at}": array for at, array in enumerate(own)})
            for one, own in layers.items()
        ]
    return sorted(found, key=lambda layer: position.get(layer.name, 0)) if known else found


def _leaves(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for layer in layers_of(config):
        yield from _leaves(layer) if layers_of(layer) else (layer,)


def _owner(entry: str, path: str, known: Mapping[str, str]) -> str:
    """The layer that a weight of an entry belongs to: the entry itself, or a layer of the nested model that it stands for."""
    parts = path.split("/")[:-1]
    if not parts or entry in known or (not known and entry in parts):
        return entry
    return next((part for part in reversed(parts) if part in known), parts[-1])


def _listed(group: h5py.Group, name: str) -> list[str]:
    """The texts of an attribute, which Keras 2 splits into several where they are long."""
    parts: Iterable[Any] = (
        [group.attrs[name]] if name in group.attrs else (group.attrs[key] for key in _numbered_keys(group, name))
    )
    return [text.decode() if isinstance(text, bytes) else str(text) for part in parts for text in part]


def _numbered_keys(group: h5py.Group, name: str) -> Iterator[str]:
    number = 0
    while f"{name}{number}" in group.attrs:
        yield f"{name}{number}"
        number += 1


def _sort_of_number(array: h5py.Dataset) -> str:
    return "float" if array.dtype.kind in "fV" else str(array.dtype)
