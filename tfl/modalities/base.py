"""What every kind of example answers, and how the modality of a recipe is found. No TensorFlow is imported here.

A modality turns the content of an example (the bytes of a file, or a text as UTF-8) into the tensors that a network takes.
Everything else in tfl works on contents and on tensors, and asks the modality where the two meet.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

    import tfl


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of an example.

    Args:
        shape: Without the batch; None for a size that varies between batches.
        dtype: Its Keras dtype name.

    Example:

    >>> from tfl.modalities.base import TensorSpec
    >>> TensorSpec((96, 96, 3), "float32").shape
    (96, 96, 3)
    """

    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a look at an undecoded content found.

    Args:
        trouble: A kind of trouble such as `zero_bytes`, or an empty string for a content that can be used.
        detail: Particulars of the trouble, such as `12×1`.
        format: Name of the format, such as `png`, `wav` or `text`.
        cost: What decoding will take, as bytes in memory; the limits of the server and of the audit compare it.
        about: Further properties that audit checks read.
    """

    trouble: str = ""
    detail: str = ""
    format: str = ""
    cost: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Preview:
    """How a person sees one example.

    Args:
        html: A fragment that needs no other file: an `<img>` or `<audio>` with a data URI, or escaped text.
        text: One line for a terminal.
    """

    html: str
    text: str


Tensors = Any
"""One tensor, or a dictionary of tensors by input name where a network has several inputs. The batch is the first axis."""
Augmenter = Callable[..., tuple[Any, Any]]


class Modality(Protocol):
    """A kind of example, settled for one recipe: every size that decides its tensors is known.

    Attributes:
        kind: Name of the modality and of its folder.
        noun, nouns: What messages call one example and several.
        in_graph: Whether `encode` can be part of an exported graph.
        content_input: Name of the input of the exported signature that takes contents, such as `image_bytes` or `text`.
    """

    kind: ClassVar[str]
    noun: ClassVar[str]
    nouns: ClassVar[str]
    in_graph: ClassVar[bool]
    content_input: ClassVar[str]

    def identity(self) -> dict[str, Any]:
        """All that decides the tensors of a content, and the version of this modality: part of the key of stored features."""

    def spec(self) -> dict[str, TensorSpec]:
        """The tensors of one example by the name of the network's input."""

    def check(self, content: bytes) -> Checked:
        """Whether a content can be used and what decoding it will cost, without decoding it."""

    def readable(self, content: bytes) -> bytes:
        """The content in a form that `encode` takes; most are returned as they are."""

    def encode(self, contents: tf.Tensor) -> Tensors:
        """Tensors of a batch of contents, a string tensor `(batch,)`, by graph operations; the one way there."""

    def augmenter(self, settings: Any) -> Augmenter:
        """A function that changes a batch of tensors at random, as a function of seed, view and index."""

    def sample_tensors(self, count: int, *, seed: int = 0) -> Tensors:
        """Random tensors of `count` examples as NumPy arrays, for warm-up, timing and the choice of a precision."""

    def build_backbone(self, backbone: tfl.Backbone) -> keras.Model:
        """The network without its classifier as one flat Functional model, under the global dtype policy."""

    def preview(self, content: bytes, *, attribution: NDArray[np.float32] | None = None) -> Preview:
        """How a person sees the example; `attribution` says how much each part speaks for the answer."""

    def audit_checks(self) -> Sequence[Callable[..., Any]]:
        """What can be wrong with this kind of example besides duplicates and labels."""


KINDS = ("image", "text", "audio", "table")


def modality_of(recipe: tfl.Recipe) -> Modality:
    """The modality of a recipe's examples.

    Its folder is imported when it is first asked for: `tfl.modalities.KIND.modality` has the function `of_recipe`.

    Args:
        recipe: Its `data.input` says which kind of example it is; None stands for images.

    Raises:
        MissingExtraError: The modality needs a package that is not installed.

    Example:

    >>> import tfl
    >>> from tfl.modalities.base import modality_of
    >>> recipe = tfl.Recipe(name="leaves", data=tfl.Sample("strawberry"), backbone=tfl.Backbone("mini"))
    >>> modality_of(recipe).kind
    'image'
    """
    module: Any = importlib.import_module(f"tfl.modalities.{recipe.data.kind}.modality")
    found: Modality = module.of_recipe(recipe)
    return found
