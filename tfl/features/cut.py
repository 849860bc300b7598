"""A model cut in two at a block: the prefix makes features, the suffix makes the outputs of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from tfl.backbones.blocks import block_outputs, find_cut_points
from tfl.backbones.flat import lay_out_above, nodes_in_order
from tfl.backbones.inputs import inputs_of, structured
from tfl.errors import BackboneError
from tfl.model.assemble import Assembled
from tfl.model.branches import VECTOR
from tfl.model.head import POOL

FEATURES, TAP = "features", "tap_"
"""Name of the tensor at the cut, where the suffix has further inputs; and how the names of tapped vectors begin."""


def cut(assembled: Assembled, block_index: int, *, under_adapter: bool = False) -> tuple[keras.Model, keras.Model]:
    """The model below block `block_index`, and from it on; both share their layers with the whole model.

    What is alive at the cut is what the prefix makes: the tensor at the cut point, and, where the head taps blocks below the cut,
    the vectors or maps of these. Inputs of the network that the suffix needs as well, such as a padding mask, are inputs of the
    suffix and not features. At `block_index == len(blocks)` the cut is after the head's pooling, so that the features are
    vectors; a detector pools nothing, and has its maps there.

    Args:
        assembled: The network.
        block_index: The first block of the suffix, 1 to the number of blocks: `Plan.first_trainable_block`.
        under_adapter: Whether the cut is within that block, under its residual adapter: the block's other layers are then part
            of the prefix. Such a cut may be in block 0. Defaults to False.

    Returns:
        prefix: From the inputs of the network to features: one tensor, or a dictionary of tensors (`features` and one
            `tap_BLOCK` for each tapped block below).
        suffix: From the features to the outputs; where there are several features or further inputs, from a dictionary with
            all of them by name.

    Raises:
        BackboneError: There is no block below the cut, no such block, or no adapter in it.
    """
    _refuse(assembled, block_index, under_adapter=under_adapter)
    inputs, output, blocks = inputs_of(assembled.model), assembled.model.output, assembled.blocks
    if block_index == len(blocks):
        maps = {f"{TAP}{tap.block}": tap.vector for tap in assembled.maps}
        alive = {FEATURES: _pool_of(assembled.model) if maps else tensor_at(assembled.model, POOL), **maps}
    else:
        below = {block.name for block in blocks[: block_index if under_adapter else block_index - 1]}
        taps = {f"{TAP}{tap.block}": tap.vector for tap in (*assembled.taps, *assembled.maps) if tap.block in below}
        alive = {FEATURES: _alive(assembled.backbone(), assembled, block_index, under_adapter=under_adapter), **taps}
    where = f"{block_index}_adapter" if under_adapter else f"{block_index}"
    prefix = keras.Model(inputs, structured(alive), name=f"prefix_{where}")
    needed = _inputs_above(assembled.model, list(alive.values()))
    if len(alive) == 1 and not needed:
        return prefix, keras.Model(alive[FEATURES], output, name=f"suffix_{where}")
    return prefix, _suffix_of_several(assembled.model, alive, needed, name=f"suffix_{where}")


def _pool_of(model: keras.Model) -> Any:
    """What the layer `POOL` gives where it is no cut point, since further maps go past it."""
    return next(node.outputs[0] for node in nodes_in_order(model) if node.operation.name == POOL)


def _refuse(assembled: Assembled, block_index: int, *, under_adapter: bool) -> None:
    """Raises where there is no such cut."""
    count = len(assembled.blocks)
    if under_adapter and not (0 <= block_index < count and assembled.blocks[block_index].adapter):
        raise BackboneError("The network has no residual adapter to cut under there.", received=f"block index {block_index}")
    if not under_adapter and not 1 <= block_index <= count:
        raise BackboneError(
            "The network cannot be cut there.",
            received=f"block index {block_index}",
            allowed=f"1 (above the first block) to {count} (under the head)",
        )


def _alive(backbone: keras.Model, assembled: Assembled, block_index: int, *, under_adapter: bool) -> Any:
    """The tensor of the backbone at a cut between two of its blocks, or under an adapter."""
    if not under_adapter:
        return tensor_at(backbone, assembled.blocks[block_index - 1].name)
    name = assembled.blocks[block_index].name
    return next(point.tensor for point in find_cut_points(backbone) if point.name == name)


@dataclass(frozen=True, eq=False)
class JoinedPrefix:
    """The frozen networks of several inputs, each below its cut.

    Args:
        models: By input, from its own tensors to the tensor at the cut.
    """

    models: Mapping[str, keras.Model]

    @property
    def output(self) -> dict[str, Any]:
        """The features by the names of the suffix's inputs."""
        return {features_name(name): model.output for name, model in self.models.items()}


