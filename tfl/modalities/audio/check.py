"""What a sound file promises, read before its samples are decoded; and what can be wrong with it, in words."""

from __future__ import annotations

import io
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from tfl.errors import MissingExtraError, listed
from tfl.modalities.audio.convert import MISSING, import_soundfile
from tfl.modalities.audio.wav import FLOAT, PCM, is_wav, read_wav_header
from tfl.modalities.base import Checked

MOST_SECONDS = 1800.0
"""The longest sound that is read."""
MOST_BYTES = 2**29
"""The largest file that is read."""
MOST_DECODED = 2**30
"""Bytes that the samples of a file may take, as float32."""
HIGHEST_RATE = 768_000
FORMATS = {
    "wav": (".wav", ".wave"),
    "flac": (".flac",),
    "mp3": (".mp3",),
    "ogg": (".ogg", ".oga", ".opus"),
    "aiff": (".aiff", ".aif", ".aifc"),
    "au": (".au", ".snd"),
    "caf": (".caf",),
}
"""The formats that are read, with the usual ends of their names."""
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
READABLE = "WAV; with the extra `tfl[audio]` also FLAC, MP3, OGG (Vorbis, Opus), AIFF, AU, CAF"
TROUBLES = {
    "unreadable": "cannot be read",
    "zero_bytes": "is empty (zero bytes)",
    "not_a_sound": "is not a sound",
    "unsupported_format": "is a sound of a format that is not read",
    "no_samples": "has a header and no samples",
    "too_large": f"is too large: more than {MOST_BYTES // 2**20:,} MB, or as much work",
    "too_long": f"is longer than {MOST_SECONDS / 60:g} minutes",
    "undecodable": "cannot be decoded: it is damaged, cut short or of an unusual kind",
}
FIXES = {
    "unsupported_format": "convert files of other formats as it is said beside each",
    "too_long": "cut long recordings into pieces, such as with: ffmpeg -i long.mp3 -f segment -segment_time 10 piece_%04d.wav",
    "undecodable": "replace damaged files",
}
ALLOWED = f"{READABLE}; up to {MOST_SECONDS / 60:g} minutes"
_MAJOR = {"WAV": "wav", "WAVEX": "wav", "RF64": "wav", "W64": "wav", "FLAC": "flac", "MPEG": "mp3", "MP3": "mp3", "OGG": "ogg"}
_STARTS = {
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"ID3": "mp3",
    b"FORM": "aiff",
    b".snd": "au",
    b"caff": "caf",
    b"RF64": "wav",
    b"riff": "wav",
}
_UNREAD = {
    b"#!AMR": "AMR",
    b"\x30\x26\xb2\x75": "WMA",
    b"MAC ": "Monkey's Audio",
    b"wvpk": "WavPack",
    b"MThd": "MIDI, which holds notes and no sound",
    b"\x1a\x45\xdf\xa3": "WebM or Matroska",
}


def check_sound(content: bytes) -> Checked:
    """What the header of a sound file says.

    Args:
        content: The bytes of the file.

    Returns:
        `about` has `seconds`, `rate`, `channels` and `bits` (0 where samples are compressed); `cost` is the size of all samples
        as float32.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.audio.check import check_sound
    >>> from tfl.modalities.audio.wav import write_wav
    >>> check_sound(write_wav(np.zeros(800, np.int16), 8000)).about["seconds"]
    0.1
    >>> check_sound(b"<html>").trouble
    'not_a_sound'
    """
    if not content:
        return Checked(trouble="zero_bytes")
    if len(content) > MOST_BYTES:
        return Checked(trouble="too_large", detail=f"{len(content) / 1e6:,.0f} MB")
    if is_wav(content):
        header = read_wav_header(content)
        if header is None:
            return Checked(trouble="undecodable", detail="a WAV file without format or samples")
        if header.code == PCM and header.bits == 16:
            return _checked("wav", header.frames, header.rate, header.channels, 16)
        if header.code in (PCM, FLOAT) and not header.frames:
            return Checked(trouble="no_samples", format="wav")
    elif (unread := _unread(content)) is not None:
        return Checked(trouble="unsupported_format", detail=f"{unread}; convert it to WAV or FLAC, such as with ffmpeg")
    elif _kind(content) is None:
        return Checked(trouble="not_a_sound")
    return _checked_by_soundfile(content)


def _checked_by_soundfile(content: bytes) -> Checked:
    kind = "wav" if is_wav(content) else _kind(content) or ""
    try:
        soundfile = import_soundfile()
    except MissingExtraError:
        return Checked(trouble="unsupported_format", detail=f"{kind.upper()}; {MISSING}", format=kind)
    try:
        info = soundfile.info(io.BytesIO(content))
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        reason = str(getattr(error, "error_string", None) or error).strip().rstrip(".")
        return Checked(trouble="undecodable", detail=reason[:200])
    bits = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64}.get(info.subtype, 0)
    return _checked(_MAJOR.get(info.format, kind), info.frames, info.samplerate, info.channels, bits)


