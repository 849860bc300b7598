"""What every kind of example answers, and how the modality of a recipe is found. No TensorFlow is imported here.

A modality turns the content of an example (the bytes of a file, or a text as UTF-8) into the tensors that a network takes.
Everything else in tfl works on contents and on tensors, and asks the modality where the two meet.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

    import tfl
    from tfl.backbones.source import SourceModel
    from tfl.finding import Finding


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of an example.

    Args:
        shape: Without the batch; None for a size that varies between batches.
        dtype: Its Keras dtype name.
        stored_as: The dtype that holds its values exactly and is kept on disk while a process lives; empty for `dtype`.

    Example:

    >>> from tfl.modalities.base import TensorSpec
    >>> TensorSpec((96, 96, 3), "float32").shape
    (96, 96, 3)
    """

    shape: tuple[int | None, ...]
    dtype: str
    stored_as: str = ""


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Audited:
    """The usable examples of a source, as the audit checks of a modality read them.

    Args:
        examples: The `tfl.data.examples.Examples`.
        batches: Goes over all examples once: where each batch starts, and its decoded tensors as they are kept on disk.
        room: Called with a number of rows and the shape of one: room for such uint8 rows on the disk, or None.
    """

    examples: Any
    batches: Callable[[], Iterator[tuple[int, Tensors]]]
    room: Callable[..., Any] = lambda count, shape: None


class CopyPrints(Protocol):
    """By what near copies are found: something small of the content of each example, from one source or from several."""

    def __add__(self, others: Any) -> CopyPrints:
        """These, and behind them the prints of other examples."""

    def near_sets(
        self, fingerprints: Sequence[str], *, features: NDArray[np.floating] | None = None, also_equal: bool = False
    ) -> list[NDArray[np.int64]]:
        """The positions of examples that are near copies of each other, a set each; those of one content alone are none.

        Args:
            fingerprints: One of the content of each example.
            features: `(n, width)` of the network that `Modality.compared_with` names, or of any other.
            also_equal: Whether examples of equal prints are copies too where the prints are too poor to say so.
        """

    def comparable(self) -> bool:
        """Whether any example can be compared at all, so that features are of use."""


class AuditChecks(Protocol):
    """What can be wrong with one kind of example besides duplicates, labels and splits; for the examples of one audit.

    Attributes:
        prints: By what near copies are found.
    """

    @property
    def prints(self) -> CopyPrints:
        """By what near copies are found."""

    def findings(self) -> list[Finding]:
        """What is odd about the examples, found in little time and without an extra."""

    def deep_findings(self) -> list[Finding]:
        """What takes longer to find, or the libraries of `Modality.audit_libraries`."""


Tensors = Any
"""One tensor, or a dictionary of tensors by input name where a network has several inputs. The batch is the first axis."""
Augmenter = Callable[..., tuple[Any, Any]]


