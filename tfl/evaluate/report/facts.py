"""What a run folder says, put in the order in which a person asks: result, data, blocks, stages, time. No TensorFlow.

Every file but the manifest and the recipe may be missing: a run that was interrupted has a report too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfl.backbones.stored_layers import shapes_in_words
from tfl.evaluate.render import percent
from tfl.modalities.base import NOUNS
from tfl.recipe import Monitor
from tfl.tasks.base import task_of

_HEAD = ("head", "(head)")


def result_facts(
    metrics: Mapping[str, Any], manifest: Mapping[str, Any], *, task: str = "classify", kind: str = "image"
) -> dict[str, Any]:
    """The result in plain words: `sentence`, `measured_on`, `baseline`, `comparison` and `note`."""
    found = _class_result(metrics, manifest, kind) if task == "classify" else _other_result(metrics, manifest, task, *NOUNS[kind])
    return {**found, "comparison": _comparison(metrics, task, *NOUNS[kind])}


def _comparison(metrics: Mapping[str, Any], task: str, noun: str, nouns: str) -> str:
    """What the baseline without a network reaches, as a sentence; empty where there is none."""
    baseline = metrics.get("baseline") or {}
    if "refused" in baseline:
        return f"{baseline['name']}: {baseline['refused']}"
    if "test" not in baseline:
        return ""
    sentence = task_of(task).sentence(baseline["test"], noun=noun, nouns=nouns)
    return f"Without a network, for comparison ({baseline['name']}): {sentence}"


def _class_result(metrics: Mapping[str, Any], manifest: Mapping[str, Any], kind: str) -> dict[str, Any]:
    nouns = NOUNS[kind][1]
    data, test = manifest.get("data") or {}, metrics.get("test") or {}
    note = str(data.get("note") or "")
    facts: dict[str, Any] = {"note": note, "measured_on": "", "baseline": "", "sentence": _unfinished(manifest)}
    if test.get("accuracy") is None:
        return facts
    count = int(test["count"])
    right = round(test["accuracy"] * count)
    interval = test.get("accuracy_interval")
    spread = f" (95% interval {percent(interval[0])} to {percent(interval[1])})" if interval else ""
    facts["sentence"] = f"Named {right} of {count} test {nouns} correctly: {percent(test['accuracy'])}{spread}."
    classes = len(test.get("per_class") or data.get("class_names") or ())
    measured = f"{count} {nouns} of {classes} classes" if classes else f"{count} {nouns}"
    source = f" from {data['source']}" if data.get("source") else ""
    facts["measured_on"] = f"Measured on {measured}{source}, held out of training and of every choice."
    common = max((test.get("per_class") or {}).items(), key=lambda item: item[1]["count"], default=None)
    if common and count:
        facts["baseline"] = f"Always answering “{common[0]}” would be right for {percent(common[1]['count'] / count)}."
    return facts


def _other_result(metrics: Mapping[str, Any], manifest: Mapping[str, Any], task: str, noun: str, nouns: str) -> dict[str, Any]:
    data, test = manifest.get("data") or {}, metrics.get("test") or {}
    facts = {"note": str(data.get("note") or ""), "measured_on": "", "baseline": "", "sentence": _unfinished(manifest)}
    if not test:
        return facts
    source = f" from {data['source']}" if data.get("source") else ""
    sentence = task_of(task).sentence(test, noun=noun, nouns=nouns)
    measured = f"Measured on {test['count']} {nouns}{source}, held out of training and of every choice."
    return {**facts, "sentence": sentence, "measured_on": measured}


def _unfinished(manifest: Mapping[str, Any]) -> str:
    words = {"interrupted": "The run was interrupted", "failed": "The run failed", "running": "The run has not ended"}
    start = words.get(str(manifest.get("status")), "The run ended")
    return f"{start}: {manifest['error']}" if manifest.get("error") else f"{start}: there is no test result yet."


def data_facts(manifest: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The data of the run: source, note, classes with their counts by split, findings, and notes of the audit and the split."""
    data = manifest.get("data") or {}
    names = [str(name) for name in data.get("class_names") or ()]
    counts = _counts_by_split(data.get("counts") or {}, names)
    if "test" not in counts and (metrics.get("test") or {}).get("per_class"):
        counts["test"] = {name: figures["count"] for name, figures in metrics["test"]["per_class"].items()}
    splits = [split for split in ("train", "val", "test") if split in counts]
    by_class = [{"name": name, **{split: counts[split].get(name, 0) for split in splits}} for name in names]
    for row in by_class:
        row["all"] = sum(int(row[split]) for split in splits)
    return {
        "source": str(data.get("source") or ""),
        "note": str(data.get("note") or ""),
        "splits": splits,
        "classes": by_class,
        "largest": max((int(row["all"]) for row in by_class), default=0) or 1,
        "totals": {split: sum(counts[split].values()) for split in splits},
        "findings": [_finding(entry) for entry in data.get("findings") or ()],
        "notes": [str(note) for note in data.get("notes") or ()],
        "fingerprint": str(data.get("fingerprint") or ""),
    }


