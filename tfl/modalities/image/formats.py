"""The name of a file's format by its first bytes, and what to do with a file of a format that is not read."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CONVERT = "convert it to JPEG or PNG"
_EXPORT = "export it as JPEG, PNG or TIFF with the camera's software, darktable or RawTherapee"
_SCIENCE = "export it as 8- or 16-bit TIFF or PNG from the program that wrote it"
_FRAMES = "save single frames as images, for example with ffmpeg"
_UNPACK = "unpack it first"


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes:
        name: As its users call it.
        is_image: Whether it holds an image at all.
        advice: How the image in it can be used, where tfl does not read the format.
    """

    name: str
    is_image: bool
    advice: str


CR2 = b"CR\x02\x00"
"""At byte 8 of a Canon raw file, which is built like a TIFF."""
_BY_START = (
    (8, CR2, Format("a camera raw file (CR2)", True, _EXPORT)),
    (0, b"FUJIFILMCCD-RAW", Format("a camera raw file (RAF)", True, _EXPORT)),
    (0, b"IIU\0", Format("a camera raw file (RW2)", True, _EXPORT)),
    (0, b"IIRO", Format("a camera raw file (ORF)", True, _EXPORT)),
    (0, b"IIRS", Format("a camera raw file (ORF)", True, _EXPORT)),
    (0, b"MMOR", Format("a camera raw file (ORF)", True, _EXPORT)),
    (0, b"FOVb", Format("a camera raw file (X3F)", True, _EXPORT)),
    (0, b"8BPS", Format("PSD (Photoshop)", True, _CONVERT)),
    (0, b"\x76\x2f\x31\x01", Format("OpenEXR", True, _CONVERT)),
    (0, b"#?RADIANCE", Format("Radiance HDR", True, _CONVERT)),
    (0, b"\x00\x00\x01\x00", Format("ICO", True, _CONVERT)),
    (0, b"qoif", Format("QOI", True, _CONVERT)),
    (0, b"DDS ", Format("DDS", True, _CONVERT)),
    (0, b"gimp xcf", Format("XCF (GIMP)", True, _CONVERT)),
    (0, b"SIMPLE  =", Format("FITS", True, _SCIENCE)),
    (0, b"ZISRAWFILE", Format("CZI (Zeiss)", True, _SCIENCE)),
    (0, b"\xda\xce\xbe\x0a", Format("ND2 (Nikon)", True, _SCIENCE)),
    (128, b"DICM", Format("DICOM", True, "export it as PNG or TIFF, for example with dcm2img of DCMTK")),
    (0, b"%PDF", Format("a PDF document", False, "save its pages as images, for example with pdftoppm -png")),
    (0, b"%!PS", Format("a PostScript file", False, "render it to PNG, for example with Ghostscript")),
    (0, b"\x1aE\xdf\xa3", Format("a video (Matroska or WebM)", False, _FRAMES)),
    (0, b"\x00\x00\x01\xba", Format("a video (MPEG)", False, _FRAMES)),
    (8, b"AVI ", Format("a video (AVI)", False, _FRAMES)),
    (8, b"WAVE", Format("a sound (WAV)", False, "leave it out")),
    (0, b"PK\x03\x04", Format("a ZIP archive", False, _UNPACK)),
    (0, b"\x1f\x8b", Format("a gzip archive", False, _UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", Format("a 7z archive", False, _UNPACK)),
    (0, b"Rar!", Format("a RAR archive", False, _UNPACK)),
    (0, b"\x89HDF", Format("an HDF5 file", False, "save its images as PNG")),
    (0, b"\x93NUMPY", Format("a NumPy array", False, "save its images as PNG, or all of them as one .npz file")),
    (0, b"SQLite format 3", Format("an SQLite database", False, "leave it out")),
    (0, b"\xd0\xcf\x11\xe0", Format("a Microsoft Office file or thumbnail cache", False, "leave it out")),
    (0, b"\x00\x05\x16\x07", Format("macOS metadata (AppleDouble), not the photo itself", False, "leave it out")),
    (0, b"version https://git-lfs", Format("a Git LFS pointer, not the photo itself", False, "fetch it with: git lfs pull")),
)
_BRANDS = {
    "AVIF": (b"avif", b"avis"),
    "HEIC": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"),
    "CR3": (b"crx ",),
    "HEIF": (b"mif1", b"mif2", b"msf1"),
}
"""Of the `ftyp` box (ISO/IEC 14496-12); more than one may stand there, and the first that is listed decides."""
_TEXTS = (
    (rb"<!doctype html|<html|<head", "an HTML page, probably an error page of the download", "download the image again"),
    (rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!doctype svg[^>]*>\s*)?<svg", "SVG", "render it to PNG"),
    (rb"<\?xml", "an XML file", "leave it out"),
)


def unread_format(content: bytes) -> Format | None:
    """The format of a file that tfl does not read as an image, by its first bytes; None where it is not known.

    Args:
        content: The file, or its first kilobyte.

    Example:

    >>> from tfl.modalities.image.formats import unread_format
    >>> unread_format(b"%PDF-1.7 ...").name
    'a PDF document'
    """
    for at, start, found in _BY_START:
        if content.startswith(start, at):
            return found
    if (brand := media_brand(content)) is not None:
        return _of_brand(brand)
    head = content[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for pattern, name, advice in _TEXTS:
        if re.match(pattern, head, re.DOTALL):
            return Format(name, name == "SVG", advice)
    return None


def media_brand(content: bytes) -> str | None:
    """`AVIF`, `HEIC`, `HEIF`, `CR3` or `video` for a file that starts with an `ftyp` box; None for any other.

    Example:

    >>> from tfl.modalities.image.formats import media_brand
    >>> media_brand(b"\\0\\0\\0\\x18ftypmif1\\0\\0\\0\\0mif1heic")
    'HEIC'
    """
    if content[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(content[:4], "big"), 256)
    brands = {content[8:12], *(content[at : at + 4] for at in range(16, end, 4))}
    return next((name for name, known in _BRANDS.items() if brands & set(known)), "video")


def _of_brand(brand: str) -> Format:
    if brand == "video":
        return Format("a video (MP4 or QuickTime)", False, _FRAMES)
    if brand == "CR3":
        return Format("a camera raw file (CR3)", True, _EXPORT)
    return Format(brand, True, _CONVERT)


def camera_raw(name: str) -> Format:
    """A camera's raw file that is built like a TIFF; `name` is such as `DNG`."""
    return Format(f"a camera raw file ({name})", True, _EXPORT)