class Modality(Protocol):
    """A kind of example, settled for one recipe: every size that decides its tensors is known.

    A content becomes tensors in three steps, all of them graph operations: `convert` brings rare formats into a form that the
    graph decodes, `decode` makes tensors of one content, and `finish` brings a batch of these to the form that the network
    takes. Augmentation comes before `finish`. `encode` is decode and finish for a batch, as exports contain them.

    Attributes:
        kind: Name of the modality and of its folder.
        noun, nouns: What messages call one example and several.
        in_graph: Whether `encode` can be part of an exported graph.
        content_input: Name of the input of the exported signature that takes contents, such as `image_bytes` or `text`.
        most_bytes: The largest content that is read.
        finishes: Whether `finish` changes anything. Then `convert` and `decode` take a batch of contents, `(batch,)` strings.
        troubles: What each `Checked.trouble` means, as the end of a sentence that begins with the name of a file.
        trouble_fixes: What to do about some of them.
        allowed: Which contents can be used, in a few words.
        near_copies: What near copies have in common, as the end of a sentence that begins with their number.
        titles: What a person reads for the kinds of finding that only this modality has, or that it calls otherwise.
        has_baseline: Whether reports compare with a model that has no network.
        audit_reads_tensors: Whether its audit checks read tensors; else they read contents alone.
        small_preview_media: What `small_preview` gives, such as `text/plain`.
        audit_libraries: Modules that its deep audit checks import, of the extra `audit`.
    """

    kind: ClassVar[str]
    noun: ClassVar[str]
    nouns: ClassVar[str]
    in_graph: ClassVar[bool]
    content_input: ClassVar[str]
    most_bytes: ClassVar[int]
    finishes: ClassVar[bool]
    troubles: ClassVar[Mapping[str, str]]
    trouble_fixes: ClassVar[Mapping[str, str]]
    allowed: ClassVar[str]
    near_copies: ClassVar[str]
    titles: ClassVar[Mapping[str, str]]
    audit_reads_tensors: ClassVar[bool]
    has_baseline: ClassVar[bool]
    audit_libraries: ClassVar[Sequence[str]]
    small_preview_media: ClassVar[str]

    def identity(self) -> dict[str, Any]:
        """All that decides the tensors of a content, and the version of this modality: part of the key of stored features."""

    def about(self) -> dict[str, Any]:
        """What a person is told of the identity, such as the size."""

    def size_text(self) -> str:
        """The same in words, such as `at 96 × 96 px`."""

    def spec(self) -> dict[str, TensorSpec]:
        """The tensors of one example by the name of the network's input."""

    def check(self, content: bytes) -> Checked:
        """Whether a content can be used and what decoding it will cost, without decoding it."""

    def checking(self) -> AbstractContextManager[None]:
        """Is entered around many calls of `check`."""

    def check_arrays(self, arrays: Any, source: str) -> None:
        """Raises a DataError where examples that come as arrays cannot be used."""

    def file_findings(self, examples: Any, files: Sequence[Checked]) -> list[dict[str, Any]]:
        """Findings about all files of a source together: dictionaries of `kind`, `severity`, `files` and `note`."""

    def refuse_files(self, findings: Sequence[Mapping[str, Any]], source: str) -> None:
        """Raises a DataError where `file_findings` has one that only the recipe can settle."""

    def readable(self, content: bytes) -> bytes:
        """The content in a form that the graph decodes; most are returned as they are."""

    def convert(self, content: tf.Tensor) -> tf.Tensor:
        """`readable` within a dataset, of a scalar string, or of a batch where `finishes`; calls Python only where it must."""

    def decode(self, content: tf.Tensor) -> Tensors:
        """Tensors of one content, a scalar string; of a batch, `(batch,)`, where `finishes`."""

    def decode_array(self, array: tf.Tensor) -> Tensors:
        """Tensors of one example that is an array."""

    def finish(self, tensors: Tensors) -> Tensors:
        """A batch of decoded tensors as the network takes them."""

    def encode(self, contents: tf.Tensor) -> Tensors:
        """Tensors of a batch of contents, a string tensor `(batch,)`, by graph operations; the one way there."""

    def light_values(self, names: Sequence[str], examples: Any, indices: Any) -> dict[str, Any]:
        """Those of the network's inputs of that name that take no decoding, `(n, ...)` arrays of the examples at `indices`."""

    def resources(self) -> Sequence[Any]:
        """Objects with tables or files that `encode` uses, which a SavedModel has to hold on to."""

    def augmented_targets(
        self, settings: Any, targets: NDArray[np.float32], indices: NDArray[np.int64], *, seed: int, view: int
    ) -> NDArray[np.float32]:
        """The targets of examples that are augmented, where what is changed moves them, as boxes on an image that is flipped.

        Args:
            settings: The part of the recipe.
            targets: `(n, width)`, of the examples as they are.
            indices: `(n,)`, which examples these are.
            seed, view: What decides the changes, as for the augmenter.
        """

    def augmenter(self, settings: Any) -> Augmenter:
        """A function that changes a batch of decoded tensors at random, and finishes it.

        It is called with the tensors, the targets and the indices of the examples, and with `seed`, `view` and `partners`
        (tensors, targets and indices to mix with, or None); what it draws depends on seed, view and index alone.
        """

    def sample_tensors(self, count: int, *, seed: int = 0) -> Tensors:
        """Random tensors of `count` examples as NumPy arrays, for warm-up, timing and the choice of a precision."""

    def build_backbone(self, backbone: tfl.Backbone) -> keras.Model:
        """The network without its classifier as one flat Functional model, under the global dtype policy."""

    def build_source(self, backbone: tfl.Backbone) -> SourceModel:
        """The network with the classifier that it was trained with; raises a BackboneError where there is none."""

    def network_note(self, backbone: tfl.Backbone) -> str | None:
        """What to report about the way in which the network takes its inputs; None where nothing was decided."""

    def network_about(self, backbone: tfl.Backbone) -> dict[str, Any]:
        """What the manifest keeps of it."""

    def recipe_notes(self, asked: tfl.Recipe) -> list[tuple[str, str]]:
        """Findings about the recipe as it was written, as pairs of a kind and a sentence."""

    def refuse_undecided(self, recipe: tfl.Recipe, bundle: Any, console: Any, *, score: Callable[..., float]) -> None:
        """Raises a BackboneError where only the user can say how the network takes its inputs.

        `score` evaluates a linear probe on features and labels, for the message.
        """

    def preview(self, content: bytes, *, attribution: NDArray[np.float32] | None = None) -> Preview:
        """How a person sees the example; `attribution` says how much each part speaks for the answer."""

    def baseline(
        self,
        task: str,
        *,
        train: tuple[Sequence[bytes], NDArray[np.float32]],
        val: tuple[Sequence[bytes], NDArray[np.float32]],
        contents: Sequence[bytes],
    ) -> tuple[str, NDArray[np.float32]]:
        """A simple model without any network that a report compares with: its name, and its outputs for `contents`.

        Is called only where `has_baseline`.

        Args:
            task: Name of the task.
            train, val: Contents, and their targets `(n, width)`.
            contents: What it answers for.
        """

    def small_preview(self, read: Callable[[], bytes], tensors: Tensors) -> bytes:
        """A small preview, of which a run keeps thousands; `read` gives the content, `tensors` are without a batch."""

    def audit_checks(self, audited: Audited) -> AuditChecks:
        """What can be wrong with this kind of example besides duplicates, labels and splits."""

    def compared_with(self, data: tfl.Data) -> tuple[tfl.Data, tfl.Backbone | None]:
        """How examples of two sources are looked at to find near copies among them.

        Args:
            data: A recipe's.

        Returns:
            The data with the sizes at which they are compared, and the network whose features are compared too; None for none.
        """


