"""Features that no earlier stage changes, computed for all stages in one pass before the first of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from tfl.data.bundle import Bundle
from tfl.features.joined import extractor_of
from tfl.progress import progress_shown
from tfl.recipe import Recipe
from tfl.runs import Run
from tfl.train.stage_plan import StagePlan, decide_storage, plan_stages
from tfl.train.state import StageState

if TYPE_CHECKING:
    from rich.console import Console

    from tfl.model.assemble import Assembled


def precompute(
    run: Run,
    assembled: Assembled,
    bundle: Bundle,
    *,
    recipe: Recipe,
    plans: Mapping[str, StagePlan] | None = None,
    console: Console | None = None,
) -> tuple[str, ...]:
    """Stores what the stages will read of the examples as they are; augmented copies are left to their stage.

    A stage takes part when it has frozen blocks that no stage before it trains, is not done, and storing pays.

    Args:
        run: Knows which stages are done, and keeps what is decided.
        assembled: The network before the first stage.
        bundle: The data.
        recipe: Its stages and `features`.
        plans: Of the stages, by name. Defaults to those of the recipe.
        console: Where to report what is stored, and to show how far the pass is; None shows nothing.

    Returns:
        The names of the stages that took part.
    """
    unchanged = list(_unchanged(run, plans or plan_stages(assembled, recipe)))
    known = next((state.engine for _, state in unchanged if state.engine), None)
    storing: dict[str, StagePlan] = {}
    for plan, state in unchanged:
        if decide_storage(plan, run, state, bundle, recipe=recipe, known=known, console=console) is not None:
            storing[plan.stage.name] = plan
    every = [plan.prefix for plan in storing.values()]
    plain = [plan.prefix for plan in storing.values() if plan.stage.augment is None]
    extractor = extractor_of(every, bundle, features=recipe.features, known=known, console=console)
    # an engine takes seconds to set up: the same one does both parts, where all stages read the examples as they are
    same = plain == every
    plain_extractor = extractor if same else extractor_of(plain, bundle, features=recipe.features, known=known, console=console)
    for part, models, chosen in (("train", plain, plain_extractor), ("val", every, extractor)):
        if models and len(bundle.indices(part)):
            words = f"frozen blocks, {part} {bundle.modality.nouns}"
            with progress_shown(console, words, len(bundle.indices(part)), nouns=bundle.modality.nouns) as progress:
                chosen.run(part, progress=progress)
    return tuple(storing)


def _unchanged(run: Run, plans: Mapping[str, StagePlan]) -> Iterator[tuple[StagePlan, StageState]]:
    """The stages whose frozen blocks are still as they are now when the stage begins, with their states."""
    lowest: dict[str, tuple[int, bool]] = {}
    for name, plan in plans.items():
        firsts = plan.begins
        state = StageState.load(run, name) or StageState.begin(run, name)
        unchanged = all(first <= lowest.get(network, first) for network, first in firsts.items())
        if plan.stage.on == "data" and plan.has_prefix and unchanged and not state.done and not state.unstored:
            yield plan, state
        lowest = {network: min(first, lowest.get(network, first)) for network, first in firsts.items()}
