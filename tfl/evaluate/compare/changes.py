"""In which inputs two runs differ: recipe, data, code, versions, machine, weights, choices. Reads files only, no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from tfl.data.listing import DataChanges, data_changes, read_listing
from tfl.evaluate.run_files import readable
from tfl.fields import as_plain
from tfl.modalities.base import NOUNS
from tfl.runs import Run

Input = Literal["recipe", "data", "backbone weights", "code", "versions", "machine", "environment", "choices"]
INPUTS: tuple[Input, ...] = ("recipe", "data", "backbone weights", "code", "versions", "machine", "environment", "choices")
"""In the order in which a cause is looked for."""
_SHOWN = 5
_MOST_LISTED = 1000
CHANGE_WORDS = {
    "added": "added",
    "removed": "removed",
    "changed": "with other content",
    "relabelled": "relabelled",
    "moved": "in another split",
    "renamed": "renamed",
}
"""What is said of each kind of `DataChanges`."""


def input_changes(before: Run, after: Run) -> dict[str, Any]:
    """The inputs in which two runs differ, and which may explain different results.

    Returns:
        `changed`: a list in the order of `INPUTS`, each `input`, `note` (a sentence) and `details`; and `unknown`: the inputs of
        which one of the runs, made by an older tfl, says nothing.

    Raises:
        RunError: A file of a run is damaged.
    """
    finders: dict[Input, Callable[[Run, Run], dict[str, Any] | None]] = {
        "recipe": _recipe,
        "data": _data,
        "backbone weights": _weights,
        "code": _code,
        "versions": _versions,
        "machine": _machine,
        "environment": _environment,
        "choices": _choices,
    }
    for run in (before, after):
        with readable(run, "manifest.json", "state.json"):  # which of the two is damaged shows where one stands alone
            for find in finders.values():
                find(run, run)
    changed, unknown = [], []
    for name in INPUTS:
        found = finders[name](before, after)
        if found is None:
            unknown.append(name)
        elif found:
            changed.append({"input": name, **found})
    return {"changed": changed, "unknown": unknown}


def recipe_differences(recipes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The fields in which recipes differ: `field`, by the dotted path that `--set` takes, and `values`, as text.

    Args:
        recipes: Sequence of recipes as plain data.

    Example:

    >>> recipe_differences([{"seed": 0, "name": "a"}, {"seed": 1, "name": "a"}])
    [{'field': 'seed', 'values': ['0', '1']}]
    """
    flat = [dict(_flat(recipe)) for recipe in recipes]
    fields = list(dict.fromkeys(field for recipe in flat for field in recipe))
    rows = []
    for field in fields:
        values = [recipe.get(field, "–") for recipe in flat]
        if any(value != values[0] for value in values):
            rows.append({"field": field, "values": [str(value) for value in values]})
    orders = [[stage["name"] for stage in recipe.get("stages") or ()] for recipe in recipes]
    if any(order != orders[0] for order in orders):
        rows.append({"field": "stages", "values": [", ".join(order) for order in orders]})
    return rows


