"""What can be wrong with sounds: silent, clipped, very short, off zero, and several copies of one recording."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfl.errors import BadImageError, MissingExtraError, listed
from tfl.modalities.audio.convert import samples_of

SILENT_DB = -60.0
"""A sound whose loudest sample is below this is silent, in dB of full scale."""
CLIPPED_SHARE = 0.001
"""More than this share of all samples in runs at the largest value is clipping."""
CLIPPED_RUN = 3
"""So many samples in a row at the largest value, which the one before or after is clearly below, are no peak of a wave."""
_CLEARLY_BELOW = 0.99
_CLIPPED_DB = -40.0
"""Quieter sounds have too few steps below their largest value to tell."""
SHORT_S = 0.05
OFFSET_SHARE = 0.1
"""A mean above this share of the loudest sample is an offset."""
COPY_CORRELATION = 0.95
"""Two sounds are near copies where their samples correlate this much at the best shift."""
_LIKE = 0.9
"""Only sounds whose fingerprints are this alike are compared sample by sample,"""
_NEAREST = 8
"""and of these the most alike, so that the work grows with the number of sounds."""
_BANDS, _TIMES = 24, 32
_COMPARED_RATE = 8000
_COMPARED_S = 10.0


@dataclass(frozen=True, kw_only=True)
class SoundFacts:
    """What the samples of one sound say.

    Args:
        seconds: Length.
        peak_db: The loudest sample in dB of full scale; minus infinity for zeros.
        clipped: Share of the samples in runs at the largest value.
        offset: The mean as a share of the loudest sample.
    """

    seconds: float
    peak_db: float
    clipped: float
    offset: float


def facts_of(content: bytes) -> SoundFacts:
    """What the samples of a sound file say.

    Raises:
        BadImageError: The file is damaged.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.audio.audit import facts_of
    >>> from tfl.modalities.audio.wav import write_wav
    >>> facts_of(write_wav(np.full(800, 16384, np.int16), 8000))
    SoundFacts(seconds=0.1, peak_db=-6.0, clipped=0.0, offset=1.0)
    """
    mono, rate = _mono(content)
    size = np.abs(mono)
    peak = float(size.max(initial=0.0))
    return SoundFacts(
        seconds=len(mono) / rate,
        peak_db=round(20 * math.log10(peak), 1) if peak > 0 else -math.inf,
        clipped=_clipped_share(mono),
        offset=abs(float(mono.mean())) / peak if peak > 0 else 0.0,
    )


def level_findings(examples: Any) -> list[dict[str, Any]]:
    """Findings about single sounds: `silent`, `clipped`, `very_short`, `offset`.

    Args:
        examples: A `tfl.data.examples.Examples` of sounds that can be read.

    Returns:
        Dictionaries of `kind`, `severity`, `files` and `note`.
    """
    facts = _of_each(examples, facts_of)
    chosen = {
        "silent": [index for index, fact in facts.items() if fact.peak_db < SILENT_DB],
        "clipped": [index for index, fact in facts.items() if fact.clipped > CLIPPED_SHARE],
        "very_short": [index for index, fact in facts.items() if fact.seconds < SHORT_S],
        "offset": [index for index, fact in facts.items() if fact.offset > OFFSET_SHARE and fact.peak_db >= SILENT_DB],
    }
    words = {
        "silent": f"have no sample above {SILENT_DB:g} dB, and teach a network nothing but silence",
        "clipped": f"are clipped: more than {CLIPPED_SHARE:.1%} of their samples stand at the largest value",
        "very_short": f"are shorter than {SHORT_S * 1000:g} ms",
        "offset": f"do not swing around zero: their mean is more than {OFFSET_SHARE:.0%} of their loudest sample",
    }
    severities = {"silent": "warning", "clipped": "info", "very_short": "warning", "offset": "info"}
    return [
        _finding(kind, severities[kind], [examples.name_of(index) for index in indices], words[kind])
        for kind, indices in chosen.items()
        if indices
    ]


def compared_waves(examples: Any) -> dict[int, NDArray[np.float32]]:
    """The samples of each sound that can be read, at one low rate, by its position.

    Args:
        examples: A `tfl.data.examples.Examples`.
    """
    return _of_each(examples, _compared)


def near_copies(waves: dict[int, NDArray[np.float32]]) -> list[tuple[int, ...]]:
    """Sets of sounds that are the same recording, byte by byte or nearly so.

    Sounds with like spectrograms are candidates; whether two of them are copies is decided by the correlation of their samples
    at the shift at which it is largest.

    Args:
        waves: Of `compared_waves`.

    Returns:
        Indices of the sounds of each set, in order.
    """
    order = [index for index, wave in waves.items() if np.ptp(wave) > 0]
    if len(order) < 2:
        return []
    pairs = _candidates(np.stack([fingerprint(waves[index]) for index in order]))
    same = [(order[a], order[b]) for a, b in pairs if correlation(waves[order[a]], waves[order[b]]) >= COPY_CORRELATION]
    return _joined(same)


def fingerprint(wave: NDArray[np.floating]) -> NDArray[np.float32]:
    """A unit vector of the shape of the spectrogram: levels of 24 bands at 32 times from the first to the last loud moment.

    Args:
        wave: `(samples,)` at 8 kHz.
    """
    from scipy.signal import stft

    _, _, spectrum = stft(wave, nperseg=256, noverlap=192, boundary="zeros", padded=True)
    bands = np.array_split(np.abs(spectrum[1:]) ** 2, _BANDS, axis=0)
    power = np.stack([band.mean(axis=0) for band in bands])
    levels = 10.0 * np.log10(np.maximum(power, power.max() * 1e-6))
    loud = np.flatnonzero(power.sum(axis=0) >= power.sum(axis=0).max() * 1e-3)
    levels = levels[:, loud[0] : loud[-1] + 1]
    times = np.linspace(0, levels.shape[1] - 1, _TIMES)
    shape = np.stack([np.interp(times, np.arange(levels.shape[1]), band) for band in levels]).ravel()
    shape -= shape.mean()
    return (shape / max(float(np.linalg.norm(shape)), 1e-12)).astype(np.float32)


def correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """The correlation of the samples of two sounds at the shift at which it is largest, -1 to 1.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.audio.audit import correlation
    >>> noise = np.random.default_rng(0).normal(size=2000)
    >>> round(correlation(noise, 0.3 * np.roll(np.pad(noise, 100), 40)), 3)
    1.0
    """
    from scipy.fft import irfft, next_fast_len, rfft

    length = next_fast_len(len(one) + len(other) - 1, real=True)
    product = irfft(rfft(one, length) * np.conj(rfft(other, length)), length)
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(product.max() / size) if size > 0 else 0.0


def _mono(content: bytes) -> tuple[NDArray[np.float64], int]:
    samples, rate = samples_of(content)
    scale = 32768.0 if samples.dtype == np.int16 else 1.0
    return samples.mean(axis=1, dtype=np.float64) / scale, rate


def _compared(content: bytes) -> NDArray[np.float32]:
    """The samples at one low rate, which is enough to tell copies."""
    from scipy.signal import resample_poly

    mono, rate = _mono(content)
    mono = mono[: int(_COMPARED_S * rate)] - mono.mean()
    common = math.gcd(rate, _COMPARED_RATE)
    if rate != _COMPARED_RATE:
        mono = resample_poly(mono, _COMPARED_RATE // common, rate // common)
    return mono.astype(np.float32)


def _clipped_share(mono: NDArray[np.floating]) -> float:
    size = np.abs(mono)
    peak = size.max(initial=0.0)
    if peak < 10 ** (_CLIPPED_DB / 20) or np.ptp(mono) <= 0:
        return 0.0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (size >= 0.9999 * peak).view(np.int8), [0]])))
    starts, ends = edges[::2], edges[1::2]
    around = np.pad(size, 1)  # the sample before each start, and the one at each end
    sudden = np.minimum(around[starts], around[ends + 1]) < _CLEARLY_BELOW * peak
    runs = (ends - starts)[sudden]
    return float(runs[runs >= CLIPPED_RUN].sum() / len(mono))


def _of_each(examples: Any, look: Any) -> dict[int, Any]:
    """What `look` says of the content of each sound that can be read."""

    def one(index: int) -> Any:
        try:
            return look(examples.bytes_of(index))
        except (BadImageError, MissingExtraError, OSError):
            return None  # reported by the check of single files

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(one, range(len(examples))))
    return {index: value for index, value in enumerate(found) if value is not None}


def _candidates(vectors: NDArray[np.float32]) -> Iterable[tuple[int, int]]:
    """Pairs of like vectors, by blocks of rows so that memory stays small."""
    for start in range(0, len(vectors), 1024):
        like = vectors[start : start + 1024] @ vectors.T
        like[np.arange(len(like)), start + np.arange(len(like))] = -1.0  # not with itself
        nearest = np.argsort(like, axis=1)[:, -_NEAREST:]
        rows = np.repeat(np.arange(len(like)), nearest.shape[1])
        columns = nearest.ravel()
        near = like[rows, columns] >= _LIKE
        ends = np.stack([start + rows[near], columns[near]], axis=1)
        yield from {(int(min(pair)), int(max(pair))) for pair in ends}


def _joined(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
    """The sets that pairs make."""
    of: dict[int, set[int]] = {}
    for one, other in pairs:
        members = of.get(one, {one}) | of.get(other, {other})
        of.update(dict.fromkeys(members, members))
    return sorted({tuple(sorted(members)) for members in of.values()})


def _finding(kind: str, severity: str, files: list[str], words: str) -> dict[str, Any]:
    count = len(files)
    subject = "1 sound" if count == 1 else f"{count:,} sounds"
    if count == 1:
        for several, one in (
            ("have ", "has "),
            ("are ", "is "),
            ("do not", "does not"),
            ("their", "its"),
            ("and teach", "and teaches"),
        ):
            words = words.replace(several, one)
    return {"kind": kind, "severity": severity, "files": files, "note": f"{subject} {words}: {listed(files, limit=5)}."}