def _counts_by_split(counts: Mapping[str, Any], names: list[str]) -> dict[str, dict[str, int]]:
    """`{split: {class: n}}` from that, or from `{split: [n, …]}` in class order; a bare total tells nothing of classes."""
    found: dict[str, dict[str, int]] = {}
    for split, value in counts.items():
        key = "val" if split == "validation" else split
        if isinstance(value, Mapping):
            found[key] = {str(name): int(count) for name, count in value.items()}
        elif isinstance(value, list):
            found[key] = dict(zip(names, (int(count) for count in value), strict=False))
    return found


def _finding(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        return {"kind": "note", "severity": "note", "files": [], "note": str(entry)}
    files = entry.get("files") or []
    return {
        "kind": str(entry.get("kind", "note")),
        "severity": str(entry.get("severity", "note")),
        "files": [str(file) for file in (files if isinstance(files, list | tuple) else [files])],
        "note": str(entry.get("note", "")),
    }


def stage_facts(
    recipe: Mapping[str, Any], history: list[dict[str, Any]], state: Mapping[str, Any], manifest: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A dictionary a stage: what was asked, epochs run, the best epoch by the monitor, and what the training noticed."""
    metric = str((recipe.get("monitor") or {}).get("metric", "val_accuracy"))
    facts = []
    stages = recipe.get("stages")
    for stage in stages if isinstance(stages, list) else ():  # where `Auto` has not chosen yet there are none
        rows = [row for row in history if row["stage"] == stage["name"]]
        told = {
            **((state.get("stages") or {}).get(stage["name"]) or {}),
            **_mapping((_mapping(manifest.get("stages"))).get(stage["name"])),
        }
        best = _best_row(rows, metric, told.get("best_epoch"))
        facts.append(
            {
                **stage,
                "trains": trains_in_words(stage["train"], stage.get("weights", "all")),
                "epochs_run": len(rows),
                "seconds": sum(row.get("seconds") or 0.0 for row in rows),
                "feature_seconds": float(told.get("feature_seconds") or 0.0),
                "stopped_early": bool(told.get("stopped_early")),
                "metric": metric,
                "kept_start": told.get("best_epoch") == 0 and stage["epochs"] > 0,
                "best_epoch": best["epoch"] if best else None,
                "best_step": best["step"] if best else None,
                "best_value": best.get(metric) if best else told.get("best_value"),
                "notices": _notices(told),
            }
        )
    return facts


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _best_row(rows: list[dict[str, Any]], metric: str, told: Any) -> dict[str, Any] | None:
    """The row of the epoch that the training says it went back to (None for epoch 0, its start), else the best by the metric."""
    if told is not None:
        return next((row for row in rows if row["epoch"] == told), None)
    known = [row for row in rows if row.get(metric) is not None]
    if not known:
        return None
    lowest = not Monitor(metric).higher_is_better
    return min(known, key=lambda row: row[metric]) if lowest else max(known, key=lambda row: row[metric])


def _notices(told: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for key in ("notices", "notice", "overfitting"):
        value = told.get(key)
        if isinstance(value, str) and value:
            found.append(value)
        elif isinstance(value, list | tuple):
            found.extend(str(item) for item in value if item)
    return list(dict.fromkeys(found))


def trains_in_words(train: str, weights: str = "all") -> str:
    """`Stage.train` and `Stage.weights` as a phrase.

    Example:

    >>> trains_in_words("top:2"), trains_in_words("head")
    ('the head and the top 2 blocks', 'the head')
    >>> trains_in_words("all", "biases")
    'everything, by biases below the head'
    """
    if weights != "all":
        return f"{trains_in_words(train)}, by {_WEIGHTS[weights]} below the head"
    kind, _, rest = train.partition(":")
    if kind == "top":
        return f"the head and the top {rest} blocks" if rest != "1" else "the head and the top block"
    if kind == "blocks":
        return f"the head and the blocks {rest.replace(',', ', ')}"
    words = {"head": "the head", "all": "everything", "unmatched": "the head and the blocks that were not imported whole"}
    return words.get(kind, train)


def block_facts(plans: Mapping[str, Any], ledger: Mapping[str, Any]) -> dict[str, Any]:
    """Blocks × stages: what each was to do and what it did.

    Returns:
        `stages` (names) and `rows`, input side first: `name`, `layers`, `parameters`, `flops_share`, `is_head`, and `stages`, by
        stage name `{"trains", "multiplier", "batchnorm", "weights", "trained", "moved"}`; `moved` is None where the ledger says
        nothing. `trained`, by stage name, is the number of parameters that train, None where the plan does not say it.
    """
    stages = [str(name) for name in plans]
    rows: dict[str, dict[str, Any]] = {}
    for stage in stages:
        moved = {str(row.get("block", row.get("name"))): row.get("moved") for row in _rows_of(_mapping(ledger), stage)}
        for plan_row in _rows_of(plans, stage):
            name = str(plan_row.get("block", plan_row.get("name")))
            row = rows.setdefault(name, _block_row(name, plan_row))
            row["stages"][stage] = {
                "trains": bool(plan_row.get("trainable")),
                "multiplier": plan_row.get("multiplier"),
                "batchnorm": plan_row.get("batchnorm"),
                "weights": _WEIGHTS.get(str(plan_row.get("weights")), ""),
                "trained": plan_row.get("trained"),
                "moved": moved.get(name),
            }
    ordered = sorted(rows.values(), key=lambda row: row["is_head"])
    counts = {stage: [row["stages"][stage]["trained"] for row in ordered if stage in row["stages"]] for stage in stages}
    trained = {stage: sum(found) if found and None not in found else None for stage, found in counts.items()}
    return {"stages": stages, "rows": ordered, "trained": trained}


_WEIGHTS = {"biases": "biases", "lora": "LoRA", "adapters": "adapters"}


def _block_row(name: str, plan_row: Mapping[str, Any]) -> dict[str, Any]:
    layers = plan_row.get("layers")
    return {
        "name": name,
        "layers": len(layers) if isinstance(layers, list | tuple) else layers,
        "parameters": plan_row.get("parameters"),
        "flops_share": plan_row.get("flops_share"),
        "is_head": name in _HEAD,
        "stages": {},
    }


def _rows_of(document: Mapping[str, Any], stage: str) -> list[Mapping[str, Any]]:
    inside = document.get("stages") if isinstance(document.get("stages"), Mapping) else document
    value = _mapping(inside).get(stage) or ()
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("rows", "blocks") if isinstance(value.get(key), list | tuple)), ())
    return [row for row in value if isinstance(row, Mapping)]


def confused_pairs(test: Mapping[str, Any], *, limit: int = 3) -> list[dict[str, Any]]:
    """The classes most often taken for one another: `label`, `predicted`, `count`, `of` (examples with that label)."""
    confusion, names = test.get("confusion") or [], list(test.get("per_class") or ())
    pairs = [
        {"label": names[row], "predicted": names[column], "count": count, "of": sum(counts)}
        for row, counts in enumerate(confusion)
        for column, count in enumerate(counts)
        if row != column and count
    ]
    return sorted(pairs, key=lambda pair: -pair["count"])[:limit]


def time_facts(metrics: Mapping[str, Any], stages: list[dict[str, Any]]) -> dict[str, Any]:
    """Where the time went: `total` and `steps` (`name`, `seconds`, `share`), in the order in which they ran."""
    seconds = {
        str(name): float(value) for name, value in (metrics.get("seconds") or {}).items() if isinstance(value, int | float)
    }
    if not seconds:
        seconds = {stage["name"]: stage["seconds"] for stage in stages if stage["seconds"]}
    total = seconds.pop("total", None) or sum(seconds.values())
    rest = total - sum(seconds.values())
    if rest > 0.01 * total:
        seconds["everything else"] = rest
    steps = [{"name": name, "seconds": value, "share": value / total if total else 0.0} for name, value in seconds.items()]
    return {"total": total, "steps": steps}


def matching_facts(matching: Mapping[str, Any]) -> dict[str, Any]:
    """Which layers took over weights of a file.

    Returns:
        `lead` (a sentence) and `rows`, each `layer`, `kind`, `shapes`, `source`, `said`, `imported` and `random`; empty where no
        weights were matched.

    Example:

    >>> matching_facts({})
    {}
    """
    if not matching:
        return {}
    rows = [
        {
            "layer": row["layer"] or "",
            "kind": row["kind"],
            "shapes": shapes_in_words(row["shapes"]),
            "source": row["source"] or "",
            "said": f"imported by {row['by']}" if row["by"] else row["reason"],
            "imported": row["by"] is not None,
            "random": row["layer"] is not None and row["by"] is None,
        }
        for row in matching["rows"]
    ]
    return {"lead": matching["sentence"], "rows": rows}
