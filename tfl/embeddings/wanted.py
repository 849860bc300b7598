"""Which vectors are wanted: of a run or a backbone, of which block, pooled how. No TensorFlow is imported."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tfl.embeddings.options import POOLINGS
from tfl.embeddings.sources import data_of_kind
from tfl.errors import RecipeError
from tfl.modalities import hub
from tfl.modalities.base import check_available, settled
from tfl.modalities.image.pair import ENCODED, PAIRS, is_pair
from tfl.modalities.seen_by import kinds_of_network
from tfl.modalities.several.modality import refuse_several
from tfl.recipe import Backbone, Data, Head, Recipe
from tfl.runs import Run


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which vectors are wanted, before anything is built. Make one with `wanted_vectors`.

    Attributes:
        named: What was named: a run folder, or a backbone.
        run: The run; None for a backbone.
        recipe: Of the run; or one with the backbone, whose data are still open.
        kinds: The kinds of examples that the network can see.
        block: Whose output; None for what the head of a run reads, or for the last block.
        pooling: How a feature map or a sequence becomes one vector; None for the recipe's.
        normalized: Whether each vector is brought to length one.
    """

    named: str
    run: Run | None
    recipe: Recipe
    kinds: tuple[str, ...]
    block: str | None = None
    pooling: str | None = None
    normalized: bool = False


def wanted_vectors(
    network: Path | str,
    *,
    block: str | None = None,
    pooling: str | None = None,
    normalized: bool = False,
    kind: str | None = None,
    settings: Sequence[tuple[str, Any]] = (),
) -> Wanted:
    """What a RUN or a BACKBONE stands for; no TensorFlow is imported.

    Args:
        network: A run folder, or the name of a backbone as a recipe writes it.
        block: A block by name.
        pooling: One of `tfl.embeddings.options.POOLINGS`.
        normalized: Whether vectors are brought to length one.
        kind: What the network will see, where it could see several kinds. By default that is found in the source.
        settings: Fields of the recipe with their values. Of a run, only those of `features`.

    Raises:
        RunError: The run has no model yet.
        BackboneError: There is no such network.
        RecipeError: A setting names no field, or does not fit.

    Example:

    >>> wanted_vectors("mini", settings=[("data.image_size", "64,64")]).recipe.data.image_size
    (64, 64)
    """
    if pooling is not None and pooling not in POOLINGS:
        raise RecipeError("There is no such pooling.", received=pooling, allowed=POOLINGS)
    run = run_at(network)
    if run is not None:
        run.model_file  # noqa: B018  (raises where the run has none)
        recipe = run.recipe
        refuse_several(recipe, "A network that makes vectors")
        if recipe.data.targets:  # vectors are of the one network that they share; labels are those of a class, where there is one
            recipe = _of_one_target(recipe)
        kinds: tuple[str, ...] = (recipe.data.kind,)
    else:
        named = absolute_name(str(network))
        kinds = kinds_of_network(named)
        if kind is not None and kind not in kinds:
            raise RecipeError(f"The network {network} cannot see this kind of example.", received=kind, allowed=kinds)
        kinds = kinds if kind is None else (kind,)
        data = data_of_kind("unknown", kinds[0]) if len(kinds) == 1 else Data("unknown")
        head = Head(pooling=cast(Any, pooling or "avg"))
        recipe = Recipe(name="vectors", data=data, backbone=Backbone(named), head=head)
    for key, value in settings:
        if run is not None and not key.startswith("features"):
            raise RecipeError(
                f"A run decides its network and how examples are read, so {key} cannot be set.", allowed="features.*"
            )
        recipe = recipe.override(key, value)
        if key.startswith("data.input"):
            kinds = (recipe.data.kind,)
    return Wanted(named=str(network), run=run, recipe=recipe, kinds=kinds, block=block, pooling=pooling, normalized=normalized)


def _of_one_target(recipe: Recipe) -> Recipe:
    """The recipe of the first of several targets that is a class, or of the first one."""
    targets = recipe.data.targets
    return recipe.alone(next((name for name, one in targets.items() if one.kind == "class"), next(iter(targets))))


def run_at(network: Path | str) -> Run | None:
    """The run in that folder, None where none is there."""
    folder = Path(os.path.expanduser(network))
    if folder.name == "model.keras":
        folder = folder.parent
    if not (folder / "manifest.json").is_file():
        return None
    run = Run.open(folder)
    run.refuse_language_model("A vector for each example")
    return run


def absolute_name(name: str) -> str:
    """The absolute path of what lies there; a name of a network as it is."""
    path = os.path.expanduser(name)
    is_path = os.path.exists(path) and ("/" in name or os.path.splitext(name)[1] or os.path.isdir(path))
    return os.path.abspath(path) if is_path else name


def data_to_read(recipe: Recipe, place: Path | str) -> Data:
    """How a recipe reads examples, for those at another place: all of them, whatever part of its own source it took.

    Columns of a table keep their names at the recipe's own source, and are found elsewhere.
    """
    own = str(place) == recipe.data.source or recipe.data.source == "unknown"
    columns: dict[str, Any] = {} if own else {"path_column": None, "label_column": None}
    if recipe.data.source == "unknown":
        return recipe.data
    return dataclasses.replace(recipe.data, per_class=None, labels=None, exclude=None, test_fold=None, **columns)


def check_network(wanted: Wanted, data: Data) -> Wanted:
    """The same with the data that it will see, after making sure that the network is there. No TensorFlow is imported.

    Raises:
        BackboneError: There is no such network, or (`WeightsNotFoundError`) no such weights.
        MissingExtraError: It needs a package that is not installed.
    """
    if wanted.run is not None:
        return wanted
    if is_shared(wanted, data.kind):
        hub.require_extra(needed_for=f"The network `{wanted.named}`")
        return dataclasses.replace(wanted, recipe=dataclasses.replace(wanted.recipe, data=data))
    recipe = settled(dataclasses.replace(wanted.recipe, data=data))
    check_available(recipe)
    return dataclasses.replace(wanted, recipe=recipe)


def is_shared(wanted: Wanted, kind: str) -> bool:
    """Whether vectors are those of a pair of encoders in the space that both share: where no block and no pooling is named."""
    name = wanted.recipe.backbone.name
    named = wanted.block is not None or wanted.pooling is not None or wanted.run is not None
    return not named and kind in ENCODED and _is_pair(name)


def _is_pair(name: str) -> bool:
    from tfl.modalities.image.backbones.presets import is_preset

    if not is_preset(name) or not is_pair(name):
        return False
    if not name.startswith(hub.ADDRESSES):
        return True
    from tfl.modalities.image.encoders import class_of

    return class_of(name) in PAIRS
