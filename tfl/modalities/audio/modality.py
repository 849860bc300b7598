"""Sounds: from the bytes of sound files to log-mel spectrograms or wavelet transforms, as a network for images takes them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfl.errors import DataError, RecipeError
from tfl.modalities.audio.check import ALLOWED, FIXES, MOST_BYTES, TROUBLES, check_sound, file_findings
from tfl.modalities.audio.convert import readable_by_graph
from tfl.modalities.audio.decode import decode_wavs
from tfl.modalities.audio.length import chosen_length, durations_of
from tfl.modalities.base import Audited, Checked, Preview, TensorSpec
from tfl.modalities.image.network import SeenByImageNetwork
from tfl.recipe import Audio

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

    import tfl
    from tfl.modalities.audio.checks import AudioChecks

VERSION = "tfl sound 1"
"""Part of the key of stored features; raise the number when other spectrograms come of the same bytes."""
SPECTROGRAM = "spectrogram"
_PLAIN = ((0, b"RIFF"), (8, b"WAVEfmt \x10\x00\x00\x00\x01\x00"), (34, b"\x10\x00data"))
"""What stands where in the shortest header of 16-bit PCM."""
_NO_PIXELS = ("kind", "column", "transform")
"""Fields of `Audio` that the identity leaves out, or names only where they differ from the default, which had no name once."""


CONTENT_INPUT = "audio_bytes"
"""Name of the input of an export that takes contents."""


@dataclass(frozen=True)
class AudioModality(SeenByImageNetwork):
    """Sounds of one length, as spectrograms of one size.

    Args:
        data: The data of a recipe; its `input` states `seconds`, and its `image_size` the size of the spectrograms.
        pooling: String, as `Head.pooling`, which image transformers have to know. Defaults to `avg`.

    Raises:
        RecipeError: A length or a size is missing.
    """

    data: tfl.Data
    pooling: str = "avg"
    kind: ClassVar[str] = "audio"
    noun: ClassVar[str] = "sound"
    nouns: ClassVar[str] = "sounds"
    content_input: ClassVar[str] = CONTENT_INPUT
    most_bytes: ClassVar[int] = MOST_BYTES
    finishes: ClassVar[bool] = True
    troubles: ClassVar[Mapping[str, str]] = TROUBLES
    trouble_fixes: ClassVar[Mapping[str, str]] = FIXES
    allowed: ClassVar[str] = ALLOWED
    near_copies: ClassVar[str] = "are the same recording, at another level or rate, shifted, cut or compressed"
    titles: ClassVar[Mapping[str, str]] = {
        "not_a_sound": "Files that are no sounds",
        "no_samples": "Sounds without samples",
        "too_long": "Too long to read",
        "silent": "Silent sounds",
        "clipped": "Clipped sounds",
        "very_short": "Very short sounds",
        "offset": "Sounds that do not swing around zero",
        "near_leaks": "Leaks: the same recording in several splits",
        "near_conflicting_labels": "The same recording under different labels",
        "near_duplicates": "Copies of a recording",
    }
    small_preview_media: ClassVar[str] = "image/jpeg"

    def __post_init__(self) -> None:
        if self.audio.seconds is None:
            raise RecipeError(
                "`Audio.seconds` is None, and there are no training sounds to choose it from.",
                allowed="a length in seconds",
                fix="State it: tfl.Audio(seconds=1.0), or --set data.input.seconds=1.0.",
            )
        _ = self.size

    @property
    def audio(self) -> tfl.Audio:
        """The part of the recipe that describes the sounds."""
        found = self.data.input
        return found if isinstance(found, Audio) else Audio()

    @property
    def size(self) -> tuple[int, int]:  # type: ignore[override]
        """(height, width) of the spectrograms."""
        return self.data.settled_size

    @property
    def seconds(self) -> float:
        """The length of every sound, in seconds."""
        return float(self.audio.seconds or 0.0)

    def identity(self) -> dict[str, Any]:
        """Versions, length, rate, windows, bands, range and size."""
        import keras
        import tensorflow as tf

        return {
            "decode": f"{VERSION}, tensorflow {tf.__version__}, keras {keras.__version__}",
            "image_size": list(self.size),
            **{f"audio_{name}": value for name, value in dataclasses.asdict(self.audio).items() if name not in _NO_PIXELS},
            **self._transform("audio_"),
        }

    def _transform(self, prefix: str = "") -> dict[str, str]:
        return {} if self.audio.transform == "mel" else {f"{prefix}transform": self.audio.transform}

    def about(self) -> dict[str, Any]:
        """What a person is told of the identity."""
        return {
            "seconds": self.seconds,
            "sample_rate": self.audio.sample_rate,
            "spectrogram_size": list(self.size),
            **self._transform(),
        }

    def size_text(self) -> str:
        """Length, rate, and size of the spectrogram."""
        height, width = self.size
        what = "wavelet transforms" if self.audio.transform == "wavelet" else "spectrograms"
        return f"on {self.seconds:g} s at {self.audio.sample_rate:,} Hz, as {what} of {height} × {width}"

    def spec(self) -> dict[str, TensorSpec]:
        """One tensor, `spectrogram`: `(height, width, 3)` float32, kept on disk as uint8."""
        return {SPECTROGRAM: TensorSpec((*self.size, 3), "float32", stored_as="uint8")}

    def check(self, content: bytes) -> Checked:
        """See `tfl.modalities.audio.check.check_sound`."""
        return check_sound(content)

    def check_arrays(self, arrays: Any, source: str) -> None:
        """Refuses sounds that come as arrays.

        Raises:
            DataError: Always: an array does not say its sample rate.
        """
        raise DataError(
            f"{source} holds arrays, which do not say their sample rate, and the recipe is about sounds.",
            allowed="folders, tables and archives of sound files",
            fix="Write each sound as a WAV file, such as with scipy.io.wavfile.write.",
        )

    def file_findings(self, examples: Any, files: Sequence[Checked]) -> list[dict[str, Any]]:
        """See `tfl.modalities.audio.check.file_findings`."""
        return file_findings(examples, files, sample_rate=self.audio.sample_rate)

    def readable(self, content: bytes) -> bytes:
        """See `tfl.modalities.audio.convert.readable_by_graph`."""
        return readable_by_graph(content)

    def convert(self, content: tf.Tensor) -> tf.Tensor:
        """`readable` within a dataset, `(batch,)`; Python is called only for other than 16-bit WAV with the shortest header."""
        import tensorflow as tf

        plain = _is_plain(content)
        return tf.cond(
            tf.reduce_all(plain),
            lambda: content,
            lambda: tf.map_fn(_converted, (content, plain), fn_output_signature=tf.string),
        )

    def decode(self, content: tf.Tensor) -> tf.Tensor:
        """The contents themselves: `finish` decodes a batch at once."""
        return content

    def samples(self, contents: tf.Tensor) -> tf.Tensor:
        """`(batch, samples)` float32 from the bytes of WAV files; traced once a process and not once an epoch."""
        return _decoder(self.seconds, self.audio.sample_rate)(contents)

    def finish(self, tensors: tf.Tensor) -> tf.Tensor:
        """Spectrograms `(batch, height, width, 3)` float32 from the bytes of WAV files."""
        from tfl.modalities.audio.spectrogram import spectrogram_input

        return spectrogram_input(self.samples(tensors), self.audio, self.size)

    def encode(self, contents: tf.Tensor) -> tf.Tensor:
        """`(batch, height, width, 3)` float32 from the bytes of WAV files."""
        return self.finish(contents)

    def augmenter(self, settings: tfl.AudioAugment) -> Callable[..., tuple[Any, Any]]:
        """See `tfl.modalities.audio.augment.augmenter`."""
        from tfl.modalities.audio.augment import augmenter

        return augmenter(settings, self.audio, self.size, _decoder(self.seconds, self.audio.sample_rate))

    def sample_tensors(self, count: int, *, seed: int = 0) -> NDArray[np.float32]:
        """Random spectrograms, `(count, height, width, 3)`."""
        rng = np.random.default_rng(seed)
        grey = rng.integers(0, 256, (count, *self.size, 1)).astype(np.float32)
        return np.repeat(grey, 3, axis=-1)

    def preview(self, content: bytes, *, attribution: NDArray[np.float32] | None = None) -> Preview:
        """See `tfl.modalities.audio.preview.preview_sound`."""
        from tfl.modalities.audio.preview import preview_sound

        return preview_sound(content, self, attribution=attribution)

    def small_preview(self, read: Callable[[], bytes], tensors: Any) -> bytes:
        """A JPEG of the spectrogram."""
        from tfl.modalities.audio.preview import coloured
        from tfl.modalities.image.preview import small_jpeg

        return small_jpeg(coloured(tensors[..., 0]))

    def audit_checks(self, audited: Audited) -> AudioChecks:
        """See `tfl.modalities.audio.checks`."""
        from tfl.modalities.audio.checks import AudioChecks

        return AudioChecks(audited)


def of_recipe(recipe: tfl.Recipe) -> AudioModality:
    """The modality of a recipe's sounds, as spectrograms of the size of its network where the recipe states none."""
    data = recipe.data if recipe.data.image_size is not None else settled(recipe).data
    return AudioModality(data, pooling=recipe.head.pooling)


