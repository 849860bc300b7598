"""The tokenizers of causal networks: bytes, or the byte pairs of a KerasHub preset. Text is what its tokens are, byte for byte.

The byte pairs of GPT-2 (Radford et al. 2019) begin with all 256 bytes, so that every text has tokens, none has more tokens than
bytes, and what is written can be read back. In a run of such a network the folder `tokenizer` has the files of the preset that
the tokenizer needs.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tfl.errors import BackboneError
from tfl.modalities import hub
from tfl.modalities.passage.tokens import PAD, START, TOKENS, VOCABULARY, byte_tokens

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

CAUSAL = ("GPT2Backbone", "GPTNeoXBackbone", "OPTBackbone")
"""KerasHub classes that are accepted: causal, with a tokenizer of byte pairs."""
FOLDER = "tokenizer"
_FILES = (hub.CONFIG, "metadata.json", "tokenizer.json", "assets")


class Tokenizer(Protocol):
    """What a language model needs of its tokenizer."""

    @property
    def start(self) -> int:
        """The token that begins a passage."""

    @property
    def pad(self) -> int:
        """The token that fills it up."""

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""

    @property
    def pieces(self) -> Sequence[bytes]:
        """The bytes that each token stands for, by its number; empty for tokens that are never written."""

    @property
    def identity(self) -> str:
        """What decides the tokens of a text."""

    def tokens(self, texts: tf.Tensor, length: int) -> dict[str, tf.Tensor]:
        """`token_ids` and `padding_mask`, `(batch, length)` int32: a start token and the tokens of each text, cut and padded."""

    def counts(self, contents: Sequence[bytes]) -> NDArray[np.int64]:
        """How many tokens each text has, without the start token, `(n,)`."""

    def ids(self, content: bytes) -> list[int]:
        """The tokens of a text, without the start token."""


class ByteTokenizer:
    """Each byte is its own token."""

    start, pad, vocabulary, identity = START, PAD, VOCABULARY, "bytes"
    pieces: Sequence[bytes] = (*(bytes([byte]) for byte in range(256)), b"", b"")

    def tokens(self, texts: tf.Tensor, length: int) -> dict[str, tf.Tensor]:
        """See `tfl.modalities.passage.tokens.byte_tokens`."""
        return byte_tokens(texts, length)

    def counts(self, contents: Sequence[bytes]) -> NDArray[np.int64]:
        """The number of bytes."""
        import numpy as np

        return np.array([len(content) for content in contents], np.int64)

    def ids(self, content: bytes) -> list[int]:
        """The bytes."""
        return list(content)


@dataclass(frozen=True, eq=False)
class PairTokenizer:
    """The byte pairs of a KerasHub preset. Make one with `pair_tokenizer`.

    Args:
        tokenise: The tokenizer.
        pieces: See `Tokenizer`.
        identity: A hash of it.
    """

    tokenise: Any
    pieces: Sequence[bytes]
    identity: str

    @property
    def start(self) -> int:
        """The start token of the preset, or its end token where it has none."""
        start = getattr(self.tokenise, "start_token_id", None)
        return int(self.tokenise.end_token_id if start is None else start)

    @property
    def pad(self) -> int:
        """The padding token of the preset, whose mask is 0."""
        return int(getattr(self.tokenise, "pad_token_id", None) or 0)

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return len(self.pieces)

    def tokens(self, texts: tf.Tensor, length: int) -> dict[str, tf.Tensor]:
        """A start token and the tokens of each text, cut and padded."""
        import tensorflow as tf

        from tfl.modalities.base import MASK

        found = self._ragged(texts)
        used = tf.cast(tf.sequence_mask(tf.minimum(found.row_lengths(), length - 1), length - 1), tf.int32)
        rows = tf.cast(found.to_tensor(default_value=self.pad, shape=(None, length - 1)), tf.int32)
        first = tf.fill([tf.shape(rows)[0], 1], self.start)
        tokens, mask = tf.concat([first, rows], axis=1), tf.concat([tf.ones_like(first), used], axis=1)
        return {TOKENS: tf.ensure_shape(tokens, (None, length)), MASK: tf.ensure_shape(mask, (None, length))}

    def counts(self, contents: Sequence[bytes], *, batch: int = 1024) -> NDArray[np.int64]:
        """How many tokens each text has."""
        import numpy as np
        import tensorflow as tf

        parts = [contents[at : at + batch] for at in range(0, len(contents), batch)]
        found = [self._ragged(tf.constant(list(part), tf.string)).row_lengths().numpy() for part in parts]
        return np.concatenate([np.zeros(0, np.int64), *found])

    def ids(self, content: bytes) -> list[int]:
        """The tokens of a text."""
        import tensorflow as tf

        return [int(token) for token in self._ragged(tf.constant([content])).flat_values.numpy()]

    @functools.cached_property
    def _ragged(self) -> Any:
        """From texts to ragged tokens: a graph, as in training, since outside of one KerasHub takes another way."""
        import tensorflow as tf

        return tf.function(self.tokenise, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)


def folder_of(backbone_name: str) -> Path | None:
    """Where the tokenizer of a network lies: a preset's folder, or beside the network of a run; None for bytes.

    Raises:
        BackboneError: The preset is of no causal network that can be used, or has no tokenizer.
    """
    path = Path(backbone_name).expanduser()
    beside = (path if path.is_dir() else path.parent) / FOLDER
    if is_preset(backbone_name):
        found = hub.config_of(path)["class_name"]
        if found not in CAUSAL:
            raise BackboneError(
                f"The preset {path} is no causal network that can be used.", received=found, allowed=", ".join(CAUSAL)
            )
        if not (path / "tokenizer.json").is_file():
            fix = f"keras_hub.models.Tokenizer.from_preset(NAME).save_to_preset({str(path)!r}) writes it."
            raise BackboneError(f"The preset {path} has no tokenizer (tokenizer.json).", fix=fix)
        return path
    return beside if (beside / hub.CONFIG).is_file() else None


def is_preset(backbone_name: str) -> bool:
    """Whether the name is the folder of a KerasHub preset. No TensorFlow is imported."""
    path = Path(backbone_name).expanduser()
    return (path / hub.CONFIG).is_file() and not (path / "model.keras").is_file()


def most_tokens(folder: Path) -> int | None:
    """How many tokens a network takes at once, from the settings of its preset; None where it sets no limit."""
    found = hub.config_of(folder)["config"].get("max_sequence_length")
    return None if found is None else int(found)


def keep_tokenizer(backbone_name: str, run_folder: Path) -> None:
    """Copies the files of the tokenizer into a run, unless they are there or tokens are bytes."""
    source, target = folder_of(backbone_name), run_folder / FOLDER
    if source is None or target.exists():
        return
    scratch = run_folder / f".{FOLDER}.part"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for name in _FILES:
        if (source / name).is_dir():
            shutil.copytree(source / name, scratch / name)
        elif (source / name).is_file():
            shutil.copy(source / name, scratch / name)
    scratch.rename(target)


def tokenizer_in(folder: Path | None) -> Tokenizer:
    """The tokenizer in a folder, as of `folder_of`; that of bytes for None.

    Raises:
        BackboneError: It cannot be loaded, or does not know every byte.
        MissingExtraError: KerasHub is not installed.
    """
    return ByteTokenizer() if folder is None else pair_tokenizer(str(folder.resolve()))


@functools.lru_cache(maxsize=4)
def pair_tokenizer(folder: str) -> PairTokenizer:
    """The byte pairs of a preset, loaded once in a process; see `tokenizer_in`."""
    hub.require_extra(needed_for=f"The language model {folder}")
    import keras_hub
    import tensorflow as tf

    from tfl.modalities.text.tokenise import Tokenise

    with tf.init_scope():  # its tables must not belong to a graph that asks for it first
        tokenizer = hub.loaded(folder, keras_hub.models.Tokenizer.from_preset)
    known = dict(getattr(tokenizer, "vocabulary", None) or {})
    symbols = byte_symbols()
    if missing := [byte for symbol, byte in symbols.items() if symbol not in known]:
        raise BackboneError(
            f"The tokenizer of {folder} does not know every byte, so that not every text has tokens.",
            received=f"{type(tokenizer).__name__} without {len(missing)} of 256 bytes",
            allowed="a tokenizer of byte pairs, such as that of GPT-2",
        )
    pieces = [b""] * (1 + max(known.values()))
    special = set(tokenizer.special_tokens)
    for token, number in known.items():
        if token not in special and all(symbol in symbols for symbol in token):
            pieces[number] = bytes(symbols[symbol] for symbol in token)
    return PairTokenizer(tokenizer, tuple(pieces), Tokenise(tokenizer).identity())


def byte_symbols() -> dict[str, int]:
    """The byte that each symbol of a vocabulary of byte pairs stands for (Radford et al. 2019, `bytes_to_unicode`).

    A byte that can be seen is its own symbol, another one has a letter from U+0100 on.

    Example:

    >>> from tfl.modalities.passage.tokenizer import byte_symbols
    >>> found = byte_symbols()
    >>> found["A"], found["Ġ"], len(found)
    (65, 32, 256)
    """
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(256 + at): byte for at, byte in enumerate(hidden)}
