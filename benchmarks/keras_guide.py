"""The Keras guide *Transfer learning & fine-tuning*, step by step, on MobileNetV2 alpha 0.35: what tfl is measured against.

https://keras.io/guides/transfer_learning: `image_dataset_from_directory`, random flips and rotations in the model, the base
called with `training=False`, average pooling, dropout 0.2, one dense layer; then the base thawed and compiled anew at a low rate.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ALPHA = 0.35
CUTS = {16: "block_15_add", 13: "block_12_add", 10: "block_9_add", 6: "block_5_add", 3: "block_2_add"}
"""The tensor under block N: all layers from `block_N_expand` up train above it."""


@dataclass
class Guide:
    """The guide's network and its two datasets.

    Args:
        model, base: The whole network, and the backbone in it.
        train, held_out: Batches of 32, decoded anew in every epoch.
        files: What it trains on, and what it evaluates on.
        seconds: Of every epoch so far.
        history: Its validation accuracy after every epoch so far.
    """

    model: Any
    base: Any
    train: Any
    held_out: Any
    files: tuple[list[str], list[str]]
    seconds: list[float] = field(default_factory=list)
    history: list[float] = field(default_factory=list)

    def compile_for_head(self) -> None:
        """The base frozen, Adam at its default rate."""
        self.base.trainable = False
        self._compile(1e-3)

    def compile_for_tuning(self, rate: float = 1e-5, *, from_block: int | None = None) -> None:
        """The base thawed: all of it, or from block N on."""
        self.base.trainable = True
        if from_block is not None:
            thaw_from(self.base, from_block)
        self._compile(rate)

    def fit(self, epochs: int) -> None:
        """Goes on for so many epochs, as one `fit` after another; Keras traces once."""
        done = len(self.seconds)
        clock = epoch_clock(self.seconds)
        options = {"initial_epoch": done, "epochs": done + epochs, "validation_data": self.held_out, "verbose": 0}
        self.history += self.model.fit(self.train, callbacks=[clock], **options).history["val_accuracy"]

    def _compile(self, rate: float) -> None:
        import keras

        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])


def open_guide(photos: Path, *, size: tuple[int, int] = (224, 224), augment: bool = True) -> Guide:
    """The guide's datasets (`validation_split=0.2, seed=1`) and its network, not compiled yet."""
    import keras

    train, held_out = open_datasets(photos, size=size)
    files = (list(train.file_paths), list(held_out.file_paths))
    keras.utils.set_random_seed(1)
    model, base = build(len(train.class_names), size=size, augment=augment)
    return Guide(model, base, train.prefetch(2), held_out.prefetch(2), files)


def open_datasets(photos: Path, *, size: tuple[int, int]) -> tuple[Any, Any]:
    """The guide's training and validation datasets."""
    import keras

    options: dict[str, Any] = {"validation_split": 0.2, "seed": 1, "image_size": size, "batch_size": 32, "verbose": False}
    load = keras.utils.image_dataset_from_directory
    return load(photos, subset="training", **options), load(photos, subset="validation", **options)


def build(classes: int, *, size: tuple[int, int], augment: bool = True) -> tuple[Any, Any]:
    """The guide's whole network and the base in it."""
    import keras

    base = build_base(size)
    inputs = keras.Input((*size, 3))
    x = inputs
    if augment:
        x = keras.layers.RandomRotation(0.1)(keras.layers.RandomFlip("horizontal")(x))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(x)
    x = keras.layers.GlobalAveragePooling2D()(base(x, training=False))
    outputs = keras.layers.Dense(classes)(keras.layers.Dropout(0.2)(x))
    return keras.Model(inputs, outputs), base


def build_base(size: tuple[int, int]) -> Any:
    """The backbone with ImageNet weights, from pixels in -1..1."""
    import keras

    return keras.applications.MobileNetV2(input_shape=(*size, 3), alpha=ALPHA, include_top=False, weights="imagenet")


def thaw_from(base: Any, block: int, *, pinned: bool = False) -> None:
    """Layers from `block_N_expand` up train, those below do not; `pinned` leaves BatchNorm frozen, and so its statistics."""
    import keras

    names = [layer.name for layer in base.layers]
    first = names.index(f"block_{block}_expand")
    for number, layer in enumerate(base.layers):
        layer.trainable = number >= first and not (pinned and isinstance(layer, keras.layers.BatchNormalization))


def epoch_clock(seconds: list[float]) -> Any:
    """A callback that appends each epoch's seconds, validation included."""
    import keras

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds.append(time.perf_counter() - self.began)

    return Clock()
