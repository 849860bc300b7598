"""Sound files that the graph does not decode, as 16-bit WAV: FLAC, MP3, OGG, AIFF, and WAV of other kinds of samples.

libsndfile reads them, through the package soundfile (extra `tfl[audio]`). The graph of an exported model cannot do this step:
whoever feeds it converts such files first.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import BadImageError, MissingExtraError
from tfl.modalities.audio.wav import PCM, WavHeader, as_int16, read_wav_header, write_wav

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

MISSING = "reading it needs: pip install 'tfl[audio]'"


def readable_by_graph(content: bytes) -> bytes:
    """The bytes of a sound file as the graph decodes them: as they are, or converted to 16-bit WAV.

    Raises:
        BadImageError: The file is damaged or no sound; the message says why, and not which file.
        MissingExtraError: It needs the extra `audio`, which is not installed.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.audio.convert import readable_by_graph
    >>> from tfl.modalities.audio.wav import write_wav
    >>> content = write_wav(np.zeros(800, np.int16), 8000)
    >>> readable_by_graph(content) is content
    True
    """
    header = read_wav_header(content)
    if header is not None and header.plain:
        return content
    samples, rate = samples_of(content)
    return write_wav(as_int16(samples) if samples.dtype != np.int16 else samples, rate)


def samples_of(content: bytes) -> tuple[NDArray[Any], int]:
    """All samples of a sound file and its rate.

    Returns:
        `(frames, channels)`, int16 of 16-bit WAV files and float32 of others; and the sample rate in Hz.

    Raises:
        BadImageError: The file is damaged or no sound.
        MissingExtraError: It needs the extra `audio`, which is not installed.
    """
    header = read_wav_header(content)
    if header is not None and header.code == PCM and header.bits == 16:
        return _samples_16(content, header), header.rate
    soundfile = import_soundfile()
    try:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        raise BadImageError(_reason(error)) from error
    return np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0), int(rate)


def _samples_16(content: bytes, header: WavHeader) -> NDArray[np.int16]:
    if header.size < header.stated and header.stated < _PLACEHOLDER:
        raise BadImageError(f"the file ends after {header.size:,} of {header.stated:,} bytes of samples")
    count = header.frames * header.channels
    return np.frombuffer(content, "<i2", count, header.start).reshape(-1, header.channels).astype(np.int16, copy=False)


_PLACEHOLDER = 0x7FFFF000
"""Programs that write into a pipe state about this size or more, as they cannot know it."""


def import_soundfile() -> ModuleType:
    """The package soundfile.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: libsndfile itself is missing
        raise MissingExtraError.of("audio", needed_for="Reading sounds other than 16-bit WAV") from error
    found: ModuleType = soundfile
    return found


def _reason(error: Exception) -> str:
    """libsndfile's own words, without the name of the Python object that was read."""
    text = getattr(error, "error_string", None) or str(error)
    return str(text).strip().rstrip(".")[:200]
