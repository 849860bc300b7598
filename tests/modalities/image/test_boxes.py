"""Boxes move with the pixels."""

import numpy as np
import pytest

from tfl.modalities.image.boxes import flip_boxes, resize_boxes
from tfl.modalities.image.resize import resize_image


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("shape", [(90, 121), (133, 80)])
def test_a_drawn_rectangle_is_found_where_its_box_says(fit, shape):
    left, top, right, bottom = box = (30, 35, 62, 71)
    picture = np.zeros((*shape, 3), np.float32)
    picture[top:bottom, left:right] = 255
    rows, columns = np.nonzero(resize_image(picture, (64, 48), fit).numpy()[..., 0] > 127)
    drawn = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert resize_boxes(np.array([box], float), shape, (64, 48), fit)[0] == pytest.approx(drawn, abs=0.75)


def test_a_box_cut_off_is_empty_and_two_flips_are_none():
    (left, _, right, _) = resize_boxes(np.array([[0.0, 0, 10, 10]]), (100, 200), (50, 50), "crop")[0]
    assert left == right == 0
    boxes = np.array([[1.0, 2, 3, 4], [0, 0, 9, 9]])
    assert flip_boxes(flip_boxes(boxes, 12), 12).tolist() == boxes.tolist()
