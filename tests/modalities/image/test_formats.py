"""Files are called by their name, with what to do about them."""

from __future__ import annotations

import pytest

from tfl.modalities.image.headers import read_header

BOX = b"\0\0\0\x18ftyp%b\0\0\0\0%b%b"
NAMED = {
    "damaged heic": (BOX % (b"mif1", b"mif1", b"heic"), "HEIC is damaged"),
    "cr3": (BOX % (b"crx ", b"crx ", b"isom"), "CR3"),
    "mp4": (BOX % (b"isom", b"mp42", b"avc1"), "video (MP4"),
    "mov": (BOX % (b"qt  ", b"qt  ", b"qt  "), "QuickTime"),
    "avi": (b"RIFF\0\0\0\0AVI LIST", "video (AVI)"),
    "cr2": (b"II*\0\x10\0\0\0CR\2\0", "CR2"),
    "raf": (b"FUJIFILMCCD-RAW 0201", "RAF"),
    "rw2": (b"IIU\0\x18\0\0\0", "RW2"),
    "psd": (b"8BPS\0\1", "Photoshop"),
    "svg": (b"<?xml version='1.0'?>\n<!-- drawn -->\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    "pdf": (b"%PDF-1.7\n", "PDF"),
    "dicom": (bytes(128) + b"DICM", "DICOM"),
    "html": (b"\xef\xbb\xbf\n <!DOCTYPE html><html><title>404</title>", "HTML"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
    "apple double": (b"\0\5\x16\7\0\2\0\0Mac OS X", "AppleDouble"),
    "zip": (b"PK\3\4", "ZIP"),
    "text": (b"once upon a time", "text: 'once upon a time'"),
    "unknown": (b"\1\2\3\4\5", "starts with 01020304"),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_file_that_is_not_read_is_named(name: str) -> None:
    contents, words = NAMED[name]
    header = read_header(contents)
    assert header.trouble and words in header.detail
    if name not in ("text", "unknown"):
        assert "starts with" not in header.detail
