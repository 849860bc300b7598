"""Blocks: the layers between two neighbouring cut points, found from the graph, in the units a person would name.

A cut point is a place where exactly one tensor that the network has made is still needed. A network with several inputs, such as
tokens with their padding mask, may need these as well above the cut: they are at hand and are not counted. The pieces between cut
points are then joined into natural units:

    a residual unit or an inception module   pieces whose branches meet (Add, Concatenate), with the activation after it
    a convolution group ended by a pool      VGG's blocks, the stems of ResNet and Inception
    expansion, depthwise and projection      the separable unit of the MobileNets and EfficientNets, gate included
    any other convolution                    with the normalisation and activation that follow
    a transformer layer                      attention and feed-forward as one layer; before the first, all of the embeddings

More than forty units are joined in equal groups within a stage (the stretch of one feature-map size). A residual adapter belongs
to the block that it follows, which keeps its name.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

import keras

from tfl.backbones.adapters import is_adapter
from tfl.backbones.flat import nodes_in_order
from tfl.backbones.flops import SEQUENCE_LENGTH, flops_of, is_attention, sublayers_of
from tfl.errors import BackboneError

MOST, FEWEST = 40, 4
Kind = Literal["light", "normalise", "conv", "depthwise", "pointwise", "separable", "gate", "pool", "merge", "pad", "other"]
_QUIET = ("light", "normalise", "pad")


@dataclass(frozen=True)
class CutPoint:
    """A place to cut.

    Args:
        name: Name of the layer that ends there; `NAME_2` and so on where a shared layer is called again.
        tensor: The output of that call, in the model's own graph. At the end of a model with several outputs it is that of the
            last call, and a part of the model's output.
        nodes: The calls since the cut point before, this layer's included.
        adapts: Name of the cut point before, where the calls since then are its residual adapter; else empty.
    """

    name: str
    tensor: Any = field(repr=False, compare=False)
    nodes: tuple[Any, ...] = field(repr=False, compare=False, default=())
    adapts: str = ""


@dataclass(frozen=True, kw_only=True)
class Block:
    """The layers between two cut points.

    Args:
        name: Of the layer that ends it, ahead of its residual adapter where it has one.
        layers: Names of its layers and operations, in the order of the graph.
        parameters: Numbers in its weights, those of BatchNorm included.
        output_shape: Without the batch.
        flops: Two for each multiply-add of its convolutions, dense layers and attention, for one example.
        flops_share: Of the whole model's, 0 to 1.
        adapter: Those of its layers that are a residual adapter.
    """

    name: str
    layers: tuple[str, ...]
    parameters: int
    output_shape: tuple[int | None, ...]
    flops: int
    flops_share: float
    adapter: tuple[str, ...] = ()


def find_cut_points(model: keras.Model) -> list[CutPoint]:
    """Every cut point, input side first; the end of the model is the last.

    The input of a model with one input counts as a tensor that is needed, the inputs of a model with several do not.

    Raises:
        BackboneError: The model is not Functional.
    """
    if not hasattr(model, "_nodes_by_depth"):
        raise BackboneError(f"`{model.name}` is not a Functional model.", received=type(model).__name__)
    nodes = nodes_in_order(model)
    inputs = {id(tensor) for tensor in model.inputs} if len(model.inputs) > 1 else set()
    uses: Counter[int] = Counter(id(tensor) for tensor in model.outputs)
    for node in nodes:
        uses.update(id(tensor) for tensor in node.input_tensors)
    live = {id(model.inputs[0])} - inputs
    cuts: list[CutPoint] = []
    since: list[Any] = []
    names: Counter[str] = Counter()
    for node in nodes:
        since.append(node)
        for tensor in node.input_tensors:
            uses[id(tensor)] -= 1
            if not uses[id(tensor)]:
                live.discard(id(tensor))
        live.update(id(tensor) for tensor in node.outputs if uses[id(tensor)])
        if (len(live) == 1 and id(node.outputs[0]) in live) or node is nodes[-1]:
            name, before = _numbered(node.operation.name, names), cuts[-1].name if cuts else ""
            adapts = before if is_adapter(before, since) else ""
            cuts.append(CutPoint(name, node.outputs[0], tuple(since), adapts))
            since = []
    return cuts


def block_outputs(model: keras.Model) -> dict[str, Any]:
    """The tensor at each cut point by its name, in the model's own graph; behind the residual adapter where one follows.

    Raises:
        BackboneError: The model is not Functional.
    """
    points = find_cut_points(model)
    behind = {point.adapts: point.tensor for point in points if point.adapts}
    return {point.name: behind.get(point.name, point.tensor) for point in points}


def _numbered(name: str, taken: Counter[str]) -> str:
    taken[name] += 1
    return name if taken[name] == 1 else f"{name}_{taken[name]}"


def find_blocks(model: keras.Model, *, length: int = SEQUENCE_LENGTH) -> list[Block]:
    """The model's blocks, input side first; together they hold every layer once.

    A layer that is called several times, as in ALBERT, belongs to the block of its first call, with its parameters; the blocks of
    the later calls have none.

    Args:
        model: A Functional model.
        length: Tokens of a sequence whose length the graph leaves open, for the FLOPs. Defaults to 128.

    Raises:
        BackboneError: The model is not Functional.

    Example:

    >>> from tfl.backbones.blocks import find_blocks
    >>> from tfl.modalities.image.backbones.mini import build_mini
    >>> [block.name for block in find_blocks(build_mini(weights=None))][:3]
    ['stem_out', 'unit1_out', 'unit2_out']
    """
    points = find_cut_points(model)
    pieces, adapters = [point for point in points if not point.adapts], {point.adapts: point for point in points if point.adapts}
    if any(_is_transformer_layer(piece) for piece in pieces):
        units = _transformer_units(pieces)
    else:
        units = _natural_units(pieces)
        if len(units) < FEWEST:
            units = _attach_light([[piece] for piece in pieces])
    return _as_blocks(_coarsen(units), adapters, length)


def _transformer_units(pieces: list[CutPoint]) -> list[list[CutPoint]]:
    """The embeddings, and one unit for each transformer layer; what follows the last one belongs to it."""
    units: list[list[CutPoint]] = [[]]
    for piece in pieces:
        if _is_transformer_layer(piece) and units[-1]:
            units.append([])
        units[-1].append(piece)
    return units


def _is_transformer_layer(piece: CutPoint) -> bool:
    """Whether a layer of the piece has attention inside and makes a sequence."""
    return any(
        len(node.outputs[0].shape) == 3 and any(is_attention(inner) for inner in sublayers_of(node.operation))
        for node in piece.nodes
    )


@dataclass
class _Unit:
    """A unit under construction: pieces, and what it has had so far."""

    pieces: list[CutPoint]
    spatial: bool = False
    done: bool = False
    chain: bool = True
    """Only plain convolutions so far: joins the group that a pool ends."""


def _natural_units(pieces: list[CutPoint]) -> list[list[CutPoint]]:
    units: list[_Unit] = []
    pending: list[CutPoint] = []
    for piece in pieces:
        kind = _kind_of(piece)
        if kind not in _QUIET:
            _place(units, kind, [*pending, piece])
            pending = []
        elif pending or not units or kind == "pad" or (kind == "normalise" and _is_closed(units[-1].pieces)):
            pending.append(piece)  # belongs to what follows: preprocessing, padding, pre-activation
        else:
            units[-1].pieces.append(piece)
    if pending and units:
        units[-1].pieces += pending
    elif pending:
        units.append(_Unit(pending))
    return [unit.pieces for unit in units]


def _place(units: list[_Unit], kind: Kind, pieces: list[CutPoint]) -> None:
    last = units[-1] if units else None
    joins = last is not None and not last.done
    if kind == "pool" and last is not None and last.chain:
        while len(units) > 1 and units[-2].chain and not _has_pool(units[-2].pieces):
            tail = units.pop()
            units[-1].pieces += tail.pieces
        units[-1].pieces += pieces
        units[-1].done = True
    elif kind == "pool" and last is not None:
        last.pieces += pieces
        last.done = True
    elif kind == "pointwise" and joins and last is not None and last.spatial:
        last.pieces += pieces
        last.done, last.chain = True, False
    elif kind == "gate" and joins and last is not None:
        last.pieces += pieces
        last.chain = False
    elif kind in ("conv", "depthwise") and joins and last is not None and not last.spatial:
        last.pieces += pieces
        last.spatial = True
        last.chain = last.chain and kind == "conv"
    else:
        spatial, done = kind in ("conv", "depthwise", "gate"), kind in ("merge", "separable")
        units.append(_Unit(pieces, spatial=spatial, done=done, chain=kind in ("conv", "pointwise")))


def _kind_of(piece: CutPoint) -> Kind:
    """What a piece between two cut points does, from the layers in it."""
    layers = keras.layers
    heavy = [node.operation for node in piece.nodes if _is_heavy(node.operation)]
    if len(piece.nodes) > 1:
        if not heavy:
            return "light"
        ended = piece.nodes[-1].operation
        return "gate" if type(ended).__name__ == "Multiply" else "merge"
    operation = piece.nodes[0].operation
    if isinstance(operation, layers.SeparableConv2D):
        return "separable"
    if isinstance(operation, layers.DepthwiseConv2D):
        return "depthwise"
    if isinstance(operation, layers.Conv2D):
        return "conv" if max(operation.kernel_size) > 1 else "pointwise"
    if isinstance(operation, layers.BatchNormalization | layers.LayerNormalization | layers.GroupNormalization):
        return "normalise"
    if isinstance(operation, layers.ZeroPadding2D):
        return "pad"
    if isinstance(operation, layers.MaxPooling2D | layers.AveragePooling2D):
        return "pool"
    return "other" if heavy else "light"


def _is_heavy(operation: Any) -> bool:
    layers = keras.layers
    quiet = layers.BatchNormalization | layers.LayerNormalization | layers.GroupNormalization | layers.Normalization
    return isinstance(operation, layers.Layer) and bool(operation.weights) and not isinstance(operation, quiet | layers.PReLU)


def _ends_in_merge(pieces: list[CutPoint]) -> bool:
    last = next((piece for piece in reversed(pieces) if _kind_of(piece) != "light"), pieces[-1])
    return len(last.nodes) > 1


def _has_pool(pieces: list[CutPoint]) -> bool:
    return any(_kind_of(piece) == "pool" for piece in pieces)


def _is_closed(pieces: list[CutPoint]) -> bool:
    """Whether a normalisation after these pieces is the pre-activation of the next unit: a merge or a pool ends them."""
    return _ends_in_merge(pieces) or _kind_of(pieces[-1]) == "pool"


def _attach_light(units: list[list[CutPoint]]) -> list[list[CutPoint]]:
    """Each piece its own unit, but what comes before the first weights belongs to the first."""
    while len(units) > 1 and not any(_is_heavy(node.operation) for piece in units[0] for node in piece.nodes):
        units = [units[0] + units[1], *units[2:]]
    return units


def _coarsen(units: list[list[CutPoint]]) -> list[list[CutPoint]]:
    """At most forty units: equal groups of neighbours within each stage of one feature-map size."""
    stages: list[list[list[CutPoint]]] = []
    for unit in units:
        if stages and _likeness(stages[-1][-1]) == _likeness(unit):
            stages[-1].append(unit)
        else:
            stages.append([unit])
    for group in range(1, len(units) + 1):
        if sum(-(-len(stage) // group) for stage in stages) <= MOST or group == len(units):
            return [
                [piece for unit in stage[start : start + group] for piece in unit]
                for stage in stages
                for start in range(0, len(stage), group)
            ]
    return units


def _likeness(unit: list[CutPoint]) -> tuple[Any, ...]:
    """Equal for units of one stage: the feature map's height and width, and whether branches meet at the end."""
    return (*unit[-1].tensor.shape[1:-1], _ends_in_merge(unit))


def _as_blocks(units: list[list[CutPoint]], adapters: dict[str, CutPoint], length: int) -> list[Block]:
    blocks: list[Block] = []
    seen: set[int] = set()
    for unit in units:
        own = [node for piece in unit if piece.name in adapters for node in adapters[piece.name].nodes]
        nodes = [node for piece in unit for node in piece.nodes] + own
        fresh = [node.operation for node in nodes if id(node.operation) not in seen]
        seen.update(id(operation) for operation in fresh)
        blocks.append(
            Block(
                name=unit[-1].name,
                layers=tuple(dict.fromkeys(operation.name for operation in fresh)),
                parameters=sum(operation.count_params() for operation in _layers_once(fresh)),
                output_shape=tuple(unit[-1].tensor.shape[1:]),
                flops=sum(flops_of(node, length=length) for node in nodes),
                flops_share=0.0,
                adapter=tuple(node.operation.name for node in own),
            )
        )
    total = sum(block.flops for block in blocks) or 1
    return [dataclasses.replace(block, flops_share=block.flops / total) for block in blocks]


def _layers_once(operations: list[Any]) -> list[keras.layers.Layer]:
    once = {id(operation): operation for operation in operations if isinstance(operation, keras.layers.Layer)}
    return list(once.values())
