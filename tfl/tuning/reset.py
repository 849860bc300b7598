"""A network that trials share: built once, and reset before each of them."""

from __future__ import annotations

import keras

from tfl.data.bundle import Bundle
from tfl.model.assemble import Assembled, assemble_for
from tfl.recipe import Recipe


class ResettableNetwork:
    """A recipe's network that can be reset to the state in which it was built.

    Building takes a second or more, resetting some hundredths of one. Besides the variables, a stage changes which layers
    train, which every stage sets anew for all of them, and BatchNorm's momentum.

    Args:
        recipe: `Recipe` of the first trial.
        bundle: `Bundle`, the data of the recipe.
        precision: String, the Keras dtype policy.
    """

    def __init__(self, recipe: Recipe, bundle: Bundle, *, precision: str) -> None:
        keras.backend.clear_session()  # frees what an earlier network left in Keras
        self._assembled = assemble_for(recipe, bundle, precision=precision)
        self._key = _key(recipe, bundle)
        self._values = [keras.ops.convert_to_numpy(variable).copy() for variable in self._assembled.model.variables]
        self._momenta = [layer.momentum for layer in self._normalising]

    def fits(self, recipe: Recipe, bundle: Bundle) -> bool:
        """Whether building the recipe's network would make this one."""
        return self._key == _key(recipe, bundle)

    def reset(self, recipe: Recipe) -> Assembled:
        """The network as if it had been built for `recipe` just now."""
        keras.utils.set_random_seed(recipe.seed)
        for variable, value in zip(self._assembled.model.variables, self._values, strict=True):
            variable.assign(value)
        for layer, momentum in zip(self._normalising, self._momenta, strict=True):
            layer.momentum = momentum
        return self._assembled

    @property
    def _normalising(self) -> list[keras.layers.BatchNormalization]:
        return [layer for layer in self._assembled.model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def _key(recipe: Recipe, bundle: Bundle) -> str:
    """Everything of a recipe and its data that `assemble` reads."""
    names, identity = bundle.examples.class_names, bundle.modality.identity()
    held = len(bundle.indices("train")) if recipe.head.probe == "knn" else None
    return repr((recipe.name, recipe.backbone, recipe.head, identity, recipe.task, recipe.seed, names, held))
