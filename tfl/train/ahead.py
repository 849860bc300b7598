"""Features that no earlier stage changes, computed for all stages in one pass before the first of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tfl.data.bundle import Bundle
from tfl.features.cut import cut
from tfl.features.extract import Extractor
from tfl.model.freeze import make_plan
from tfl.progress import progress_shown
from tfl.recipe import Recipe, Stage
from tfl.runs import Run
from tfl.train.batches import storing
from tfl.train.state import StageState

if TYPE_CHECKING:
    import keras
    from rich.console import Console

    from tfl.model.assemble import Assembled


def extract_ahead(
    run: Run, assembled: Assembled, bundle: Bundle, *, recipe: Recipe, console: Console | None = None
) -> tuple[str, ...]:
    """Stores what the stages will read of the images as they are; augmented copies are left to their stage.

    A stage takes part when it has frozen blocks that no stage before it trains, is not done, and storing pays.

    Args:
        run: Knows which stages are done.
        assembled: The network before the first stage.
        bundle: The data.
        recipe: Its stages and `features`.
        console: Where to say what is stored, and show how far the pass is; None shows nothing.

    Returns:
        The names of the stages that took part.
    """
    prefixes: dict[str, keras.Model] = {}
    known = next((state.engine for _, _, state in _unchanged(run, assembled, recipe) if state.engine), None)
    for stage, prefix, state in _unchanged(run, assembled, recipe):
        if state.unstored is False:
            prefixes[stage.name] = prefix
            continue
        decision = storing(Extractor([prefix], bundle, features=recipe.features, known=known, console=console), stage)
        if decision.stored:
            prefixes[stage.name] = prefix
            if console is not None:
                console.print(f"stage {stage.name}: {decision.said}", highlight=False, markup=False)
    every = list(prefixes.values())
    plain = [prefixes[stage.name] for stage in recipe.stages if stage.name in prefixes and stage.augment is None]
    extractor = Extractor(every, bundle, features=recipe.features, known=known, console=console)
    # an engine takes seconds to set up: the same one does both parts, where all stages read the images as they are
    same = plain == every
    plain_extractor = extractor if same else Extractor(plain, bundle, features=recipe.features, known=known, console=console)
    for part, models, chosen in (("train", plain, plain_extractor), ("val", every, extractor)):
        if models:
            with progress_shown(console, f"frozen blocks, {part} images", len(bundle.indices(part))) as progress:
                chosen.run(part, progress=progress)
    return tuple(prefixes)


def _unchanged(run: Run, assembled: Assembled, recipe: Recipe) -> Iterator[tuple[Stage, keras.Model, StageState]]:
    """The stages whose frozen blocks are still as they are now when the stage begins, with their prefixes and states."""
    lowest = len(assembled.blocks)
    for stage in recipe.stages:
        first_live = make_plan(assembled, stage).first_live_block
        state = StageState.load(run, stage.name) or StageState.begin(run, stage.name)
        if 0 < first_live <= lowest and not state.done and not state.unstored:
            yield stage, cut(assembled, first_live)[0], state
        lowest = min(lowest, first_live)
