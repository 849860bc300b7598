"""What a careful person would write without tfl: one plain forward pass, and a suffix trained on arrays in memory.

These are the honest references: a ratio to them says what tfl's bookkeeping costs. Nothing here uses tfl.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from keras_guide import CUTS, build_base

BATCH = 32
OPENVINO = {"float32": "f32", "bfloat16": "bf16"}
"""OpenVINO's names of the precisions."""


class Seconds(NamedTuple):
    """By the clock, and of the processor in all threads, which other jobs disturb less."""

    wall: float
    processor: float


def forward_pass(photos: Path, *, size: tuple[int, int], engine: str = "keras float32") -> Seconds:
    """One pass over every photo to the pooled output of the base: open, build, trace, decode and compute.

    Args:
        photos: A folder of class folders.
        size: (height, width) in pixels.
        engine: As tfl names it, which runs in the same precision: `keras float32`, `openvino float32` or `openvino bfloat16`.
    """
    import keras

    began, processor = time.perf_counter(), time.process_time()
    dataset = keras.utils.image_dataset_from_directory(
        photos, image_size=size, batch_size=BATCH, shuffle=False, verbose=False
    ).prefetch(2)
    base = build_base(size)
    inputs = keras.Input((*size, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(base(scaled, training=False)))
    kind, _, precision = engine.partition(" ")
    if kind == "keras":
        model.predict(dataset, verbose=0)
    else:
        compute = compile_openvino(model, precision)
        for images, _ in dataset:
            compute(images.numpy())[0]
    return Seconds(time.perf_counter() - began, time.process_time() - processor)


def compile_openvino(model: Any, precision: str) -> Any:
    """The model as OpenVINO runs it in float32 or bfloat16."""
    import openvino
    import tensorflow as tf

    signature = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)
    traced = tf.function(lambda images: model(images, training=False)).get_concrete_function(signature)
    return openvino.compile_model(openvino.convert_model(traced), "CPU", {"INFERENCE_PRECISION_HINT": OPENVINO[precision]})


@dataclass(frozen=True)
class Arrays:
    """One cut's maps of all photos in memory, float32, and labels; the guide's split."""

    train: np.ndarray
    train_labels: np.ndarray
    held_out: np.ndarray
    held_out_labels: np.ndarray


def compute_maps(train: Any, held_out: Any, *, size: tuple[int, int], blocks: Sequence[int | None]) -> dict[int | None, Arrays]:
    """What is under every block of `blocks` (None: the pooled output), for all photos, in one pass.

    Args:
        train, held_out: Batched datasets of (pixels 0..255, labels).
        size: (height, width) in pixels.
        blocks: Of `CUTS`, or None.
    """
    import keras

    base = build_base(size)
    inputs = keras.Input((*size, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(base.output)
    outputs = [pooled if block is None else base.get_layer(CUTS[block]).output for block in blocks]
    model = keras.Model(inputs, keras.Model(base.input, outputs)(keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)))
    parts = [_maps_of(model, dataset) for dataset in (train, held_out)]
    return {
        block: Arrays(parts[0][0][number], parts[0][1], parts[1][0][number], parts[1][1]) for number, block in enumerate(blocks)
    }


def _maps_of(model: Any, dataset: Any) -> tuple[list[np.ndarray], np.ndarray]:
    """Each output of the model for a whole dataset, and the labels in the same order; arrays are filled in place."""
    import keras
    import tensorflow as tf

    run = tf.function(lambda images: keras.tree.flatten(model(images, training=False)), reduce_retracing=True)
    shapes = [output.shape[1:] for output in keras.tree.flatten(model.outputs)]
    found: list[list[np.ndarray]] = [[] for _ in shapes]
    labels = []
    for images, some in dataset:
        for store, values in zip(found, run(images), strict=True):
            store.append(values.numpy())
        labels.append(some.numpy())
    joined = []
    while found:
        joined.append(np.concatenate(found.pop(0)))
    return joined, np.concatenate(labels)


def build_suffix(block: int | None, classes: int, *, size: tuple[int, int]) -> Any:
    """The network from under block N (None: from the pooled output) to logits; BatchNorm stays as it is, as in tfl's stages."""
    import keras

    if block is None:
        inputs = x = keras.Input((1280,))
    else:
        base = build_base(size)
        for layer in base.layers:
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
        inputs = base.get_layer(CUTS[block]).output
        x = keras.layers.GlobalAveragePooling2D()(base.output)
    return keras.Model(inputs, keras.layers.Dense(classes)(keras.layers.Dropout(0.2)(x)))


@dataclass
class SuffixTraining:
    """A suffix trained on arrays in memory, an epoch at a time, validation included.

    Args:
        model: From `build_suffix`.
        arrays: Of the same cut.
        rate: Adam's.
        way: `fit` is Keras' own loop over NumPy arrays; `loop` is a traced step over tensors, called by hand.
        seconds, accuracies: Of every epoch so far; the first one holds the tracing.
    """

    model: Any
    arrays: Arrays
    rate: float
    way: Literal["fit", "loop"]
    seconds: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        import keras

        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(keras.optimizers.Adam(self.rate), loss, metrics=["accuracy"])
        if self.way == "loop":
            self._prepare_loop()

    def epoch(self) -> float:
        """One epoch; returns its seconds."""
        began = time.perf_counter()
        self.accuracies.append(self._fit() if self.way == "fit" else self._loop())
        self.seconds.append(time.perf_counter() - began)
        return self.seconds[-1]

    def _fit(self) -> float:
        arrays = self.arrays
        evaluated = (arrays.held_out, arrays.held_out_labels)
        options: dict[str, Any] = {"batch_size": BATCH, "epochs": 1, "verbose": 0, "validation_data": evaluated}
        return float(self.model.fit(arrays.train, arrays.train_labels, **options).history["val_accuracy"][-1])

    def _prepare_loop(self) -> None:
        import keras
        import tensorflow as tf

        model, optimiser = self.model, self.model.optimizer
        loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        weights = model.trainable_variables
        optimiser.build(weights)
        arrays = self.arrays
        self._tensors = [tf.constant(values) for values in (arrays.train, arrays.train_labels, arrays.held_out)]
        features, labels = tf.TensorSpec((None, *arrays.train.shape[1:])), tf.TensorSpec((None,), tf.int32)

        @tf.function(input_signature=(features, labels, tf.TensorSpec((None,), tf.int32)))
        def step(maps: Any, answers: Any, rows: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = loss_of(tf.gather(answers, rows), model(tf.gather(maps, rows), training=True))
            optimiser.apply(tape.gradient(loss, [weight.value for weight in weights]), weights)
            return loss

        self._step = step
        self._predict = tf.function(lambda maps: model(maps, training=False), input_signature=(features,))

    def _loop(self) -> float:
        import tensorflow as tf

        maps, labels, held_out = self._tensors
        order = tf.constant(np.random.default_rng(len(self.seconds)).permutation(len(labels)).astype(np.int32))
        for start in range(0, len(labels), BATCH):
            self._step(maps, labels, order[start : start + BATCH])
        logits = [self._predict(held_out[start : start + BATCH]).numpy() for start in range(0, len(held_out), BATCH)]
        return float((np.concatenate(logits).argmax(-1) == self.arrays.held_out_labels).mean())
