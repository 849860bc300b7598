"""The graph of a Functional model: its nodes in order, and the same layers laid out again on another input."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import keras

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


def lay_out(model: keras.Model, x: Tensor, *, around: Callable[[Any, Tensor], Tensor] | None = None) -> Tensor:
    """Calls the layers of `model` again, on `x`, nested models opened up; the weights are shared, nothing is copied.

    Args:
        model: A Functional or Sequential model with one output.
        x: The symbolic tensor to start from, or a list of one for each input; its size may differ from the model's own.
        around: Is given each operation and its output, and returns what goes on; for steps to put in between.

    Returns:
        The symbolic output.
    """
    graph = model._functional if isinstance(model, keras.Sequential) else model
    known = {id(own): given for own, given in zip(graph.inputs, x if isinstance(x, list) else [x], strict=True)}
    for node in nodes_in_order(graph):
        args, kwargs = node.arguments.fill_in(known)
        operation = node.operation
        if is_nested(operation) and len(node.input_tensors) == 1 and len(node.outputs) == 1:
            results = [lay_out(operation, known[id(node.input_tensors[0])], around=around)]
        else:
            called = operation(*args, **kwargs)
            results = list(called) if isinstance(called, list | tuple) else [called]
        if around is not None and len(results) == 1:
            results = [around(operation, results[0])]
        known.update({id(old): new for old, new in zip(node.outputs, results, strict=True)})
    return known[id(graph.outputs[0])]


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
