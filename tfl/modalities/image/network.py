"""What examples that a network for images sees have in common: images themselves, and spectrograms."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tfl.modalities.defaults import ModalityDefaults, no_classifier

if TYPE_CHECKING:
    import keras

    import tfl
    from tfl.backbones.source import SourceModel


class SeenByImageNetwork(ModalityDefaults):
    """The parts of a modality that ask the network; see `tfl.modalities.base.Modality`.

    Attributes:
        size: (height, width) in pixels that the network takes.
        pooling: String, as `Head.pooling`, which image transformers have to know.
    """

    size: tuple[int, int]
    pooling: str

    def build_backbone(self, backbone: tfl.Backbone) -> keras.Model:
        """See `tfl.modalities.image.backbones.build.build_backbone`, and for presets `tfl.modalities.image.encoders`."""
        from tfl.modalities.image.backbones.build import build_backbone
        from tfl.modalities.image.backbones.presets import is_preset

        if is_preset(backbone.name):
            from tfl.modalities.image.encoders import build_encoder

            return build_encoder(backbone, image_size=self.size, pooling=self.pooling)
        return build_backbone(backbone, image_size=self.size)

    def build_source(self, backbone: tfl.Backbone) -> SourceModel:
        """See `tfl.modalities.image.backbones.build.build_source`.

        Raises:
            WeightsNotFoundError: It is a preset, which has no classifier.
        """
        from tfl.modalities.image.backbones.build import build_source
        from tfl.modalities.image.backbones.presets import is_preset

        if is_preset(backbone.name):
            raise no_classifier("Image transformers of KerasHub", backbone.name)
        return build_source(backbone, image_size=self.size)

    def network_note(self, backbone: tfl.Backbone) -> str | None:
        """The preprocessing of a model file and what decided it; None for a network of the catalog."""
        from tfl.modalities.image.backbones.settle import preprocessing_note

        return preprocessing_note(backbone)

    def network_about(self, backbone: tfl.Backbone) -> dict[str, Any]:
        """The preprocessing that was decided."""
        from tfl.modalities.image.backbones.settle import preprocessing_of

        return {"preprocessing": preprocessing_of(backbone).preprocessing}

    def refuse_undecided(self, recipe: tfl.Recipe, bundle: Any, console: Any, *, score: Callable[..., float]) -> None:
        """See `tfl.modalities.image.preprocessing.refuse_undecided`."""
        from tfl.modalities.image.preprocessing import refuse_undecided

        refuse_undecided(recipe, bundle, console, score=score)
