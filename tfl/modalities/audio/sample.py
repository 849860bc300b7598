"""The sounds that come with tfl, drawn by our own code: good for trying tfl and for tests, no evidence about real sounds.

Six classes differ by how a sound goes on in time. What does not tell them apart is in every class alike: pitch, timbre, length,
start, level, echo and the noise around. No sound file ships; the same seed gives the same bytes everywhere NumPy draws the same
numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfl.errors import DataError, did_you_mean
from tfl.modalities.audio.wav import as_int16, write_wav
from tfl.modalities.samples import SampleContents

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SEED = 20261127
RATE = 16000
LENGTH_S = 1.0
PER_CLASS = 50
NOTE = "synthesised, not recorded"

Random = np.random.Generator


def load_sample(name: str) -> SampleContents:
    """A sample by name; `sounds` is the only one.

    Raises:
        DataError: There is no such sample.

    Example:

    >>> from tfl.modalities.audio.sample import load_sample
    >>> sample = load_sample("sounds")
    >>> len(sample.contents), sample.class_names[:2]
    (300, ('steady', 'vibrato'))
    """
    if name not in SAMPLES:
        raise DataError(
            "There is no such sample of sounds.", received=name, allowed=SAMPLES, fix=did_you_mean(name, SAMPLES) or None
        )
    return draw_sounds()


def draw_sounds(*, seed: int = SEED, per_class: int = PER_CLASS) -> SampleContents:
    """WAV files of one second at 16 kHz, classes taking turns.

    Args:
        seed: Decides everything but the classes.
        per_class: How many sounds of each class.
    """
    names = tuple(_CLASSES)
    labels = np.tile(np.arange(len(names), dtype=np.int32), per_class)
    contents = np.empty(len(labels), object)
    for number, label in enumerate(labels):
        contents[number] = write_wav(as_int16(draw_sound(np.random.default_rng((seed, number)), names[label])), RATE)
    return SampleContents(contents=contents, labels=labels, class_names=names, note=NOTE)


def draw_sound(rng: Random, kind: str) -> NDArray[np.float64]:
    """One sound, `(16000,)`, -1 to 1.

    Args:
        rng: Decides everything but the kind.
        kind: A class of the sample, such as `rising`.
    """
    count = int(RATE * LENGTH_S)
    length = int(count * rng.uniform(0.45, 0.85))
    start = int(rng.integers(0, count - length))
    sound = np.zeros(count)
    sound[start : start + length] = _CLASSES[kind](rng, np.arange(length) / RATE) * _envelope(rng, length)
    sound = _with_echo(rng, sound)
    power = np.sqrt(np.mean(np.square(sound)))
    sound += _noise(rng, count) * power * 10 ** (-rng.uniform(0.0, 18.0) / 20)
    return sound / np.abs(sound).max() * 10 ** (-rng.uniform(1.0, 25.0) / 20)


def _steady(rng: Random, times: NDArray[np.float64]) -> NDArray[np.float64]:
    return _harmonics(rng, np.full(len(times), _pitch(rng)))


def _vibrato(rng: Random, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The pitch swings 4 to 9 times a second, by up to a tone and a half."""
    depth, speed = rng.uniform(0.03, 0.09), rng.uniform(4.0, 9.0)
    swing = np.sin(2 * np.pi * (speed * times + rng.random()))
    return _harmonics(rng, _pitch(rng) * (1 + depth * swing))


def _rising(rng: Random, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The pitch rises by a third to an octave."""
    return _harmonics(rng, _pitch(rng) * _glide(rng, times))


def _falling(rng: Random, times: NDArray[np.float64]) -> NDArray[np.float64]:
    return _harmonics(rng, _pitch(rng) * _glide(rng, times)[::-1])


def _clicks(rng: Random, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Short ringing pulses, 6 to 16 a second."""
    return _repeated(rng, times, lambda past: np.sin(2 * np.pi * _pitch(rng) * 3 * past) * np.exp(-past / 0.004))


def _bursts(rng: Random, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pieces of noise, 6 to 16 a second."""
    noise, width = _noise(rng, len(times)), rng.uniform(0.3, 0.5)
    return _repeated(rng, times, lambda past: noise * (past < width / 11))


_CLASSES: dict[str, Callable[[Random, NDArray[np.float64]], NDArray[np.float64]]] = {
    "steady": _steady,
    "vibrato": _vibrato,
    "rising": _rising,
    "falling": _falling,
    "clicks": _clicks,
    "bursts": _bursts,
}
SAMPLES = ("sounds",)


def _pitch(rng: Random) -> float:
    """150 to 900 Hz, each octave as likely as another."""
    return float(150 * 6 ** rng.random())


def _glide(rng: Random, times: NDArray[np.float64]) -> NDArray[np.float64]:
    octaves = rng.uniform(0.33, 1.0)
    return np.asarray(2 ** (octaves * (times / times[-1] - 0.5)))


def _harmonics(rng: Random, pitch: NDArray[np.float64]) -> NDArray[np.float64]:
    """A tone of that pitch at each moment, with up to ten harmonics below half the rate."""
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    slope, count = rng.uniform(0.5, 2.0), int(rng.integers(1, 11))
    numbers = [n for n in range(1, count + 1) if n * pitch.max() < 0.45 * RATE]
    parts = [np.sin(n * phase + 2 * np.pi * rng.random()) * rng.uniform(0.5, 1.0) / n**slope for n in numbers]
    return np.asarray(sum(parts, np.zeros(len(pitch))))


def _repeated(
    rng: Random, times: NDArray[np.float64], pulse: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """A pulse, a function of the time since its start, again and again."""
    period = 1 / rng.uniform(6.0, 16.0)
    return pulse((times + rng.uniform(0, period)) % period)


def _envelope(rng: Random, length: int) -> NDArray[np.float64]:
    """Fades in and out over 1 to 25% of the length each, and loses up to 12 dB on the way."""
    places = np.linspace(0, 1, length)
    rise, fall = rng.uniform(0.01, 0.25, 2)
    edges = np.minimum(1.0, np.minimum(places / rise, (1 - places) / fall))
    return np.asarray(np.sin(edges * np.pi / 2) * 10 ** (-rng.uniform(0, 12) * places / 20))


def _with_echo(rng: Random, sound: NDArray[np.float64]) -> NDArray[np.float64]:
    delay, share = int(rng.uniform(0.01, 0.12) * RATE), rng.uniform(0.0, 0.4)
    return sound + share * np.concatenate([np.zeros(delay), sound[:-delay]])


def _noise(rng: Random, count: int) -> NDArray[np.float64]:
    """Noise between white and pink, of level 1."""
    spectrum = np.fft.rfft(rng.normal(size=count))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1.0) ** -rng.uniform(0.0, 0.5)
    noise = np.fft.irfft(spectrum, count)
    return np.asarray(noise / noise.std())
