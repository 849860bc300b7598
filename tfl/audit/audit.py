"""The audit of a source, composed: the quick checks, and the deep ones where they are asked for.

    files ─▶ classes · contents · copies · groups ─▶ (deep) features ─▶ copies · labels · drift · costs · quality

`tfl audit` runs it on a source as it is; a run, on the examples and the split that it is about to use. What only one kind of
example can have is found by its modality (`tfl.modalities.base.AuditChecks`); `tfl.data.audit` says which files can be used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.audit.batches import batches
from tfl.audit.checks.classes import class_findings, merge_variants
from tfl.audit.checks.duplicates import Sets, copy_findings
from tfl.audit.checks.groups import group_findings
from tfl.audit.extra import check_extra
from tfl.audit.proposal import Proposed, propose
from tfl.audit.targets import target_words
from tfl.clock import Clock
from tfl.copy_sets import exact_sets, joined
from tfl.data.audit import audit as check_files
from tfl.data.bundle import Bundle
from tfl.data.cached import Cached
from tfl.data.examples import SPLITS, Examples
from tfl.data.exclude import names_in_source
from tfl.data.source import load_source
from tfl.data.split import Split, tied_together
from tfl.features.budget import check_store
from tfl.finding import Finding, plural, worst_first
from tfl.modalities.base import Audited, Modality, chosen, modality_of, settled
from tfl.modalities.several.modality import refuse_several
from tfl.quiet import load_tensorflow
from tfl.recipe import Recipe
from tfl.tasks.base import task_for

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console


@dataclass(frozen=True, kw_only=True, eq=False)
class Audit:
    """What was found in a source.

    Args:
        examples: The usable ones, spellings of one class merged.
        modality: What kind of example they are.
        count: Files in all.
        names: What each file, usable or not, is called in an `exclude.txt`.
        splits: `(n,)` the source's own split of each usable example; None where it has none.
        task: Of the recipe.
        findings: The worst first.
        doubtful: Every file that was asked about its label, the most doubtful first; empty after a quick audit.
        deep: Whether the deep checks ran.
        seconds: By step.
    """

    examples: Examples
    modality: Modality
    count: int
    names: dict[str, str]
    splits: NDArray[Any] | None
    task: str
    findings: tuple[Finding, ...]
    doubtful: tuple[str, ...]
    deep: bool
    seconds: dict[str, float]

    def proposed(self) -> list[Proposed]:
        """What to leave out."""
        names = [self.examples.name_of(index) for index in range(len(self.examples))]
        targets = [target_words(self.examples, index) for index in range(len(names))]
        splits = [""] * len(names) if self.splits is None else self.splits.tolist()
        return propose(
            self.findings,
            labels=dict(zip(names, targets, strict=True)),
            splits=dict(zip(names, splits, strict=True)),
            unusable=self.modality.troubles,
        )


def audit_source(
    recipe: Recipe,
    *,
    deep: bool,
    console: Console | None = None,
    progress: Callable[[int], None] | None = None,
) -> Audit:
    """Audits `recipe.data` as it is, also where a run would refuse it.

    Args:
        recipe: `data` says what, and as which kind of example; `backbone`, whose features the deep checks use; `task` and `seed`.
        deep: Whether features, labels, drift and the quality of the examples are looked at.
        console: Where to say what is going on; None says nothing.
        progress: Called with how many examples the pass for features has done.

    Raises:
        DataError: There is no source, or it holds no examples at all.
        MissingExtraError: `deep`, and the extra `audit` is not installed.
        StorageError: `deep`, and the cache, where features are stored, cannot be written.

    Example:

    >>> import tfl
    >>> from tfl.audit.audit import audit_source
    >>> digits = tfl.Sample("digits", image_size=(32, 32), per_class=5, labels=("3", "8"))
    >>> found = audit_source(tfl.Recipe(name="x", data=digits, backbone=tfl.Backbone("mini")), deep=False)
    >>> found.count, [finding.kind for finding in found.findings]
    (10, ['classes_small'])
    """
    if deep:
        refuse_several(recipe, "A deep audit")
        check_extra(imported=False)
        check_store()
    recipe = settled(recipe)
    clock = Clock()
    with clock.step("files"):
        loaded = load_source(recipe.data, seed=recipe.split_seed, check_classes=False, task=recipe.task)
    load_tensorflow()
    with clock.step("files"):
        recipe, _ = chosen(recipe, loaded)
        modality = modality_of(recipe)
        if deep:
            check_extra(modality.audit_libraries)
        merged, named = merge_variants(dataclasses.replace(loaded, noun=modality.noun, nouns=modality.nouns))
        keep = deep or modality.audit_reads_tensors
        checked = check_files(merged, modality=modality, on_bad="report", keep=keep)
    found = [*named, *(Finding.from_dict(one) for one in checked.findings)]
    examples, doubtful = checked.examples, tuple[str, ...]()
    if len(examples):
        bundle = Bundle.of(
            checked,
            split=Split.only("train", len(examples)),
            data=recipe.data,
            seed=recipe.seed,
            modality=modality,
            task=task_for(recipe, examples.class_names),
        )
        more, doubtful = examine(
            recipe, bundle, splits=examples.splits, deep=deep, console=console, progress=progress, clock=clock
        )
        found += more
    return Audit(
        examples=examples,
        modality=modality,
        count=len(merged),
        names={merged.name_of(index): name for index, name in enumerate(names_in_source(merged))},
        splits=examples.splits,
        task=recipe.task,
        findings=tuple(worst_first(found)),
        doubtful=doubtful,
        deep=deep,
        seconds={name: round(value, 2) for name, value in clock.seconds.items()},
    )


def findings_before_run(recipe: Recipe, bundle: Bundle, *, console: Console) -> list[Finding]:
    """What the audit says of the examples and the split that a run is about to use, beyond what `tfl.data.audit` did."""
    drawn = bundle.examples.splits is None
    deep = recipe.data.audit == "deep"
    splits = bundle.split.names(len(bundle.examples))
    found, _ = examine(recipe, bundle, splits=splits, drawn=drawn, deep=deep, console=console)
    return worst_first(found)


def examine(
    recipe: Recipe,
    bundle: Bundle,
    *,
    splits: NDArray[Any] | None,
    deep: bool,
    drawn: bool = False,
    console: Console | None = None,
    progress: Callable[[int], None] | None = None,
    clock: Clock | None = None,
) -> tuple[list[Finding], tuple[str, ...]]:
    """All checks of usable examples but those of single files; and the files by how doubtful their label is, where `deep`.

    Args:
        recipe: `backbone` and `seed` are used, by the deep checks.
        bundle: The examples; their split is not asked.
        splits: `(n,)` the split of each, empty where it is in none; None where nothing is split yet.
        deep: Whether the deep checks run.
        drawn: Whether tfl drew `splits`: it did so at random, so they are not tested for drift.
        console, progress: As of `audit_source`.
        clock: Takes the time of each step.

    Raises:
        MissingExtraError: `deep`, and the extra `audit` is not installed.
    """
    modality = bundle.modality
    if deep:
        check_extra(modality.audit_libraries)
    clock = clock or Clock()
    examples = dataclasses.replace(bundle.examples, noun=modality.noun, nouns=modality.nouns)
    bundle = dataclasses.replace(bundle, examples=examples)
    tied = tied_together(examples, bundle.fingerprints)
    checks = modality.audit_checks(Audited(examples=examples, batches=lambda: batches(bundle), room=Cached.of))
    with clock.step("headers"):
        findings = [*class_findings(examples, tied), *checks.findings(), *group_findings(examples, splits)]
    with clock.step("copies"):
        prints = checks.prints
    features = None
    if deep:
        with clock.step("features"):
            features = _features(recipe, bundle, console, progress)
    with clock.step("copies"):
        exact = exact_sets(bundle.fingerprints)
        near = prints.near_sets(bundle.fingerprints, features=features)
        findings += copy_findings(examples, exact, how="exact", splits=splits, drawn=drawn)
        findings += copy_findings(examples, near, how="near", splits=splits, drawn=drawn, same=modality.near_copies)
    if features is None:
        return findings, ()
    from tfl.audit.deep import look_deep

    units = _tied_with(tied, near)
    return look_deep(bundle, features, units, findings, splits=splits, drawn=drawn, checks=checks, clock=clock)


def _features(
    recipe: Recipe, bundle: Bundle, console: Console | None, progress: Callable[[int], None] | None
) -> NDArray[np.float32]:
    from tfl.audit.vectors import vectors_of

    everything = dataclasses.replace(bundle, split=Split.only("train", len(bundle.examples)))
    return vectors_of(recipe, everything, console=console, progress=progress)


def _tied_with(tied: NDArray[np.int64], sets: Sets) -> NDArray[np.int64]:
    """`(n,)` what belongs together, once the members of each set do."""
    pairs = [np.stack([members, np.full(len(members), members[0])], axis=1) for members in sets]
    return joined(tied, np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64))


def summary(audit: Audit) -> str:
    """One line: what was looked at."""
    examples = audit.examples
    parts = [plural(audit.count, "file") if examples.contents is None else plural(audit.count, examples.noun, examples.nouns)]
    named = {"classify": ("class", "classes"), "multilabel": ("label", "labels")}
    parts.append(plural(len(examples.class_names), *named.get(audit.task, ("number", "numbers"))))
    if audit.splits is not None:
        counts = [f"{int((audit.splits == name).sum()):,} {name}" for name in SPLITS if (audit.splits == name).any()]
        parts.append(" · ".join(counts))
    return ", ".join(parts)
