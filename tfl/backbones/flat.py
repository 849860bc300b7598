"""The graph of a Functional model: its nodes in order, and the same layers laid out again on another input."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras

from tfl.errors import BackboneError

Tensor = Any
"""A symbolic Keras tensor."""
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16", "bfloat16", "float16")


def nodes_in_order(model: keras.Model) -> list[Any]:
    """Every call in the model's graph, each after those it needs; the inputs are left out.

    Keras keeps the graph in `_nodes_by_depth` (3.0 to 3.15); this is the only place that reads it.
    """
    by_depth = model._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]


def is_nested(operation: Any) -> bool:
    """Whether a layer is itself a model made of a graph."""
    return isinstance(operation, keras.Sequential) or hasattr(operation, "_nodes_by_depth")


def lay_out(model: keras.Model, x: Any, *, around: Callable[[Any, Tensor], Tensor] | None = None) -> Any:
    """Calls the layers of `model` again, on `x`, nested models opened up; the weights are shared, nothing is copied.

    Args:
        model: A Functional or Sequential model.
        x: The symbolic tensors to start from: one tensor, a list with one for each input, or a dictionary by input name. Their
            sizes may differ from those of the model's own inputs.
        around: Is given each operation with one output, and this output, and returns the tensor that takes its place; for steps
            to put in between.

    Returns:
        The symbolic output; of a model with several outputs, what its own output is: a list or a dictionary.
    """
    graph = model._functional if isinstance(model, keras.Sequential) else model
    known = _by_own_input(graph, x)
    for node in nodes_in_order(graph):
        given, operation = _what_a_nested_model_is_given(node, known), node.operation
        if given is not None:
            called = lay_out(operation, given, around=around)
        else:
            args, kwargs = node.arguments.fill_in(known)
            called = operation(*args, **kwargs)
        results = keras.tree.flatten(called)
        if around is not None and len(results) == 1:
            results = [around(operation, results[0])]
        known.update({id(old): new for old, new in zip(node.outputs, results, strict=True)})
    if len(graph.outputs) == 1:
        return known[id(graph.outputs[0])]
    return keras.tree.map_structure(lambda own: known[id(own)], graph.output)


def lay_out_above(model: keras.Model, given: Sequence[tuple[Tensor, Tensor]]) -> Any:
    """Calls those layers of `model` again that lie above some of its own tensors.

    `keras.Model(tensor, model.output)` does the same where no layer is called twice; of a layer that is, as in ALBERT, Keras 3.15
    also replaces the calls that lie above.

    Args:
        model: A Functional model.
        given: Tensors within the model, each with the symbolic tensor that takes its place; together they lie on every way to the
            output.

    Returns:
        The symbolic output, in the structure of the model's own.

    Raises:
        BackboneError: There is a way to the output that runs through none of them.
    """
    known = {id(own): fresh for own, fresh in given}
    for node in _needed_above(model, set(known)):
        args, kwargs = node.arguments.fill_in(known)
        results = keras.tree.flatten(node.operation(*args, **kwargs))
        known.update({id(old): new for old, new in zip(node.outputs, results, strict=True)})
    if len(model.outputs) == 1:
        return known[id(model.outputs[0])]
    return keras.tree.map_structure(lambda own: known[id(own)], model.output)


def _needed_above(model: keras.Model, given: set[int]) -> list[Any]:
    """The nodes that the output needs when these tensors are given, in order."""
    nodes = nodes_in_order(model)
    wanted = {id(tensor) for tensor in model.outputs} - given
    needed = []
    for node in reversed(nodes):
        if wanted & {id(tensor) for tensor in node.outputs}:
            needed.append(node)
            wanted -= {id(tensor) for tensor in node.outputs}
            wanted |= {id(tensor) for tensor in node.input_tensors} - given
    if missing := wanted & {id(tensor) for tensor in model.inputs}:
        names = [tensor.name for tensor in model.inputs if id(tensor) in missing]
        raise BackboneError(f"The output of `{model.name}` also needs the input {', '.join(names)}.")
    return needed[::-1]


def _by_own_input(graph: Any, x: Any) -> dict[int, Tensor]:
    """What stands for each input of the graph, by the identity of the graph's own tensor."""
    if isinstance(x, Mapping):
        own = graph.input if isinstance(graph.input, Mapping) else {tensor.name: tensor for tensor in graph.inputs}
        return {id(tensor): x[name] for name, tensor in own.items()}
    return {id(own): given for own, given in zip(graph.inputs, x if isinstance(x, list | tuple) else [x], strict=True)}


