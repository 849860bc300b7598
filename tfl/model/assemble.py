"""The whole network of a recipe: preprocessing, backbone and head as one flat Functional graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from tfl.backbones.blocks import Block, block_outputs, find_blocks
from tfl.backbones.flat import name_from_one, nodes_in_order
from tfl.backbones.inputs import inputs_of
from tfl.backbones.matching import Matching, matching_of
from tfl.data.bundle import Bundle
from tfl.errors import BackboneError
from tfl.modalities.base import MASK, Modality, modality_of
from tfl.modalities.several.modality import PRESENT, networks_of, tensor_name
from tfl.model.adapters import with_adapters
from tfl.model.branches import VECTOR, Branch, build_branch
from tfl.model.detector import put_detector, read_maps
from tfl.model.head import head_layers, put_on, reading_layers, tapped
from tfl.model.heads import put_heads
from tfl.model.join import join
from tfl.model.next_token import put_next_token
from tfl.model.source_head import Classifier, mapped_logits, put_classifier
from tfl.recipe import DETECT, GENERATE, Recipe
from tfl.tasks.base import Task, task_for
from tfl.tasks.heads import Heads


@dataclass(frozen=True)
class Tap:
    """A block that a head with several taps reads, and the vector, or of a detector the map, that it reads of it, in the model's
    own graph."""

    block: str
    vector: Any = field(repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """A model with what is known about its parts.

    Args:
        model: From the tensors of the modality to the outputs of the task, `(batch, width)`.
        backbone_output: The symbolic output of the last block.
        blocks: Of the backbone, input side first, up to the last one that the head reads: what lies above is not in the model.
        head_layers: Names of the head's layers, input side first.
        class_names: The name of each output, in order.
        taps: What the head reads, input side first; empty where it reads the last block alone.
        maps: The maps that a detector reads of blocks below the last one, input side first.
        matching: What the backbone took over from a weights file, layer by layer; None where nothing was matched.
        classifier: That of the source, where the head begins with it.
        branches: The network of each of several inputs that has one; empty where there is one input.
    """

    model: keras.Model
    backbone_output: Any = field(repr=False)
    blocks: tuple[Block, ...]
    head_layers: tuple[str, ...]
    class_names: tuple[str, ...]
    taps: tuple[Tap, ...] = ()
    maps: tuple[Tap, ...] = ()
    matching: Matching | None = None
    classifier: Classifier | None = None
    branches: tuple[Branch, ...] = ()

    def groups(self) -> dict[str, list[str]]:
        """The names of the blocks of each network, input side first, by the name of its input; empty for the only one."""
        if self.branches:
            return {branch.name: branch.block_names for branch in self.branches}
        return {"": [block.name for block in self.blocks]}

    def layers_of(self, block: str) -> list[keras.layers.Layer]:
        """The Keras layers of the block called `block`, or of `head`; operations without state are left out."""
        names = self.head_layers if block == HEAD else next(item.layers for item in self.blocks if item.name == block)
        wanted = set(names)
        return [layer for layer in self.model.layers if layer.name in wanted]

    def adapter_of(self, block: str) -> list[keras.layers.Layer]:
        """Those layers of the block called `block` that are its residual adapter; none of `head`."""
        wanted = {name for item in self.blocks if item.name == block for name in item.adapter}
        return [layer for layer in self.model.layers if layer.name in wanted]

    def unmatched_blocks(self) -> list[str]:
        """Blocks with a layer that took over no weights; none where nothing was matched."""
        new = set() if self.matching is None else set(self.matching.unmatched)
        return [block.name for block in self.blocks if new & set(block.layers)]

    def backbone(self) -> keras.Model:
        """The backbone alone, sharing its layers with the model."""
        return keras.Model(inputs_of(self.model), self.backbone_output)


HEAD = "head"
"""What plans and ledgers call the head, beside the blocks' names."""


