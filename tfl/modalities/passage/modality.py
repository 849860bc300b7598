"""Passages of books: from UTF-8 to the tokens of a causal network. TensorFlow is imported when it is first needed."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tfl.errors import BackboneError, RecipeError, WeightsNotFoundError
from tfl.modalities import hub
from tfl.modalities.base import MASK, Audited, Checked, Preview, TensorSpec
from tfl.modalities.defaults import ModalityDefaults
from tfl.modalities.passage.tokenizer import FOLDER as TOKENIZER
from tfl.modalities.passage.tokenizer import Tokenizer, folder_of, is_preset, most_tokens, tokenizer_in
from tfl.modalities.text import check as checks
from tfl.recipe import Passages

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

    import tfl
    from tfl.finding import Finding
    from tfl.modalities.passage.network import LanguageModel

VERSION = "passage 1"
"""Part of the key of stored features; raise the number when other tokens come of the same passage."""
CONTENT_INPUT = "text"
BYTES = "bytes"


@dataclass(frozen=True)
class PassageModality(ModalityDefaults):
    """Passages, as one causal network reads them.

    Args:
        backbone: The recipe's.
        tokens: Integer, tokens of each passage, the start token included; None before it was chosen.
        tokenizer_folder: Where the files of its tokenizer lie; None where each byte is a token.
    """

    backbone: tfl.Backbone
    tokens: int | None
    tokenizer_folder: Path | None = None
    kind: ClassVar[str] = "passage"
    noun: ClassVar[str] = "passage"
    nouns: ClassVar[str] = "passages"
    content_input: ClassVar[str] = CONTENT_INPUT
    most_bytes: ClassVar[int] = checks.MOST_BYTES
    finishes: ClassVar[bool] = True
    troubles: ClassVar[Mapping[str, str]] = {
        **checks.TROUBLES,
        "too_many_tokens": "has more tokens than `Passages.tokens` allows",
    }
    trouble_fixes: ClassVar[Mapping[str, str]] = {
        **checks.FIXES,
        "too_many_tokens": "allow more: --set data.input.tokens=N; or make passages shorter: --set data.input.length=N, in bytes",
    }
    allowed: ClassVar[str] = checks.ALLOWED
    near_copies: ClassVar[str] = "are the same"
    titles: ClassVar[Mapping[str, str]] = {}
    small_preview_media: ClassVar[str] = "text/plain"

    @property
    def settled_tokens(self) -> int:
        """`tokens`, where it was stated or chosen.

        Raises:
            RecipeError: It is None.
        """
        if self.tokens is None:
            raise RecipeError("`Passages.tokens` is None, and no passages decide it here.", allowed="a number of tokens")
        return self.tokens

    @property
    def tokenizer(self) -> Tokenizer:
        """What makes tokens of bytes, and bytes of tokens."""
        return tokenizer_in(self.tokenizer_folder)

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return self.tokenizer.vocabulary

    def identity(self) -> dict[str, Any]:
        """The version, the tokenizer and how many tokens a passage has."""
        return {"tokenise": VERSION, "tokenizer": self.tokenizer.identity, "tokens": self.settled_tokens}

    def about(self) -> dict[str, Any]:
        """How many tokens a passage has."""
        return {"tokens": self.tokens}

    def size_text(self) -> str:
        """The same in words."""
        return f"on {self.tokens} tokens"

    def spec(self) -> dict[str, TensorSpec]:
        """`token_ids` and `padding_mask`, each `(tokens,)` int32."""
        from tfl.modalities.passage.tokens import TOKENS

        shape, kept = (self.settled_tokens,), "uint16" if self.vocabulary <= 2**16 else "int32"
        return {TOKENS: TensorSpec(shape, "int32", stored_as=kept), MASK: TensorSpec(shape, "int32", stored_as="uint8")}

    def check(self, content: bytes) -> Checked:
        """Any text in UTF-8, white space alone as well: a book has it between its parts. All of its tokens have to fit, since its
        bytes are counted."""
        found = checks.check(content)
        if found.trouble not in ("", "blank"):
            return found
        if self.tokens is not None and len(content) >= self.tokens:
            count = 1 + int(self.tokenizer.counts([content])[0])
            if count > self.tokens:
                return Checked(trouble="too_many_tokens", detail=f"{count}; {self.tokens} are allowed")
        return Checked(format="text", cost=len(content))

    def decode(self, content: tf.Tensor) -> tf.Tensor:
        """The passages themselves."""
        return content

    def finish(self, tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        """Tokens of a batch of passages."""
        return self.tokenizer.tokens(tensors, self.settled_tokens)

    def encode(self, contents: tf.Tensor) -> dict[str, tf.Tensor]:
        """Tokens of a batch of passages `(batch,)`."""
        return self.finish(contents)

    def sample_tensors(self, count: int, *, seed: int = 0) -> dict[str, NDArray[np.int32]]:
        """Random tokens without padding."""
        import numpy as np

        from tfl.modalities.passage.tokens import TOKENS

        shape = (count, self.settled_tokens)
        words = np.random.default_rng(seed).integers(0, self.vocabulary, shape).astype(np.int32)
        return {TOKENS: words, MASK: np.ones(shape, np.int32)}

    def build_language_model(self, backbone: tfl.Backbone) -> LanguageModel:
        """See `tfl.modalities.passage.network.build_language_model`."""
        from tfl.modalities.passage.network import build_language_model

        return build_language_model(backbone)

    def build_backbone(self, backbone: tfl.Backbone) -> keras.Model:
        """The network without its last layer."""
        return self.build_language_model(backbone).model

    def network_about(self, backbone: tfl.Backbone) -> dict[str, Any]:
        """The hash of the file whose network is continued: its last layer is not among the weights of the blocks."""
        file = None if is_preset(backbone.name) else _file_of(backbone)
        return {} if file is None else {"file_sha256": hashlib.sha256(file.read_bytes()).hexdigest()}

    def preview(self, content: bytes, *, attribution: NDArray[np.float32] | None = None) -> Preview:
        """The passage."""
        from tfl.modalities.text.preview import preview

        return preview(content)

    def small_preview(self, read: Callable[[], bytes], tensors: Any) -> bytes:
        """The passage on one line, as UTF-8."""
        return self.preview(read()).text.encode()

    def audit_checks(self, audited: Audited) -> PassageChecks:
        """None: passages that occur twice are refrains."""
        return PassageChecks()


class NoPrints:
    """No near copies are looked for."""

    def __add__(self, others: NoPrints) -> NoPrints:
        return self

    def comparable(self) -> bool:
        """Nothing is compared."""
        return False

    def near_sets(
        self, fingerprints: Sequence[str], *, features: Any = None, also_equal: bool = False
    ) -> list[NDArray[np.int64]]:
        """None."""
        return []


class PassageChecks:
    """The audit checks of passages."""

    prints = NoPrints()

    def findings(self) -> list[Finding]:
        """None."""
        return []

    def deep_findings(self) -> list[Finding]:
        """None."""
        return []


def of_recipe(recipe: tfl.Recipe) -> PassageModality:
    """The modality of a recipe's passages."""
    recipe = settled(recipe)
    return PassageModality(recipe.backbone, _passages(recipe).tokens, folder_of(recipe.backbone.name))


