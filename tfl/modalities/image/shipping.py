"""What exports and the server need of images: drawn files, the work that decoding takes, and a way to pixels by Pillow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tfl.errors import BadImageError
from tfl.modalities.image.bits import unused_bits_text
from tfl.modalities.image.convert import largest_value, readable_by_graph
from tfl.modalities.image.headers import (
    MOST_PIXELS,
    SMALLEST_SIDE,
    Header,
    is_deep_png,
    jpeg_scans,
    no_size_warnings,
    read_header,
)
from tfl.modalities.image.modality import PIXELS, ImageModality
from tfl.modalities.image.pillow import pillow_pixels, reading_lines
from tfl.modalities.shipping import Reading, Shipping, stated_size
from tfl.recipe import Data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNDECODABLE = "damaged, or not an image of a format that tfl reads"
_WHY = {
    "zero_bytes": "empty",
    "not_an_image": "not an image: {}",
    "unsupported_format": "a format that is not read: {}",
    "too_large": f"{{}}: more than {MOST_PIXELS // 1_000_000} million pixels, or as much work",
    "undecodable": UNDECODABLE,
}
_ANIMATED = ("GIF", "WEBP")
_PILLOW_NOTE = (
    "The model takes pixels, and what decodes the photo decides a little of the answer. These lines turn a photo upright and "
    "resize it as in training (fit `{fit}`); Pillow rounds otherwise than TensorFlow, so a pixel may differ by one or two of "
    "255, and a probability by a little. `parity.json`, beside this folder, has how much on the run's own test images. "
    "{deep} of 16 bits a channel need another decoder, and HEIC files need `pillow_heif.register_heif_opener()` first. The "
    "SavedModel holds its own decoder and needs none of this."
)
_CONTENT_NOTE = (
    "Decoding (JPEG, PNG, GIF, BMP, WebP, JPEG XL), EXIF orientation, resizing (fit `{fit}`), preprocessing and labels are "
    "inside. The signature `pixels` takes RGB of 0 to 255 instead, float32 `(batch, {height}, {width}, 3)`. TensorFlow Serving "
    "takes the folder above this one, and warms up on `assets.extra/tf_serving_warmup_requests`.\n\n"
    "TIFF, AVIF, HEIC, JPEG 2000 and PNM files cannot be decoded inside the graph. `tfl predict` and `tfl serve` convert them. "
    "Anywhere else, convert them to PNG first, for example with Pillow (HEIC after `pillow_heif.register_heif_opener()`; grey "
    'images of 16 bits without `.convert`): `ImageOps.exif_transpose(Image.open("photo.tif")).convert("RGB").save("photo.png")`.'
)
_BITS_NOTE = (
    "16-bit images: the model expects values of {bits} bits, from 0 to {largest:,}; larger ones count as white. Images of 8 bits "
    "are taken as they are."
)


class ImageShipping(Shipping):
    """See `tfl.modalities.shipping.Shipping`."""

    example: ClassVar[str] = 'open("photo.jpg", "rb").read()'
    takes: ClassVar[str] = "the content of image files"
    warm_up: ClassVar[tuple[str, ...]] = ("jpeg-rgb-large.jpg", "png-rgb-wide.png")
    reading: ClassVar[str] = "pillow"
    unit: ClassVar[str] = "pixels"
    formats: ClassVar[str] = "JPEG, PNG, WebP, GIF, BMP, JPEG XL, TIFF, AVIF, HEIC, JPEG 2000 and PNM are read."
    modality: ImageModality

    @classmethod
    def of_about(cls, about: Mapping[str, Any]) -> ImageShipping:
        """The images of an export; damaged entries count as missing, for they are not needed to answer."""
        bits = about.get("bits")
        return cls(
            ImageModality(
                Data(
                    "export",
                    image_size=stated_size(about),
                    fit=about["fit"] if about.get("fit") in ("stretch", "crop", "pad") else "stretch",
                    bits=bits if isinstance(bits, int) and 8 <= bits <= 16 else None,
                )
            )
        )

    @property
    def data(self) -> Data:
        """Size, fit and bits."""
        return self.modality.data

    def golden(self) -> dict[str, bytes]:
        """See `tfl.modalities.image.golden.golden_images`."""
        from tfl.modalities.image.golden import golden_images

        return dict(golden_images())

    def cost(self, content: bytes, *, most: int) -> int:
        """The pixels that decoding an image file takes, all frames of an animation together. Nothing is decompressed.

        Raises:
            BadImageError: It is no image, or would take too much; the message says why.
        """
        header = read_header(content)
        if header.trouble:
            raise BadImageError(why_not(header))
        pixels = header.width * header.height * (_frames(content) if header.kind in _ANIMATED else 1)
        work = pixels * max(1, jpeg_scans(content) // 10) if header.kind in ("JPEG", "MPO") else pixels
        if work > most:
            raise BadImageError(f"{header.width:,}×{header.height:,}: more than {most:,} pixels, or as much work")
        return pixels

    def accept(self, content: bytes) -> bytes:
        """The file as the graph decodes it, once its header says that it is one that training would take.

        Raises:
            BadImageError: It is no image, would take too much memory, or has values that the model was not trained on.
        """
        with no_size_warnings():
            header = read_header(content)
            if header.trouble:
                raise BadImageError(why_not(header))
            if min(header.width, header.height) < SMALLEST_SIDE:
                raise BadImageError(f"smaller than {SMALLEST_SIDE}×{SMALLEST_SIDE} pixels ({header.width}×{header.height})")
            readable = readable_by_graph(content)
        bits, largest = self.data.bits, _largest(readable)
        if bits is not None and largest >= 2**bits:
            raise BadImageError(f"values up to {largest:,}; the model was trained on {bits} bits, up to {2**bits - 1:,}")
        return readable

    def facts(self, contents: Mapping[str, bytes]) -> dict[str, int]:
        """The largest value of each image of 16 bits."""
        return {name: largest for name, content in contents.items() if (largest := _largest(content))}

    def notes(self, facts: Mapping[str, Any]) -> list[str]:
        """That images of 16 bits use only some of them."""
        if self.data.bits is None and (text := unused_bits_text(dict(facts))):
            return [f"{text}: the model takes them for 16 bits. Scale them as its training images were."]
        return []

    def shown(self, content: bytes) -> dict[str, Any]:
        """The image as it was decoded."""
        from tfl.modalities.image.shown import shown_picture

        return {"picture": shown_picture(self._pixels(content))}

    def explained(self, content: bytes, attribution: NDArray[np.float32]) -> dict[str, Any]:
        """The map, laid where the network saw the image."""
        from tfl.modalities.image.preview import patch_heat
        from tfl.modalities.image.shown import heat_picture, in_words, placed_heat

        if attribution.ndim == 1:
            attribution = patch_heat(attribution, self.data.settled_size)
        placed = placed_heat(attribution, self._pixels(content).shape[:2], self.data.fit)
        return {"grad_cam": heat_picture(placed), "looked": in_words(placed)}

    def _pixels(self, content: bytes) -> NDArray[np.uint8]:
        import tensorflow as tf

        from tfl.modalities.image.decode import decode_image

        pixels: NDArray[np.uint8] = decode_image(tf.constant(content), self.data.bits).numpy()
        return pixels

    def undecodable(self) -> str:
        """Damage behind the header."""
        return UNDECODABLE

    def tensor_meanings(self) -> dict[str, str]:
        """The pixels."""
        return {PIXELS: "RGB, 0 to 255, upright"}

    def content_note(self) -> str:
        """What the graph decodes, and what it does not."""
        height, width = self.data.settled_size
        note = _CONTENT_NOTE.format(fit=self.data.fit, height=height, width=width)
        return f"{note}\n\n{self._bits_note()}".strip()

    def how_to_read(self, folder: Path | None = None) -> Reading:
        """By Pillow and NumPy; see `tfl.modalities.image.pillow`."""
        deep = "Images" if self.data.bits is None else "Colours"
        note = _PILLOW_NOTE.format(fit=self.data.fit, deep=deep)
        return Reading(
            name=self.reading,
            packages="numpy pillow",
            imports="import numpy as np\nfrom PIL import Image, ImageOps\n",
            lines=reading_lines(self.data),
            note=f"{note}\n\n{self._bits_note()}".strip(),
        )

    def read(self, content: bytes) -> NDArray[np.float32]:
        """See `tfl.modalities.image.pillow.pillow_pixels`."""
        return pillow_pixels(content, self.data)

    def _bits_note(self) -> str:
        bits = self.data.bits
        return "" if bits is None else _BITS_NOTE.format(bits=bits, largest=2**bits - 1)


SHIPPING = ImageShipping


def why_not(header: Header) -> str:
    """Why an image file with this header is not decoded, in words."""
    return _WHY[header.trouble].format(header.detail or UNDECODABLE)


def _largest(content: bytes) -> int:
    """The largest value of a PNG of 16 bits; zero for other files."""
    return largest_value(content) if is_deep_png(content) else 0


def _frames(content: bytes) -> int:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        return int(getattr(image, "n_frames", 1))
