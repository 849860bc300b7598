"""Where the boxes of a picture lie once it is flipped, how large it is shown, and how it is drawn with its boxes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from tfl.modalities.image.headers import read_header

if TYPE_CHECKING:
    import tensorflow as tf


def flip_boxes(targets: tf.Tensor, mirrored: tf.Tensor, turned: tf.Tensor) -> tf.Tensor:
    """Boxes as they lie once pictures are flipped, as graph operations.

    Args:
        targets: `(n, boxes * 5)` float32: class, left, top, right, bottom of each, as shares of the picture; NaN for no box.
        mirrored, turned: `(n,)` bool: whether left and right, or top and bottom, of each picture are exchanged.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.image.boxes import flip_boxes
    >>> row = np.array([[1, 0.25, 0.5, 0.5, 0.75]], np.float32)
    >>> flip_boxes(row, [True], [False]).numpy().tolist()
    [[1.0, 0.5, 0.5, 0.75, 0.75]]
    """
    import tensorflow as tf

    name, left, top, right, bottom = tf.unstack(tf.reshape(targets, (tf.shape(targets)[0], -1, 5)), axis=-1)
    mirrored, turned = tf.convert_to_tensor(mirrored)[:, None], tf.convert_to_tensor(turned)[:, None]
    left, right = tf.where(mirrored, 1.0 - right, left), tf.where(mirrored, 1.0 - left, right)
    top, bottom = tf.where(turned, 1.0 - bottom, top), tf.where(turned, 1.0 - top, bottom)
    return tf.reshape(tf.stack([name, left, top, right, bottom], axis=-1), tf.shape(targets))


def shown_size(content: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels of an image file as it is shown, turned as its EXIF orientation says; None for no image.

    Example:

    >>> from tfl.modalities.files import array_content
    >>> import numpy as np
    >>> shown_size(array_content(np.zeros((4, 6, 3), np.uint8)))
    (6, 4)
    """
    header = read_header(content)
    if header.trouble:
        return None
    try:
        with Image.open(io.BytesIO(content)) as image:
            turned = image.getexif().get(_ORIENTATION, 1) in _LYING
    except (OSError, ValueError, SyntaxError):  # a format that Pillow does not read, which has no EXIF that is followed
        turned = False
    return (header.height, header.width) if turned else (header.width, header.height)


_ORIENTATION, _LYING = 0x0112, (5, 6, 7, 8)
