"""How a person sees and hears a sound: a player, its spectrogram as the network takes it, and one line for a terminal."""

from __future__ import annotations

import base64
import io
import itertools
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tfl.modalities.audio.check import check_sound
from tfl.modalities.audio.convert import readable_by_graph, samples_of
from tfl.modalities.audio.spectrogram import hertz_at, highest
from tfl.modalities.audio.wav import as_int16, write_wav
from tfl.modalities.base import Preview
from tfl.modalities.image.preview import patch_heat

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tfl

_MAGMA = np.array(
    [(0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122), (229, 80, 100), (251, 135, 97), (254, 194, 135)]
    + [(252, 253, 191)],
    np.float32,
)
"""Anchors of matplotlib's `magma`: brightness grows evenly, so that it stays readable in grey."""
_ATTRIBUTION = np.array([0, 229, 255], np.float32)
"""Cyan, which magma does not have."""
_BARS = "▁▂▃▄▅▆▇█"
_COLUMNS = 24
_QUIETEST_DB = -60.0
_PLAYED = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg", "ogg": "audio/ogg"}
"""Formats that browsers play."""
_WIDTH, _HEIGHT, _LEFT, _BELOW, _ABOVE = 360, 160, 46, 18, 6
"""Of the spectrogram in CSS pixels, and the room for the axes around it."""


class _Sounds(Protocol):
    """What is needed of the modality."""

    @property
    def audio(self) -> tfl.Audio: ...
    @property
    def seconds(self) -> float: ...
    def samples(self, contents: Any) -> Any: ...
    def finish(self, tensors: Any) -> Any: ...


def preview_sound(content: bytes, modality: _Sounds, *, attribution: NDArray[np.float32] | None = None) -> Preview:
    """A player with the spectrogram below it, and a line with the length, the rate and the level over time.

    Args:
        content: The bytes of a sound file.
        modality: Makes the spectrogram.
        attribution: `(height, width)`, 0 to 1, of the size of the spectrogram: how much each place speaks for the answer; or
            `(tokens,)`: patches in rows, behind other tokens.

    Raises:
        BadImageError: The file is damaged.
    """
    import tensorflow as tf

    contents = tf.constant([readable_by_graph(content)])
    wave, levels = modality.samples(contents)[0], modality.finish(contents)[0, ..., 0].numpy()
    player = f'<audio controls preload="metadata" src="{_played(content, wave.numpy(), modality.audio.sample_rate)}"></audio>'
    heat = patch_heat(attribution, levels.shape) if attribution is not None and attribution.ndim == 1 else attribution
    figure = _figure(coloured(levels, heat), modality.audio, modality.seconds)
    return Preview(html=f'<div class="sound">{player}{figure}</div>', text=line_about(content))


def coloured(levels: NDArray[np.floating], attribution: NDArray[np.floating] | None = None) -> NDArray[np.uint8]:
    """A spectrogram in the colours of magma, with cyan where the attribution is high.

    Args:
        levels: `(height, width)`, 0 to 255.
        attribution: `(height, width)`, 0 to 1.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.audio.preview import coloured
    >>> coloured(np.array([[0.0, 255.0]])).tolist()
    [[[0, 0, 4], [252, 253, 191]]]
    """
    places = np.clip(levels / 255.0, 0.0, 1.0) * (len(_MAGMA) - 1)
    colours = np.stack([np.interp(places, np.arange(len(_MAGMA)), _MAGMA[:, channel]) for channel in range(3)], axis=-1)
    if attribution is not None:
        opacity = 0.6 * np.clip(attribution, 0.0, 1.0)[..., None]
        colours = (1.0 - opacity) * colours + opacity * _ATTRIBUTION
    return np.rint(colours).astype(np.uint8)


def line_about(content: bytes) -> str:
    """Length, rate, channels, level over time and peak of a sound.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.audio.preview import line_about
    >>> from tfl.modalities.audio.wav import write_wav
    >>> line_about(write_wav(np.full(8000, 16384, np.int16), 8000))
    '1 s · 8,000 Hz · mono · ████████████████████████ · peak -6.0 dB'
    """
    samples, rate = samples_of(content)
    mono = samples.mean(axis=1) / (32768.0 if samples.dtype == np.int16 else 1.0)
    channels = {1: "mono", 2: "stereo"}.get(samples.shape[1], f"{samples.shape[1]} channels")
    peak = float(np.abs(mono).max(initial=0.0))
    level = f"peak {20 * np.log10(peak):.1f} dB" if peak > 0 else "silent"
    return f"{len(mono) / rate:.3g} s · {rate:,} Hz · {channels} · {_bar(mono)} · {level}"


def _bar(mono: NDArray[np.floating]) -> str:
    """The root mean square of each part, from -60 to 0 dB."""
    if not len(mono):
        return ""
    edges = np.linspace(0, len(mono), min(_COLUMNS, len(mono)) + 1).astype(int)
    power = np.array([np.mean(np.square(mono[start:end])) for start, end in itertools.pairwise(edges)])
    height = 1.0 - 10.0 * np.log10(np.maximum(power, 1e-12)) / _QUIETEST_DB
    return "".join(_BARS[int(place)] for place in np.clip(height * len(_BARS), 0, len(_BARS) - 1))


def _played(content: bytes, wave: NDArray[np.float32], rate: int) -> str:
    """A data URI: the file itself where a browser plays it and it is the smaller one, else what the network hears."""
    kind = check_sound(content).format
    heard = write_wav(as_int16(wave), rate)
    if kind in _PLAYED and len(content) <= len(heard):
        return _data_uri(content, _PLAYED[kind])
    return _data_uri(heard, "audio/wav")


def _data_uri(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def _figure(pixels: NDArray[np.uint8], audio: tfl.Audio, seconds: float) -> str:
    """The spectrogram with a time axis and an axis of frequencies in Hz, as an SVG that needs no other file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    ticks = []
    for at in range(5):
        ticks.append(_text(_LEFT - 4, _ABOVE + _HEIGHT * (1 - at / 4) + 3, "end", _hertz(hertz_at(audio, at / 4))))
        ticks.append(_text(_LEFT + _WIDTH * at / 4, _ABOVE + _HEIGHT + 13, "middle", f"{seconds * at / 4:.3g} s"))
    label = f"Spectrogram, 0 to {seconds:g} s, {_hertz(audio.low)} to {_hertz(highest(audio))}"
    return (
        f'<svg viewBox="0 0 {_LEFT + _WIDTH + 22} {_ABOVE + _HEIGHT + _BELOW}" role="img" aria-label="{label}" '
        f'font-size="10" font-family="sans-serif" fill="currentColor"><title>{label}</title>'
        f'<image x="{_LEFT}" y="{_ABOVE}" width="{_WIDTH}" height="{_HEIGHT}" preserveAspectRatio="none" '
        f'href="{_data_uri(buffer.getvalue(), "image/png")}"/>{"".join(ticks)}</svg>'
    )


def _text(x: float, y: float, anchor: str, words: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{words}</text>'


def _hertz(value: float) -> str:
    return f"{value / 1000:.2g} kHz" if value >= 1000 else f"{value:.0f} Hz"