def _checked(kind: str, frames: int, rate: int, channels: int, bits: int) -> Checked:
    if not 0 < rate <= HIGHEST_RATE:
        return Checked(trouble="undecodable", detail=f"a sample rate of {rate:,} Hz", format=kind)
    if frames <= 0:
        return Checked(trouble="no_samples", format=kind)
    seconds, cost = frames / rate, 4 * frames * channels
    if seconds > MOST_SECONDS:
        return Checked(trouble="too_long", detail=f"{seconds / 60:,.1f} minutes", format=kind, cost=cost)
    if cost > MOST_DECODED:
        return Checked(trouble="too_large", detail=f"{cost / 1e6:,.0f} MB of samples", format=kind, cost=cost)
    about = {"seconds": seconds, "rate": rate, "channels": channels, "bits": bits}
    return Checked(format=kind, cost=cost, about=about)


def _kind(content: bytes) -> str | None:
    """The format by the first bytes; None for no sound."""
    for start, kind in _STARTS.items():
        if content.startswith(start):
            return kind
    # an MPEG frame: eleven bits of synchronisation, then a version, a layer, a bit rate and a sample rate that exist
    if len(content) > 3 and content[0] == 0xFF and content[1] >= 0xE0:
        version, layer, bit_rate, rate = content[1] >> 3 & 3, content[1] >> 1 & 3, content[2] >> 4, content[2] >> 2 & 3
        if version != 1 and layer != 0 and bit_rate not in (0, 15) and rate != 3:
            return "mp3"
    return None


def _unread(content: bytes) -> str | None:
    """The name of a format that is known and not read."""
    if content[4:8] == b"ftyp":
        return "M4A, MP4 or another of that family"
    return next((name for start, name in _UNREAD.items() if content.startswith(start)), None)


def file_findings(examples: Any, files: Sequence[Checked], *, sample_rate: int) -> list[dict[str, Any]]:
    """Findings about all files of a source, from their headers: misnamed ones, and sample rates that tell classes apart.

    Args:
        examples: The `tfl.data.examples.Examples` that were checked.
        files: What was found of each.
        sample_rate: The rate that all are resampled to, in Hz.
    """
    return [*_mistyped(examples, files), *_uneven_rates(examples, files), *_low_rates(examples, files, sample_rate)]


def _mistyped(examples: Any, files: Sequence[Checked]) -> list[dict[str, Any]]:
    """Files whose name promises another format than they have: harmless here, but other programs may stumble."""
    if examples.paths is None:
        return []
    wrong = {
        examples.name_of(index): file.format
        for index, file in enumerate(files)
        if file.format in FORMATS and not examples.name_of(index).lower().endswith(FORMATS[file.format])
    }
    if not wrong:
        return []
    shown = listed([f"{os.path.basename(name)} is {kind.upper()}" for name, kind in wrong.items()], limit=5)
    return [{"kind": "mistyped", "severity": "info", "files": list(wrong), "note": f"Read by content, not by name: {shown}."}]


def _uneven_rates(examples: Any, files: Sequence[Checked]) -> list[dict[str, Any]]:
    """Classes that were recorded at other sample rates than the rest: a network can learn the recorder instead of the sound."""
    if examples.targets is not None:
        return []
    by_class: dict[int, Counter[int]] = defaultdict(Counter)
    for index, file in enumerate(files):
        if not file.trouble:
            by_class[int(examples.labels[index])][int(file.about["rate"])] += 1
    total = sum(by_class.values(), Counter[int]())
    if len(total) < 2:
        return []
    usual = {label: counts.most_common(1)[0] for label, counts in by_class.items()}
    most = total.most_common(1)[0][0]
    apart = {
        label: rate
        for label, (rate, count) in usual.items()
        if rate != most and count / by_class[label].total() > 0.5 and total[rate] - count < 0.5 * count
    }
    if not apart:
        return []
    rates = "; ".join(f"`{examples.class_names[label]}` {rate:,} Hz" for label, rate in sorted(apart.items()))
    names = [
        examples.name_of(index)
        for index, file in enumerate(files)
        if not file.trouble and apart.get(int(examples.labels[index])) == file.about["rate"]
    ]
    note = (
        f"Sample rates tell classes apart: most sounds have {most:,} Hz, {rates}. A network may learn the recording and not the "
        "sound: what lies above half the lower rate is missing in one and there in the other."
    )
    return [{"kind": "uneven_sample_rates", "severity": "warning", "files": names, "note": note}]


def _low_rates(examples: Any, files: Sequence[Checked], sample_rate: int) -> list[dict[str, Any]]:
    """Whether the upper part of every spectrogram is empty, because all sounds have a lower rate than the recipe's."""
    rates = [int(file.about["rate"]) for file in files if not file.trouble]
    if not rates or max(rates) >= sample_rate:
        return []
    note = (
        f"All sounds have at most {max(rates):,} Hz, and the recipe resamples to {sample_rate:,} Hz: the upper part of each "
        f"spectrogram stays empty. Use it with --set data.input.sample_rate={max(rates)}."
    )
    return [{"kind": "low_sample_rates", "severity": "info", "files": [], "note": note}]
