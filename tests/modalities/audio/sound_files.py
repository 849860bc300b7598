"""Small sound files for the tests."""

from __future__ import annotations

import io

import numpy as np
import soundfile

from tfl.modalities.audio.wav import as_int16, write_wav


def tone(hertz: float = 440.0, *, seconds: float = 0.5, rate: int = 16000, level: float = 0.5) -> np.ndarray:
    """A steady tone, `(samples,)` float64."""
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def wav(samples: np.ndarray, rate: int = 16000) -> bytes:
    """A 16-bit WAV file with the shortest header."""
    return write_wav(as_int16(samples), rate)


def encoded(samples: np.ndarray, rate: int, kind: str, subtype: str | None = None) -> bytes:
    """A file of another format, written by libsndfile."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def with_chunk(content: bytes, name: bytes, body: bytes) -> bytes:
    """A WAV file with another chunk before its samples."""
    chunk = name + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)
    inside = content[8:36] + chunk + content[36:]
    return b"RIFF" + len(inside).to_bytes(4, "little") + inside
