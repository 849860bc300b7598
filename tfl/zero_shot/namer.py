"""What names classes that need not have been trained on: a frozen network up to a vector, and a fixed layer for the classes.

    tensors ─▶ network ─▶ vector ─▶ (length 1) ─▶ kernel, bias ─▶ logits ─▶ probabilities

Of a run the layer is what it learned of attributes, times those of each class, with the constant that seen classes pay in its
bias. Of a pair of encoders its kernel is the vectors of the classes' texts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import DataError, RunError
from tfl.modalities.base import Modality
from tfl.modalities.image.pair import check_prompts, is_pair, load_pair
from tfl.quiet import load_tensorflow
from tfl.runs import Run
from tfl.serve.predictor import find_model, load_run_model
from tfl.zero_shot.classes import attributes_of, read_descriptions

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, kw_only=True)
class Namer:
    """Names classes without training. Make one with `open_namer`.

    Args:
        name: What it is called: the recipe of a run, or a preset.
        class_names: The classes.
        seen: `(classes,)`, which of them the network was trained on; a pair of encoders was trained on no classes.
        modality: How contents become tensors.
        network: From these tensors to vectors `(batch, width)`.
        unit: Whether vectors are brought to length 1.
        kernel, bias: From vectors to logits: `(width, classes)` and `(classes,)` float64.
        keys: From vectors to those of length 1 by which examples are compared.
        run: The run; None for a pair of encoders.
    """

    name: str
    class_names: tuple[str, ...]
    seen: NDArray[np.bool_]
    modality: Modality
    network: keras.Model
    unit: bool
    kernel: NDArray[np.float64]
    bias: NDArray[np.float64]
    keys: Callable[[NDArray[Any]], NDArray[np.float64]]
    run: Run | None = None

    def vectors(self, contents: Sequence[bytes]) -> NDArray[np.float64]:
        """The vector of each content, `(n, width)`."""
        import tensorflow as tf

        found = np.asarray(self._graph(tf.constant(list(contents), tf.string)), np.float64)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12) if self.unit else found

    def logits(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """The logits of vectors, `(n, classes)`."""
        return vectors @ self.kernel + self.bias

    def model(self) -> keras.Model:
        """All of it as one network: from tensors to probabilities `(batch, classes)`. It shares the weights of `network`."""
        import keras

        from tfl.backbones.inputs import inputs_of
        from tfl.model.head import LOGITS, POOL
        from tfl.tasks.base import task_of

        x = self.network.output
        if not any(layer.name == POOL for layer in self.network.layers):
            x = keras.layers.Identity(name=POOL, dtype="float32")(x)
        if self.unit:
            x = keras.layers.UnitNormalization(name="unit_length", dtype="float32")(x)
        classes = keras.layers.Dense(len(self.class_names), name=LOGITS, trainable=False, dtype="float32")
        x = classes(x)
        classes.set_weights([self.kernel.astype(np.float32), self.bias.astype(np.float32)])
        task: Any = task_of("classify")
        for layer in task.output_layers():
            x = layer(x)
        return keras.Model(inputs_of(self.network), x, name="namer")

    @functools.cached_property
    def _graph(self) -> Any:
        import tensorflow as tf

        return tf.function(
            lambda contents: self.network(self.modality.encode(contents), training=False),
            input_signature=[tf.TensorSpec([None], tf.string)],
            autograph=False,
        )


def open_namer(model: Path | str, classes: Path | str, *, prompts: Sequence[str] = ()) -> Namer:
    """What names the classes of a file; arguments and errors as of `tfl.zero_shot.predictor.open_zero_shot`."""
    return _of_run(model, classes, prompts) if is_run(model) else _of_pair(str(model), classes, prompts)


def is_run(model: Path | str) -> bool:
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


def _of_run(model: Path | str, classes: Path | str, prompts: Sequence[str]) -> Namer:
    from tfl.modalities.base import modality_of
    from tfl.zero_shot.run import head_of

    if prompts:
        raise DataError(
            "A prompt is for a pair of encoders such as CLIP; a run names classes by a table of attributes.", received=prompts[0]
        )
    run = find_model(model)
    if not isinstance(run, Run):
        raise RunError(
            f"{model} is an export, which has not learned attributes.",
            fix="Name the run, such as: tfl predict RUN FILES --classes TABLE",
        )
    head = head_of(run)
    table = attributes_of(str(classes)).like(head.attributes)
    load_tensorflow()
    import keras

    from tfl.backbones.inputs import inputs_of
    from tfl.evaluate.explain import tensor_of
    from tfl.model.head import POOL

    whole = load_run_model(run)
    kernel, bias = head.layer(table)
    return Namer(
        name=run.recipe.name,
        class_names=table.class_names,
        seen=head.are_seen(table.class_names),
        modality=modality_of(run.recipe),
        network=keras.Model(inputs_of(whole), tensor_of(whole, POOL)),
        unit=False,
        kernel=kernel,
        bias=bias,
        keys=head.standardised,
        run=run,
    )


def _of_pair(name: str, classes: Path | str, prompts: Sequence[str]) -> Namer:
    texts, described = check_prompts(prompts), read_descriptions(classes)
    if not is_pair(name):
        load_pair(name)  # which says what is wrong
    load_tensorflow()
    pair = load_pair(name)
    vectors = pair.classes(described, texts)
    return Namer(
        name=Path(name).name,
        class_names=tuple(described),
        seen=np.zeros(len(described), bool),
        modality=pair.modality,
        network=pair.network,
        unit=True,
        kernel=pair.scale * vectors.T,
        bias=np.zeros(len(described)),
        keys=lambda found: found,
    )