def modality_of_run(recipe: tfl.Recipe, folder: Path) -> PassageModality:
    """The modality of the recipe of a finished run: the network that it began with is not looked for.

    Args:
        recipe: Of the run.
        folder: Of the run.
    """
    own = folder / TOKENIZER
    return PassageModality(recipe.backbone, _passages(recipe).tokens, own if own.is_dir() else None)


def check_available(recipe: tfl.Recipe) -> None:
    """Makes sure that the network can be had.

    Raises:
        BackboneError: There is no such network, or (`WeightsNotFoundError`) it has no weights.
    """
    backbone = recipe.backbone
    if backbone.match != "exact" or backbone.preprocessing != "auto":
        raise BackboneError(
            "A language model is taken as a whole, and its tokenizer prepares the passages.",
            received=f"match={backbone.match}, preprocessing={backbone.preprocessing}",
            allowed="match=exact, preprocessing=auto",
        )
    if is_preset(backbone.name):
        _check_preset(backbone)
        return
    file = _file_of(backbone)
    if file is not None and (backbone.weights != "pretrained" or backbone.arguments):
        raise BackboneError(
            "The network of a run comes with its own weights and arguments.",
            received=f"weights={backbone.weights}, arguments={dict(backbone.arguments)}",
            fix="Leave both out.",
        )
    if file is None and backbone.weights in ("pretrained", "imagenet"):
        raise WeightsNotFoundError(
            "The network `bytes` comes without weights.",
            received=f"weights={backbone.weights}",
            fix="Begin with random ones, tfl.Backbone('bytes', weights=None), and let a stage with on='others' train it first; "
            "or name the run of a language model: tfl.Backbone('runs/general').",
        )


