"""From the bytes of an image file to its pixels, by graph operations alone: an exported model decodes as training did."""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from tfl.modalities.image.exif import exif_orientation, png_orientation, turn_upright, webp_orientation

_PNG = b"\x89PNG\r\n\x1a\n"


def decode_image(contents: tf.Tensor, bits: int | None = None) -> tf.Tensor:
    """The pixels of an encoded image, upright and RGB; works inside a graph.

    JPEG (grey, RGB, CMYK, YCCK), PNG (alpha is dropped), GIF and WebP (the first frame), BMP (8-bit palettes, 24 and 32 bits),
    JPEG XL. JPEG, PNG and WebP are turned as their EXIF orientation says, and JPEG XL as its own header says. Files of other
    formats are converted first: `tfl.modalities.image.convert`.

    Args:
        contents: Scalar string, the bytes of the file.
        bits: How many bits of 16-bit values are in use, 8 to 16: the highest 8 of them are kept, and larger values become 255.
            None means 16. Files of 8 bits do not change.

    Returns:
        `(height, width, 3)` uint8.

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no whole image of one of these formats.
    """
    pixels: tf.Tensor = _decoder(bits)(contents)
    return pixels


@functools.cache
def _decoder(bits: int | None) -> Callable[[tf.Tensor], tf.Tensor]:
    """Some 300 operations, which are traced once a process and not once for each graph that decodes images."""
    signature = [tf.TensorSpec([], tf.string)]
    return tf.function(lambda contents: _decode(contents, bits), input_signature=signature, autograph=False)


def _decode(contents: tf.Tensor, bits: int | None) -> tf.Tensor:
    starts = {"jpeg": b"\xff\xd8\xff", "bmp": b"BM"}
    known = {name: tf.equal(tf.strings.substr(contents, 0, len(start)), start) for name, start in starts.items()}
    image = tf.cond(
        known["jpeg"],
        lambda: _decode_jpeg(contents),
        lambda: tf.cond(known["bmp"], lambda: _decode_bmp(contents), lambda: _decode_other(contents, bits)),
    )
    return tf.ensure_shape(image, (None, None, 3))


def _decode_jpeg(contents: tf.Tensor) -> tf.Tensor:
    """The accurate transform equals libjpeg's default, and so Pillow's; TensorFlow's own default is the coarser one."""
    pixels = tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")
    return turn_upright(pixels, exif_orientation(contents))


