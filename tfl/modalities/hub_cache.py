"""Which presets of KerasHub lie on this machine, found from files alone: no TensorFlow, no KerasHub, no network.

KerasHub fetches its own presets with kagglehub, into `KAGGLEHUB_CACHE` (`~/.cache/kagglehub`), and those of `hf://` addresses
with huggingface_hub, into `HF_HUB_CACHE` (`HF_HOME/hub`, `~/.cache/huggingface/hub`). The layouts are those of kagglehub 1.0 and
huggingface_hub 2.4.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tfl.backbones.weight_files import is_whole
from tfl.modalities import hub

_ADDRESS = re.compile(r"kaggle://([\w.-]+)/([\w.-]+)/keras/([\w.-]+)/(\d+)")


@dataclass(frozen=True)
class Preset:
    """A preset on this machine.

    Args:
        name: What a recipe names it by: a name of KerasHub, an address, or the path of its folder.
        folder: Where its files lie.
    """

    name: str
    folder: Path


def kaggle_folder() -> Path:
    """Where kagglehub keeps what it fetched."""
    return Path(os.environ.get("KAGGLEHUB_CACHE") or "~/.cache/kagglehub").expanduser() / "models"


def hugging_face_folder() -> Path:
    """Where huggingface_hub keeps what it fetched."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    stated = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(stated or Path(home) / "hub").expanduser()


def presets(folders: Iterable[Path | str] = ()) -> Iterator[Preset]:
    """The presets with whole weights in the caches, and in these folders.

    Args:
        folders: Folders of presets, or presets themselves.

    Example:

    >>> from tfl.modalities.hub_cache import presets
    >>> all(preset.folder.is_dir() for preset in presets())
    True
    """
    yield from _of_kaggle()
    yield from _of_hugging_face()
    for folder in folders:
        base = Path(folder).expanduser()
        for each in [base, *sorted(base.glob("*/"))]:
            if has_weights(each):
                yield Preset(str(each), each)


def has_weights(folder: Path) -> bool:
    """Whether a folder is a preset with whole weights, in one file or in several."""
    if not (folder / hub.CONFIG).is_file():
        return False
    files = [file for file in folder.glob("*.weights.h5") if file.name.startswith("model")]
    return bool(files) and all(is_whole(file) for file in files)


def address_of(name: str) -> str | None:
    """The address that KerasHub fetches one of its own presets from; None for any other name, and without KerasHub.

    It is read from the text of KerasHub's own files.

    Example:

    >>> from tfl.modalities.hub_cache import address_of
    >>> address_of("bert_tiny_en_uncased")  # doctest: +SKIP
    'kaggle://keras/bert/keras/bert_tiny_en_uncased/3'
    """
    return _addresses().get(name)


@functools.cache
def _addresses() -> dict[str, str]:
    found = importlib.util.find_spec("keras_hub")
    if found is None or found.origin is None:
        return {}
    files = (Path(found.origin).parent / "src" / "models").glob("*/*_presets.py")
    texts = "".join(file.read_text(encoding="utf-8") for file in sorted(files))
    return {match[3]: match[0] for match in _ADDRESS.finditer(texts)}


def _of_kaggle() -> Iterator[Preset]:
    for folder in sorted(kaggle_folder().glob("*/*/keras/*/*/")):
        owner, model, _, variation, version = folder.parts[-5:]
        name = f"kaggle://{owner}/{model}/keras/{variation}/{version}"
        own = address_of(variation)
        if own is not None and own.startswith(f"kaggle://{owner}/{model}/"):
            if own != name:
                continue  # this KerasHub fetches another version
            name = variation
        if _is_complete(folder) and has_weights(folder):
            yield Preset(name, folder)


def _is_complete(folder: Path) -> bool:
    """Whether kagglehub noted that it fetched the settings and the weights; else it fetches them again."""
    marks = folder.parent / ".complete" / folder.name
    return all((marks / f"{name}.complete").is_file() for name in (hub.CONFIG, hub.WEIGHTS))


def _of_hugging_face() -> Iterator[Preset]:
    for folder in sorted(hugging_face_folder().glob("models--*--*/")):
        _, owner, model = folder.name.split("--", 2)
        try:
            revision = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
        except OSError:
            continue
        snapshot = folder / "snapshots" / revision
        if has_weights(snapshot):
            yield Preset(f"hf://{owner}/{model}", snapshot)
