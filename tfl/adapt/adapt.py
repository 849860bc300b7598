"""Adapts a trained network to unlabelled examples: every method is tried, and one is chosen without target labels.

candidates (tfl.adapt.candidates) ─▶ a criterion on their answers, a guard on the source's validation examples ─▶ the best
labels of the target, where there are any ─▶ what each candidate would have scored, and the regret of the choice: a report alone
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.adapt.candidates import Candidate, Candidates, Skipped, impossible
from tfl.adapt.criteria import information, neighbourhood_density
from tfl.adapt.network import TwoDomains
from tfl.adapt.target import TargetData
from tfl.data.bundle import Bundle
from tfl.errors import BackboneError, FrozenMovedError, listed
from tfl.evaluate.compare.paired import mcnemar, paired_difference
from tfl.model.assemble import HEAD, Assembled
from tfl.model.freeze import GROUPS, Ledger
from tfl.recipe import Adapt, AdaptMethod, Recipe
from tfl.runs import ADAPT, ADAPT_ARRAYS, VALIDATION, Run
from tfl.storage import finite, write_atomically
from tfl.tasks.intervals import wilson_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

_LEAST = 1e-7
"""What a probability counts as, at least, before its logarithm is taken."""


def check_adapts(adapt: Adapt, assembled: Assembled) -> None:
    """Makes sure that a network can be adapted as a recipe asks for.

    Raises:
        BackboneError: The recipe names methods of which none can be used.
    """
    why = {method: impossible(method, assembled) for method in adapt.methods}
    if None not in why.values():
        raise BackboneError(
            f"This network cannot be adapted by {listed(adapt.methods)}: {'; '.join(dict.fromkeys(map(str, why.values())))}.",
            received=f"adapt.methods={list(adapt.methods)}",
            fix="Take another method, or leave `methods` out to try all that apply.",
        )


def adapt_network(
    run: Run,
    assembled: Assembled,
    source: Bundle,
    target: TargetData,
    *,
    recipe: Recipe,
    class_weights: NDArray[Any] | None = None,
    repeats: Run | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Adapts the network in place, and writes what was tried into the run; what a run did before is done again without trying.

    Args:
        run: Gets `adapt.json`, `adapt.npz` and an entry of `ledger.json`.
        assembled: The network, trained on the source.
        source: The labelled examples.
        target: The unlabelled ones.
        recipe: Its `adapt`, head, features and seed.
        class_weights: `(classes,)` weights of the training loss, or None.
        repeats: A run of the same recipe: what it had time for is tried, whatever time it takes.
        console: Where progress is shown; None shows nothing.

    Returns:
        What `adapt.json` holds: `chosen`, `tried`, `skipped`, `criterion` and so on; see `docs/adapt.md`.

    """
    domains = TwoDomains(assembled, source, target.bundle, recipe=recipe, console=console)
    if run.path(ADAPT).is_file():
        with np.load(run.path(ADAPT_ARRAYS), allow_pickle=False) as arrays:
            domains.restore({name: arrays[name] for name in arrays.files if name != VALIDATION})
        return run.read_json(ADAPT)
    before = Ledger.snapshot(assembled)
    tried, skipped = _candidates(domains, recipe.adapt, class_weights, repeats, console)
    document, place = choose(tried, skipped, recipe.adapt, source=source, target=target)
    domains.restore(tried[place].weights)
    ledger = run.read_json("ledger.json") if run.path("ledger.json").is_file() else {}
    rows = proven(assembled, before, tried[place])
    content = io.BytesIO()
    logits = np.log(np.maximum(tried[place].validation, _LEAST)).astype(np.float32)
    np.savez(content, allow_pickle=False, **{VALIDATION: logits, **tried[place].weights})
    run.write_json("ledger.json", ledger | {"adapt": rows})
    write_atomically(run.path(ADAPT_ARRAYS), content.getvalue())
    run.write_json(ADAPT, finite(document))
    return document