def _what_a_nested_model_is_given(node: Any, known: dict[int, Tensor]) -> Any:
    """What a call of a nested model stands on, in the structure of its inputs; None where the call is not to be opened up."""
    if not is_nested(node.operation):
        return None
    if len(node.input_tensors) == 1:
        return known[id(node.input_tensors[0])]
    args, _ = node.arguments.fill_in(known)
    return args[0] if args and len(keras.tree.flatten(args[0])) == len(node.input_tensors) else None


def operations_inside(model: keras.Model) -> Iterator[Any]:
    """Every layer and operation once, nested models opened up, in the order of the graph."""
    seen: set[int] = set()
    graph = model._functional if isinstance(model, keras.Sequential) else model
    for node in nodes_in_order(graph):
        found = operations_inside(node.operation) if is_nested(node.operation) else [node.operation]
        for operation in found:
            if id(operation) not in seen:
                seen.add(id(operation))
                yield operation


def forget_calls(model: keras.Model) -> None:
    """Makes the layers of `model` as if never called, ahead of laying them out anew; `model` is of no other use after this.

    Keras' `layer.output` is that of a layer's first call: with the old calls kept, `keras.Model(new.input,
    new.get_layer(name).output)` would reach into the old graph.
    """
    for operation in operations_inside(model):
        operation._inbound_nodes, operation._outbound_nodes = [], []


def name_from_one(model: keras.Model) -> None:
    """Numbers the operations that Keras named by its running counter anew, so that names do not depend on the process."""
    taken: Counter[str] = Counter()
    operations = list(operations_inside(model))
    automatic = {id(operation): stem for operation in operations if (stem := _automatic_stem(operation))}
    fixed = {operation.name for operation in operations if id(operation) not in automatic}
    for operation in operations:
        if stem := automatic.get(id(operation)):
            name = _next_name(stem, taken)
            while name in fixed:
                name = _next_name(stem, taken)
            operation.name = name


def _automatic_stem(operation: Any) -> str | None:
    """The name without its number, where Keras made it from the class name (`conv2d_3` of Conv2D)."""
    stem = re.sub(r"_\d+$", "", operation.name)
    return stem if stem.replace("_", "") == type(operation).__name__.lower() else None


def _next_name(stem: str, taken: Counter[str]) -> str:
    taken[stem] += 1
    return stem if taken[stem] == 1 else f"{stem}_{taken[stem] - 1}"


def use_policy(model: keras.Model, policy: str) -> None:
    """Gives every layer of `model` the dtype policy, those that only prepare the inputs float32; quantised layers keep theirs.

    Inputs of 0..255 do not fit bfloat16's eight bits, so everything before the first weight kernel stays float32. Lay the
    model out again afterwards: the graph that exists was traced with the old types.
    """
    preparing = True
    for operation in operations_inside(model):
        preparing = preparing and prepares_inputs(operation)
        current = getattr(getattr(operation, "dtype_policy", None), "name", None)
        if current in POLICIES:
            operation.dtype_policy = "float32" if preparing else policy


def prepares_inputs(operation: Any) -> bool:
    """Whether the operation belongs to preprocessing when it stands before the first convolution: it learns nothing."""
    return isinstance(operation, keras.layers.Normalization) or not getattr(operation, "weights", ())
