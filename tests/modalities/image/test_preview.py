"""Previews of images: small copies without another file, and colour where an attribution is high."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image

import tfl
from tfl.modalities.image.modality import ImageModality
from tfl.modalities.image.preview import overlay, patch_heat


def _png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def _pictures(html: str) -> list[np.ndarray]:
    found = re.findall(r"base64,([^\"]+)", html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB")) for one in found]


MODALITY = ImageModality(tfl.Data("x", image_size=(32, 48)))


def test_an_image_is_shown_whole_and_small() -> None:
    preview = MODALITY.preview(_png(np.full((300, 600, 3), 90, np.uint8)))
    (shown,) = _pictures(preview.html)
    assert shown.shape == (112, 224, 3) and preview.text == "600 × 300 px"
    assert 'width="224" height="112"' in preview.html and "pixelated" not in preview.html


def test_a_tiny_image_keeps_every_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 3)).astype(np.uint8)
    preview = MODALITY.preview(_png(pixels))
    np.testing.assert_array_equal(_pictures(preview.html)[0], pixels)
    assert "pixelated" in preview.html


def test_an_attribution_is_laid_over_what_the_network_sees() -> None:
    heat = np.zeros((32, 48), np.float32)
    heat[:8, :8] = 1.0
    plain, coloured = _pictures(MODALITY.preview(_png(np.full((64, 96, 3), 120, np.uint8)), attribution=heat).html)
    assert plain.shape == coloured.shape == (32, 48, 3) and (plain == 120).all()
    assert (coloured[10:, 10:] == 120).all() and abs(int(coloured[0, 0, 1]) - int(coloured[0, 0, 2])) > 50


def test_patches_of_a_transformer_become_a_map() -> None:
    tokens = np.array([5.0, *np.eye(3).ravel()])  # a class token, then three rows of patches
    heat = patch_heat(tokens, (30, 30))
    assert heat.shape == (30, 30) and heat[4, 4] == heat.max() and heat[4, 25] < 0.05


def test_overlay_colours_only_where_it_is_warm() -> None:
    image = np.full((4, 6, 3), 120, np.uint8)
    heat = np.zeros((4, 6))
    heat[0, 0] = 1.0
    shown = overlay(image, heat)
    assert shown.shape == image.shape and shown.dtype == np.uint8
    assert (shown[1:] == 120).all() and abs(int(shown[0, 0, 1]) - int(shown[0, 0, 2])) > 50