def _flat(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Leaves by the dotted path that `--set` takes: stages go by their names."""
    if isinstance(value, Mapping) and value:
        return [leaf for key, item in value.items() for leaf in _flat(item, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list) and value and all(isinstance(item, Mapping) and "name" in item for item in value):
        return [leaf for item in value for leaf in _flat(item, f"{path}.{item['name']}")]
    return [(path, value)]


def _recipe(before: Run, after: Run) -> dict[str, Any]:
    rows = recipe_differences([as_plain(before.recipe), as_plain(after.recipe)])
    return {"note": _pairs_in_words({row["field"]: row["values"] for row in rows}), "details": rows} if rows else {}


def _data(before: Run, after: Run) -> dict[str, Any] | None:
    prints = [(run.manifest.get("data") or {}).get("fingerprint") for run in (before, after)]
    if not all(prints):
        return None
    if prints[0] == prints[1]:
        for field in ("extra_data", "target_data", "unlabelled", "unseen_data"):
            others = [(run.manifest.get(field) or {}).get("fingerprint") for run in (before, after)]
            if others[0] != others[1]:
                return {"note": f"The examples of `{field}` differ.", "details": {field: others}}
        return {}
    listings = [read_listing(run.folder) for run in (before, after)]
    if listings[0] is None or listings[1] is None:
        counts = [(run.manifest["data"] or {}).get("count") for run in (before, after)]
        note = (
            f"The {nouns_of(before)[1]} differ ({counts[0]} and {counts[1]}); which ones is not known: a run by an older tfl "
            "keeps no data.csv."
        )
        return {"note": note, "details": {"counts": counts}}
    found = data_changes(listings[0], listings[1])
    return {"note": data_in_words(found, nouns=nouns_of(before)), "details": _data_details(found)}


def nouns_of(run: Run) -> tuple[str, str]:
    """The words for one example of a run and for several."""
    return NOUNS[run.recipe.data.kind]


def data_in_words(found: DataChanges, *, nouns: tuple[str, str] = ("example", "examples")) -> str:
    """The changes of the data, as a sentence.

    Args:
        found: `DataChanges` between two runs.
        nouns: Pair of strings, the words for one example and for several. Defaults to `("example", "examples")`.

    Example:

    >>> from tfl.data.listing import Listed
    >>> data_in_words(DataChanges(added=(Listed("train", "ant", "f1", "ant/1.png"),)))
    '1 example added (ant/1.png).'
    """
    parts = []
    for kind, rows in found.of_kind().items():
        if rows:
            names = [_row_in_words(kind, row) for row in rows[:_SHOWN]]
            more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
            parts.append(f"{len(rows)} {nouns[len(rows) > 1]} {CHANGE_WORDS[kind]} ({', '.join(names)}{more})")
    if not parts:
        return f"The same {nouns[1]} in another order." if found.reordered else "The classes differ."
    return "; ".join(parts) + "."


def _row_in_words(kind: str, row: Any) -> str:
    if not isinstance(row, tuple):
        return str(row.file)
    before, after = row
    if kind == "relabelled":
        return f"{before.file}: {before.label} to {after.label}"
    if kind == "moved":
        return f"{before.file}: {before.split or 'left out'} to {after.split or 'left out'}"
    return f"{before.file} to {after.file}" if kind == "renamed" else str(before.file)


def _data_details(found: DataChanges) -> dict[str, Any]:
    """Counts and rows as JSON, at most `_MOST_LISTED` of each kind."""
    details: dict[str, Any] = {"reordered": found.reordered}
    for kind, rows in found.of_kind().items():
        listed = [
            {"before": vars(row[0]), "after": vars(row[1])} if isinstance(row, tuple) else vars(row)
            for row in rows[:_MOST_LISTED]
        ]
        details[kind] = {"count": len(rows), "files": listed}
    return details


def _weights(before: Run, after: Run) -> dict[str, Any] | None:
    hashes = [(run.manifest.get("weights") or {}).get("sha256") for run in (before, after)]
    if not all(hashes):
        return None
    if hashes[0] == hashes[1]:
        return {}
    return {"note": f"SHA-256 {str(hashes[0])[:12]} and {str(hashes[1])[:12]}.", "details": hashes}


def _code(before: Run, after: Run) -> dict[str, Any] | None:
    one, other = before.manifest, after.manifest
    if not one.get("source") or not other.get("source"):
        return None
    if one["source"] == other["source"]:
        return {}
    versions = [str(manifest.get("tfl")) for manifest in (one, other)]
    note = f"tfl {versions[0]} and {versions[1]}" if versions[0] != versions[1] else f"tfl {versions[0]} with edited files"
    hashes = [manifest["source"] for manifest in (one, other)]
    note += f" (source {hashes[0][:12]} and {hashes[1][:12]})."
    return {"note": note, "details": {"tfl": versions, "source": hashes, "git": [one.get("git"), other.get("git")]}}


def _versions(before: Run, after: Run) -> dict[str, Any] | None:
    both = [run.manifest.get("versions") for run in (before, after)]
    if not all(both):
        return None
    tables = [{"python": run.manifest.get("python"), **run.manifest["versions"]} for run in (before, after)]
    return _table_changes(*tables)


def _machine(before: Run, after: Run) -> dict[str, Any] | None:
    both = [run.manifest.get("machine") for run in (before, after)]
    if not all(isinstance(machine, Mapping) and "instructions" in machine for machine in both):
        return None
    tables = [_machine_facts(run.manifest) for run in (before, after)]
    return _table_changes(*tables)


def _machine_facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What of a machine decides a result: not its memory; and no accelerator is the same whether or not one was looked for."""
    machine = {name: value for name, value in manifest["machine"].items() if name != "memory_gb"}
    return {"platform": manifest.get("platform"), **machine, "accelerators": machine.get("accelerators") or []}


def _environment(before: Run, after: Run) -> dict[str, Any] | None:
    both = [run.manifest.get("environment") for run in (before, after)]
    return None if both[0] is None or both[1] is None else _table_changes(both[0], both[1])


def _choices(before: Run, after: Run) -> dict[str, Any]:
    """What `auto` came to: it is measured, and may come out otherwise on the same machine."""
    return _table_changes(*({"precision": run.manifest.get("precision"), **_stage_choices(run)} for run in (before, after)))


def _stage_choices(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, state in run.state["stages"].items():
        found[f"{name}: features"] = "computed in every epoch" if state.get("unstored") else "stored"
        found[f"{name}: engine"] = state.get("engine")
        found[f"{name}: jit_compile"] = bool(state.get("jit_compile"))
        found[f"{name}: parts of a batch"] = state.get("parts") or 1
    return found


def _table_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    details = {name: [before.get(name), after.get(name)] for name in names}
    return {"note": _pairs_in_words(details), "details": details} if details else {}


def _pairs_in_words(pairs: Mapping[str, Sequence[Any]]) -> str:
    parts = [f"{name} {_value_in_words(one)} and {_value_in_words(other)}" for name, (one, other) in list(pairs.items())[:_SHOWN]]
    more = f"; and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
    return f"{'; '.join(parts)}{more}."


def _value_in_words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None or value == "" else str(value)
