"""Residual adapters in a graph: what their layers are called, and how they are found again.

An adapter follows the layer that ends a block: `x + up(relu(down(norm(x))))`, all of it Keras' own layers, so that a saved
network with adapters loads with Keras alone. It is found by the names of its layers, also in a model file. `tfl.model.adapters`
puts it in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_END = "_adapter"


def adapter_layers(block: str) -> tuple[str, str, str, str]:
    """The names of the layers of the adapter that follows a block: norm, down, up and sum.

    Example:

    >>> from tfl.backbones.adapters import adapter_layers
    >>> adapter_layers("unit1_out")
    ('unit1_out_adapter_norm', 'unit1_out_adapter_down', 'unit1_out_adapter_up', 'unit1_out_adapter')
    """
    own = f"{block}{_END}"
    return f"{own}_norm", f"{own}_down", f"{own}_up", own


def is_adapter(block: str, nodes: Sequence[Any]) -> bool:
    """Whether some calls of a graph are the adapter of the block of that name, and nothing else."""
    return {node.operation.name for node in nodes} == set(adapter_layers(block))
