"""Examples besides the recipe's own: what else a recipe names to learn from, to adapt to and to measure on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfl.adapt.adapt import check_adapts
from tfl.adapt.target import TargetData, load_target_data
from tfl.clock import Clock
from tfl.data.bundle import Bundle
from tfl.data.extra_data import ExtraData, load_extra_data
from tfl.data.unlabelled import UnlabelledData, load_unlabelled
from tfl.evaluate.forgetting import SourceTask, prepare_source_task
from tfl.job.told import tell, tell_lines
from tfl.model.assemble import Assembled
from tfl.prepare import data_fingerprint, prepare
from tfl.recipe import Data, Recipe, Unlabelled
from tfl.train.pretrain.pretrain import refuse_without_map
from tfl.zero_shot.run import check_described
from tfl.zero_shot.unseen import load_unseen

if TYPE_CHECKING:
    from rich.console import Console

    from tfl.zero_shot.classes import Attributes


@dataclass(frozen=True, kw_only=True, eq=False)
class Further:
    """What a recipe names besides its data; each is None where it names none.

    Args:
        extra: Labelled examples of `extra_data`, which may train next to the recipe's own.
        unlabelled: Examples of `unlabelled`, which train without labels.
        others: Examples that a stage with `on="others"` learns from.
        target: Unlabelled examples of `target_data`, which the network is adapted to.
        unseen: Labelled examples of `unseen_data`, of classes that training does not see.
        attributes: What describes the classes, of `zero_shot`.
        source: The task that the network was trained on before, with examples of `source_data`.
    """

    extra: ExtraData | None = None
    unlabelled: UnlabelledData | None = None
    others: Bundle | None = None
    target: TargetData | None = None
    unseen: Bundle | None = None
    attributes: Attributes | None = None
    source: SourceTask | None = None

    def fingerprints(self) -> dict[str, str]:
        """What decides the examples of each, by the field of the recipe; a resumed run must find the same."""
        loaded = {"extra_data": self.extra, "unlabelled": self.unlabelled, "target_data": self.target}
        bundles = {field: found.bundle for field, found in loaded.items() if found is not None}
        bundles |= {
            field: found for field, found in {"others": self.others, "unseen_data": self.unseen}.items() if found is not None
        }
        found = {field: data_fingerprint(bundle) for field, bundle in bundles.items()}
        return found if self.source is None else {"source_data": self.source.fingerprint, **found}

    @property
    def need_held_out(self) -> bool:
        """Whether what follows training needs validation examples that did not train."""
        return self.target is not None or self.attributes is not None


def load_further(
    recipe: Recipe, bundle: Bundle, assembled: Assembled, *, precision: str, clock: Clock, console: Console
) -> Further:
    """Reads what a recipe names besides its data, and says what was found.

    Args:
        recipe: With everything stated that its network and its examples decide.
        bundle: Its own examples.
        assembled: The network before training.
        precision: Name of the dtype policy.
        clock: Has a step for each.
        console: Where to say what was found.

    Raises:
        TflError: Something of it cannot be used.
    """
    extra = unlabelled = others = target = unseen = source = None
    if recipe.pretrain is not None:
        refuse_without_map(assembled, recipe)
    if recipe.extra_data is not None:
        with clock.step("extra"):
            extra = _load_extra(recipe.extra_data, recipe, bundle, console)
    if recipe.unlabelled is not None:
        with clock.step("unlabelled"):
            unlabelled = _load_unlabelled(recipe.unlabelled, recipe, bundle, console)
    if any(stage.on == "others" for stage in recipe.fixed_stages):
        with clock.step("data"):
            others = _load_others(recipe, console)
    if recipe.target_data is not None:
        check_adapts(recipe.adapt, assembled)
        with clock.step("target"):
            target = _load_target(recipe.target_data, recipe, bundle, console)
    if recipe.unseen_data is not None:
        with clock.step("unseen"):
            unseen = _load_unseen(recipe.unseen_data, recipe, bundle, console)
    attributes = check_described(recipe, bundle, unseen)
    if recipe.source_data is not None:
        with clock.step("source"):
            source = prepare_source_task(recipe, assembled, precision=precision, console=console)
    return Further(
        extra=extra, unlabelled=unlabelled, others=others, target=target, unseen=unseen, attributes=attributes, source=source
    )


def _load_extra(data: Data, recipe: Recipe, bundle: Bundle, console: Console) -> ExtraData:
    """The usable examples of `extra_data`, with what was left out told."""
    extra = load_extra_data(data, bundle, seed=recipe.split_seed)
    lines = [*(f"{one['severity']}: {one['note']}" for one in extra.findings), *extra.notes()]
    tell(console, "extra", f"{len(extra)} of {extra.found} {bundle.modality.nouns} from {data.source}", lines)
    return extra


def _load_unlabelled(unlabelled: Unlabelled, recipe: Recipe, bundle: Bundle, console: Console) -> UnlabelledData | None:
    """The usable examples without labels, with what was left out told; None where nothing learns from them."""
    if not recipe.learns_without_labels:
        tell_lines(console, ["note: `unlabelled` is not used: neither `pretrain` nor a stage with `pseudo_labels` asks for it."])
        return None
    found = load_unlabelled(unlabelled, bundle, seed=recipe.seed)
    words = f"{len(found)} of {found.found} {bundle.modality.nouns} without labels from {unlabelled.source}"
    tell(console, "without", words, [*(f"{one['severity']}: {one['note']}" for one in found.findings), *found.notes()])
    return found


def _load_others(recipe: Recipe, console: Console) -> Bundle:
    """The passages of the authors that `data.labels` leaves out, split by work."""
    from tfl.data.books import read_books

    examples = read_books(recipe.data, seed=recipe.split_seed, others=True)
    tell(console, "others", "the books that a stage learns from first")
    return prepare(recipe, console, examples=examples).bundle


def _load_target(data: Data, recipe: Recipe, bundle: Bundle, console: Console) -> TargetData:
    """The unlabelled examples of `target_data`, with what was found told."""
    target = load_target_data(data, bundle, seed=recipe.split_seed)
    held = len(target.bundle.indices("test"))
    words = f"{len(target) - held} {bundle.modality.nouns} to adapt to"
    words += f", {held} of its test split to measure on" if held else ""
    tell(console, "target", f"{words}, from {data.source}", target.notes)
    return target


def _load_unseen(data: Data, recipe: Recipe, bundle: Bundle, console: Console) -> Bundle:
    """The usable examples of `unseen_data`, with what was found told."""
    unseen = load_unseen(data, bundle, seed=recipe.split_seed)
    count = len(unseen.examples.class_names)
    words = f"{len(unseen.examples)} {bundle.modality.nouns} of {count} classes that training does not see"
    tell(console, "unseen", words)
    return unseen
