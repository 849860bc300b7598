"""What a stage trains and what it reads, decided once: freeze plan, prefix and suffix, and whether features are stored.

The decision is kept in the state of the run. The pass before the first stage, the stage itself, its resumption and the evaluation
after it all read it from there.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras

from tfl.data.bundle import Bundle
from tfl.features.cut import cut, cut_branches, inputs_next_to
from tfl.features.extract import Extractor
from tfl.features.joined import extractor_of
from tfl.model.assemble import Assembled
from tfl.model.freeze import Plan, make_plan
from tfl.recipe import Recipe, Stage
from tfl.runs import Run
from tfl.train.batches import storing
from tfl.train.state import StageState

if TYPE_CHECKING:
    from rich.console import Console


_SMALL = 2**11
"""Numbers of an example: a text of 512 tokens has 1,536."""
_OPEN = 512
"""Positions that stand for an open side."""


@dataclass(frozen=True)
class StagePlan:
    """One stage of one network.

    Args:
        stage: Of the recipe.
        assembled: The network.
        freeze: Which layers train, and how.
    """

    stage: Stage
    assembled: Assembled
    freeze: Plan

    @property
    def first_trainable_block(self) -> int:
        """Index of the first block that trains; the number of blocks where the head trains alone."""
        return self.freeze.first_trainable_block

    @functools.cached_property
    def firsts(self) -> dict[str, int]:
        """The index of the first block that trains in each network, by its input; empty is the name of the only one."""
        trains = {row.block for row in self.freeze.rows if row.trainable}
        return {
            name: next((at for at, block in enumerate(blocks) if block in trains), len(blocks))
            for name, blocks in self.assembled.groups().items()
        }

    @property
    def lowest(self) -> tuple[int, bool]:
        """Where training begins, the higher the greater: the first block that trains, and whether only its adapter does."""
        return self.first_trainable_block, self.freeze.under_adapter

    @property
    def begins(self) -> dict[str, tuple[int, bool]]:
        """`lowest` of each network, by its input."""
        return {name: (first, self.freeze.under_adapter) for name, first in self.firsts.items()}

    @property
    def has_prefix(self) -> bool:
        """Whether what lies below all that trains is computed once: frozen blocks, or the layers under the adapter of the first.

        A stage in which every block trains draws its augmentation anew in every epoch, also where these are adapters. Of several
        inputs a block has to be frozen in the network of one, if those of which everything trains have small inputs, such as
        tokens, which are held in memory next to the features of the others.
        """
        if self.stage.pseudo_labels is not None:  # strongly changed copies are drawn anew in every epoch
            return False
        if not self.assembled.branches:
            return self.first_trainable_block > 0 or (self.freeze.under_adapter and self.stage.augment is None)
        whole = [name for name, first in self.firsts.items() if not first]
        if len(whole) == len(self.firsts):
            return False
        own = (branch.model for branch in self.assembled.branches if branch.name in whole)
        return all(sum(math.prod(side or _OPEN for side in one.shape[1:]) for one in model.inputs) <= _SMALL for model in own)

    @functools.cached_property
    def _parts(self) -> tuple[Any, keras.Model]:
        if self.assembled.branches:
            return cut_branches(self.assembled, self.firsts)
        return cut(self.assembled, self.first_trainable_block, under_adapter=self.freeze.under_adapter)

    @property
    def prefix(self) -> Any:
        """The frozen network below the cut; of several inputs a `JoinedPrefix`. Only where `has_prefix`."""
        return self._parts[0]

    @property
    def suffix(self) -> keras.Model:
        """What is above the cut; the whole network where nothing is frozen."""
        return self._parts[1] if self.has_prefix else self.assembled.model

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the network's inputs that the suffix takes next to the features."""
        return inputs_next_to(self.prefix, self.suffix) if self.has_prefix else ()

    def extractor(self, bundle: Bundle, *, recipe: Recipe, known: str | None = None, console: Console | None = None) -> Extractor:
        """The prefix over the examples of a bundle."""
        return extractor_of([self.prefix], bundle, features=recipe.features, known=known, console=console)

    def stores(self, state: StageState | None) -> bool:
        """Whether the stage was decided to train on stored features."""
        return self.has_prefix and state is not None and state.unstored is False


def plan_stages(assembled: Assembled, recipe: Recipe) -> dict[str, StagePlan]:
    """The plan of each stage by its name, in order.

    Raises:
        RecipeError: A stage does not fit the network.
    """
    return {stage.name: plan_stage(assembled, stage) for stage in recipe.fixed_stages}


def plan_stage(assembled: Assembled, stage: Stage) -> StagePlan:
    """The plan of one stage.

    Raises:
        RecipeError: It does not fit the network.
    """
    return StagePlan(stage, assembled, make_plan(assembled, stage))


def decide_storage(
    plan: StagePlan,
    run: Run,
    state: StageState,
    bundle: Bundle,
    *,
    recipe: Recipe,
    known: str | None = None,
    console: Console | None = None,
) -> Extractor | None:
    """The extractor of the stage's features; None where the frozen blocks run in every epoch.

    Decides where nothing was decided before, and keeps the decision in the run; a stage that is resumed keeps it.

    Args:
        plan: Of the stage.
        run: Keeps the decision.
        state: Of the stage; gets the decision.
        bundle: The data.
        recipe: Its `features`.
        known: The engine that other features of the same run were made with, where the state names none.
        console: Where to report the decision.
    """
    if not plan.has_prefix or state.unstored or not plan.stage.epochs:
        return None
    extractor = plan.extractor(bundle, recipe=recipe, known=state.engine or known, console=console)
    if state.unstored is None:
        decision = storing(extractor, plan.stage)
        state.unstored = not decision.stored
        if not decision.stored:
            state.notices.append(decision.said)
        elif console is not None:
            console.print(f"stage {plan.stage.name}: {decision.said}", highlight=False, markup=False)
        state.save(run, plan.stage.name)
    return None if state.unstored else extractor
