"""Whether a content is a text, before it is tokenised. No TensorFlow is imported here."""

from __future__ import annotations

from tfl.modalities.base import Checked

MOST_BYTES = 2**20
"""The largest text that is read, 1 MiB: about 200,000 words, of which an encoder reads a few hundred."""
TROUBLES = {
    "unreadable": "cannot be read",
    "zero_bytes": "is empty (zero bytes)",
    "blank": "holds nothing but white space",
    "too_large": f"is too large: more than {MOST_BYTES:,} bytes",
    "binary": "is not a text",
    "not_utf8": "is not UTF-8",
    "undecodable": "cannot be tokenised",
}
FIXES = {
    "not_utf8": "convert files of other encodings (iconv -f ENCODING -t UTF-8)",
    "too_large": "cut long texts into parts",
}
ALLOWED = f"text in UTF-8; at most {MOST_BYTES:,} bytes"
_BOM = b"\xef\xbb\xbf"
_WIDE = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_BINARY = {0} | set(range(1, 9)) | set(range(14, 27)) | set(range(28, 32))
"""Control characters that texts do not have: all but tab, line ends, form feed and escape."""


def check(content: bytes) -> Checked:
    """Whether a content is a text that can be used; `cost` is its size in bytes.

    Example:

    >>> from tfl.modalities.text.check import check
    >>> check(b"a fine film").trouble, check(b"caf\\xe9").trouble, check(b"\\x7fELF\\x00\\x01").trouble
    ('', 'not_utf8', 'binary')
    """
    if not content:
        return Checked(trouble="zero_bytes")
    if len(content) > MOST_BYTES:
        return Checked(trouble="too_large", detail=f"{len(content):,} bytes")
    for mark, name in _WIDE:
        if content.startswith(mark):
            return Checked(trouble="not_utf8", detail=f"it is {name}")
    if found := next((byte for byte in content if byte in _BINARY), None):
        return Checked(trouble="binary", detail=f"it has the byte 0x{found:02x}")
    if 0 in content:
        return Checked(trouble="binary", detail="it has the byte 0x00")
    try:
        text = content.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        return Checked(trouble="not_utf8", detail=f"the byte 0x{content[error.start]:02x} at position {error.start:,}")
    if not text.strip():
        return Checked(trouble="blank")
    return Checked(format="text", cost=len(content), about={"characters": len(text)})


def readable(content: bytes) -> bytes:
    """The text without a byte order mark."""
    return content.removeprefix(_BOM)
