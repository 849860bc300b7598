"""What `tfl predict --classes` asks: the classes of a file, named by a run that learned attributes or by a pair of encoders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.class_names import folded
from tfl.data.source import load_source
from tfl.embeddings.sources import data_of_kind
from tfl.errors import BadContentError, DataError, TflError
from tfl.modalities.shipping import shipping_of
from tfl.serve.predictor import Predictor
from tfl.zero_shot.few import Cache, chosen_cache
from tfl.zero_shot.namer import Namer, open_namer

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH = 32


def open_zero_shot(
    model: Path | str, classes: Path | str, *, prompts: Sequence[str] = (), examples: Path | str | None = None
) -> Predictor:
    """A predictor of classes that the model was not trained on.

    Args:
        model: A run whose recipe has `zero_shot`; or a KerasHub preset of CLIP or SigLIP: its folder, name or address.
        classes: For a run a table of attributes, as `tfl.ZeroShot` takes it; for a preset a text file with one class per line,
            and descriptions behind it, separated by tabs.
        prompts: For a preset, texts with `{}` where the class is put. Defaults to those of `tfl.modalities.image.pair.PROMPTS`.
        examples: A few labelled examples of the classes, any source that `tfl.Data` takes; see `tfl.zero_shot.few`. None takes
            none.

    Raises:
        RunError: The run has not learned attributes, or there is neither a run nor a preset.
        DataError: The classes or the examples cannot be used.
        BackboneError: The preset is no pair of encoders, or cannot be loaded.

    Example:

    >>> predictor = open_zero_shot("runs/animals", "attributes.csv")    # doctest: +SKIP
    >>> predictor.predict(["zebra.jpg"])[0]["label"]                    # doctest: +SKIP
    'zebra'
    """
    namer = open_namer(model, classes, prompts=prompts)
    cache = None if examples is None else _cache(namer, str(examples))

    def answer(contents: list[bytes]) -> dict[str, NDArray[Any]]:
        vectors = namer.vectors(contents)
        logits = namer.logits(vectors)
        if cache is not None:
            logits = cache.logits(namer.keys(vectors), logits)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return {"probabilities": (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)}

    return Predictor(Path(model), namer.class_names, answer, shipping=shipping_of(namer.modality))


def _cache(namer: Namer, source: str) -> Cache:
    """The labelled examples at a source, with their weight.

    Raises:
        DataError: They cannot be read, or have another class.
    """
    modality, shipping = namer.modality, shipping_of(namer.modality)
    found = load_source(data_of_kind(source, modality.kind), check_classes=False)
    known = {folded(name): at for at, name in enumerate(namer.class_names)}
    if strange := [name for name in found.class_names if folded(name) not in known]:
        raise DataError(
            f"{source} has examples of classes that --classes does not name.",
            received=", ".join(strange[:10]),
            allowed=", ".join(namer.class_names[:20]),
        )
    vectors = []
    for start in range(0, len(found), _BATCH):
        contents = []
        for index in range(start, min(start + _BATCH, len(found))):
            try:
                contents.append(shipping.accept(found.bytes_of(index)))
            except (BadContentError, TflError) as error:
                raise DataError(f"{found.name_of(index)} cannot be read as {modality.noun}: {error}") from error
        vectors.append(namer.vectors(contents))
    rows = np.concatenate(vectors)
    labels = np.array([known[folded(name)] for name in found.class_names])[found.labels]
    return chosen_cache(namer.keys(rows), labels, namer.logits(rows))
