"""What a modality answers where its kind has nothing of its own to say; `tfl.modalities.base.Modality` says what each means."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar

from tfl.errors import DataError, RecipeError, TflError, WeightsNotFoundError
from tfl.modalities.base import Checked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    import tfl
    from tfl.backbones.source import SourceModel


def no_classifier(networks: str, name: str) -> WeightsNotFoundError:
    """The error for networks that come without a classifier.

    Args:
        networks: What they are called, as the start of a sentence.
        name: Of the network that was asked for.
    """
    return WeightsNotFoundError(
        f"{networks} come without a classifier, so they have no classes of their own to answer with.",
        received=name,
        allowed="a network of Keras Applications, or a model file or run with its classifier",
        fix="Take another network or another strategy; leave out `source_data`.",
    )


class ModalityDefaults:
    """For files or texts that the graph decodes: no arrays, no conversion, no augmentation, no baseline, no notes.

    Attributes:
        nouns: What messages call several examples.
        allowed: Which contents can be used, in a few words.
    """

    nouns: ClassVar[str]
    allowed: ClassVar[str]
    in_graph: ClassVar[bool] = True
    finishes: ClassVar[bool] = False
    has_baseline: ClassVar[bool] = False
    audit_reads_tensors: ClassVar[bool] = False
    audit_libraries: ClassVar[Sequence[str]] = ()

    def checking(self) -> AbstractContextManager[None]:
        """Nothing has to be prepared."""
        return contextlib.nullcontext()

    def check_arrays(self, arrays: Any, source: str) -> None:
        """Refuses examples that are arrays.

        Raises:
            DataError: Always.
        """
        raise DataError(f"The examples of {source} are arrays and not {self.nouns}.", allowed=self.allowed)

    def file_findings(self, examples: Any, files: Sequence[Checked]) -> list[dict[str, Any]]:
        """Nothing is found about all files together."""
        return []

    def refuse_files(self, findings: Sequence[Mapping[str, Any]], source: str) -> None:
        """No finding is for the recipe alone to settle."""

    def readable(self, content: bytes) -> bytes:
        """The content as it is."""
        return content

    def convert(self, content: Any) -> Any:
        """The content as it is."""
        return content

    def decode_array(self, array: Any) -> Any:
        """See `check_arrays`."""
        self.check_arrays(array, "the source")

    def finish(self, tensors: Any) -> Any:
        """The tensors as they are."""
        return tensors

    def light_values(self, names: Sequence[str], examples: Any, indices: Any) -> dict[str, Any]:
        """None: every tensor takes decoding."""
        return {}

    def resources(self) -> Sequence[Any]:
        """Nothing has to be held on to."""
        return ()

    def augmenter(self, settings: Any) -> Callable[..., tuple[Any, Any]]:
        """There is no augmentation.

        Raises:
            RecipeError: Always.
        """
        raise RecipeError(f"There is no augmentation of {self.nouns}.", received=type(settings).__name__, allowed="None")

    def augmented_targets(self, settings: Any, targets: Any, indices: Any, *, seed: int, view: int) -> Any:
        """Targets stay as they are."""
        return targets

    def build_source(self, backbone: tfl.Backbone) -> SourceModel:
        """There is no classifier.

        Raises:
            WeightsNotFoundError: Always.
        """
        raise no_classifier(f"Encoders for {self.nouns}", backbone.name)

    def network_note(self, backbone: tfl.Backbone) -> str | None:
        """Nothing is to be reported of the network."""
        return None

    def network_about(self, backbone: tfl.Backbone) -> dict[str, Any]:
        """Nothing more was decided about the network."""
        return {}

    def refuse_undecided(self, recipe: tfl.Recipe, bundle: Any, console: Any, *, score: Callable[..., float]) -> None:
        """Nothing is undecided."""

    def recipe_notes(self, asked: tfl.Recipe) -> list[tuple[str, str]]:
        """Nothing is to be reported of the recipe alone."""
        return []

    def baseline(
        self,
        task: str,
        *,
        train: tuple[Sequence[bytes], NDArray[np.float32]],
        val: tuple[Sequence[bytes], NDArray[np.float32]],
        contents: Sequence[bytes],
    ) -> tuple[str, NDArray[np.float32]]:
        """There is none.

        Raises:
            TflError: Always.
        """
        raise TflError(f"There is no baseline for {self.nouns}.")

    def compared_with(self, data: tfl.Data) -> tuple[tfl.Data, tfl.Backbone | None]:
        """As they are, without a network."""
        return data, None
