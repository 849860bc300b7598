"""The EXIF orientation of an image, read and applied by graph operations, so that an exported model turns photos as training did.

The EXIF block is a TIFF header and directory (Exif 2.32). Where it stands: in JPEG, the segment APP1 with the text `Exif`
(ITU-T T.81, annex B); in PNG, the chunk `eXIf` (PNG specification, third edition, 11.3.4.6); in WebP, the chunk `EXIF` of a file
whose header announces it (developers.google.com/speed/webp/docs/riff_container).
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

_SEARCHED_BYTES = 2**18
_ORIENTATION_TAG, _SHORT, _LONG = 0x0112, 3, 4
_MOST_CHUNKS = 2**14
"""That are walked over: a PNG of 100 MB has as many, and a hostile one would have millions."""
_EXIF_FLAG = 8
"""Of the flags in the header of an extended WebP file."""


def exif_orientation(contents: tf.Tensor) -> tf.Tensor:
    """The orientation that a JPEG's EXIF block states, 1 to 8; 1 (upright) where it states none that is valid.

    Args:
        contents: Scalar string, the bytes of a JPEG file.

    Returns:
        Scalar int32.
    """
    searched = tf.strings.substr(contents, 0, _SEARCHED_BYTES)
    # Most files hold the text nowhere: one search for it is several times as fast as the walk over the segments.
    may_state = tf.strings.regex_full_match(searched, r"(?s)\C*Exif\x00\x00\C*")
    return tf.cond(may_state, lambda: _walk(searched), lambda: tf.constant(1))


def _walk(searched: tf.Tensor) -> tf.Tensor:
    raw = tf.io.decode_raw(searched, tf.uint8)
    size = tf.size(raw)
    data = tf.pad(tf.cast(raw, tf.int32), [[0, 32]])
    start = _find_tiff(data, size)
    return tf.cond(start >= 0, lambda: _read_orientation(data, size, start), lambda: tf.constant(1))


def _find_tiff(data: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Where the TIFF header starts; -1 without an Exif segment. Walks from segment to segment up to the image data."""
    exif = tf.constant(list(b"Exif\x00\x00"), tf.int32)

    def step(at: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        marker, length = data[at + 1], 256 * data[at + 2] + data[at + 3]
        is_exif = tf.equal(marker, 0xE1) & tf.reduce_all(data[at + 4 : at + 10] == exif)
        ends = tf.not_equal(data[at], 0xFF) | tf.equal(marker, 0xDA) | tf.equal(marker, 0xD9)
        after = tf.where(tf.equal(marker, 0xFF), at + 1, at + 2 + tf.maximum(length, 2))
        return tf.where(ends, size, after), tf.where(is_exif & ~ends, at + 10, -1)

    _, found = tf.while_loop(
        lambda at, found: (found < 0) & (at + 10 <= size), step, (tf.constant(2), tf.constant(-1)), parallel_iterations=1
    )
    return found


def png_orientation(contents: tf.Tensor) -> tf.Tensor:
    """As `exif_orientation`, of the bytes of a PNG file: its first `eXIf` chunk, before or after the pixels.

    It is searched for in the first and in the last 256 KB of the file.
    """
    head = tf.strings.substr(contents, 0, _SEARCHED_BYTES)
    tail = tf.strings.substr(contents, -tf.minimum(tf.strings.length(contents), _SEARCHED_BYTES), _SEARCHED_BYTES)
    may_state = tf.reduce_any(tf.strings.regex_full_match(tf.stack([head, tail]), r"(?s)\C*eXIf\C*"))
    return tf.cond(may_state, lambda: _of_block(_png_chunk(contents, b"eXIf")), lambda: tf.constant(1))


def webp_orientation(contents: tf.Tensor) -> tf.Tensor:
    """As `exif_orientation`, of the bytes of a WebP file; 1 where its header announces no EXIF block."""
    header = tf.pad(tf.io.decode_raw(tf.strings.substr(contents, 0, 21), tf.uint8), [[0, 21]])
    extended = tf.reduce_all(header[12:16] == tf.constant(list(b"VP8X"), tf.uint8))
    states = extended & (tf.bitwise.bitwise_and(header[20], _EXIF_FLAG) > 0)
    return tf.cond(states, lambda: _of_block(_webp_chunk(contents, b"EXIF")), lambda: tf.constant(1))


def _png_chunk(contents: tf.Tensor, kind: bytes) -> tf.Tensor:
    """The first chunk of that type, without length, type and checksum; empty where there is none."""

    def read(head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        length = 16777216 * head[0] + 65536 * head[1] + 256 * head[2] + head[3]
        return tf.reduce_all(head[4:] == tf.constant(list(kind), tf.int64)), length

    return _find_chunk(contents, read, first=8, around=12)


def _webp_chunk(contents: tf.Tensor, kind: bytes) -> tf.Tensor:
    """The first chunk of that type, without type and length; empty where there is none. Chunks have even lengths."""

    def read(head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        length = head[4] + 256 * head[5] + 65536 * head[6] + 16777216 * head[7]
        return tf.reduce_all(head[:4] == tf.constant(list(kind), tf.int64)), length

    return _find_chunk(contents, read, first=12, around=8, even=True)


def _find_chunk(
    contents: tf.Tensor,
    read: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    *,
    first: int,
    around: int,
    even: bool = False,
) -> tf.Tensor:
    """Walks from chunk to chunk until `read` of the first eight bytes of one says that it is the one, and how long it is.

    Args:
        contents: The file.
        read: Of eight numbers: whether this is the chunk, and the length of its data.
        first: Where the first chunk starts.
        around: Bytes of a chunk besides its data.
        even: Whether data of an odd length is followed by a byte of padding.
    """
    size = tf.cast(tf.strings.length(contents), tf.int64)

    def look(at: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        raw = tf.io.decode_raw(tf.strings.substr(contents, at, 8), tf.uint8)
        return read(tf.ensure_shape(tf.cast(raw, tf.int64), (8,)))

    def step(at: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found, length = look(at)
        after = at + around + length + (length % 2 if even else 0)
        return tf.where(found, at, tf.minimum(after, size)), found

    at, found = tf.while_loop(
        lambda at, found: ~found & (at + 8 <= size),
        step,
        (tf.constant(first, tf.int64), tf.constant(False)),
        parallel_iterations=1,
        maximum_iterations=_MOST_CHUNKS,
    )
    return tf.cond(
        found, lambda: tf.strings.substr(contents, at + 8, tf.minimum(look(at)[1], _SEARCHED_BYTES)), lambda: tf.constant(b"")
    )


def _of_block(block: tf.Tensor) -> tf.Tensor:
    """The orientation that an EXIF block states. Some programs put the text of a JPEG's segment before it."""
    raw = tf.io.decode_raw(block, tf.uint8)
    start = tf.where(tf.equal(tf.strings.substr(block, 0, 6), b"Exif\x00\x00"), 6, 0)
    return _read_orientation(tf.pad(tf.cast(raw, tf.int32), [[0, 32]]), tf.size(raw), start)


def _read_orientation(data: tf.Tensor, size: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    big = tf.equal(data[start], ord("M"))

    def u16(at: tf.Tensor) -> tf.Tensor:
        first, second = tf.gather(data, at), tf.gather(data, at + 1)
        return tf.where(big, 256 * first + second, first + 256 * second)

    def u32(at: tf.Tensor) -> tf.Tensor:
        first, second = tf.cast(u16(at), tf.int64), tf.cast(u16(at + 2), tf.int64)
        return tf.where(big, 65536 * first + second, first + 65536 * second)

    offset = tf.minimum(u32(start + 4), tf.cast(size, tf.int64))
    directory = tf.minimum(start + tf.cast(offset, tf.int32), size)
    count = tf.clip_by_value(u16(directory), 0, tf.maximum((size - directory - 2) // 12, 0))
    entries = directory + 2 + 12 * tf.range(count)
    kinds = u16(entries + 2)
    values = tf.where(tf.equal(kinds, _SHORT), u16(entries + 8), tf.cast(tf.minimum(u32(entries + 8), 9), tf.int32))
    fits = (
        tf.equal(u16(entries), _ORIENTATION_TAG)
        & (tf.equal(kinds, _SHORT) | tf.equal(kinds, _LONG))
        & (values >= 1)
        & (values <= 8)
    )
    stated = tf.concat([[1], tf.boolean_mask(values, fits)], axis=0)
    return stated[-1]


def turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """`image` `(height, width, 3)` turned as `orientation` (1 to 8) says: a transpose and two flips make all eight."""

    def turned() -> tf.Tensor:
        upright = tf.cond(orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
        mirrored = tf.reduce_any(orientation == tf.constant([2, 3, 6, 7]))
        flipped = tf.reduce_any(orientation == tf.constant([3, 4, 7, 8]))
        upright = tf.cond(mirrored, lambda: tf.reverse(upright, [1]), lambda: upright)
        return tf.cond(flipped, lambda: tf.reverse(upright, [0]), lambda: upright)

    return tf.cond(orientation > 1, turned, lambda: image)
