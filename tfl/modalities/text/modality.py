"""Texts: from UTF-8 to the tokens of a KerasHub encoder. TensorFlow and KerasHub are imported when they are first needed."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tfl.errors import RecipeError
from tfl.modalities import hub
from tfl.modalities.base import MASK, Audited, Checked, Preview, TensorSpec
from tfl.modalities.defaults import ModalityDefaults, no_classifier
from tfl.modalities.text import check as checks
from tfl.modalities.text import presets
from tfl.recipe import Text

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

    import tfl
    from tfl.modalities.text.checks import TextChecks
    from tfl.modalities.text.tokenise import Tokenise

VERSION = "text 1"
"""Part of the key of stored features; raise the number when other tokens come of the same text."""
TOKENS, SEGMENTS = "token_ids", "segment_ids"


CONTENT_INPUT = "text"
"""Name of the input of an export that takes contents."""


@dataclass(frozen=True)
class TextModality(ModalityDefaults):
    """Texts, as one encoder reads them.

    Decoding leaves a text a text; `finish` tokenises a batch, which is much faster than one text after the other.

    Args:
        backbone: The recipe's, whose tokenizer it is.
        length: Integer, tokens of each text, special tokens included; None before it was chosen.
        pooled: Boolean, whether the head takes the network's own pooled output. Defaults to False.
    """

    backbone: tfl.Backbone
    length: int | None
    pooled: bool = False
    kind: ClassVar[str] = "text"
    noun: ClassVar[str] = "text"
    nouns: ClassVar[str] = "texts"
    content_input: ClassVar[str] = CONTENT_INPUT
    most_bytes: ClassVar[int] = checks.MOST_BYTES
    finishes: ClassVar[bool] = True
    troubles: ClassVar[Mapping[str, str]] = checks.TROUBLES
    trouble_fixes: ClassVar[Mapping[str, str]] = checks.FIXES
    allowed: ClassVar[str] = checks.ALLOWED
    near_copies: ClassVar[str] = "say the same but for case, signs or a few words"
    titles: ClassVar[Mapping[str, str]] = {
        "blank": "Texts of white space",
        "binary": "Files that are no texts",
        "not_utf8": "Texts that are not UTF-8",
        "short_texts": "Texts of a single word",
        "mojibake": "Garbled texts",
        "other_script": "Texts in other letters",
        "other_language": "Texts in another language",
        "telling_word": "Words that give their class away",
        "near_leaks": "Leaks: nearly the same text in several splits",
        "near_conflicting_labels": "Nearly the same text under different labels",
        "near_duplicates": "Nearly the same texts",
    }
    has_baseline: ClassVar[bool] = True
    small_preview_media: ClassVar[str] = "text/plain"

    @property
    def settled_length(self) -> int:
        """`length`, where it was stated or chosen.

        Raises:
            RecipeError: It is None.
        """
        if self.length is None:
            raise RecipeError(
                "`Text.length` is None, and no texts decide it here.",
                allowed="a number of tokens",
                fix="State it, or take the recipe of tfl.modalities.base.chosen(recipe, examples).",
            )
        return self.length

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs of the network."""
        return input_names(self.backbone.name)

    @property
    def tokenise(self) -> Tokenise:
        """The tokenizer."""
        from tfl.modalities.text.tokenise import tokenise_of

        return tokenise_of(self.backbone.name)

    def identity(self) -> dict[str, Any]:
        """Versions, the tokenizer's hash and the length."""
        from importlib.metadata import version

        versions = ", ".join(f"{name} {version(name)}" for name in ("keras-hub", "tensorflow", "tensorflow-text"))
        return {
            "tokenise": f"{VERSION}, {versions}",
            "tokenizer": _tokenizer_identity(self.backbone.name),
            "length": self.settled_length,
        }

    def about(self) -> dict[str, Any]:
        """The length."""
        return {"length": self.length}

    def size_text(self) -> str:
        """The length in words."""
        return f"on {self.length} tokens"

    def spec(self) -> dict[str, TensorSpec]:
        """`token_ids`, `padding_mask` and, where the network takes them, `segment_ids`, each `(length,)` int32."""
        length = (self.settled_length,)
        words = "uint16" if self._vocabulary_size() <= 2**16 else "int32"
        kept = {TOKENS: words, MASK: "uint8", SEGMENTS: "uint8"}
        return {name: TensorSpec(length, "int32", stored_as=kept[name]) for name in self.names}

    def _vocabulary_size(self) -> int:
        return int(self.tokenise.tokenizer.vocabulary_size())

    def check(self, content: bytes) -> Checked:
        """See `tfl.modalities.text.check.check`."""
        return checks.check(content)

    def readable(self, content: bytes) -> bytes:
        """The text without a byte order mark."""
        return checks.readable(content)

    def decode(self, content: tf.Tensor) -> tf.Tensor:
        """The texts themselves, as valid UTF-8."""
        from tfl.modalities.text.tokenise import as_utf8

        return as_utf8(content)

    def finish(self, tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        """Tokens of a batch of texts."""
        found = self.tokenise(tensors, self.settled_length)
        return {name: found[name] for name in self.names}

    def encode(self, contents: tf.Tensor) -> dict[str, tf.Tensor]:
        """Tokens of a batch of texts `(batch,)`; the model that holds this in a signature tracks `resources()`."""
        return self.finish(contents)

    def resources(self) -> list[Any]:
        """The vocabulary's tables, which a SavedModel has to hold on to."""
        return [self.tokenise.tokenizer]

    def sample_tensors(self, count: int, *, seed: int = 0) -> dict[str, NDArray[np.int32]]:
        """Random tokens without padding, each `(count, length)` int32."""
        import numpy as np

        shape = (count, self.settled_length)
        words = np.random.default_rng(seed).integers(0, self._vocabulary_size(), shape).astype(np.int32)
        made = {TOKENS: words, MASK: np.ones(shape, np.int32), SEGMENTS: np.zeros(shape, np.int32)}
        return {name: made[name] for name in self.names}

    def build_backbone(self, backbone: tfl.Backbone) -> keras.Model:
        """See `tfl.modalities.text.network.build_backbone`."""
        from tfl.modalities.text.network import build_backbone

        return build_backbone(backbone, pooled=self.pooled)

    def network_about(self, backbone: tfl.Backbone) -> dict[str, Any]:
        """The hash of the tokenizer."""
        return {"tokenizer": _tokenizer_identity(backbone.name)}

    def preview(self, content: bytes, *, attribution: NDArray[np.float32] | None = None) -> Preview:
        """The text; with an attribution of `(length,)`, its tokens shaded by it."""
        from tfl.modalities.text.preview import preview

        if attribution is None:
            return preview(content)
        import tensorflow as tf

        found = self.tokenise(tf.constant([content]), self.settled_length)
        used = int(found[MASK].numpy().sum())
        tokens = self.tokenise.words(found[TOKENS].numpy()[0, :used])
        return preview(content, tokens=tokens[1:-1], attribution=attribution.reshape(-1)[1 : used - 1])

    def baseline(
        self,
        task: str,
        *,
        train: tuple[Sequence[bytes], NDArray[np.float32]],
        val: tuple[Sequence[bytes], NDArray[np.float32]],
        contents: Sequence[bytes],
    ) -> tuple[str, NDArray[np.float32]]:
        """See `tfl.modalities.text.baseline`."""
        from tfl.modalities.text.baseline import NAME, tfidf_baseline

        def read(some: Sequence[bytes]) -> list[str]:
            return [content.decode("utf-8", "replace") for content in some]

        fitted = tfidf_baseline(task, train=(read(train[0]), train[1]), val=(read(val[0]), val[1]), texts=read(contents))
        return NAME, fitted.outputs

    def small_preview(self, read: Callable[[], bytes], tensors: Any) -> bytes:
        """The beginning of the text on one line, as UTF-8."""
        return self.preview(read()).text.encode()

    def audit_checks(self, audited: Audited) -> TextChecks:
        """See `tfl.modalities.text.checks`."""
        from tfl.modalities.text.checks import TextChecks

        return TextChecks(audited)


def of_recipe(recipe: tfl.Recipe) -> TextModality:
    """The modality of a recipe's texts; its length is None before `chosen`."""
    recipe = settled(recipe)
    return TextModality(recipe.backbone, _text(recipe).length, pooled=recipe.head.pooling == "pooled")


def check_available(recipe: tfl.Recipe) -> None:
    """Makes sure that KerasHub is installed, and that a backbone that is named as a folder holds a text encoder.

    Raises:
        BackboneError: The folder holds no text encoder, its layers are to be matched with those of a file, or
            (`WeightsNotFoundError`) the recipe asks for a classifier.
        MissingExtraError: KerasHub is not installed.
    """
    hub.refuse_match(recipe.backbone)
    if recipe.needs_classifier:
        raise no_classifier("Encoders for texts", recipe.backbone.name)
    settled(recipe)


def settled(recipe: tfl.Recipe) -> tfl.Recipe:
    """The recipe as it is, after its backbone and its length were looked at, as far as that goes without TensorFlow.

    Raises:
        BackboneError: The backbone is a folder that holds no text encoder, or takes fewer tokens than the recipe asks for.
        MissingExtraError: KerasHub is not installed.
        WeightsNotFoundError: The backbone is a folder without weights, and the recipe takes its own.
    """
    presets.require_extra()
    hub.refuse_missing_weights(recipe.backbone)
    folder, length = hub.folder_of(recipe.backbone.name), _text(recipe).length
    if folder is not None:
        most = presets.most_tokens(presets.settings_of(folder)["config"])
        if length is not None and length > most:
            raise RecipeError(
                "`Text.length` is more than the network takes.", received=length, allowed=f"at most {most} tokens for {folder}"
            )
    return recipe


def chosen(recipe: tfl.Recipe, examples: Any) -> tuple[tfl.Recipe, str | None]:
    """The recipe with a length that suits its training texts, and a sentence about it.

    Args:
        recipe: As `settled` returned it.
        examples: A `tfl.data.examples.Examples`. Where it says which texts are for training, only these decide.
    """
    text = _text(recipe)
    if text.length is not None:
        return recipe, None
    from tfl.modalities.text.length import choose_length
    from tfl.modalities.text.tokenise import tokenise_of

    counts = tokenise_of(recipe.backbone.name).counts(_training_texts(examples))
    found = choose_length(counts, maximum=presets.most_tokens_of(recipe.backbone.name))
    data = dataclasses.replace(recipe.data, input=dataclasses.replace(text, length=found.tokens))
    return dataclasses.replace(recipe, data=data), str(found)


def of_data(data: tfl.Data) -> TextModality:
    """Texts have no modality without a network: its tokenizer decides the tensors.

    Raises:
        RecipeError: Always.
    """
    raise RecipeError("Texts are tokenised by the network's own tokenizer.", fix="Use modality_of(recipe).")


def _text(recipe: tfl.Recipe) -> Text:
    return recipe.data.input if isinstance(recipe.data.input, Text) else Text()


def _training_texts(examples: Any) -> list[bytes]:
    """The usable texts of the training split, of all where the source has no split."""
    some = list(range(len(examples)))
    if examples.splits is not None and (examples.splits == "train").any():
        some = [index for index in some if examples.splits[index] == "train"]
    texts = []
    for index in some:
        with contextlib.suppress(OSError):  # the audit names files that cannot be read
            content = examples.bytes_of(index)
            if len(content) <= checks.MOST_BYTES and not checks.check(content).trouble:
                texts.append(content)
    return texts


@functools.lru_cache(maxsize=16)
def input_names(name: str) -> tuple[str, ...]:
    """The inputs of a preset's network, in the order in which tfl names them."""
    with_segments = presets.class_of(name) in presets.SEGMENTED
    return (TOKENS, MASK, SEGMENTS) if with_segments else (TOKENS, MASK)


@functools.lru_cache(maxsize=16)
def _tokenizer_identity(name: str) -> str:
    from tfl.modalities.text.tokenise import tokenise_of

    return tokenise_of(name).identity()
