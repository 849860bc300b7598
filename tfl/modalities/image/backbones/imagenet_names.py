"""The names of ImageNet's 1000 classes, from the file that Keras keeps beside its weights."""

from __future__ import annotations

import json
from pathlib import Path

import keras

from tfl.backbones.weight_files import PAGE, find_imagenet_file, weights_folders
from tfl.errors import WeightsNotFoundError

FILE = "imagenet_class_index.json"
ADDRESS = f"https://storage.googleapis.com/download.tensorflow.org/data/{FILE}"
CLASSES = 1000
MD5 = "c2c37ea517e94d9795004a39431a14cb"
"""As `keras.applications.imagenet_utils.decode_predictions` fetches it in Keras 3.15.1."""


def imagenet_names() -> tuple[str, ...]:
    """The names in the order of the outputs, such as `Egyptian_cat`; Keras fetches the file where it is missing.

    Raises:
        WeightsNotFoundError: The file is not on this machine and cannot be fetched, or is damaged.
    """
    file = find_imagenet_file(FILE)
    if file is None:
        try:
            file = Path(keras.utils.get_file(FILE, ADDRESS, cache_subdir="models", file_hash=MD5))
        except Exception as error:
            first = (str(error).strip() or type(error).__name__).split("\n")[0][:200]
            raise WeightsNotFoundError(
                f"The names of ImageNet's classes are not on this machine: looked for {FILE} in {weights_folders()[0]}, and "
                f"Keras could not download it ({first}).",
                fix=f"Fetch {ADDRESS} elsewhere and put it there, or go online. All ways: {PAGE}.",
            ) from error
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
        return tuple(str(index[str(place)][1]) for place in range(CLASSES))
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise WeightsNotFoundError(
            f"{file} is damaged, or no list of ImageNet's classes: {type(error).__name__}: {error}.",
            fix=f"Remove it, and fetch it again from {ADDRESS}.",
        ) from error