def _decode_bmp(contents: tf.Tensor) -> tf.Tensor:
    """TensorFlow takes 8-bit BMP for grey; here its palette is looked up: BGR and a spare byte each, after the headers."""
    header = tf.cast(tf.io.decode_raw(tf.strings.substr(contents, 0, 64), tf.uint8), tf.int32)
    header = tf.pad(header, [[0, 64]])

    def with_palette() -> tf.Tensor:
        start, pixels_at = 14 + _little_endian(header, 14), _little_endian(header, 10)
        palette = tf.io.decode_raw(tf.strings.substr(contents, start, tf.maximum(pixels_at - start, 0)), tf.uint8)
        colours = tf.reshape(palette[: tf.size(palette) // 4 * 4], (-1, 4))[:, 2::-1]
        return tf.gather(colours, tf.cast(tf.io.decode_bmp(contents, channels=0)[..., 0], tf.int32))

    has_palette = tf.equal(header[28], 8) & tf.equal(header[30], 0)  # bits a pixel, no compression
    return tf.cond(has_palette, with_palette, lambda: _decode_true_colour_bmp(contents))


def _decode_true_colour_bmp(contents: tf.Tensor) -> tf.Tensor:
    """24 or 32 bits. What else TensorFlow reads (8 bits, compressed) has one channel and is refused by the caller."""
    return tf.io.decode_bmp(contents, channels=0)[:, :, :3]


def _little_endian(header: tf.Tensor, at: int) -> tf.Tensor:
    return header[at] + 256 * header[at + 1] + 65536 * header[at + 2]


def _has_alpha_or_frames(contents: tf.Tensor) -> tf.Tensor:
    """Whether a WebP has an alpha channel or is animated, which TensorFlow refuses to decode as RGB.

    An extended header says so in bits 16 and 2 (developers.google.com/speed/webp/docs/riff_container); a lossless picture without
    one says in bit 28 after its signature whether alpha is used (webp_lossless_bitstream_specification, 3).
    """
    header = tf.pad(tf.io.decode_raw(tf.strings.substr(contents, 0, 25), tf.uint8), [[0, 25]])
    extended = tf.reduce_all(header[8:16] == tf.constant(list(b"WEBPVP8X"), tf.uint8))
    lossless = tf.reduce_all(header[8:16] == tf.constant(list(b"WEBPVP8L"), tf.uint8))
    marked = extended & (tf.bitwise.bitwise_and(header[20], 16 | 2) > 0)
    return marked | (lossless & (tf.bitwise.bitwise_and(header[24], 16) > 0))


def _decode_webp_as_rgba(contents: tf.Tensor) -> tf.Tensor:
    """The first frame without its alpha. An animation is read only if the header announces alpha (bit 16); so it is made to."""
    extended = tf.equal(tf.strings.substr(contents, 12, 4), b"VP8X")
    announcing = tf.constant([bytes([flags | 16]) for flags in range(256)])
    flags = tf.cast(tf.io.decode_raw(tf.strings.substr(contents, 20, 1), tf.uint8)[0], tf.int32)
    parts = [tf.strings.substr(contents, 0, 20), tf.gather(announcing, flags), tf.strings.substr(contents, 21, 2**31 - 1)]
    contents = tf.cond(extended, lambda: tf.strings.join(parts), lambda: contents)
    return tf.image.decode_webp(contents, channels=4)[0, :, :, :3]


def _decode_other(contents: tf.Tensor, bits: int | None) -> tf.Tensor:
    """PNG, WebP, GIF and JPEG XL. TensorFlow's decoder of JPEG XL turns the image itself; a GIF has no EXIF block."""
    is_png = tf.equal(tf.strings.substr(contents, 0, len(_PNG)), _PNG)
    is_webp = tf.equal(tf.strings.substr(contents, 0, 4), b"RIFF")
    pixels = tf.cond(is_webp, lambda: _decode_webp(contents), lambda: _decode_png_or_other(contents, bits))
    orientation = tf.cond(
        is_png,
        lambda: png_orientation(contents),
        lambda: tf.cond(is_webp, lambda: webp_orientation(contents), lambda: tf.constant(1)),
    )
    return turn_upright(pixels, orientation)


def _decode_webp(contents: tf.Tensor) -> tf.Tensor:
    return tf.cond(
        _has_alpha_or_frames(contents), lambda: _decode_webp_as_rgba(contents), lambda: _decode_by_tensorflow(contents)
    )


def _decode_png_or_other(contents: tf.Tensor, bits: int | None) -> tf.Tensor:
    if bits is None or bits == 16:
        return _decode_by_tensorflow(contents)
    header = tf.pad(tf.io.decode_raw(tf.strings.substr(contents, 0, 25), tf.uint8), [[0, 25]])
    is_deep = tf.reduce_all(header[:8] == tf.constant(list(_PNG), tf.uint8)) & tf.equal(header[24], 16)
    return tf.cond(is_deep, lambda: _decode_deep_png(contents, bits), lambda: _decode_by_tensorflow(contents))


def _decode_deep_png(contents: tf.Tensor, bits: int) -> tf.Tensor:
    """A PNG of 16 bits a channel of which the lowest `bits` are in use."""
    values = tf.cast(tf.io.decode_png(contents, channels=3, dtype=tf.uint16), tf.int32)
    return tf.cast(tf.minimum(tf.bitwise.right_shift(values, bits - 8), 255), tf.uint8)


def _decode_by_tensorflow(contents: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(contents, channels=3, expand_animations=False)
