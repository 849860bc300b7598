"""Images: from encoded files or arrays of pixels to one float32 tensor 0..255 at the network's size."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfl.errors import BadImageError
from tfl.modalities.base import Audited, Checked, Preview, TensorSpec
from tfl.modalities.image.audit.titles import TITLES
from tfl.modalities.image.bits import refuse_unused_bits
from tfl.modalities.image.check import ALLOWED, FIXES, TROUBLES, check_arrays, file_findings
from tfl.modalities.image.convert import IN_GRAPH, IN_GRAPH_BOXED, largest_value, readable_by_graph
from tfl.modalities.image.headers import MOST_BYTES, SMALLEST_SIDE, no_size_warnings, read_header
from tfl.modalities.image.network import SeenByImageNetwork
from tfl.recipe import DETECT

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

    import tfl
    from tfl.modalities.image.audit.checks import ImageChecks

DECODE_VERSION = "tfl 3"
"""Part of the key of stored features; raise the number when other pixels come of the same bytes."""
PIXELS = "pixels"
COMPARED = 96
"""Pixels of a side at which images of two sources are compared."""


CONTENT_INPUT = "image_bytes"
"""Name of the input of an export that takes contents."""


@dataclass(frozen=True)
class ImageModality(SeenByImageNetwork):
    """Images at one size.

    Args:
        data: The data of a recipe, whose `settled_size`, `fit` and `bits` decide the pixels.
        pooling: String, as `Head.pooling`, which image transformers have to know. Defaults to `avg`.
        boxes: Boolean, whether targets are boxes, which move with the pixels. Defaults to False.
    """

    data: tfl.Data
    pooling: str = "avg"
    boxes: bool = False
    kind: ClassVar[str] = "image"
    noun: ClassVar[str] = "image"
    nouns: ClassVar[str] = "images"
    content_input: ClassVar[str] = CONTENT_INPUT
    most_bytes: ClassVar[int] = MOST_BYTES
    troubles: ClassVar[Mapping[str, str]] = TROUBLES
    trouble_fixes: ClassVar[Mapping[str, str]] = FIXES
    allowed: ClassVar[str] = ALLOWED
    near_copies: ClassVar[str] = "show the same photo, encoded, resized, cropped or mirrored"
    titles: ClassVar[Mapping[str, str]] = TITLES
    audit_reads_tensors: ClassVar[bool] = True
    small_preview_media: ClassVar[str] = "image/jpeg"
    audit_libraries: ClassVar[Sequence[str]] = ("cleanvision.issue_managers.image_property_issue_manager",)

    @property
    def size(self) -> tuple[int, int]:  # type: ignore[override]
        """(height, width) in pixels."""
        return self.data.settled_size

    def identity(self) -> dict[str, Any]:
        """Versions, size, fit and bits; equal to what keys of stored features held before there were other modalities."""
        import keras
        import tensorflow as tf

        decided: dict[str, Any] = {
            "decode": f"{DECODE_VERSION}, tensorflow {tf.__version__}, keras {keras.__version__}",
            "image_size": list(self.data.settled_size),
            "fit": self.data.fit,
        }
        return decided if self.data.bits is None else {**decided, "bits": self.data.bits}

    def about(self) -> dict[str, Any]:
        """What a person is told of the identity."""
        return {"image_size": list(self.data.settled_size)}

    def size_text(self) -> str:
        """Height and width in pixels."""
        height, width = self.data.settled_size
        return f"at {height} × {width} px"

    def spec(self) -> dict[str, TensorSpec]:
        """One tensor, `pixels`: `(height, width, 3)` float32, kept on disk as uint8."""
        return {PIXELS: TensorSpec((*self.data.settled_size, 3), "float32", stored_as="uint8")}

    def check(self, content: bytes) -> Checked:
        """What the header says: `about` has `width`, `height`, `pages`, and `largest`, the largest value of a file of 16 bits."""
        header = read_header(content)
        if header.trouble:
            return Checked(trouble=header.trouble, detail=header.detail)
        if min(header.width, header.height) < SMALLEST_SIDE:
            return Checked(trouble="too_small", detail=f"{header.width}×{header.height}")
        largest, bits = 0, self.data.bits
        if header.bits == 16:
            try:
                largest = largest_value(content)
            except BadImageError as error:
                return Checked(trouble="undecodable", detail=str(error))
        if bits is not None and largest >= 2**bits:
            return Checked(trouble="beyond_bits", detail=f"up to {largest:,}; {bits} bits allow {2**bits - 1:,}")
        about = {"width": header.width, "height": header.height, "largest": largest, "pages": header.pages}
        return Checked(format=header.kind, cost=header.width * header.height * 3, about=about)

    def checking(self) -> AbstractContextManager[None]:
        """Silences the warnings of Pillow, which every header that is read may cause."""
        return no_size_warnings()

    def check_arrays(self, arrays: Any, source: str) -> None:
        """See `tfl.modalities.image.check.check_arrays`."""
        check_arrays(arrays, source)

    def file_findings(self, examples: Any, files: Sequence[Checked]) -> list[dict[str, Any]]:
        """See `tfl.modalities.image.check.file_findings`."""
        return file_findings(examples, files, bits=self.data.bits)

    def refuse_files(self, findings: Sequence[Mapping[str, Any]], source: str) -> None:
        """See `tfl.modalities.image.bits.refuse_unused_bits`."""
        refuse_unused_bits(findings, source)

    def readable(self, content: bytes) -> bytes:
        """The file itself, or as PNG where the graph does not decode its format.

        Raises:
            BadImageError: It cannot be converted.
        """
        return readable_by_graph(content)

    def convert(self, content: tf.Tensor) -> tf.Tensor:
        """`readable` within a dataset: Python is called only for files of formats that the graph does not decode."""
        import tensorflow as tf

        start = tf.strings.substr(content, 0, 2)
        in_graph = tf.reduce_any(tf.equal(start, tf.constant(IN_GRAPH)))
        boxed = tf.equal(tf.strings.substr(content, 0, len(IN_GRAPH_BOXED)), IN_GRAPH_BOXED)
        return tf.cond(in_graph | boxed, lambda: content, lambda: _converted(content))

    def decode(self, content: tf.Tensor) -> tf.Tensor:
        """`(height, width, 3)` float32 from a scalar string; traced once a process and not once an epoch."""
        from tfl.modalities.image.resize import preprocessor

        return preprocessor(self.data.settled_size, self.data.fit, self.data.bits)(content)

    def decode_array(self, array: tf.Tensor) -> tf.Tensor:
        """`(height, width, 3)` float32 from an array of pixels, grey or RGB."""
        from tfl.modalities.image.resize import resize_image

        return resize_image(_as_rgb(array), self.data.settled_size, self.data.fit)

    def encode(self, contents: tf.Tensor) -> tf.Tensor:
        """`(batch, height, width, 3)` float32 from the bytes of image files."""
        from tfl.modalities.image.resize import preprocess_batch

        return preprocess_batch(contents, self.data.settled_size, self.data.fit, self.data.bits)

    def augmenter(self, settings: tfl.Augment) -> Callable[..., tuple[Any, Any]]:
        """See `tfl.modalities.image.augment.augmenter`."""
        from tfl.modalities.image.augment import augmenter

        return augmenter(settings, boxes=self.boxes)

    def augmented_targets(
        self, settings: tfl.Augment, targets: NDArray[np.float32], indices: NDArray[np.int64], *, seed: int, view: int
    ) -> NDArray[np.float32]:
        """Boxes move with the pixels; other targets stay as they are."""
        if not self.boxes:
            return targets
        from tfl.modalities.image.augment import moved_boxes

        return np.asarray(moved_boxes(targets, indices, augment=settings, seed=seed, view=view), np.float32)

    def sample_tensors(self, count: int, *, seed: int = 0) -> NDArray[np.float32]:
        """Random pixels, `(count, height, width, 3)`."""
        rng = np.random.default_rng(seed)
        return rng.uniform(0, 255, (count, *self.data.settled_size, 3)).astype(np.float32)

    def recipe_notes(self, asked: tfl.Recipe) -> list[tuple[str, str]]:
        """A note about an image size that is assumed, or far from the one that the weights were trained at."""
        from tfl.modalities.image.backbones.settle import size_note

        note = size_note(asked)
        return [] if note is None else [("image_size", note)]

    def preview(self, content: bytes, *, attribution: NDArray[np.float32] | None = None) -> Preview:
        """The image itself; with an attribution, the image as the network sees it, next to the same with colour."""
        from tfl.modalities.image.preview import preview

        return preview(content, data=self.data, attribution=attribution)

    def small_preview(self, read: Callable[[], bytes], tensors: Any) -> bytes:
        """A JPEG of what the network sees."""
        from tfl.modalities.image.preview import small_jpeg

        return small_jpeg(tensors)

    def audit_checks(self, audited: Audited) -> ImageChecks:
        """See `tfl.modalities.image.audit.checks`."""
        from tfl.modalities.image.audit.checks import ImageChecks

        return ImageChecks(audited)

    def compared_with(self, data: tfl.Data) -> tuple[tfl.Data, tfl.Backbone | None]:
        """At 96 px, with the features of `mini`, which was trained at that size."""
        from tfl.recipe import Backbone

        return dataclasses.replace(data, image_size=(COMPARED, COMPARED)), Backbone("mini")


def of_recipe(recipe: tfl.Recipe) -> ImageModality:
    """The modality of a recipe's images, at the size of its network where the recipe states none."""
    stated = recipe if recipe.data.image_size is not None else settled(recipe)
    return ImageModality(stated.data, pooling=recipe.head.pooling, boxes=recipe.task == DETECT)


def check_available(recipe: tfl.Recipe) -> None:
    """See `tfl.modalities.image.backbones.available.check_available`."""
    from tfl.modalities.image.backbones import available

    available.check_available(recipe.backbone, classifier=recipe.needs_classifier)


def settled(recipe: tfl.Recipe) -> tfl.Recipe:
    """See `tfl.modalities.image.backbones.settle.settled`."""
    from tfl.modalities.image.backbones import settle

    return settle.settled(recipe)


def chosen(recipe: tfl.Recipe, examples: Any) -> tuple[tfl.Recipe, str | None]:
    """The recipe as it is: the examples decide nothing."""
    return recipe, None


def of_data(data: tfl.Data) -> ImageModality:
    """The modality of images at the size that the data states."""
    return ImageModality(data)


def _converted(content: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    return tf.ensure_shape(tf.numpy_function(readable_by_graph, [content], tf.string, stateful=False), ())


def _as_rgb(image: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    return tf.repeat(image[..., None], 3, axis=-1) if image.shape.rank == 2 else image