def _check_preset(backbone: tfl.Backbone) -> None:
    hub.require_extra(needed_for=f"The language model {backbone.name}")
    folder_of(backbone.name)
    if backbone.weights not in ("pretrained", None):
        raise BackboneError("A preset brings its own weights.", received=backbone.weights, allowed="`pretrained` or None")
    hub.refuse_missing_weights(backbone)


def settled(recipe: tfl.Recipe) -> tfl.Recipe:
    """The recipe as it is, after its network was looked for."""
    check_available(recipe)
    return recipe


def chosen(recipe: tfl.Recipe, examples: Any) -> tuple[tfl.Recipe, str | None]:
    """The recipe with a number of tokens that every passage fits into."""
    passages, folder = _passages(recipe), folder_of(recipe.backbone.name)
    needed, note = passages.length + 1, None
    if folder is not None and len(examples):
        counts = tokenizer_in(folder).counts([examples.bytes_of(index) for index in range(len(examples))])
        needed = 1 + int(counts.max())
        note = f"{needed} tokens: as many as the longest of {len(examples):,} passages has, the start token included"
    most = None if folder is None else most_tokens(folder)
    if folder is not None and passages.tokens is None and any(stage.on == "others" for stage in recipe.fixed_stages):
        needed, note = max(needed, min(passages.length + 1, most or passages.length + 1)), None  # no passage has more tokens
    if most is not None and max(needed, passages.tokens or 0) > most:
        raise RecipeError(
            "A passage has more tokens than the network takes.",
            received=f"{max(needed, passages.tokens or 0)} tokens",
            allowed=f"at most {most}, the start token included",
            fix="Make passages shorter: --set data.input.length=N, in bytes",
        )
    if passages.tokens is not None and passages.tokens < needed:
        raise RecipeError(
            "`Passages.tokens` is less than a passage has.", received=passages.tokens, allowed=f"at least {needed}, or None"
        )
    if passages.tokens is not None:
        return recipe, None
    data = dataclasses.replace(recipe.data, input=dataclasses.replace(passages, tokens=needed))
    return dataclasses.replace(recipe, data=data), note


def of_data(data: tfl.Data) -> PassageModality:
    """Passages have no modality without a network: its tokenizer decides the tensors.

    Raises:
        RecipeError: Always.
    """
    raise RecipeError("Passages are tokenised by the network's own tokenizer.", fix="Use modality_of(recipe).")


def _passages(recipe: tfl.Recipe) -> Passages:
    return recipe.data.input if isinstance(recipe.data.input, Passages) else Passages()


def _file_of(backbone: tfl.Backbone) -> Path | None:
    """The file of the run that a backbone names; None for `bytes`.

    Raises:
        BackboneError: There is no such file.
    """
    if backbone.name == BYTES:
        return None
    path = Path(backbone.name).expanduser()
    file = path / "model.keras" if path.is_dir() else path
    if not file.is_file():
        raise BackboneError(
            "There is no such language model.",
            received=str(file),
            allowed="`bytes`, the run or model.keras of a recipe with input=tfl.Passages(), or the folder of a KerasHub preset",
        )
    return file
