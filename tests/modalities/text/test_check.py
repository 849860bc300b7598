"""Which contents are texts."""

from __future__ import annotations

import pytest

from tfl.modalities.text.check import MOST_BYTES, TROUBLES, check, readable


@pytest.mark.parametrize(
    ("content", "trouble"),
    [
        (b"", "zero_bytes"),
        (b" \n\t\xc2\xa0", "blank"),
        (b"\xef\xbb\xbf", "blank"),
        (b"a" * (MOST_BYTES + 1), "too_large"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "binary"),
        (b"a\x00b", "binary"),
        ("café".encode("latin-1"), "not_utf8"),
        ("a film".encode("utf-16"), "not_utf8"),
        (b"a fine film", ""),
        ("\ufeffсмешной фильм\r\n🎬".encode(), ""),
        (b"\x1b[1mbold\x1b[0m", ""),
    ],
)
def test_contents(content: bytes, trouble: str) -> None:
    found = check(content)
    assert found.trouble == trouble
    assert trouble in TROUBLES or found.format == "text"


def test_where_it_is_no_utf8_is_said() -> None:
    assert check(b"caf\xe9 au lait").detail == "the byte 0xe9 at position 3"


def test_a_byte_order_mark_goes() -> None:
    assert readable(b"\xef\xbb\xbfa film") == b"a film" == readable(b"a film")
