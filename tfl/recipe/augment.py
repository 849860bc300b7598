"""Random changes to training examples: `Augment` for images, `AudioAugment` for sounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tfl.fields import check_fields, number


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Random changes to training images; zero, `none` or 1.0 (crop) turns each off. Never applied in evaluation.

    Args:
        flip: Mirror at random: left-right, top-bottom, or both.
        crop: Smallest share of the image's area that a random crop keeps; 1.0 crops nothing.
        rotate_deg: Largest rotation in degrees, either way.
        brightness, contrast, saturation: Largest relative change, either way.
        hue: Largest change, as a share of the colour circle.
        randaugment: How many random operations of RandAugment (Cubuk et al. 2019) each image gets.
        magnitude: Their strength.
        mixup: Alpha of MixUp's beta distribution (Zhang et al. 2017).
        cutmix: Alpha of CutMix's (Yun et al. 2019); with both, each image takes one at random.
    """

    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    crop: float = number(1.0, at_least=0.05, at_most=1.0)
    rotate_deg: float = number(0.0, at_least=0.0, at_most=180.0)
    brightness: float = number(0.0, at_least=0.0, at_most=1.0)
    contrast: float = number(0.0, at_least=0.0, at_most=1.0)
    saturation: float = number(0.0, at_least=0.0, at_most=1.0)
    hue: float = number(0.0, at_least=0.0, at_most=0.5)
    randaugment: int = number(0, at_least=0, at_most=10)
    magnitude: float = number(0.5, at_least=0.0, at_most=1.0)
    mixup: float = number(0.0, at_least=0.0, at_most=10.0)
    cutmix: float = number(0.0, at_least=0.0, at_most=10.0)

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def mixes(self) -> bool:
        """Whether an augmented example is made of two, so that its label is mixed as well."""
        return self.mixup > 0 or self.cutmix > 0


@dataclass(frozen=True, kw_only=True)
class AudioAugment:
    """Random changes to training sounds; zero turns each off. Never applied in evaluation.

    Args:
        shift: Largest shift in time, either way, as a share of the length; what is shifted out is filled with silence.
        noise: Largest level of added white noise, as a share of the sound's own level (root mean square).
        gain_db: Largest drift of the level from the start to the end of a sound, either way, in dB; a change of the whole level
            would not be seen, since a spectrogram is relative to its loudest value.
        time_masks, frequency_masks: How many stretches of the spectrogram are replaced by its mean (SpecAugment, Park et al.
            2019).
        time_mask, frequency_mask: Largest length of each, as a share of the spectrogram's width or height.
        mixup: Alpha of MixUp's beta distribution (Zhang et al. 2017).
    """

    shift: float = number(0.0, at_least=0.0, at_most=1.0)
    noise: float = number(0.0, at_least=0.0, at_most=1.0)
    gain_db: float = number(0.0, at_least=0.0, at_most=40.0)
    time_masks: int = number(0, at_least=0, at_most=10)
    time_mask: float = number(0.1, at_least=0.0, at_most=0.5)
    frequency_masks: int = number(0, at_least=0, at_most=10)
    frequency_mask: float = number(0.1, at_least=0.0, at_most=0.5)
    mixup: float = number(0.0, at_least=0.0, at_most=10.0)

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def mixes(self) -> bool:
        """Whether an augmented example is made of two, so that its label is mixed as well."""
        return self.mixup > 0