def assemble(
    recipe: Recipe,
    class_names: Sequence[str],
    *,
    modality: Modality | None = None,
    task: Task | None = None,
    precision: str | None = None,
    examples: int = 0,
) -> Assembled:
    """Builds the recipe's network; new weights are drawn from `recipe.seed`.

    Sets the global seeds of Python, NumPy and TensorFlow: some layers draw from them. The global dtype policy is as it was
    before.

    Args:
        recipe: Its backbone and head.
        class_names: The name of each output.
        modality: What the network takes. Defaults to the recipe's.
        task: What the network predicts, fitted to the training targets. Defaults to the recipe's.
        precision: Name of the dtype policy. Defaults to the global one.
        examples: Number of training examples, which a head of nearest neighbours needs. Defaults to 0.

    Raises:
        BackboneError: The backbone cannot be built, names one of its layers as the head's, lacks the classifier that is asked
            for, or has residual adapters and is to get further ones.
        RecipeError: The head taps a block that is not there, or does not fit the network.
        WeightsNotFoundError: Its weights are not to be had.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision or before)
    try:
        return _assemble(recipe, class_names, modality or modality_of(recipe), task or task_for(recipe, class_names), examples)
    finally:
        keras.config.set_dtype_policy(before)


def assemble_for(recipe: Recipe, bundle: Bundle, *, precision: str | None = None) -> Assembled:
    """The recipe's network for the examples of a bundle; see `assemble`."""
    names, modality, task = bundle.examples.class_names, bundle.modality, bundle.task
    examples = len(bundle.indices("train"))
    return assemble(recipe, names, modality=modality, task=task, precision=precision, examples=examples)


def _assemble(recipe: Recipe, class_names: Sequence[str], modality: Modality, task: Task, examples: int) -> Assembled:
    keras.utils.set_random_seed(recipe.seed)
    if recipe.head.start == "source":
        return _with_source(recipe, class_names, modality, task)
    if task.name == GENERATE:
        return _with_next_token(recipe, class_names, modality, task)
    if recipe.data.inputs:
        return _with_branches(recipe, class_names, modality, task)
    backbone = modality.build_backbone(recipe.backbone)
    matching = matching_of(backbone)
    if width := recipe.backbone.adapter_width:
        backbone = with_adapters(backbone, width=width, seed=recipe.seed)
    blocks, tensors = find_blocks(backbone), block_outputs(backbone)
    if task.name == DETECT:
        return _with_detector(recipe, class_names, modality, task, backbone, matching)
    read = tapped(recipe.head, [block.name for block in blocks])
    maps = [tensors[blocks[position].name] for position in read]
    taps, joined = reading_layers(recipe.head, maps)
    mask = next((tensor for tensor in backbone.inputs if tensor.name == MASK), None)
    vectors = [put_on(tap, map_, pooling=recipe.head.pooling, mask=mask) for tap, map_ in zip(taps, maps, strict=bool(taps))]
    one = [] if isinstance(task, Heads) else head_layers(recipe.head, len(class_names), seed=recipe.seed, examples=examples)
    logits = put_on([joined, *one], vectors or maps[0], pooling=recipe.head.pooling, mask=mask)
    if isinstance(task, Heads):
        logits = put_heads(recipe.head, task, logits, seed=recipe.seed)
    output = task.outputs_of(logits)
    names = [layer.name for layer in _layers_above(output, backbone.operations)]
    if taken := {operation.name for operation in backbone.operations} & set(names):
        raise BackboneError(f"The backbone has layers named like the head's: {', '.join(sorted(taken))}.", fix="Rename them.")
    model = keras.Model(inputs_of(backbone), output, name=recipe.name.replace("/", "_"))
    if isinstance(task, Heads):
        name_from_one(model)
    return Assembled(
        model=model,
        backbone_output=maps[-1],
        blocks=_up_to(blocks, read[-1]),
        head_layers=tuple(names),
        class_names=tuple(class_names),
        matching=matching,
        taps=tuple(Tap(blocks[position].name, vector) for position, vector in zip(read, vectors, strict=bool(vectors))),
    )


def _with_detector(
    recipe: Recipe, class_names: Sequence[str], modality: Any, task: Task, backbone: keras.Model, matching: Matching | None
) -> Assembled:
    """The network whose head finds boxes on its maps."""
    blocks, tensors = find_blocks(backbone), block_outputs(backbone)
    names, maps = [block.name for block in blocks], [tensors[block.name] for block in blocks]
    read = read_maps(recipe.head, names, maps, height=modality.size[0])
    logits, below = put_detector(recipe.head, [maps[at] for at in read], len(class_names), seed=recipe.seed)
    output = task.outputs_of(logits)
    return Assembled(
        model=keras.Model(inputs_of(backbone), output, name=recipe.name.replace("/", "_")),
        backbone_output=maps[read[-1]],
        blocks=_up_to(blocks, read[-1]),
        head_layers=tuple(layer.name for layer in _layers_above(output, backbone.operations)),
        class_names=tuple(class_names),
        matching=matching,
        maps=tuple(Tap(names[at], one) for at, one in zip(read[:-1], below, strict=True)),
    )


