"""What exports, the server and `tfl predict` need of a kind of example next to its tensors. No TensorFlow is imported here.

A `Shipping` belongs to a modality: `tfl.modalities.KIND.shipping` has a class for its kind. It draws the contents on which every
export is compared with its model, says what decoding a stranger's content costs, and writes the lines of the README that read an
example without tfl.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tfl.errors import BadContentError
from tfl.modalities.base import KINDS, Checked, Modality, Tensors
from tfl.recipe import SEVERAL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How tensors are made of an example without tfl's graph, as the README of an export prints it.

    Args:
        name: What the certificate calls it, such as `pillow`.
        packages: Names for pip, separated by spaces.
        imports: Lines of imports.
        lines: Lines that give a NumPy array of one row to a variable for each tensor, named as the tensor is.
        note: What is to be known of it.
    """

    name: str
    packages: str
    imports: str
    lines: str
    note: str


def stated_size(about: Mapping[str, Any]) -> tuple[int, int] | None:
    """The (height, width) in pixels in what an export says of itself; None where it is missing or damaged.

    Example:

    >>> from tfl.modalities.shipping import stated_size
    >>> stated_size({"image_size": [64, 96]}), stated_size({"image_size": [64, -1]})
    ((64, 96), None)
    """
    size = about.get("image_size")
    if isinstance(size, list) and len(size) == 2 and all(isinstance(side, int) and 0 < side <= 4096 for side in size):
        return size[0], size[1]
    return None


class Shipping:
    """See the module. This class has what most kinds share.

    Args:
        modality: Of the examples.

    Attributes:
        example: A Python expression of one content, as the README of a SavedModel shows it.
        imports: What has to be imported before a SavedModel is loaded.
        packages: Names for pip of what a SavedModel needs.
        takes: What the input of contents is, in a few words.
        formats: Which formats are read, as a sentence.
        warm_up: Names of golden contents that are sent to a server before real ones.
        reading: How the certificate calls the README's way to tensors; empty where there is none.
        unit: What the cost of decoding counts, in the plural.
        harmless: Troubles for which training leaves a content out, and a server does not refuse it.
    """

    example: ClassVar[str]
    imports: ClassVar[str] = ""
    packages: ClassVar[str] = "tensorflow"
    takes: ClassVar[str]
    formats: ClassVar[str]
    warm_up: ClassVar[tuple[str, ...]]
    reading: ClassVar[str] = ""
    unit: ClassVar[str] = "bytes"
    harmless: ClassVar[tuple[str, ...]] = ()

    def __init__(self, modality: Modality) -> None:
        self.modality = modality

    @classmethod
    def of_about(cls, about: Mapping[str, Any]) -> Shipping:
        """The shipping of an export, from what its `tfl.json` says."""
        raise NotImplementedError

    @property
    def tensor_signature(self) -> str:
        """Name of the SavedModel's signature that takes tensors: that of the tensor, where there is one."""
        return next(iter(self.modality.spec()))

    def about(self) -> dict[str, Any]:
        """What `tfl.json` keeps of the modality: all that decides the tensors of a content."""
        return self.modality.identity()

    def golden(self) -> dict[str, bytes]:
        """Contents by name on which every export has to say what the model says, the same in every process."""
        raise NotImplementedError

    def cost(self, content: bytes, *, most: int) -> int:
        """What decoding a content takes, in `unit`; nothing is decoded.

        Raises:
            BadContentError: It cannot be used, or takes more than `most`; the message says why, and not which content.
        """
        with self.modality.checking():
            checked = self.modality.check(content)
        if checked.trouble and checked.trouble not in self.harmless:
            raise BadContentError(self.why_not(checked))
        if checked.cost > most:
            raise BadContentError(f"it takes {checked.cost:,} {self.unit}; {most:,} are allowed")
        return checked.cost

    def accept(self, content: bytes) -> bytes:
        """The content in a form that the exported graph decodes, where it is one that training would not leave out.

        Raises:
            BadContentError: It is none; the message says why, and not which content.
        """
        with self.modality.checking():
            checked = self.modality.check(content)
        if checked.trouble:
            raise BadContentError(self.why_not(checked))
        return self.modality.readable(content)

    def why_not(self, checked: Checked) -> str:
        """What is wrong with a content, as the end of a sentence."""
        detail = f": {checked.detail}" if checked.detail else ""
        return f"it {self.modality.troubles[checked.trouble]}{detail}"

    def facts(self, contents: Mapping[str, bytes]) -> dict[str, Any]:
        """What `notes` needs to know of contents, by their name; most need nothing."""
        return {}

    def notes(self, facts: Mapping[str, Any]) -> list[str]:
        """What is to be said of contents that are predicted together, as sentences."""
        return []

    def shown(self, content: bytes) -> dict[str, Any]:
        """What a web page shows of a content, as plain data: `text`; or `picture` (`source`, a data URI, `width` and `height`),
        and `audio`, a data URI."""
        return {}

    def explained(self, content: bytes, attribution: NDArray[np.float32]) -> dict[str, Any]:
        """What a web page shows of an attribution, as plain data: `grad_cam` (a data URI to lay over the picture) and `looked`
        (where it is strongest, in words); or `tokens`, pairs of a token and its weight from -1 to 1.

        Args:
            content: Of the example.
            attribution: `(height, width)` from 0 to 1, or `(length,)`, of the network's input.
        """
        return {}

    def undecodable(self) -> str:
        """Why a content has no answer that was let pass by its header."""
        return f"damaged, or not a {self.modality.noun} of a format that tfl reads"

    def tensor_meanings(self) -> dict[str, str]:
        """What each tensor is, in a few words."""
        return {}

    def content_note(self) -> str:
        """What is to be known of the input of contents, in Markdown."""
        return ""

    def how_to_read(self, folder: Path | None = None) -> Reading | None:
        """The README's way to tensors; None where there is none.

        Args:
            folder: Of the export, where the files that it needs are written.
        """
        return None

    def read(self, content: bytes) -> Tensors:
        """The tensors of one content by the very lines that a README prints, without the batch.

        Raises:
            Exception: Whatever the packages raise that the lines use.
        """
        raise NotImplementedError


def shipping_of(modality: Modality) -> Shipping:
    """The shipping of a modality.

    Example:

    >>> import tfl
    >>> from tfl.modalities.base import modality_of_data
    >>> from tfl.modalities.shipping import shipping_of
    >>> sorted(shipping_of(modality_of_data(tfl.Data("unused", image_size=(8, 8)))).golden())[0]
    'bmp-p-wide.bmp'
    """
    return _kind(modality.kind)(modality)


def shipping_of_about(about: Mapping[str, Any]) -> Shipping:
    """The shipping of an export, from what its `tfl.json` says; exports that do not name a kind are of the first one.

    Raises:
        BadContentError: The kind is unknown.
    """
    kind = about.get("modality", KINDS[0])
    if kind not in (*KINDS, SEVERAL):
        raise BadContentError(
            "The export is for a kind of example that this version does not know.", received=kind, allowed=(*KINDS, SEVERAL)
        )
    return _kind(kind).of_about(about)


def _kind(kind: str) -> type[Shipping]:
    found: type[Shipping] = importlib.import_module(f"tfl.modalities.{kind}.shipping").SHIPPING
    return found
