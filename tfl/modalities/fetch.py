"""Fetching the pretrained weights of a network to where Keras or KerasHub looks for them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfl.backbones.weight_files import PAGE, is_whole, weights_folders
from tfl.errors import BackboneError, WeightsNotFoundError
from tfl.modalities import hub, hub_cache
from tfl.modalities.image.backbones import catalog
from tfl.quiet import load_tensorflow
from tfl.recipe import Backbone

CONNECT_S, STALL_S = 10.0, 60.0
"""How long to wait for a server to answer at all, and for further bytes of a file."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """Weights on this machine.

    Args:
        folder: Where they lie.
        files: Their names.
        address: The URL that they are fetched from; empty for weights that ship with tfl.
        bytes: Their size together.
        sha256: Of the weights file; of several, of all one after the other.
        fetched: Whether they were fetched now; else they were there.
    """

    folder: Path
    files: tuple[str, ...]
    address: str
    bytes: int
    sha256: str
    fetched: bool


def fetch(backbone: Backbone, *, image_size: tuple[int, int] | None = None) -> Fetched:
    """Fetches the pretrained weights of a network, unless they are there. TensorFlow is imported only to fetch.

    The constructors of Keras Applications fetch the file, compare its hash where Keras knows it, and load it; KerasHub fetches
    a preset.

    Args:
        backbone: A network of the catalog with its arguments, or a preset of KerasHub.
        image_size: (height, width) in pixels; some networks have weights of their own for several sizes. Defaults to None,
            the network's own.

    Raises:
        BackboneError: There is no such network, or an argument does not fit.
        WeightsNotFoundError: There are no such weights, they cannot be fetched, or the folder cannot be written.
        MissingExtraError: KerasHub is needed and not installed.

    Example:

    >>> import tfl
    >>> from tfl.modalities.fetch import fetch
    >>> fetch(tfl.Backbone("mini")).fetched
    False
    """
    if backbone.name not in catalog.names():
        if hub_cache.address_of(backbone.name) or backbone.name.startswith(hub.ADDRESSES):
            return _fetch_preset(backbone.name)
        if Path(backbone.name).expanduser().exists():
            raise BackboneError(f"{backbone.name} is on this machine: there is nothing to fetch.")
    return _fetch_application(catalog.entry(backbone.name), backbone, image_size)


def _fetch_application(entry: catalog.Entry, backbone: Backbone, image_size: tuple[int, int] | None) -> Fetched:
    entry.check_arguments(backbone.arguments)
    if entry.name == "mini":
        from tfl.modalities.image.backbones.mini import WEIGHTS_FILE

        return _described(WEIGHTS_FILE.parent, [WEIGHTS_FILE.name], "", fetched=False)
    folder = weights_folders()[0]
    name = entry.weights_file_for(backbone.arguments, image_size)
    address = entry.address_of(name)
    if is_whole(folder / name):
        return _described(folder, [name], address, fetched=False)
    by_hand = (
        f"Fetch that file on another machine and copy it into {folder} as {name}, or set KERAS_HOME to another folder that holds "
        f"models/{name}"
    )
    with _in_words(f"The weights of {entry.name}", address, by_hand):
        _ask(address)
        _make_room(folder, name)
        load_tensorflow()
        import keras

        asked = image_size if image_size and image_size[0] == image_size[1] and image_size[0] in entry.sizes else None
        shape = (*(asked or (entry.native_size, entry.native_size)), 3)
        build = getattr(keras.applications, entry.name)
        build(include_top=False, weights="imagenet", input_shape=shape, **dict(backbone.arguments))
        if not is_whole(folder / name):
            raise OSError(f"Keras did not leave it in {folder}")
    return _described(folder, [name], address, fetched=True)


def _fetch_preset(name: str) -> Fetched:
    hub.require_extra(needed_for=f"The network `{name}`")
    address = _page_of(hub_cache.address_of(name) or name)
    if (found := _cached(name)) is None:
        names = f"{hub.CONFIG}, {hub.WEIGHTS} and the other files of the preset"
        by_hand = f"{names} belong in one folder, which a recipe names as its backbone. {hub.OWN_FOLDER}"
        with _in_words(f"The preset `{name}`", address, by_hand):
            _ask(address)
            load_tensorflow()
            _load_preset(name)
            if (found := _cached(name)) is None:
                raise OSError("KerasHub did not leave it in its cache")
        return _described(found, _weights_of(found), address, fetched=True)
    return _described(found, _weights_of(found), address, fetched=False)


def _load_preset(name: str) -> None:
    """Loads all that a recipe needs of a preset, so that it is fetched."""
    import keras_hub

    from tfl.modalities.image.backbones.presets import is_preset

    hub.load_backbone(name)
    part = keras_hub.layers.ImageConverter if is_preset(name) else keras_hub.models.Tokenizer
    hub.loaded(name, part.from_preset)


def _cached(name: str) -> Path | None:
    return next((preset.folder for preset in hub_cache.presets() if preset.name == name), None)


def _weights_of(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*.weights.h5"))


def _page_of(address: str) -> str:
    """The URL of a preset's page, on which its files are."""
    scheme, _, rest = address.partition("://")
    start = {"kaggle": "https://www.kaggle.com/models/", "hf": "https://huggingface.co/"}
    return start.get(scheme, "https://modelscope.cn/models/") + rest


def _ask(address: str) -> None:
    """Makes sure that a server answers for an address, without fetching what is there: Keras and kagglehub wait for long."""
    request = urllib.request.Request(address, method="HEAD", headers={"User-Agent": "tfl"})
    with urllib.request.build_opener().open(request, timeout=CONNECT_S):
        pass


def _make_room(folder: Path, name: str) -> None:
    """Makes sure that the folder can be written: Keras would take another one in silence. What was cut off is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK) or not os.access(folder.parent, os.W_OK):
        raise PermissionError(f"{folder} cannot be written: set KERAS_HOME to a folder that can")
    (folder / name).unlink(missing_ok=True)


@contextlib.contextmanager
def _in_words(what: str, address: str, by_hand: str) -> Iterator[None]:
    """Says whatever goes wrong in one message, and waits for no server longer than for a minute."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_S)
    try:
        yield
    except Exception as error:  # urllib, http, ssl, Keras and kagglehub raise their own kinds
        cause = _cause(error)
        raise WeightsNotFoundError(
            f"{what} cannot be fetched from {address}: {cause}.", fix=f"{by_hand.rstrip('.')}. All ways: {PAGE}."
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _cause(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"no connection ({error.reason})"
    return (str(error).strip() or type(error).__name__).split("\n")[0][:300].rstrip(".")


def _described(folder: Path, names: Sequence[str], address: str, *, fetched: bool) -> Fetched:
    digest: Any = hashlib.sha256()
    for name in names:
        with (folder / name).open("rb") as handle:
            while part := handle.read(1 << 20):
                digest.update(part)
    size = sum((folder / name).stat().st_size for name in names)
    return Fetched(folder=folder, files=tuple(names), address=address, bytes=size, sha256=digest.hexdigest(), fetched=fetched)
