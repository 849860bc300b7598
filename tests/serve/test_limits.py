"""What an image would take to decode, told from its header."""

import pytest
from image_of import gif_of, jpeg, png_bomb

from tfl.errors import BadImageError
from tfl.modalities.shipping import shipping_of_about

SHIPPING = shipping_of_about({})


def cost(content):
    return SHIPPING.cost(content, most=20_000)


def test_a_photo_weighs_its_pixels():
    assert cost(jpeg(size=(100, 200))) == 20_000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (jpeg(size=(101, 200)), "more than 20,000 pixels"),
        (png_bomb(), "million pixels"),
        (gif_of(3), "more than 20,000 pixels"),
        (b"", "empty"),
        (b"once upon a time", "not an image"),
    ],
)
def test_what_would_take_too_much_or_is_none_is_refused(content, words):
    with pytest.raises(BadImageError, match=words):
        cost(content)


def test_all_frames_of_an_animation_count():
    assert cost(gif_of(2)) == 20_000


def test_a_jpeg_of_many_scans_counts_as_more_work():
    photo = jpeg(size=(100, 100))
    at = photo.index(b"\xff\xda")
    end = photo.rindex(b"\xff\xd9")
    many = photo[:at] + photo[at:end] * 60 + photo[end:]
    assert cost(photo) == 10_000
    with pytest.raises(BadImageError, match="as much work"):
        cost(many)