def _candidates(
    domains: TwoDomains, adapt: Adapt, class_weights: NDArray[Any] | None, repeats: Run | None, console: Console | None
) -> tuple[list[Candidate], list[Skipped]]:
    methods, minutes = adapt.methods, None if len(adapt.methods) == 1 else adapt.minutes
    late: list[Skipped] = []
    if repeats is not None and repeats.path(ADAPT).is_file():
        rows = [row for row in repeats.read_json(ADAPT)["skipped"] if not row["fatal"]]
        late = [Skipped(method=row["method"], why=row["why"], fatal=False) for row in rows]
        methods, minutes = tuple(one for one in methods if one not in {row.method for row in late}), None
    maker = Candidates(domains, methods, minutes=minutes, class_weights=class_weights)
    found = []
    for candidate in maker.all():
        found.append(candidate)
        if console is not None:
            console.print(f"         {candidate.name}: {candidate.seconds:.1f} s", highlight=False, markup=False)
    for skipped in maker.skipped:
        if console is not None:
            console.print(f"         {skipped.method} is left out: {skipped.why}.", highlight=False, markup=False)
    return found, [*maker.skipped, *late]


def choose(
    tried: Sequence[Candidate], skipped: Sequence[Skipped], adapt: Adapt, *, source: Bundle, target: TargetData
) -> tuple[dict[str, Any], int]:
    """What was tried as plain data, and the place of the candidate that is taken.

    The choice reads the answers on the examples that were adapted to, and the source's labels. Those of the target go into
    figures beside it.

    Args:
        tried: The candidates, that of the source alone first.
        skipped: What was not tried.
        adapt: Criterion and guard.
        source, target: The examples.
    """
    labels = np.asarray(source.labels("val"))
    rows = target.bundle.indices("train")
    right = [_accuracy(one.validation, labels) for one in tried]
    shares = source.targets_of("train").mean(axis=0)
    values = [_value(adapt, one.target[rows], score, shares) for one, score in zip(tried, right, strict=True)]
    out = [
        "" if score is None or right[0] is None or score >= right[0] - adapt.guard else "source accuracy fell" for score in right
    ]
    alone = len(adapt.methods) == 1
    place = len(tried) - 1 if alone else max((at for at in range(len(tried)) if not out[at]), key=lambda at: values[at])
    figures, regret = measured(tried, target, place)
    document: dict[str, Any] = {
        "format": 1,
        "source": target.bundle.data.source,
        "count": len(rows),
        "held_out": len(target.bundle.indices("test")),
        "labelled": int((target.truth >= 0).sum()),
        "validation": len(labels),
        "notes": list(target.notes),
        "criterion": None if alone else adapt.criterion,
        "guard": adapt.guard,
        "minutes": adapt.minutes,
        "chosen": tried[place].name,
        "tried": [
            {
                "name": one.name,
                "methods": list(one.methods),
                "criterion": value,
                "validation": score,
                "out": why,
                "kept": at == place,
                "seconds": one.seconds,
                **found,
            }
            for at, (one, value, score, why, found) in enumerate(zip(tried, values, right, out, figures, strict=True))
        ],
        "skipped": [{"method": one.method, "why": one.why, "fatal": one.fatal} for one in skipped],
        "regret": regret,
    }
    return document, place


def _value(adapt: Adapt, probabilities: NDArray[np.float64], right: float | None, shares: NDArray[np.floating]) -> float:
    """The criterion; larger is better."""
    if adapt.criterion == "source":
        return 0.0 if right is None else right
    return neighbourhood_density(probabilities) if adapt.criterion == "snd" else information(probabilities, shares)


def _accuracy(probabilities: NDArray[np.float64], labels: NDArray[np.integer]) -> float | None:
    return float((probabilities.argmax(axis=1) == labels).mean()) if len(labels) else None


