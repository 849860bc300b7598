"""Low-rank adaptation of kernels by Keras' own layers: switched on for a stage, merged at its end.

`kernel + A B` takes the place of `kernel` (LoRA, Hu et al. 2022). `A` is random and `B` zero: the network starts as it was.
Merged, the kernel holds the sum and the layer is the usual one: it computes, saves and exports as before.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from tfl.data.bundle import derived_seed

LORA = ("lora_kernel_a", "lora_kernel_b", "lora_embeddings_a", "lora_embeddings_b")
"""What Keras calls the factors."""
_TAKE_LORA = (
    *(keras.layers.Dense, keras.layers.EinsumDense, keras.layers.Embedding),
    *(keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D),
)


def layers_within(layers: Iterable[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """Some layers and the layers within them, each once, in order."""
    return list({id(inner): inner for layer in layers for inner in layer._flatten_layers()}.values())


def lora_layers(layers: Iterable[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """Those of some layers, and of the layers within them, that take LoRA; quantised ones, those with a constraint and those
    that have LoRA of their own are left out.

    Example:

    >>> import keras
    >>> from tfl.model.lora import lora_layers
    >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.DepthwiseConv2D(3)])
    >>> [type(layer).__name__ for layer in lora_layers(model.layers)]
    ['Conv2D']
    """
    return [layer for layer in layers_within(layers) if isinstance(layer, _TAKE_LORA) and _is_free(layer)]


def _is_free(layer: Any) -> bool:
    constraint = getattr(layer, "kernel_constraint", None) or getattr(layer, "embeddings_constraint", None)
    return not (layer.lora_enabled or constraint or layer.dtype_policy.quantization_mode)


def lora_size(layer: keras.layers.Layer, rank: int) -> int:
    """The number of parameters of the two factors that a layer would get.

    Example:

    >>> import keras
    >>> from tfl.model.lora import lora_size
    >>> dense = keras.layers.Dense(10)
    >>> dense.build((None, 100))
    >>> lora_size(dense, 2)
    220
    """
    *rows, columns = _kernel_of(layer).shape
    return (math.prod(rows) + int(columns)) * rank


@contextlib.contextmanager
def lora(layers: Sequence[keras.layers.Layer], *, rank: int, seed: int) -> Iterator[None]:
    """Gives layers the factors of LoRA, for the block. What is not merged at its end is dropped: the kernels are as they were.

    Args:
        layers: Of `lora_layers`; their kernels are set to be not trainable.
        rank: Of the change.
        seed: Decides the first factors.
    """
    try:
        for number, layer in enumerate(layers):
            layer.enable_lora(rank, a_initializer=keras.initializers.HeUniform(seed=derived_seed(seed, number)))
            for name in _factors(layer):
                getattr(layer, name).trainable = True  # Keras takes this over from the layer
        yield
    finally:
        for layer in layers:
            if layer.lora_enabled:
                _drop(layer)


def lora_change(layer: Any) -> Any:
    """What the factors of a layer add to its kernel, as a float32 tensor of the kernel's shape."""
    first, second = _factors(layer)
    return layer.lora_alpha / layer.lora_rank * keras.ops.matmul(getattr(layer, first), getattr(layer, second))


def merge_lora(layers: Iterable[keras.layers.Layer]) -> None:
    """Adds to each kernel what its factors make, and drops them; layers without LoRA stay as they are."""
    for layer in layers:
        if not layer.lora_enabled:
            continue
        kernel, change = _kernel_of(layer), keras.ops.convert_to_numpy(lora_change(layer))
        if np.any(change):  # adding zero would turn -0.0 to 0.0
            kernel.assign(kernel + keras.ops.cast(change, kernel.dtype))
        _drop(layer)


def _kernel_of(layer: Any) -> Any:
    return layer._embeddings if isinstance(layer, keras.layers.Embedding) else layer._kernel


def _factors(layer: keras.layers.Layer) -> tuple[str, str]:
    return (LORA[2], LORA[3]) if isinstance(layer, keras.layers.Embedding) else (LORA[0], LORA[1])


def _drop(layer: Any) -> None:
    """Makes the layer one that never had LoRA. Keras has no function for this."""
    for name in _factors(layer):
        layer._untrack_variable(getattr(layer, name))
        super(keras.layers.Layer, layer).__delattr__(name)  # Keras' own collects garbage after each
    layer.lora_enabled, layer.lora_rank, layer.lora_alpha = False, None, None