def check_available(recipe: tfl.Recipe) -> None:
    """See `tfl.modalities.image.backbones.available.check_available`."""
    from tfl.modalities.image.backbones import available

    available.check_available(recipe.backbone, classifier=recipe.needs_classifier)


def settled(recipe: tfl.Recipe) -> tfl.Recipe:
    """The recipe with the size of the spectrograms stated; see `tfl.modalities.image.backbones.settle.settled`."""
    from tfl.modalities.image.backbones import settle

    return settle.settled(recipe)


def chosen(recipe: tfl.Recipe, examples: Any) -> tuple[tfl.Recipe, str | None]:
    """The recipe with a length, and a sentence about it; unchanged where it states one or no sound can be read.

    Args:
        recipe: As `settled` returned it.
        examples: A `tfl.data.examples.Examples`.
    """
    audio = recipe.data.input
    if not isinstance(audio, Audio) or audio.seconds is not None:
        return recipe, None
    durations = durations_of(examples) if examples.arrays is None else []
    if not durations:  # the audit names what is wrong with each file, for which any length will do
        return recipe.override("data.input.seconds", 1.0), None
    seconds, sentence = chosen_length(durations)
    return recipe.override("data.input.seconds", seconds), sentence


def of_data(data: tfl.Data) -> AudioModality:
    """The modality of sounds whose length and size the data states."""
    return AudioModality(data)


def _is_plain(contents: tf.Tensor) -> tf.Tensor:
    """Whether each of the contents begins as `_PLAIN` says."""
    import tensorflow as tf

    heads = tf.strings.join([tf.strings.substr(contents, 0, 64), bytes(64)])  # long enough to be asked, whatever they are
    return tf.reduce_all(tf.stack([tf.equal(tf.strings.substr(heads, place, len(part)), part) for place, part in _PLAIN]), axis=0)


def _converted(given: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """One content, and whether it is plain already."""
    import tensorflow as tf

    content, plain = given
    return tf.cond(
        plain,
        lambda: content,
        lambda: tf.ensure_shape(tf.numpy_function(readable_by_graph, [content], tf.string, stateful=False), ()),
    )


@functools.lru_cache(maxsize=32)
def _decoder(seconds: float, sample_rate: int) -> Callable[[tf.Tensor], tf.Tensor]:
    import tensorflow as tf

    signature = [tf.TensorSpec([None], tf.string)]
    return tf.function(
        lambda contents: decode_wavs(contents, seconds=seconds, sample_rate=sample_rate),
        input_signature=signature,
        autograph=False,
    )