def _with_source(recipe: Recipe, class_names: Sequence[str], modality: Modality, task: Task) -> Assembled:
    """The network whose head is the classifier of the source, mapped to the classes of the data."""
    source = modality.build_source(recipe.backbone)
    classifier = put_classifier(source)
    output, names = mapped_logits(classifier, len(class_names))
    logits, output = output, task.outputs_of(output)
    last = _layers_above(output, [logits._keras_history.operation])
    inputs = inputs_of(source.model)
    return Assembled(
        model=keras.Model(inputs, output, name=recipe.name.replace("/", "_")),
        backbone_output=source.backbone_output,
        blocks=tuple(find_blocks(keras.Model(inputs, source.backbone_output))),
        head_layers=(*classifier.layers, *names, *(layer.name for layer in last)),
        class_names=tuple(class_names),
        classifier=classifier,
    )


def _with_next_token(recipe: Recipe, class_names: Sequence[str], modality: Any, task: Task) -> Assembled:
    """A causal network whose head says how surprising each passage is."""
    network = modality.build_language_model(recipe.backbone)
    if width := recipe.backbone.adapter_width:
        network = dataclasses.replace(network, model=with_adapters(network.model, width=width, seed=recipe.seed))
    blocks = find_blocks(network.model)
    inputs, logits = put_next_token(network, recipe.head, vocabulary=modality.vocabulary, seed=recipe.seed)
    output = task.outputs_of(logits)
    names = [layer.name for layer in _layers_above(output, network.model.operations) if layer.name not in inputs]
    return Assembled(
        model=keras.Model(inputs, output, name=recipe.name.replace("/", "_")),
        backbone_output=network.model.output,
        blocks=_up_to(blocks, len(blocks) - 1),
        head_layers=tuple(names),
        class_names=tuple(class_names),
    )


def _with_branches(recipe: Recipe, class_names: Sequence[str], modality: Any, task: Task) -> Assembled:
    """The networks of several inputs, whose vectors the head joins."""
    inputs = {name: keras.Input(spec.shape, dtype=spec.dtype, name=name) for name, spec in modality.spec().items()}
    networks = networks_of(recipe.backbone)
    branches = {}
    for name in (name for name in modality.parts if name in networks):
        keras.utils.set_random_seed(recipe.seed)  # random weights are those of a run on the input alone
        branches[name] = build_branch(name, modality.parts[name], networks[name], inputs, pooling=recipe.head.pooling)
    vectors = {
        name: branches[name].joint[VECTOR] if name in branches else inputs[tensor_name(name, next(iter(part.spec())))]
        for name, part in modality.parts.items()
    }
    vector = join(recipe.head, vectors, inputs[PRESENT], seed=recipe.seed)
    if isinstance(task, Heads):
        vector = put_heads(recipe.head, task, vector, seed=recipe.seed)
    else:
        for layer in head_layers(recipe.head, len(class_names), seed=recipe.seed):
            vector = layer(vector)
    output = task.outputs_of(vector)
    model = keras.Model(inputs, output, name=recipe.name.replace("/", "_"))
    name_from_one(model)
    blocks = [block for branch in branches.values() for block in branch.blocks]
    below = {layer for block in blocks for layer in block.layers}
    operations = dict.fromkeys(node.operation.name for node in nodes_in_order(model))
    return Assembled(
        model=model,
        backbone_output={name: branch.joint[branch.blocks[-1].name] for name, branch in branches.items()},
        blocks=_up_to(blocks, len(blocks) - 1),
        head_layers=tuple(name for name in operations if name not in below),
        class_names=tuple(class_names),
        branches=tuple(branches.values()),
    )


def _layers_above(output: Any, below: Sequence[Any]) -> list[keras.layers.Layer]:
    """The layers between the operations `below` and a symbolic output, input side first; other operations are left out."""
    seen, found = {id(operation) for operation in below}, list[keras.layers.Layer]()

    def visit(tensor: Any) -> None:
        operation, node, _ = tensor._keras_history
        if id(operation) in seen:
            return
        seen.add(id(operation))
        for given in operation._inbound_nodes[node].input_tensors:
            visit(given)
        if isinstance(operation, keras.layers.Layer):
            found.append(operation)

    visit(output)
    return found


def _up_to(blocks: Sequence[Block], last: int) -> tuple[Block, ...]:
    """The blocks that are used, with their shares of what is computed then."""
    kept = blocks[: last + 1]
    total = sum(block.flops for block in kept) or 1
    return tuple(dataclasses.replace(block, flops_share=block.flops / total) for block in kept)
