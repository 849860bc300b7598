"""The golden sounds: drawn files of every kind that has made decoders or spectrograms disagree. They need no data."""

from __future__ import annotations

import functools

import numpy as np

from tfl.modalities.audio.wav import write_wav

_RATE = 16_000
_LEVEL = 9_000.0


@functools.cache
def golden_sounds() -> dict[str, bytes]:
    """WAV files by name, the same in every process.

    Example:

    >>> from tfl.modalities.audio.golden import golden_sounds
    >>> sorted(golden_sounds())[:3]
    ['chirp.wav', 'clicks.wav', 'clipped.wav']
    """
    times = np.arange(_RATE) / _RATE
    noise = np.random.default_rng(7).normal(0.0, 1.0, _RATE)
    chirp = np.sin(2 * np.pi * (200 * times + 1400 * times**2))
    tone = np.sin(2 * np.pi * 440 * times) + 0.5 * np.sin(2 * np.pi * 880 * times)
    clicks = np.where(np.arange(_RATE) % 2000 < 20, 1.0, 0.0)
    speech_like = chirp * (1 + np.sin(2 * np.pi * 4 * times)) + 0.05 * noise
    waves = {
        "chirp": (chirp, _RATE),
        "tone": (tone, _RATE),
        "noise": (0.5 * noise, _RATE),
        "clicks": (clicks, _RATE),
        "speech_like": (speech_like, _RATE),
        "silence": (np.zeros(_RATE), _RATE),
        "nearly_silent": (noise * 2e-4, _RATE),
        "clipped": (8 * tone, _RATE),
        "offset": (0.2 * tone + 2.0, _RATE),
        "short": (chirp[:400], _RATE),
        "one_sample": (np.ones(1), _RATE),
        "long": (np.tile(speech_like, 12), _RATE),
        "rate_8000": (speech_like[::2], 8_000),
        "rate_11025": (chirp[:11_025], 11_025),
        "rate_22050": (np.interp(np.arange(22_050) / 22_050, times, tone), 22_050),
        "rate_44100": (np.interp(np.arange(44_100) / 44_100, times, chirp), 44_100),
        "rate_48000": (np.interp(np.arange(48_000) / 48_000, times, speech_like), 48_000),
        "stereo": (np.stack([chirp, tone], axis=1), _RATE),
    }
    return {f"{name}.wav": write_wav(_whole(wave), rate) for name, (wave, rate) in waves.items()}


def _whole(wave: np.ndarray) -> np.ndarray:
    return np.clip(np.round(_LEVEL * wave), -32_768, 32_767).astype(np.int16)