MASK = "padding_mask"
"""Name of the input that says which positions of a sequence are in use, as in KerasHub."""
NOUNS = {
    "image": ("image", "images"),
    "text": ("text", "texts"),
    "audio": ("sound", "sounds"),
    "several": ("example", "examples"),
    "table": ("row of the table", "rows of the table"),
    "passage": ("passage", "passages"),
}
"""What one example of each kind is called, and several. `several` are examples of several inputs, and `table` is one of these;
`passage` are those of books."""
EXAMPLE_FILES = {
    "image": ("photo.jpg", "more_photos/"),
    "text": ("review.txt", "more_reviews/"),
    "audio": ("sound.wav", "more_sounds/"),
    "several": ("examples.csv", "more_examples.csv"),
    "passage": ("book.txt", "more_books/"),
}
"""A file and a folder of each kind, for examples in messages and pages."""
NEAR_COPIES = {
    "image": "encoded, resized, cropped or mirrored",
    "text": "with other case, other signs or a few other words",
    "audio": "at another level or rate, shifted, cut or compressed",
    "several": "in all of their inputs",
    "passage": "in nothing",
}
"""How near copies of each kind differ from what they are copies of."""
FINE_TUNING_RATES = {"image": 1e-3, "text": 1e-4, "audio": 1e-3, "several": 1e-4, "passage": 3e-4}
"""A learning rate for Adam that suits fine-tuning of the networks of each kind."""
FINE_TUNING_EXAMPLES = {"image": 8000, "text": 2000, "audio": 8000}
"""For about how many examples, repeats counted, small data of each kind are fine-tuned."""
FEW_SHARES = {"image": 0.5, "audio": 0.5}
"""How far from its start fine-tuning is kept where the examples are too few to show anything. Over 13 draws of the small tasks of
`benchmarks/best_answer.py` this changed the test accuracy by -0.3 to +5.0 points, +1.3 on average, whatever the cross-validation
said. Texts lost up to 5.5, and have none."""
PART_RATES = {"image": 3e-3, "text": 5e-4, "audio": 3e-3, "several": 5e-4, "passage": 3e-3}
"""The same where biases, low-rank changes or residual adapters train alone. Rates of low-rank changes are larger than those of
fine-tuning (Schulman et al. 2025, *LoRA Without Regret*): texts have five times the rate, images and sounds three times. On
photos of flowers and spoken digits ten times gave a lower mean accuracy than three, for biases and LoRA (three seeds each)."""
KINDS = ("image", "text", "audio")
"""The kinds of which a source can hold one alone."""


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


def settled(recipe: tfl.Recipe) -> tfl.Recipe:
    """The recipe with everything stated that its network decides, such as the size of images. No TensorFlow is imported.

    Raises:
        BackboneError: There is no such network, or the recipe contradicts it.

    Example:

    >>> import tfl
    >>> from tfl.modalities.base import settled
    >>> settled(tfl.Recipe(name="leaves", data=tfl.Data("photos"), backbone=tfl.Backbone("mini"))).data.image_size
    (96, 96)
    """
    module: Any = importlib.import_module(f"tfl.modalities.{recipe.data.kind}.modality")
    stated: tfl.Recipe = module.settled(recipe)
    return stated


def chosen(recipe: tfl.Recipe, examples: Any) -> tuple[tfl.Recipe, str | None]:
    """The settled recipe with what only its training examples decide, such as the length of texts, and a sentence about it.

    Args:
        recipe: As `settled` returned it.
        examples: A `tfl.data.examples.Examples`.
    """
    module: Any = importlib.import_module(f"tfl.modalities.{recipe.data.kind}.modality")
    found: tuple[tfl.Recipe, str | None] = module.chosen(recipe, examples)
    return found


def check_available(recipe: tfl.Recipe) -> None:
    """Makes sure that the network that a recipe names can be had, before TensorFlow is imported.

    Raises:
        BackboneError: There is no such network, no such model file, or (`WeightsNotFoundError`) no such weights file.
        MissingExtraError: The modality needs a package that is not installed.
    """
    importlib.import_module(f"tfl.modalities.{recipe.data.kind}.modality").check_available(recipe)


def modality_of_data(data: tfl.Data) -> Modality:
    """The modality of data whose sizes are all stated, where no network has a part in it: that of images.

    Raises:
        RecipeError: A size is missing, or the network has a part in it, as a tokenizer has.
    """
    module: Any = importlib.import_module(f"tfl.modalities.{data.kind}.modality")
    found: Modality = module.of_data(data)
    return found
