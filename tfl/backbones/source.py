"""A source model: a network with the classifier that it was trained with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras

from tfl.backbones.flat import nodes_in_order
from tfl.errors import BackboneError

_PASSING = (keras.layers.Reshape, keras.layers.Flatten, keras.layers.Dropout, keras.layers.Identity, keras.layers.Activation)
"""Layers that hand on what they get, as far as the question is concerned whether it is probabilities."""


@dataclass(frozen=True, kw_only=True)
class SourceModel:
    """A network with its classifier.

    Args:
        title: What messages call it.
        model: From the tensors of the modality to the output of the classifier, as one flat graph.
        backbone_output: The tensor of that graph at which the backbone ends, as `Modality.build_backbone` cuts it.
        class_names: In the order of the outputs; None where nothing says them.

    Raises:
        BackboneError: The model does not end in a classifier for one of several classes, or has another number of names.
    """

    title: str
    model: keras.Model
    backbone_output: Any = field(repr=False)
    class_names: tuple[str, ...] | None

    def __post_init__(self) -> None:
        shape = self.model.output.shape
        if len(shape) != 2 or self.model.output is self.backbone_output:
            raise BackboneError(
                f"{self.title} has no classifier: its output is no vector of probabilities.",
                received=f"output {shape}",
                allowed="(batch, classes)",
                fix="Save the model with its classifier, or take another strategy.",
            )
        if shape[-1] < 2:
            raise BackboneError(
                f"The classifier of {self.title} gives one value, and not a probability for each class.",
                received=f"output {shape}",
            )
        if (found := self.activation) not in ("softmax", "linear"):
            raise BackboneError(
                f"The classifier of {self.title} is not for one of several classes.",
                received=f"it ends in {found}",
                allowed="softmax, or logits of a layer without an activation",
            )
        if self.class_names is not None and len(self.class_names) != shape[-1]:
            raise BackboneError(
                f"The names of the classes do not fit {self.title}.",
                received=f"{len(self.class_names)} names",
                allowed=f"{shape[-1]}, one for each output, in their order",
            )

    @property
    def activation(self) -> str:
        """What the classifier ends in: `softmax`, `linear` for logits, or the name of something else."""
        made_by = {id(tensor): node for node in nodes_in_order(self.model) for tensor in node.outputs}
        tensor = self.model.output
        while (node := made_by.get(id(tensor))) is not None:
            layer = node.operation
            name = getattr(getattr(layer, "activation", None), "__name__", None)
            if type(layer).__name__ == "Softmax" or name == "softmax":
                return "softmax"
            if not isinstance(layer, _PASSING) or name not in (None, "linear"):
                return name or f"the layer `{layer.name}` ({type(layer).__name__})"
            tensor = node.input_tensors[0]
        return "its input"

    def classifier_nodes(self) -> list[Any]:
        """The calls above the backbone, each after those that it needs."""
        nodes = nodes_in_order(self.model)
        wanted, below = {id(self.backbone_output)}, set()
        for node in reversed(nodes):
            if wanted & {id(tensor) for tensor in node.outputs}:
                below.add(id(node))
                wanted |= {id(tensor) for tensor in node.input_tensors}
        return [node for node in nodes if id(node) not in below]
