"""WAV files: what their header says, and 16-bit ones written.

The format is Microsoft's and IBM's RIFF (Multimedia Programming Interface 1.0, 1991), with WAVE_FORMAT_EXTENSIBLE of 2001.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
_PLAIN_FORMAT, _PLAIN_HEADER = 16, 44


@dataclass(frozen=True, kw_only=True)
class WavHeader:
    """What the chunks of a WAV file say.

    Args:
        code: 1 for whole numbers (PCM), 3 for floats, others for compressed samples.
        channels: Number of channels.
        rate: Sample rate in Hz.
        bits: Bits of each sample.
        start: Where the samples begin, in bytes from the start of the file.
        size: Bytes of samples that are there.
        stated: Bytes of samples that the header promises; writers of streams leave a placeholder.
        plain: Whether the header is the shortest one of 16-bit PCM, which the graph decodes.
    """

    code: int
    channels: int
    rate: int
    bits: int
    start: int
    size: int
    stated: int
    plain: bool

    @property
    def frames(self) -> int:
        """Samples of each channel."""
        return self.size // max(1, self.channels * self.bits // 8)


def is_wav(content: bytes) -> bool:
    """Whether a file starts as a WAV file does."""
    return content[:4] == b"RIFF" and content[8:12] == b"WAVE"


def read_wav_header(content: bytes) -> WavHeader | None:
    """What the chunks say; None where there is no format or no data, or the numbers cannot be.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.audio.wav import read_wav_header, write_wav
    >>> header = read_wav_header(write_wav(np.zeros(800, np.int16), 8000))
    >>> header.rate, header.channels, header.frames, header.plain
    (8000, 1, 800, True)
    """
    if not is_wav(content):
        return None
    place, found = 12, None
    while place + 8 <= len(content):
        name, size = content[place : place + 4], struct.unpack_from("<I", content, place + 4)[0]
        if name == b"fmt " and place + 24 <= len(content):
            found = (size, *struct.unpack_from("<HHIIHH", content, place + 8))
            if found[1] == EXTENSIBLE and size >= 40 and place + 34 <= len(content):
                found = (size, struct.unpack_from("<H", content, place + 32)[0], *found[2:])
        elif name == b"data":
            return _header(content, found, place + 8, size)
        place += 8 + size + size % 2
    return None


def _header(content: bytes, found: tuple[int, ...] | None, start: int, stated: int) -> WavHeader | None:
    if found is None:
        return None
    size, code, channels, rate, _, _, bits = found
    if not (channels and rate and bits):
        return None
    there = min(stated, len(content) - start)
    own_code = struct.unpack_from("<H", content, 20)[0]
    plain = size == _PLAIN_FORMAT and own_code == PCM and bits == 16 and start == _PLAIN_HEADER and stated == there
    return WavHeader(code=code, channels=channels, rate=rate, bits=bits, start=start, size=there, stated=stated, plain=plain)


def write_wav(samples: NDArray[np.int16], rate: int) -> bytes:
    """A WAV file with 16-bit PCM samples.

    Args:
        samples: `(n,)` or `(n, channels)` int16.
        rate: Sample rate in Hz.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.audio.wav import write_wav
    >>> len(write_wav(np.zeros((10, 2), np.int16), 44100))
    84
    """
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    data = np.ascontiguousarray(samples, "<i2").tobytes()
    layout = struct.pack("<HHIIHH", PCM, channels, rate, rate * channels * 2, channels * 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def as_int16(samples: NDArray[np.floating]) -> NDArray[np.int16]:
    """Samples from -1 to 1 as 16-bit ones; louder ones lower the level of all, so that nothing is clipped."""
    peak = float(np.max(np.abs(samples), initial=0.0))
    scaled = samples / peak if peak > 1.0 else samples
    return np.clip(np.rint(scaled * 32768.0), -32768, 32767).astype(np.int16)
