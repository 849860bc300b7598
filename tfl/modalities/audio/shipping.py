"""What exports and the server need of sounds: drawn files, and a way to spectrograms by librosa."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfl.modalities.audio.decode import sample_count
from tfl.modalities.audio.modality import SPECTROGRAM, AudioModality
from tfl.modalities.audio.spectrogram import fft_samples, highest, hop_samples, window_samples
from tfl.modalities.audio.wavelet import OMEGA, fft_length
from tfl.modalities.shipping import Reading, Shipping, stated_size
from tfl.recipe import Audio, Data

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LINES = """\
def matrix(count, wanted):  # resamples an axis linearly
    step = count / wanted
    distances = np.abs(np.arange(count)[None] - ((np.arange(wanted) + 0.5) * step - 0.5)[:, None])
    weights = np.maximum(0, 1 - distances / max(1, step))
    return weights / weights.sum(axis=1, keepdims=True)

wave, _ = librosa.load({file}, sr={rate}, mono=True)
wave = wave[max(0, len(wave) - {count}) // 2 :][:{count}]
missing = {count} - len(wave)
wave = np.pad(wave, (missing // 2, missing - missing // 2))
{power}
decibels = librosa.power_to_db(power, ref=np.max, top_db={range_db:g}) if power.max() > 1e-10 else 0 * power - {range_db:g}
levels = (decibels + {range_db:g}) * (255 / {range_db:g})
levels = matrix({mels}, {height})[::-1] @ levels @ matrix(levels.shape[1], {width}).T
spectrogram = np.repeat(np.clip(np.round(levels), 0, 255)[None, :, :, None], 3, axis=-1).astype("float32")
"""
_POWER = {
    "mel": """\
power = librosa.feature.melspectrogram(
    y=wave, sr={rate}, n_fft={fft}, win_length={window}, hop_length={hop}, n_mels={mels}, fmin={low:g}, fmax={high:g}
)""",
    "wavelet": """\
bins = np.arange({length} // 2 + 1) * ({rate} / {length})
frequencies = np.geomspace({low:g}, {high:g}, {mels})  # of Morlet wavelets
responses = 2 * np.exp(-0.5 * ({omega:g} * (bins / frequencies[:, None] - 1)) ** 2)
analytic = np.pad(np.fft.rfft(wave, {length}) * responses, ((0, 0), (0, {length} - len(bins))))
squares = np.abs(np.fft.ifft(analytic)[:, : len(wave)]) ** 2
places = [slice(max(0, at - {hop} // 2), at - {hop} // 2 + {hop}) for at in range(0, len(wave) + 1, {hop})]
power = np.stack([squares[:, one].sum(axis=1) / max(1, squares[:, one].shape[1]) for one in places], axis=1)""",
}
_WORDS = {"mel": ("a log-mel spectrogram", "mel bands"), "wavelet": ("a wavelet transform", "Morlet wavelets")}
_NOTE = (
    "The model takes {what}. These lines make it of a sound file as in training: the middle {seconds:g} s at "
    "{rate:,} Hz, "
    "{mels} {bands}, {range_db:g} dB below the loudest value as 0 to 255. librosa resamples otherwise than the SavedModel, so "
    "a value "
    "may differ by a little where the file has another rate; `parity.json`, next to this folder, says how much that changes "
    "where "
    "librosa was installed. The SavedModel holds its own decoder and needs none of this."
)
_CONTENT_NOTE = (
    "Decoding (WAV of 16-bit PCM, any rate and number of channels), resampling to {rate:,} Hz, the middle {seconds:g} s, the "
    "spectrogram, preprocessing and labels are inside. The signature `spectrogram` takes spectrograms of 0 to 255 instead, "
    "float32 "
    "`(batch, {height}, {width}, 3)`. TensorFlow Serving takes the folder above this one, and warms up on "
    "`assets.extra/tf_serving_warmup_requests`.\n\n"
    "FLAC, MP3, OGG and other WAV files cannot be decoded inside the graph. `tfl predict` and `tfl serve` convert them. "
    "Anywhere else, "
    "convert them first, for example with soundfile: "
    '`soundfile.write("sound.wav", *soundfile.read("sound.mp3"), subtype="PCM_16")`.'
)


class AudioShipping(Shipping):
    """See `tfl.modalities.shipping.Shipping`."""

    example: ClassVar[str] = 'open("sound.wav", "rb").read()'
    takes: ClassVar[str] = "the content of WAV files"
    warm_up: ClassVar[tuple[str, ...]] = ("speech_like.wav", "rate_8000.wav")
    reading: ClassVar[str] = "librosa"
    unit: ClassVar[str] = "bytes of samples"
    formats: ClassVar[str] = "WAV, FLAC, MP3, OGG, AIFF, AU and CAF are read."
    modality: AudioModality

    @classmethod
    def of_about(cls, about: Mapping[str, Any]) -> AudioShipping:
        """The sounds of an export."""
        settings = {name.removeprefix("audio_"): value for name, value in about.items() if name.startswith("audio_")}
        audio = Audio(**{"seconds": 1.0, **{name: value for name, value in settings.items() if name in _FIELDS}})
        return cls(AudioModality(Data("export", image_size=stated_size(about) or (64, 64), input=audio)))

    def golden(self) -> dict[str, bytes]:
        """See `tfl.modalities.audio.golden.golden_sounds`."""
        from tfl.modalities.audio.golden import golden_sounds

        return dict(golden_sounds())

    def shown(self, content: bytes) -> dict[str, Any]:
        """The spectrogram that the network sees, and the sound as it hears it."""
        import tensorflow as tf

        from tfl.modalities.audio.preview import coloured
        from tfl.modalities.audio.wav import as_int16, write_wav

        contents = tf.constant([content])
        wave, levels = self.modality.samples(contents)[0], self.modality.finish(contents)[0, ..., 0].numpy()
        heard = write_wav(as_int16(wave.numpy()), self.modality.audio.sample_rate)
        height, width = self.modality.size
        picture = {"source": _png(coloured(levels)), "width": width, "height": height}
        return {"picture": picture, "audio": f"data:audio/wav;base64,{base64.b64encode(heard).decode()}"}

    def explained(self, content: bytes, attribution: NDArray[np.float32]) -> dict[str, Any]:
        """The map over the spectrogram."""
        from tfl.modalities.image.preview import patch_heat, ramp

        known = np.clip(patch_heat(attribution, self.modality.size) if attribution.ndim == 1 else attribution, 0.0, 1.0)
        layer = np.concatenate([np.rint(ramp(known)), np.rint(255 * known)[..., None]], axis=-1).astype(np.uint8)
        row, column = np.unravel_index(int(known.argmax()), known.shape)
        place = f"{self.modality.seconds * (column + 0.5) / known.shape[1]:.2g} s"
        third = ("high", "middle", "low")[min(2, 3 * int(row) // known.shape[0])]
        return {"grad_cam": _png(layer), "looked": f"It listened most at {place}, to {third} frequencies."}

    def tensor_meanings(self) -> dict[str, str]:
        """The spectrogram."""
        name = "log-mel" if self.modality.audio.transform == "mel" else "wavelet transform in dB"
        return {SPECTROGRAM: f"{name}, 0 to 255, time to the right, high frequencies on top, three equal channels"}

    def content_note(self) -> str:
        """What the graph decodes, and what it does not."""
        height, width = self.modality.size
        audio = self.modality.audio
        return _CONTENT_NOTE.format(rate=audio.sample_rate, seconds=self.modality.seconds, height=height, width=width)

    def how_to_read(self, folder: Path | None = None) -> Reading:
        """By librosa and NumPy."""
        audio = self.modality.audio
        what, bands = _WORDS[audio.transform]
        words = {
            "what": what,
            "bands": bands,
            "rate": audio.sample_rate,
            "mels": audio.mels,
            "range_db": audio.range_db,
            "seconds": self.modality.seconds,
        }
        return Reading(
            name=self.reading,
            packages="librosa numpy",
            imports="import librosa\nimport numpy as np\n",
            lines=self._lines('"sound.wav"'),
            note=_NOTE.format(**words),
        )

    def read(self, content: bytes) -> NDArray[np.float32]:
        """The spectrogram of one file by the lines of the README."""
        import librosa

        scope: dict[str, Any] = {"librosa": librosa, "np": np, "file": io.BytesIO(content)}
        exec(self._lines("file"), scope)
        spectrogram: NDArray[np.float32] = scope[SPECTROGRAM][0]
        return spectrogram

    def _lines(self, file: str) -> str:
        audio, (height, width) = self.modality.audio, self.modality.size
        count = sample_count(self.modality.seconds, audio.sample_rate)
        power = _POWER[audio.transform].format(
            rate=audio.sample_rate,
            fft=fft_samples(audio),
            window=window_samples(audio),
            hop=hop_samples(audio),
            mels=audio.mels,
            low=audio.low,
            high=highest(audio),
            length=fft_length(audio, count) if audio.transform == "wavelet" else 0,
            omega=OMEGA,
        )
        return _LINES.format(
            file=file,
            rate=audio.sample_rate,
            count=count,
            power=power,
            mels=audio.mels,
            range_db=audio.range_db,
            height=height,
            width=width,
        )


SHIPPING = AudioShipping


def _png(pixels: NDArray[np.uint8]) -> str:
    """Pixels, `(height, width, 3 or 4)`, as a data URI."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


_FIELDS = ("seconds", "sample_rate", "transform", "mels", "window", "hop", "low", "high", "range_db")
