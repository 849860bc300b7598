"""Does an export say what its model says? The same files through both, the largest difference, and every changed label."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfl.data.pipeline import preprocess_batch
from tfl.errors import ExportError
from tfl.recipe import Data

TOLERANCE = 1e-5
_BATCH = 16


def check_parity(
    model: keras.Model, saved_model_folder: Path, files: Sequence[Path | bytes], data: Data, *, tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """Compares the probabilities of a Keras model and of the SavedModel made from it.

    Args:
        model: From pixels in 0..255 to probabilities.
        saved_model_folder: What `export_saved_model` returned.
        files: Paths of image files, or their contents.
        data: The recipe's data: image size and fit.
        tolerance: The largest difference of a probability that still holds.

    Returns:
        `largest_difference`, `changed_labels` (how many files), `count`, `tolerance`, `holds`.

    Raises:
        ExportError: They disagree by more than the tolerance, or the SavedModel cannot be loaded.
    """
    if not files:
        raise ExportError("There is no file to compare the export on.", fix="Give it at least one image.")
    contents = [file if isinstance(file, bytes) else Path(file).read_bytes() for file in files]
    try:
        served = tf.saved_model.load(str(saved_model_folder)).signatures["serving_default"]
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        raise ExportError(f"{saved_model_folder} cannot be loaded: {error}") from error

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def ours(image_bytes: tf.Tensor) -> tf.Tensor:
        return tf.cast(model(preprocess_batch(image_bytes, data.image_size, data.fit), training=False), tf.float32)

    differences, changed = [], 0
    for start in range(0, len(contents), _BATCH):
        batch = tf.constant(contents[start : start + _BATCH])
        expected, exported = ours(batch).numpy(), served(image_bytes=batch)["probabilities"].numpy()
        differences.append(np.abs(expected - exported).max())
        changed += int((expected.argmax(-1) != exported.argmax(-1)).sum())
    largest = float(np.max(differences))  # NaN stays NaN, and then does not hold
    result = {
        "largest_difference": largest,
        "changed_labels": changed,
        "count": len(contents),
        "tolerance": tolerance,
        "holds": largest <= tolerance,
    }
    if not result["holds"]:
        raise ExportError(
            f"The export disagrees with its model by {largest:.2g} in probability ({changed} of {len(contents)} labels change).",
            allowed=f"a difference of at most {tolerance:g}",
        )
    return result


def probe_images(*, seed: int = 0) -> list[bytes]:
    """Contents of a few drawn image files: JPEG, PNG, GIF and BMP; colour, grey and alpha; small, large, and not square.

    For comparing an export where no photo is at hand.
    """
    from PIL import Image

    random = np.random.default_rng(seed)
    contents = []
    for position, (width, height) in enumerate(((64, 64), (211, 97), (33, 400), (500, 375))):
        at = np.stack(np.meshgrid(np.arange(width), np.arange(height))).reshape(2, -1)
        waves = np.sin(random.uniform(0, 0.2, (3, 2)) @ at + position).T.reshape(height, width, 3)
        pixels = 127 + 90 * waves + random.normal(0, 12, waves.shape)
        picture = Image.fromarray(np.clip(pixels, 0, 255).astype("uint8"))
        for name, mode in (("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "RGBA"), ("GIF", "RGB"), ("BMP", "RGB")):
            buffer = io.BytesIO()
            picture.convert(mode).save(buffer, name)
            contents.append(buffer.getvalue())
    return contents
