"""Kinds of examples, and what decides their tensors: `Image`, `Text`, `Audio`, `Passages` and `Table`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tfl.errors import RecipeError
from tfl.fields import check_fields, number


@dataclass(frozen=True, kw_only=True)
class Image:
    """One of several inputs is an image, for `Data.inputs`. Images alone are described by `Data.image_size`, `fit` and `bits`.

    Args:
        kind: Always `image`.
        size: (height, width) in pixels that the network sees; None is the network's own size, as `Data.image_size`.
        fit: How an image comes to that size, as `Data.fit`.
        bits: How many bits of 16-bit images are in use, as `Data.bits`.
        column: The column of the table that names the image files; None is the column called as the input is.
    """

    kind: Literal["image"] = "image"
    size: tuple[int, int] | None = number(None, at_least=1, at_most=4096)
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    bits: int | None = number(None, at_least=8, at_most=16)
    column: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Table:
    """One of several inputs is some columns of the table, for `Data.inputs`. It has no network: its vector goes to the head.

    A number is standardised over the training examples; next to it stands whether it is missing, and a missing one counts as the
    mean. Other cells are one of the column's values: one number for each value, and one for a value that the training examples
    do not have, or none.

    Args:
        kind: Always `table`.
        columns: Their names.
        values: By column, the values of a column that holds no numbers; None finds them in the training examples, all of them
            where the source has no split of its own.
    """

    kind: Literal["table"] = "table"
    columns: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]] | None = dataclasses.field(default=None, hash=False)

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.columns or len(set(self.columns)) < len(self.columns):
            raise RecipeError("`Table.columns` names one column or more, each once.", received=self.columns)
        if unknown := sorted(set(self.values or ()) - set(self.columns)):
            raise RecipeError("`Table.values` is about other columns.", received=unknown, allowed=self.columns)


@dataclass(frozen=True, kw_only=True)
class Text:
    """The examples are texts, which a tokenizer turns into whole numbers.

    Args:
        kind: Always `text`.
        length: Tokens of each text, special tokens included; longer texts are cut, shorter ones are padded. None chooses it from
            the training texts.
        column: The column of a table that holds the text; None finds it.
    """

    kind: Literal["text"] = "text"
    length: int | None = number(None, at_least=4, at_most=8192)
    column: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def from_text(cls, text: str) -> Text:
        """What `--set data.input=text` means."""
        _check_kind(text, cls.kind)
        return cls()


@dataclass(frozen=True, kw_only=True)
class Audio:
    """The examples are sounds, which a network for images sees as log-mel spectrograms or wavelet transforms.

    Args:
        kind: Always `audio`.
        seconds: Length that every sound is cut or padded to, in seconds. None chooses it from the training sounds.
        sample_rate: Sounds are resampled to this rate, in Hz.
        transform: `mel`, a log-mel spectrogram; or `wavelet`, a continuous wavelet transform with Morlet wavelets, whose windows
            are long at low frequencies and short at high ones. Defaults to `mel`.
        mels: Number of mel bands, or of wavelets.
        window: Length of the analysis window (Hann), in seconds; wavelets take none.
        hop: Distance between two windows, or between two means of a wavelet transform, in seconds.
        low, high: Lowest and highest frequency of the mel bands or wavelets, in Hz; `high=None` is half the sample rate. Wavelets
            need a `low` of at least 1 Hz.
        range_db: Values further below the loudest than this are raised to that level, in dB.
        column: The column of a table that names the sound files; None finds it, or is the column called as one of several inputs.
    """

    kind: Literal["audio"] = "audio"
    seconds: float | None = number(None, at_least=0.05, at_most=600.0)
    sample_rate: int = number(16000, at_least=1000, at_most=192000)
    transform: Literal["mel", "wavelet"] = "mel"
    mels: int = number(64, at_least=8, at_most=512)
    window: float = number(0.025, at_least=0.002, at_most=1.0)
    hop: float = number(0.01, at_least=0.0005, at_most=1.0)
    low: float = number(20.0, at_least=0.0)
    high: float | None = number(None, at_least=1.0)
    range_db: float = number(40.0, at_least=10.0, at_most=200.0)
    column: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        top = self.sample_rate / 2
        if not self.low < (top if self.high is None else self.high) <= top:
            raise RecipeError(
                "The mel bands of `Audio` do not lie between `low` and half the sample rate.",
                received=f"low={self.low:g}, high={'None' if self.high is None else format(self.high, 'g')} Hz",
                allowed=f"low < high <= {top:g} Hz, for sample_rate={self.sample_rate}",
            )
        if self.transform == "wavelet" and self.low < 1.0:
            raise RecipeError(
                "The lowest wavelet of `Audio` would be too long: its length is some cycles of `low`.",
                received=f"low={self.low:g} Hz",
                allowed="low >= 1 Hz with transform=wavelet",
            )

    @classmethod
    def from_text(cls, text: str) -> Audio:
        """What `--set data.input=audio` means."""
        _check_kind(text, cls.kind)
        return cls()


@dataclass(frozen=True, kw_only=True)
class Passages:
    """The examples are passages of books, one behind the other, from which a language model learns to write.

    Args:
        kind: Always `passage`.
        length: Bytes of UTF-8 of each passage, at most; a passage ends at white space where there is some near its end. A letter
            of English takes one byte, a letter of Russian two.
        tokens: Tokens of each passage, the start token included. None chooses it from the training passages: for the network
            `bytes` it is `length + 1`.
    """

    kind: Literal["passage"] = "passage"
    length: int = number(256, at_least=16, at_most=65536)
    tokens: int | None = number(None, at_least=4, at_most=65537)

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def from_text(cls, text: str) -> Passages:
        """What `--set data.input=passage` means."""
        _check_kind(text, cls.kind)
        return cls()


SEVERAL = "several"
"""The kind of examples that have several inputs."""
Input = Image | Text | Audio | Table
"""One of several inputs."""


def _check_kind(text: str, kind: str) -> None:
    if text != kind:
        raise RecipeError(
            "`data.input` names no kind of example.", received=text, allowed="text, audio, passage, or none for images"
        )
