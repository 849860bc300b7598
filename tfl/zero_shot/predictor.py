"""What `tfl predict --classes` asks: the classes of a file, named by a run that learned attributes or by a pair of encoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.class_names import folded
from tfl.data.source import load_source
from tfl.embeddings.sources import data_of_kind
from tfl.errors import BadContentError, DataError, RunError, TflError
from tfl.modalities.image.pair import check_prompts, is_pair, load_pair
from tfl.modalities.shipping import Shipping, shipping_of
from tfl.quiet import load_tensorflow
from tfl.runs import Run
from tfl.serve.predictor import Predictor, find_model, load_run_model
from tfl.zero_shot.classes import attributes_of, read_descriptions
from tfl.zero_shot.few import Cache, chosen_cache

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH = 32


@dataclass(frozen=True, eq=False)
class _Namer:
    """Names classes without training.

    Args:
        class_names: The classes.
        shipping: How contents are read.
        vectors: From contents to vectors, `(n, width)`.
        logits: From vectors to logits, `(n, classes)`.
        keys: From vectors to vectors of length 1, by which examples are compared.
    """

    class_names: tuple[str, ...]
    shipping: Shipping
    vectors: Callable[[Sequence[bytes]], NDArray[Any]]
    logits: Callable[[NDArray[Any]], NDArray[np.float64]]
    keys: Callable[[NDArray[Any]], NDArray[np.float64]]


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
    namer = _of_run(model, classes, prompts) if _is_run(model) else _of_pair(str(model), classes, prompts)
    cache = None if examples is None else _cache(namer, str(examples))

    def answer(contents: list[bytes]) -> dict[str, NDArray[Any]]:
        vectors = namer.vectors(contents)
        logits = namer.logits(vectors)
        if cache is not None:
            logits = cache.logits(namer.keys(vectors), logits)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return {"probabilities": (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)}

    return Predictor(Path(model), namer.class_names, answer, shipping=namer.shipping)


def _is_run(model: Path | str) -> bool:
    """Whether a run is named; else it is a preset.

    Raises:
        RunError: There is a folder, and it is neither.
    """
    folder = Path(model)
    if not folder.is_dir():
        if folder.exists() or "/" in str(model).replace("://", ""):
            raise RunError(
                f"There is no folder {model}.",
                allowed="a run, or the folder, name or address of a KerasHub preset of CLIP or SigLIP",
            )
        return False
    if (folder / "config.json").is_file():
        return False
    return isinstance(find_model(folder), Run)


def _of_run(model: Path | str, classes: Path | str, prompts: Sequence[str]) -> _Namer:
    from tfl.modalities.base import modality_of
    from tfl.zero_shot.run import head_of

    if prompts:
        raise DataError(
            "A prompt is for a pair of encoders such as CLIP; a run names classes by a table of attributes.", received=prompts[0]
        )
    run = find_model(model)
    if not isinstance(run, Run):
        raise RunError(
            f"{model} is an export, which has not learned attributes.", fix="Name the run: tfl predict RUN FILES --classes TABLE"
        )
    head = head_of(run)
    table = attributes_of(str(classes)).like(head.attributes)
    load_tensorflow()
    import keras
    import tensorflow as tf

    from tfl.backbones.inputs import inputs_of
    from tfl.evaluate.explain import tensor_of
    from tfl.model.head import POOL

    whole, modality = load_run_model(run), modality_of(run.recipe)
    network = keras.Model(inputs_of(whole), tensor_of(whole, POOL))
    graph = tf.function(
        lambda contents: network(modality.encode(contents), training=False),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )
    return _Namer(
        table.class_names,
        shipping_of(modality),
        lambda contents: np.asarray(graph(tf.constant(contents)), np.float64),
        lambda vectors: head.logits(vectors, table),
        head.standardised,
    )


def _of_pair(name: str, classes: Path | str, prompts: Sequence[str]) -> _Namer:
    texts, described = check_prompts(prompts), read_descriptions(classes)
    if not is_pair(name):
        load_pair(name)  # which says what is wrong
    load_tensorflow()
    pair = load_pair(name)
    vectors = pair.classes(described, texts)
    return _Namer(
        tuple(described),
        shipping_of(pair.modality),
        pair.vectors,
        lambda found: pair.scale * found @ vectors.T,
        lambda found: found,
    )


def _cache(namer: _Namer, source: str) -> Cache:
    """The labelled examples at a source, with their weight.

    Raises:
        DataError: They cannot be read, or have another class.
    """
    modality = namer.shipping.modality
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
                contents.append(namer.shipping.accept(found.bytes_of(index)))
            except (BadContentError, TflError) as error:
                raise DataError(f"{found.name_of(index)} cannot be read as {modality.noun}: {error}") from error
        vectors.append(namer.vectors(contents))
    rows = np.concatenate(vectors)
    labels = np.array([known[folded(name)] for name in found.class_names])[found.labels]
    return chosen_cache(namer.keys(rows), labels, namer.logits(rows))
