"""What people read for the kinds of finding that are about images."""

from __future__ import annotations

TITLES = {
    "not_an_image": "Files that are no images",
    "beyond_bits": "Brighter than data.bits allows",
    "unused_bits": "16-bit images of fewer bits",
    "uneven_bits": "16-bit images of fewer bits than those of other classes",
    "several_pages": "TIFF files of several pages",
    "near_leaks": "Leaks: the same photo in several splits",
    "near_conflicting_labels": "The same photo under different labels",
    "near_duplicates": "Copies of a photo",
    "odd_modes": "Odd modes",
    "odd_sizes": "Odd sizes",
    "odd_aspect_ratios": "Odd shapes",
    "exif_rotated": "Rotated by EXIF",
    "dark": "Dark pictures",
    "overexposed": "Overexposed pictures",
    "blank": "Blank pictures",
    "blurred": "Blurred pictures",
    "boxes_empty": "Boxes without width or height",
    "boxes_outside": "Boxes outside of their picture",
    "boxes_clipped": "Boxes that reach over the edge",
    "boxes_doubled": "Boxes that are there twice",
    "boxes_of_two_classes": "Boxes of two classes at one place",
    "boxes_missing": "Pictures without an annotation",
    "box_images_missing": "Annotated pictures that are not there",
    "boxes_read": "How the boxes were read",
    "exclude_unknown": "Lines that fit no image",
}