def features_name(name: str) -> str:
    """What the features of one of several inputs are called."""
    return f"{name}_{FEATURES}"


def cut_branches(assembled: Assembled, firsts: Mapping[str, int]) -> tuple[JoinedPrefix, keras.Model]:
    """The networks of several inputs below their cuts, and the network from there on; see `cut`.

    Args:
        assembled: The network.
        firsts: By input, the first block of its network that belongs to the suffix, 0 to the number of its blocks; at the latter
            the cut is after the pooling, and a network of 0 belongs to the suffix whole.
    """
    models, alive = {}, {}
    for branch in assembled.branches:
        first, names = firsts[branch.name], branch.block_names
        if not first:
            continue
        at = VECTOR if first == len(names) else names[first - 1]
        models[branch.name] = keras.Model(inputs_of(branch.model), branch.own[at], name=f"prefix_{first}")
        alive[features_name(branch.name)] = branch.joint[at]
    needed = _inputs_above(assembled.model, list(alive.values()))
    return JoinedPrefix(models), _suffix_of_several(assembled.model, alive, needed, name="suffix")


def inputs_next_to(prefix: keras.Model | JoinedPrefix, suffix: keras.Model) -> tuple[str, ...]:
    """The names of the inputs that a suffix takes next to what its prefix makes."""
    if len(suffix.inputs) == 1:
        return ()
    made = set(prefix.output) if isinstance(prefix.output, dict) else {FEATURES}
    return tuple(tensor.name for tensor in suffix.inputs if tensor.name not in made)


def _inputs_above(model: keras.Model, alive: list[Any]) -> list[Any]:
    """The inputs of the model that its output needs when the tensors that are alive are given."""
    made_by = {id(tensor): node for node in nodes_in_order(model) for tensor in node.outputs}
    inputs = {id(tensor): tensor for tensor in model.inputs}
    seen, wanted, waiting = {id(tensor) for tensor in alive}, {}, list(model.outputs)
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if id(tensor) in inputs:
            wanted[tensor.name] = tensor
        else:
            waiting += made_by[id(tensor)].input_tensors
    return [tensor for tensor in model.inputs if tensor.name in wanted]


def _suffix_of_several(model: keras.Model, alive: dict[str, Any], needed: list[Any], *, name: str) -> keras.Model:
    """From several tensors of the model to its output; laid out flat, so that the layers under the output are at hand."""
    given = {**alive, **{tensor.name: tensor for tensor in needed}}
    fresh = {key: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=key) for key, tensor in given.items()}
    output = lay_out_above(model, [(tensor, fresh[key]) for key, tensor in given.items()])
    return keras.Model(fresh, output, name=name)


def tensor_at(model: keras.Model, name: str) -> Any:
    """The model's own tensor at the cut point called `name`; `layer.output` would be another's when layers are shared.

    Where a residual adapter follows, it is the tensor behind the adapter.

    Raises:
        BackboneError: There is no such cut point.
    """
    tensors = block_outputs(model)
    if name not in tensors:
        raise BackboneError(f"`{model.name}` has no cut point `{name}`.", allowed=list(tensors))
    return tensors[name]
