"""An encoder of images and one of texts that were trained together on images with captions: CLIP and SigLIP of KerasHub.

Both give a vector of one length; an image and a text are as alike as the cosine of theirs (Radford et al. 2021, *Learning
Transferable Visual Models From Natural Language Supervision*). So a list of texts is a classifier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import BackboneError, RecipeError
from tfl.modalities import hub
from tfl.modalities.image.modality import ImageModality
from tfl.recipe import Data

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAIRS = {
    "CLIPBackbone": ("CLIPPreprocessor", "clip_head"),
    "SigLIPBackbone": ("SigLIPPreprocessor", "siglip_head"),
}
"""The classes of KerasHub that are such pairs, each with its preprocessor and with the layer that has the scale of the cosine."""
PROMPTS = ("a photo of a {}.", "a picture of a {}.", "an image of a {}.", "a close-up photo of a {}.", "a drawing of a {}.")
"""What a class name is put into where no prompt is given; the vectors are averaged (Radford et al. 2021, 3.1.4)."""
_BATCH = 32


@dataclass(frozen=True, eq=False)
class Pair:
    """Two encoders. Make one with `load_pair`.

    Args:
        name: Of the preset.
        backbone: The KerasHub model.
        preprocessor: Its preprocessor.
        scale: What the cosine is multiplied with to be a logit.
    """

    name: str
    backbone: Any
    preprocessor: Any
    scale: float

    @property
    def modality(self) -> ImageModality:
        """Images of the height and width that its encoder takes."""
        height, width = self.backbone.vision_encoder.image_shape[:2]
        return ImageModality(Data("predict", image_size=(int(height), int(width))))

    def texts(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The vectors of some texts, of length 1, `(n, width)`."""
        parts = []
        for start in range(0, len(texts), _BATCH):
            tokens = self.preprocessor({"images": None, "prompts": list(texts[start : start + _BATCH])})["token_ids"]
            parts.append(np.asarray(self.backbone.get_text_embeddings(tokens), np.float64))
        return _unit(np.concatenate(parts))

    def vectors(self, contents: Sequence[bytes]) -> NDArray[np.float64]:
        """The vectors of some images, the contents of files, of length 1, `(n, width)`."""
        import tensorflow as tf

        from tfl.modalities.image.decode import decode_image

        parts = []
        for start in range(0, len(contents), _BATCH):
            some = [decode_image(tf.constant(content))[None] for content in contents[start : start + _BATCH]]
            pixels = np.concatenate([np.asarray(self.preprocessor.image_converter(one), np.float32) for one in some])
            parts.append(np.asarray(self.backbone.get_vision_embeddings(pixels), np.float64))
        return _unit(np.concatenate(parts))

    def classes(self, described: Mapping[str, Sequence[str]], prompts: Sequence[str]) -> NDArray[np.float64]:
        """The vector of each class: the mean of the vectors of its descriptions in all prompts, of length 1.

        Args:
            described: What stands for each class: its name, or descriptions.
            prompts: Texts with `{}`, where that is put.
        """
        found = []
        for texts in described.values():
            vectors = self.texts([prompt.replace("{}", text) for text in texts for prompt in prompts])
            found.append(vectors.mean(axis=0))
        return _unit(np.stack(found))


def is_pair(name: str) -> bool:
    """Whether a preset is a pair of encoders; no TensorFlow is imported for a folder.

    Raises:
        BackboneError: The name looks like a folder, and is none, or one without a preset.
    """
    folder = hub.folder_of(name)
    if folder is not None:
        return hub.config_of(folder)["class_name"] in PAIRS
    return name.startswith((*hub.ADDRESSES, "clip_", "siglip"))


def check_prompts(prompts: Sequence[str]) -> tuple[str, ...]:
    """The prompts, or the usual ones where there are none.

    Raises:
        RecipeError: One has no place for the class.
    """
    if bad := [one for one in prompts if "{}" not in one]:
        raise RecipeError(
            "A prompt has no place for the class.", received=bad[0], allowed='a text with {}, such as "a photo of a {}."'
        )
    return tuple(prompts) or PROMPTS


def load_pair(name: str) -> Pair:
    """The pair of encoders of a KerasHub preset.

    Args:
        name: A folder that `save_to_preset` of a CLIP or SigLIP backbone and preprocessor wrote; or the name or address of a
            preset.

    Raises:
        MissingExtraError: KerasHub is not installed.
        BackboneError: It is no such pair, or cannot be loaded.
        WeightsNotFoundError: It is not on this machine and cannot be fetched.
    """
    hub.require_extra(needed_for=f"the encoders of images and texts `{name}`")
    if not is_pair(name):
        raise BackboneError(
            f"{name} is no pair of encoders that were trained together on images and texts.",
            allowed="the folder of a KerasHub preset of CLIP or SigLIP, or the name of one such as clip_vit_base_patch32",
        )
    import keras_hub

    backbone = hub.load_backbone(name)
    of_class = PAIRS.get(type(backbone).__name__)
    if of_class is None:
        raise BackboneError(f"The preset `{name}` is no pair of encoders.", received=type(backbone).__name__, allowed=list(PAIRS))
    preprocessor = hub.loaded(name, getattr(keras_hub.models, of_class[0]).from_preset)
    if preprocessor.image_converter is None:
        raise BackboneError(
            f"The preset `{name}` does not say how images are prepared: it has no image converter.",
            fix="Save it whole: keras_hub.models.CLIPPreprocessor.from_preset(NAME).save_to_preset(FOLDER)",
        )
    scale = np.exp(np.asarray(backbone.get_layer(of_class[1]).logit_scale, np.float64))
    return Pair(name, backbone, preprocessor, float(scale.reshape(())))


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    rows = np.asarray(vectors, np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
