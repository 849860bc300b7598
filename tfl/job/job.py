"""A run while it is made: what its steps share, and what they change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tfl.clock import Clock
from tfl.data.bundle import Bundle
from tfl.job.further import Further
from tfl.job.told import tell
from tfl.model.assemble import Assembled, assemble_for
from tfl.recipe import Recipe
from tfl.runs import Run
from tfl.train.precision import choose_precision
from tfl.train.stage_plan import StagePlan, plan_stages

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console


@dataclass(kw_only=True, eq=False)
class Job:
    """A run while it is made.

    Args:
        run: The run folder.
        recipe: What to do. Pretraining replaces its backbone, and `Auto` its head and its stages.
        bundle: The recipe's examples, split.
        precision: Name of the dtype policy.
        assembled: The network.
        plans: What each stage trains, by its name.
        further: Examples besides the recipe's own.
        clock: Adds up the seconds of the steps.
        console: Where to say what is found.
        repeats: The run that this one repeats, if it does.
        training: The examples that the stages train on: those of `bundle`, extra ones, and validation ones that need not be held
            out. Defaults to `bundle`.
    """

    run: Run
    recipe: Recipe
    bundle: Bundle
    precision: str
    assembled: Assembled
    plans: dict[str, StagePlan]
    further: Further
    clock: Clock
    console: Console
    repeats: Run | None = None
    training: Bundle = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.training is None:
            self.training = self.bundle

    def build_again(self, recipe: Recipe, bundle: Bundle | None = None) -> None:
        """Goes on with another recipe: its network, and what its stages train.

        Args:
            recipe: The recipe.
            bundle: The examples that a head of neighbours holds. Defaults to the recipe's own.
        """
        self.recipe = recipe
        self.assembled = assemble_for(recipe, bundle or self.bundle, precision=self.precision)
        self.plans = plan_stages(self.assembled, recipe)

    @property
    def nouns(self) -> str:
        """What several examples are called."""
        return self.bundle.modality.nouns

    def class_weights(self, bundle: Bundle) -> NDArray[Any] | None:
        """The weight of each output for training on a bundle, where the recipe balances classes."""
        return None if self.recipe.class_weight is None else bundle.task.balanced_weights(bundle.targets_of("train"))

    def tell(self, title: str, lead: str = "", lines: Any = ()) -> None:
        """Says something apart from what stands above; see `tfl.job.told.tell`."""
        tell(self.console, title, lead, lines, apart=True)


def prepare_network(recipe: Recipe, bundle: Bundle, console: Console, *, chosen: str | None) -> tuple[str, Assembled]:
    """The name of the dtype policy, and the whole network under it.

    Args:
        recipe, bundle: What it is made for.
        console: Where to say what it is.
        chosen: The policy of the run that is resumed or repeated: measured again, `auto` could come out otherwise.
    """
    modality = bundle.modality
    precision = chosen or choose_precision(recipe, lambda: assemble_for(recipe, bundle), modality=modality, console=console)
    assembled = assemble_for(recipe, bundle, precision=precision)
    size = f"{assembled.model.count_params():,} parameters in {len(assembled.blocks)} blocks"
    note = modality.network_note(recipe.backbone)
    words = f"{recipe.backbone.name} {modality.size_text()}, {size}, {precision}"
    tell(console, "network", words, [] if note is None else [note])
    if assembled.matching is not None:
        tell(console, "weights", assembled.matching.sentence(), apart=True)
        console.print(assembled.matching.table())
    return precision, assembled
