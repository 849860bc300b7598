"""An encoder of images and one of texts that were trained together on images with captions: CLIP and SigLIP of KerasHub.

Both give a vector of one length; an image and a text are as alike as the cosine of theirs (Radford et al. 2021, *Learning
Transferable Visual Models From Natural Language Supervision*). So a list of texts is a classifier.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import BackboneError, RecipeError
from tfl.modalities import hub
from tfl.modalities.base import Modality, TensorSpec
from tfl.modalities.image.modality import PIXELS, ImageModality
from tfl.modalities.text.paired import PairedTexts
from tfl.recipe import Backbone, Data

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    from numpy.typing import NDArray

PAIRS = {
    "CLIPBackbone": ("CLIPPreprocessor", "clip_head"),
    "SigLIPBackbone": ("SigLIPPreprocessor", "siglip_head"),
}
"""The classes of KerasHub that are such pairs, each with its preprocessor and with the layer that has the scale of the cosine."""
ENCODED = ("image", "text")
"""The kinds of examples that a pair makes vectors of."""
PROMPTS = ("a photo of a {}.", "a picture of a {}.", "an image of a {}.", "a close-up photo of a {}.", "a drawing of a {}.")
"""What a class name is put into where no prompt is given; the vectors are averaged (Radford et al. 2021, 3.1.4)."""
_BATCH = 32
_SETTINGS = ("to_lower", "canonicalize_text", "sequence_length", "add_start_token", "add_end_token")
"""Of a preprocessor, what decides tokens beside its tokenizer."""


@dataclass(frozen=True)
class ConvertedImages(ImageModality):
    """Images at the size of an encoder, resized as the image converter of its preset does it, and not rounded after that.

    Args:
        data: As of `ImageModality`; its `fit` says in tfl's words what the converter does where the aspect ratio is another.
        resize: From pixels `(batch, height, width, 3)` uint8 to those at the size; None where nothing is decoded.
        settings: What decides it, for `identity`.
    """

    resize: Callable[[tf.Tensor], tf.Tensor] | None = None
    settings: tuple[tuple[str, Any], ...] = ()

    def identity(self) -> dict[str, Any]:
        """That of other images, and the settings of the converter."""
        return {**super().identity(), "converter": dict(self.settings)}

    def spec(self) -> dict[str, TensorSpec]:
        """One tensor, `pixels`: `(height, width, 3)` float32."""
        return {PIXELS: TensorSpec((*self.data.settled_size, 3), "float32")}

    def decode(self, content: tf.Tensor) -> tf.Tensor:
        """`(height, width, 3)` float32 from a scalar string."""
        from tfl.modalities.image.decode import decode_image

        return self._resized(decode_image(content))

    def decode_array(self, array: tf.Tensor) -> tf.Tensor:
        """`(height, width, 3)` float32 from an array of pixels, grey or RGB."""
        import tensorflow as tf

        return self._resized(tf.repeat(array[..., None], 3, axis=-1) if array.shape.rank == 2 else array)

    def encode(self, contents: tf.Tensor) -> tf.Tensor:
        """`(batch, height, width, 3)` float32 from the bytes of image files."""
        import tensorflow as tf

        return tf.map_fn(self.decode, contents, fn_output_signature=tf.TensorSpec((*self.size, 3), tf.float32))

    def _resized(self, image: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        if self.resize is None:
            raise ValueError("These images have no converter.")
        return tf.ensure_shape(tf.cast(self.resize(image[None])[0], tf.float32), (*self.size, 3))


@dataclass(frozen=True, eq=False)
class Encoder:
    """One of both encoders.

    Args:
        network: From tensors to vectors `(batch, width)`.
        modality: How contents become these tensors.
    """

    network: keras.Model
    modality: Modality


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

    @functools.cached_property
    def modality(self) -> ConvertedImages:
        """Images of the height and width that its encoder takes, resized as its converter says."""
        converter = self.preprocessor.image_converter
        height, width = self.backbone.vision_encoder.image_shape[:2]
        fit: Any = "crop" if converter.crop_to_aspect_ratio else "pad" if converter.pad_to_aspect_ratio else "stretch"
        settings = {"interpolation": converter.interpolation, "antialias": converter.antialias}
        return ConvertedImages(
            Data("predict", image_size=(int(height), int(width)), fit=fit),
            resize=converter.resizing,
            settings=tuple(settings.items()),
        )

    def encoder_of(self, kind: str) -> Encoder:
        """The encoder of images or of texts, one of `ENCODED`."""
        return (
            Encoder(self.network, self.modality) if kind == self.modality.kind else Encoder(self.text_network, self.paired_texts)
        )

    @functools.cached_property
    def paired_texts(self) -> PairedTexts:
        """Texts as its text encoder reads them."""
        from tfl.modalities.text.tokenise import Tokenise

        tokenizer = self.preprocessor.tokenizer
        config = {name: getattr(self.preprocessor, name, None) for name in _SETTINGS}
        return PairedTexts(
            Backbone(self.name),
            int(self.preprocessor.sequence_length),
            tokens=self.tokens,
            tokenizer=f"{Tokenise(tokenizer).identity()} {config}",
            words=int(tokenizer.vocabulary_size()),
        )

    def tokens(self, texts: Any) -> Any:
        """Token ids of some texts, `(n, tokens)`."""
        return self._for_texts({"images": None, "prompts": texts})["token_ids"]

    @functools.cached_property
    def _for_texts(self) -> Any:
        """The preprocessor without its image converter: with it, that of SigLIP does not do without images."""
        own = self.preprocessor
        return type(own)(own.tokenizer, None, **{name: getattr(own, name) for name in _SETTINGS if hasattr(own, name)})

    @functools.cached_property
    def text_network(self) -> keras.Model:
        """From token ids, `(batch, tokens)`, to vectors `(batch, width)`; their lengths differ."""
        import keras

        tokens = keras.Input((int(self.preprocessor.sequence_length),), dtype="int32", name="token_ids")
        vectors = self.backbone.text_encoder({"token_ids": tokens})
        if hasattr(self.backbone, "text_projection"):  # as its `get_text_embeddings`
            pooler = self.backbone.text_pooler
            fresh = type(pooler)(dtype=pooler.dtype_policy.name, name=pooler.name)  # that of a preset cannot be described
            vectors = self.backbone.text_projection(fresh(vectors, tokens))
        return keras.Model(tokens, vectors, name="text_encoder")

    @functools.cached_property
    def network(self) -> keras.Model:
        """From pixels 0..255, `(batch, height, width, 3)`, to vectors `(batch, width)`; their lengths differ."""
        import keras

        from tfl.modalities.image.encoders import rescaled

        converter = self.preprocessor.image_converter
        pixels = keras.Input((*self.modality.size, 3), dtype="float32", name=PIXELS)
        vectors = self.backbone.vision_encoder({"images": rescaled(pixels, converter.scale, converter.offset)})
        if hasattr(self.backbone, "vision_projection"):  # as its `get_vision_embeddings`, whose pooler cannot be saved
            vectors = self.backbone.vision_projection(vectors[:, 0])
        return keras.Model(pixels, vectors, name="image_encoder")

    def texts(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The vectors of some texts, of length 1, `(n, width)`."""
        parts = []
        for start in range(0, len(texts), _BATCH):
            tokens = self.tokens(list(texts[start : start + _BATCH]))
            parts.append(np.asarray(self.text_network(tokens), np.float64))
        return _unit(np.concatenate(parts))

    def vectors(self, contents: Sequence[bytes]) -> NDArray[np.float64]:
        """The vectors of some images, the contents of files, of length 1, `(n, width)`."""
        parts = [np.asarray(self.encode(list(contents[start : start + _BATCH]))) for start in range(0, len(contents), _BATCH)]
        return _unit(np.concatenate(parts))

    @functools.cached_property
    def encode(self) -> Callable[[Any], Any]:
        """From contents of image files to their vectors, `(n, width)`, as one graph."""
        import tensorflow as tf

        return tf.function(
            lambda contents: self.network(self.modality.encode(contents), training=False),
            input_signature=[tf.TensorSpec([None], tf.string)],
            autograph=False,
        )

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
    """Whether a preset is a pair of encoders, which of an address shows when it is loaded; no TensorFlow is imported.

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

    from tfl.modalities.text.tokenise import kept_alive

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
    kept_alive(preprocessor.tokenizer)
    size = tuple(backbone.vision_encoder.image_shape[:2])
    if tuple(preprocessor.image_converter.image_size or ()) != size:
        preprocessor.image_converter.image_size = size
    scale = np.exp(np.asarray(backbone.get_layer(of_class[1]).logit_scale, np.float64))
    return Pair(name, backbone, preprocessor, float(scale.reshape(())))


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    rows = np.asarray(vectors, np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
