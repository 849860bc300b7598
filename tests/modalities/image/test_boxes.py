"""Boxes move with the pixels, and are drawn on them."""

import numpy as np
import pytest

import tfl
from tfl.errors import BadImageError
from tfl.modalities.files import array_content
from tfl.modalities.image.augment import augment_batch, moved_boxes
from tfl.modalities.image.boxes import DrawnBox, drawn, shown_size


@pytest.mark.parametrize("flip", ["none", "horizontal", "vertical", "both"])
def test_a_drawn_rectangle_is_where_its_box_says(flip):
    pictures, rows = np.zeros((16, 40, 60, 3), np.float32), np.full((16, 10), np.nan, np.float32)
    pictures[:, 10:20, 6:30] = 255.0
    rows[:, :5] = (1, 6 / 60, 10 / 40, 30 / 60, 20 / 40)
    settings, indices = tfl.Augment(flip=flip), np.arange(16)
    changed, boxes = augment_batch(pictures, rows, indices, augment=settings, seed=3, view=1, boxes=True)
    for picture, row in zip(changed.numpy(), boxes.numpy(), strict=True):
        high, wide = np.nonzero(picture[..., 0] > 127)
        seen = [1, wide.min() / 60, high.min() / 40, (wide.max() + 1) / 60, (high.max() + 1) / 40]
        assert row[:5] == pytest.approx(seen, abs=0.02) and np.isnan(row[5:]).all()
    assert len({row.tobytes() for row in boxes.numpy()}) == {"none": 1, "both": 4}.get(flip, 2)
    alone = moved_boxes(rows, indices, augment=settings, seed=3, view=1)
    np.testing.assert_array_equal(alone, boxes)


def test_a_picture_is_drawn_with_its_boxes():
    content = array_content(np.full((30, 40, 3), 200, np.uint8))
    page = drawn(content, [DrawnBox(0, "cell <1>", (0.1, 0.1, 0.5, 0.5)), DrawnBox(1, "", (0, 0, 1, 1), dashed=True)])
    assert page.count("<rect") == 2 and "cell &lt;1&gt;" in page and "stroke-dasharray" in page
    assert shown_size(content) == (40, 30) and shown_size(b"no image") is None
    with pytest.raises(BadImageError):
        drawn(b"no image", [])