def measured(tried: Sequence[Candidate], target: TargetData, place: int) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """What each candidate scores on labelled examples of the target, and the regret of the choice; none without labels.

    Measured on labelled examples of the target's own test split where it has any, else on all labelled ones.

    Args:
        tried: The candidates.
        target: Its labels are read here alone.
        place: Of the candidate that was taken.

    Returns:
        For each candidate `accuracy` with its 95% Wilson `interval`, `gain` over the source alone with its paired bootstrap
        `gain_interval`, and `p` of McNemar's exact test; all None without labels. And `count`, `held_out` (whether the examples
        were adapted to), `best`, `regret` (the accuracy of the best candidate less that of the one that was taken) and its
        `interval`.
    """
    held = target.bundle.indices("test")
    rows = held[target.truth[held] >= 0]
    held_out = len(rows) > 0
    if not held_out:
        rows = np.flatnonzero(target.truth >= 0)
    if not len(rows):
        nothing = dict.fromkeys(("accuracy", "interval", "gain", "gain_interval", "p"))
        return [dict(nothing) for _ in tried], None
    truth = target.truth[rows]
    right = [one.target[rows].argmax(axis=1) == truth for one in tried]
    figures = []
    for own in right:
        gain, interval = paired_difference(own, right[0])
        only = int((right[0] & ~own).sum()), int((own & ~right[0]).sum())
        accuracy = float(own.mean())
        figures.append(
            {
                "accuracy": accuracy,
                "interval": wilson_interval(int(own.sum()), len(own)),
                "gain": gain,
                "gain_interval": interval,
                "p": mcnemar(*only),
            }
        )
    best = max(range(len(tried)), key=lambda at: float(figures[at]["accuracy"]))  # type: ignore[arg-type]
    regret, interval = paired_difference(right[best], right[place])
    return figures, {
        "count": len(rows),
        "held_out": held_out,
        "best": tried[best].name,
        "regret": regret,
        "interval": interval,
    }


def target_metrics(document: dict[str, Any]) -> dict[str, Any]:
    """What `metrics.json` has of the target: what was chosen and, where there are labels, accuracy before and after."""
    kept = next(row for row in document["tried"] if row["kept"])
    found = {"source": document["source"], "chosen": document["chosen"], "adapted_to": document["count"]}
    if document["regret"] is None:
        return found
    return found | {
        "count": document["regret"]["count"],
        "accuracy": [document["tried"][0]["accuracy"], kept["accuracy"]],
        "intervals": [document["tried"][0]["interval"], kept["interval"]],
        "difference": kept["gain"],
        "interval": kept["gain_interval"],
        "p": kept["p"],
        "regret": document["regret"]["regret"],
    }


_MOVES: dict[AdaptMethod, frozenset[str]] = {
    "adabn": frozenset({"batchnorm"}),
    "tent": frozenset({"batchnorm", "shifts"}),
    "deep_coral": frozenset({"weights", "biases"}),
    "dann": frozenset({"weights", "biases"}),
    "coral": frozenset(),
    "self_training": frozenset(),
}
"""By method, the groups of weights below the head that it may move."""


def proven(assembled: Assembled, before: dict[str, dict[str, str]], candidate: Candidate) -> list[dict[str, Any]]:
    """What moved, block by block, as rows of `ledger.json`.

    Args:
        assembled: The network as it is now.
        before: `Ledger.snapshot` of the network before.
        candidate: What was done to it.

    Raises:
        FrozenMovedError: Something moved that the methods leave as it is.
    """
    after = Ledger.snapshot(assembled)
    below = frozenset[str]().union(*(_MOVES[method] for method in candidate.methods))
    of_head = frozenset(GROUPS) if candidate.methods else frozenset[str]()
    rows, wrong = [], []
    for block, groups in after.items():
        moved = {group for group, found in groups.items() if found != before[block][group]}
        may = of_head if block == HEAD else below
        rows.append(
            {"stage": "adapt", "block": block, "was_to_move": bool(may), "moved": bool(moved), "moved_weights": sorted(moved)}
        )
        if secret := moved - may:
            wrong.append(f"{block} ({', '.join(sorted(secret))})")
    if wrong:
        raise FrozenMovedError(
            f"Adaptation by {candidate.name} changed what it leaves as it is, so its result is void.",
            received=", ".join(wrong),
            fix="This is a defect of tfl.",
        )
    return rows
