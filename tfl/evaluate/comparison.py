"""Several runs side by side on one page. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfl.errors import RunError
from tfl.evaluate import charts
from tfl.evaluate.gather import optional_json, percent, read_history, time_facts
from tfl.evaluate.predictions import Predictions, read_predictions
from tfl.evaluate.report import render
from tfl.fields import as_plain
from tfl.runs import Run
from tfl.storage import write_atomically

_RESAMPLES = 2000


def collect_comparison(run_folders: Sequence[Path | str]) -> dict[str, Any]:
    """What several runs have in common and in which they differ, as plain data.

    Returns:
        `runs` (`title`, `folder`, `recipe`, `test`, `history` with `elapsed` seconds, `total`), `differences` (recipe fields
        whose values differ: `field`, `values`), `pairs` (the best run against each other one, on the same test images),
        `same_test` (whether all that were tested were tested on the same images), `sentence`.

    Raises:
        RunError: Fewer than two runs, or one that cannot be read.
    """
    if len(run_folders) < 2:
        raise RunError(
            "A comparison needs at least two runs.", received=len(run_folders), fix="Name them all: tfl report RUN RUN"
        )
    opened = [Run.open(folder) for folder in run_folders]
    runs = [_run_facts(run, title) for run, title in zip(opened, _titles(opened), strict=True)]
    tests = [_test_predictions(run) for run in opened]
    judged = [at for at, run in enumerate(runs) if run["test"]]
    best = max(judged, key=lambda at: runs[at]["test"]["accuracy"], default=None)
    pairs = []
    if best is not None:
        for at in judged:
            pair = _paired(tests[best], tests[at]) if at != best else None
            if pair:
                pairs.append({"better": runs[best]["title"], "other": runs[at]["title"], **pair})
    return {
        "runs": runs,
        "differences": _differences([run["recipe"] for run in runs], [run["title"] for run in runs]),
        "pairs": pairs,
        "same_test": len(pairs) >= len(judged) - 1,
        "sentence": _sentence(runs, best, pairs),
    }


def write_comparison(run_folders: Sequence[Path | str], out: Path | str) -> Path:
    """Writes one page that compares runs: results with intervals, what differs in the recipes, validation curves.

    Args:
        run_folders: Two or more.
        out: The HTML file to write.

    Raises:
        RunError: Fewer than two runs, or one that cannot be read.
        StorageError: `out` cannot be written.
    """
    document = collect_comparison(run_folders)
    drawn = {
        "epochs": charts.runs_curve(document["runs"], x="step"),
        "seconds": charts.runs_curve(document["runs"], x="elapsed"),
    }
    figures = {name: figure for name, figure in drawn.items() if figure}
    return write_atomically(out, render("comparison.html.j2", comparison=document, figures=figures))


def paired_difference(
    better: np.ndarray, other: np.ndarray, *, seed: int = 0, resamples: int = _RESAMPLES
) -> tuple[float, list[float]]:
    """The difference in accuracy of two networks on the same images, and its 95% bootstrap interval over images.

    Args:
        better: `(n,)` bool, whether the first was right.
        other: `(n,)` bool, whether the second was.
        seed: Of the resampling.
        resamples: How many.

    Example:

    >>> paired_difference(np.array([True] * 50), np.array([True] * 50))
    (0.0, [0.0, 0.0])
    """
    gains = better.astype(float) - other.astype(float)
    generator = np.random.default_rng(seed)
    # Only three outcomes exist for an image (gain, loss, tie), so a resample is one multinomial draw.
    shares = np.array([(gains > 0).mean(), (gains < 0).mean(), (gains == 0).mean()])
    drawn = generator.multinomial(len(gains), shares / shares.sum(), size=resamples)
    edges = np.percentile((drawn[:, 0] - drawn[:, 1]) / len(gains), [2.5, 97.5])
    return float(gains.mean()), [float(edge) for edge in edges]


def _titles(runs: Sequence[Run]) -> list[str]:
    """The folders' own names, with as many parents as it takes to tell them apart."""
    parts = [run.folder.absolute().parts for run in runs]
    for depth in range(1, max(map(len, parts)) + 1):
        titles = ["/".join(part[-depth:]) for part in parts]
        if len(set(titles)) == len(titles):
            return titles
    return [f"{'/'.join(part[-2:])} ({at})" for at, part in enumerate(parts, start=1)]


def _run_facts(run: Run, title: str) -> dict[str, Any]:
    metrics, history, elapsed = optional_json(run, "metrics.json"), read_history(run), 0.0
    for row in history:
        elapsed += row.get("seconds") or 0.0
        row["elapsed"] = elapsed
    return {
        "title": title,
        "folder": str(run.folder),
        "status": run.manifest["status"],
        "recipe": as_plain(run.recipe),
        "note": (run.manifest.get("data") or {}).get("note") or "",
        "test": metrics.get("test") or {},
        "history": history,
        "total": time_facts(metrics, [])["total"] or elapsed,
    }


def _test_predictions(run: Run) -> Predictions | None:
    return read_predictions(run.folder).get("test") if run.path("predictions.csv").is_file() else None


def _same_images(one: Predictions, other: Predictions) -> bool:
    return (
        one.class_names == other.class_names
        and len(one.labels) == len(other.labels)
        and sorted(zip(one.files, one.labels.tolist(), strict=True))
        == sorted(zip(other.files, other.labels.tolist(), strict=True))
    )


def _paired(one: Predictions | None, other: Predictions | None) -> dict[str, Any] | None:
    if one is None or other is None or not _same_images(one, other):
        return None
    right = [
        (predictions.probabilities.argmax(axis=1) == predictions.labels)[np.argsort(np.array(predictions.files), kind="stable")]
        for predictions in (one, other)
    ]
    difference, interval = paired_difference(right[0], right[1])
    return {"difference": difference, "interval": interval, "count": len(right[0])}


def _sentence(runs: Sequence[Mapping[str, Any]], best: int | None, pairs: Sequence[Mapping[str, Any]]) -> str:
    if best is None:
        return "None of these runs has a test result yet."
    ahead = f"{runs[best]['title']} scores highest: {percent(runs[best]['test']['accuracy'])} of its test images."
    others = sum(1 for run in runs if run["test"]) - 1
    clear = [pair for pair in pairs if pair["interval"][0] > 0]
    if not pairs or len(pairs) < others:
        return f"{ahead} The runs were not all tested on the same images, so the figures do not settle which is better."
    if len(clear) == len(pairs):
        return f"{ahead} That is a clear lead over every other run."
    return f"{ahead} Its lead over {'the other' if others == 1 else 'some of the others'} could be chance."


def _differences(recipes: Sequence[Mapping[str, Any]], titles: Sequence[str]) -> list[dict[str, Any]]:
    flat = [dict(_flat(recipe)) for recipe in recipes]
    fields = list(dict.fromkeys(field for recipe in flat for field in recipe))
    rows = []
    for field in fields:
        values = [recipe.get(field, "–") for recipe in flat]
        if any(value != values[0] for value in values):
            rows.append({"field": field, "values": [str(value) for value in values]})
    return rows


def _flat(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Leaves by the dotted path that `--set` takes: stages go by their names."""
    if isinstance(value, Mapping) and value:
        return [leaf for key, item in value.items() for leaf in _flat(item, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list) and value and all(isinstance(item, Mapping) and "name" in item for item in value):
        return [leaf for item in value for leaf in _flat(item, f"{path}.{item['name']}")]
    return [(path, value)]
