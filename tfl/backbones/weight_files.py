"""Weights files: where they lie, how they are loaded, and what to say when they cannot be had."""

from __future__ import annotations

import os
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from tfl.errors import BackboneError, WeightsNotFoundError

if TYPE_CHECKING:
    import keras


PAGE = "docs/weights.md"
"""Where it is written how weights come to a machine."""


def weights_folders() -> list[Path]:
    """Where Keras keeps the weights it downloads: `KERAS_HOME/models`, else `~/.keras/models`."""
    home = os.environ.get("KERAS_HOME")
    return [(Path(home) if home else Path("~/.keras")).expanduser() / "models"]


def find_imagenet_file(*file_names: str) -> Path | None:
    """The first of these files that is on this machine.

    A network has files of their own for some input sizes; a convolution's weights fit every size, so the file for 224 px
    stands in for one that is not there.
    """
    for name in file_names:
        for folder in weights_folders():
            if (folder / name).is_file():
                return folder / name
    return None


_HDF5 = b"\x89HDF\r\n\x1a\n"
_END_AT = {0: 40, 1: 44, 2: 28, 3: 28}
"""Where the superblock of each version says how long the file is (HDF5 File Format Specification 3.0, section II.A)."""


def is_whole(file: Path) -> bool:
    """Whether a file begins as HDF5 and is as long as it says: a download that was cut off is shorter. Reads 64 bytes.

    Args:
        file: Of weights; any other path, also one where nothing is, answers False.

    Example:

    >>> from pathlib import Path
    >>> is_whole(Path("none.h5"))
    False
    """
    try:
        with file.open("rb") as handle:
            start = handle.read(64)
        length = file.stat().st_size
    except OSError:
        return False
    if len(start) < 64 or not start.startswith(_HDF5) or start[8] not in _END_AT:
        return False
    offset_bytes = start[13] if start[8] < 2 else start[9]
    end_at = _END_AT[start[8]]
    return offset_bytes == 8 and length >= int.from_bytes(start[end_at : end_at + 8], "little")


def refuse_bomb(file: Path) -> None:
    """Makes sure that a packed file does not unpack to very much more than it is: Keras stores weights as they are.

    Raises:
        BackboneError: It would. Keras itself refuses only what unpacks to more than 4 GB.
    """
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > 50_000_000 + 20 * (packed := file.stat().st_size):
        raise BackboneError(
            f"{file} was made to fill the memory.",
            received=f"{packed / 1e6:.1f} MB that unpack to {unpacked / 1e6:,.0f} MB",
            allowed="a model or weights as Keras saves them, nearly unpacked",
        )


def load_weights_file(model: keras.Model, file: Path, *, name: str, with_top: bool = False) -> None:
    """Loads `file` (`.h5` or `.weights.h5`, saved without the classifier unless `with_top`) into `model`.

    Raises:
        WeightsNotFoundError: There is no such file.
        BackboneError: It is damaged or of another network.
    """
    from tfl.backbones.saving import remember_skipped_attributes

    file = Path(os.path.expanduser(file))
    if not file.is_file():
        raise WeightsNotFoundError(
            f"There is no weights file {file}.", fix="Name an existing file, or use weights=None for random ones."
        )
    remember_skipped_attributes()
    try:
        refuse_bomb(file)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*freshly-initialized weights")  # Keras would go on half loaded
            model.load_weights(file)
    except BackboneError:
        raise
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).split("\n")[0][:300]
        raise BackboneError(
            f"The weights in {file} do not fit {name}: {first}",
            fix="The file must be whole and hold this network's weights "
            + ("with" if with_top else "without")
            + f" its classifier (include_top={with_top}).",
        ) from error


def not_found(name: str, file_name: str, error: Exception, *, with_top: bool = False) -> WeightsNotFoundError:
    """The error for ImageNet weights, `with_top` those with the classifier, that are not here and that Keras could not fetch."""
    first = (str(error).strip() or type(error).__name__).split("\n")[0][:200]
    folder, what = weights_folders()[0], f"{name} with its classifier" if with_top else name
    return WeightsNotFoundError(
        f"The ImageNet weights of {what} are not on this machine: looked for {file_name} in {folder}, "
        f"and Keras could not download it ({first}).",
        fix=f"Put that file there (or set KERAS_HOME to the folder that holds models/{file_name}), go online, "
        + (
            "or name another file with weights=PATH. "
            if with_top
            else "name another file with weights=PATH, or use weights=None for random ones; the backbone `mini` needs no "
            "download. "
        )
        + f"All ways: {PAGE}.",
    )
