"""The report of a run: one JSON document collected from the run folder, and one HTML page made of that. No TensorFlow.

run folder ─▶ collect_report ─▶ report.json ─▶ templates/report.html.j2 ─▶ report.html (one file, opens offline)
"""

from __future__ import annotations

import base64
import html
import mimetypes
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfl.evaluate import projection
from tfl.evaluate.metric_names import metric_words
from tfl.evaluate.predictions import NAME as PREDICTIONS
from tfl.evaluate.predictions import read_predictions
from tfl.evaluate.render import percent, render
from tfl.evaluate.report import charts
from tfl.evaluate.report.adapt import adapt_facts
from tfl.evaluate.report.choice import choice_facts
from tfl.evaluate.report.confidence import confidence_facts
from tfl.evaluate.report.drawn import NAME as DRAWN
from tfl.evaluate.report.evaluations import evaluation_facts
from tfl.evaluate.report.extra_data import extra_facts
from tfl.evaluate.report.facts import (
    block_facts,
    confused_pairs,
    data_facts,
    matching_facts,
    result_facts,
    stage_facts,
    time_facts,
)
from tfl.evaluate.report.inputs import input_facts
from tfl.evaluate.report.map_chart import examples_map, map_points
from tfl.evaluate.report.pretrain import pretrain_chart, pretrain_facts
from tfl.evaluate.report.sections import Section, section_of
from tfl.evaluate.report.source import forgetting_facts, mapping_facts
from tfl.evaluate.report.use import usage
from tfl.evaluate.report.zero_shot import zero_shot_facts
from tfl.evaluate.run_files import optional_json, read_history, readable
from tfl.fields import as_plain
from tfl.modalities.base import KINDS, NOUNS
from tfl.recipe import DETECT, GENERATE, OF_NUMBERS, SEVERAL
from tfl.runs import ADAPT, AUTO, EXTRA, MAPPING, MATCHING, PRETRAINED, STYLE, ZERO_SHOT, Run
from tfl.storage import finite, write_atomically, write_json
from tfl.tasks.base import Task, task_of

_NO_WORDS = 'alt=""'


def collect_report(run: Run | Path | str) -> dict[str, Any]:
    """Everything the page says, as plain data, read from the files of a run folder.

    Args:
        run: A run, or its folder.

    Returns:
        `recipe`, `manifest`, `result` (the headline), `data`, `choice` (what `Auto` tried), `mapping` and `forgetting` (of the
        source's own classifier), `extra` (of the extra examples), `adapt` (of the adaptation to unlabelled ones), `blocks`,
        `matching` (which layers took over weights of a file), `stages`, `history`, `metrics`, `confused`, `confidence`,
        `evaluations`, `time`, `album`, `section` (what the task adds), `inputs` (what each of several is worth). Parts that the
        run has not reached are empty.

    Raises:
        RunError: The folder holds no run, or a file of it is damaged.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    return _collect(run, _section(run))


def _section(run: Run) -> Section:
    metrics = optional_json(run, "metrics.json")
    if run.recipe.task == GENERATE:
        metrics = {**metrics, "style_document": optional_json(run, STYLE)}
    if run.recipe.task == DETECT:
        metrics = {**metrics, "drawn": optional_json(run, DRAWN)}
    with readable(run, "metrics.json", "predictions.csv", STYLE):
        return section_of(run, run.recipe.task, metrics)


def _collect(run: Run, section: Section) -> dict[str, Any]:
    manifest, metrics = run.manifest, optional_json(run, "metrics.json")
    recipe, history = as_plain(run.recipe), read_history(run)
    with readable(run, "state.json", "manifest.json"):
        stages = stage_facts(recipe, history, run.state, manifest)
    with readable(run, AUTO):
        choice = choice_facts(optional_json(run, AUTO), task=run.recipe.task, nouns=NOUNS[run.recipe.data.kind][1])
    nouns = NOUNS[run.recipe.data.kind][1]
    with readable(run, MAPPING):
        mapping = mapping_facts(optional_json(run, MAPPING), nouns=nouns)
    with readable(run, EXTRA):
        extra = extra_facts(optional_json(run, EXTRA), nouns=nouns)
    with readable(run, PRETRAINED):
        pretrain = pretrain_facts(optional_json(run, PRETRAINED), nouns=nouns)
    with readable(run, ADAPT):
        adapted = adapt_facts(optional_json(run, ADAPT), nouns=nouns)
    with readable(run, ZERO_SHOT):
        zero_shot = zero_shot_facts(optional_json(run, ZERO_SHOT), nouns=nouns)
    with readable(run, "plans.json", "ledger.json"):
        blocks = block_facts(optional_json(run, "plans.json"), optional_json(run, "ledger.json"))
    with readable(run, MATCHING):
        matching = matching_facts(optional_json(run, MATCHING))
    with readable(run, "evaluations/"):
        evaluations = evaluation_facts(run)
    with readable(run, "metrics.json", "manifest.json"):
        document = {
            "format": 1,
            "folder": str(run.folder),
            "recipe": recipe,
            "manifest": manifest,
            "result": result_facts(metrics, manifest, task=run.recipe.task, kind=run.recipe.data.kind),
            "data": data_facts(manifest, metrics),
            "choice": choice,
            "mapping": mapping,
            "forgetting": forgetting_facts(metrics, nouns=nouns),
            "extra": extra,
            "pretrain": pretrain,
            "adapt": adapted,
            "zero_shot": zero_shot,
            "blocks": blocks,
            "matching": matching,
            "stages": stages,
            "history": history,
            "metrics": metrics,
            "confused": confused_pairs(metrics.get("test") or {}),
            "confidence": confidence_facts(metrics, nouns=NOUNS[run.recipe.data.kind][1]),
            "evaluations": evaluations,
            "section": section.facts,
            "inputs": input_facts(metrics),
            "time": time_facts(metrics, stages),
            "album": _album(run),
            "of_numbers": run.recipe.task in OF_NUMBERS,
        }
    return dict(finite(document))  # type: ignore[call-overload]


def write_report(run_folder: Path | str) -> Path:
    """Writes `report.json` and `report.html` into a run folder.

    Returns:
        The page: one file with its examples, its styles and Plotly inside, that asks the network for nothing.

    Raises:
        RunError: The folder holds no run, or a file of it is damaged.
        StorageError: It cannot be written.
    """
    run = Run.open(run_folder)
    section = _section(run)
    document = _collect(run, section)
    with readable(run, "metrics.json", "manifest.json", "history.csv", "plans.json", "report/"):
        page = render(
            "report.html.j2",
            report=document,
            figures={**_figures(document), **section.figures, **_map(run)},
            use=usage(run, document),
            calibration=calibration_sentence(document["metrics"].get("test") or {}),
            fragment=lambda source, says: _fragment(run, source, says),
            nouns=NOUNS[run.recipe.data.kind],
        )
        write_json(run.path("report.json"), document)
        return write_atomically(run.path("report.html"), page)


def describe_data(
    examples: Any,
    split: Any,
    *,
    findings: Iterable[Any] = (),
    notes: Iterable[str] = (),
    fingerprint: str = "",
    task: Task | None = None,
) -> dict[str, Any]:
    """What `manifest["data"]` says, in the form that the report reads.

    Args:
        examples: The `tfl.data.source.Examples` that are used.
        split: The `tfl.data.split.Split` of them.
        findings: Of the audit: dictionaries with `kind`, `severity`, `files`, `note`.
        notes: Of the split: sentences.
        fingerprint: Of the whole data.
        task: What is predicted. Defaults to one of several classes.
    """
    names = [str(name) for name in examples.class_names]
    task = task or task_of("classify")
    targets = task.targets(examples)
    counts = {part: task.counts(targets[np.asarray(getattr(split, part))], names) for part in ("train", "val", "test")}
    return {
        "source": examples.source,
        "note": examples.note,
        "class_names": names,
        "count": len(targets),
        "counts": counts,
        "findings": [dict(finding) for finding in findings],
        "notes": [str(note) for note in notes],
        "fingerprint": fingerprint,
    }


def _figures(document: dict[str, Any]) -> dict[str, charts.Figure]:
    history, stages, test = document["history"], document["stages"], document["metrics"].get("test") or {}
    monitor = document["recipe"]["monitor"]["metric"]
    data = document["recipe"]["data"]
    nouns = NOUNS[SEVERAL if data.get("inputs") else (data.get("input") or {}).get("kind", KINDS[0])][1]
    also = "val_macro_f1" if monitor == "val_macro_f1" else None
    watched = monitor if monitor not in ("val_accuracy", "val_loss") else task_of(document["recipe"]["task"]).default_metric
    drawn = {
        "accuracy": charts.curve(history, stages, train="accuracy", validation="val_accuracy", title="accuracy", also=also),
        "watched": None
        if document["recipe"]["task"] == "classify" or watched == "val_loss"
        else charts.curve(history, stages, train="", validation=watched, title=metric_words(watched)),
        "loss": charts.curve(history, stages, train="loss", validation="val_loss", title="loss"),
        "confusion": charts.confusion(test),
        "pretrain": pretrain_chart(document["pretrain"]),
        "reliability": charts.reliability(test.get("reliability") or (), nouns=nouns),
        "calibrated": charts.reliability((document["confidence"].get("reliability") or {}).get("after") or (), nouns=nouns),
    }
    return {name: figure for name, figure in drawn.items() if figure}


def _map(run: Run) -> dict[str, charts.Figure]:
    """The map of the examples; none of a run that kept no projection."""
    document = optional_json(run, projection.NAME)
    if not document or not run.path(PREDICTIONS).is_file():
        return {}
    with readable(run, projection.NAME, PREDICTIONS):
        figure = examples_map(map_points(document, read_predictions(run.folder)))
    return {} if figure is None else {"map": figure}


def calibration_sentence(test: dict[str, Any]) -> str:
    """Whether the network is surer than it should be, as a sentence."""
    bins = [row for row in test.get("reliability") or () if row["count"]]
    if not bins or "per_class" not in test:
        return ""
    said = sum(row["count"] * row["confidence"] for row in bins) / sum(row["count"] for row in bins)
    gap = said - test["accuracy"]
    verdict = (
        "about as sure as it should be"
        if abs(gap) < 0.02
        else "surer than it should be"
        if gap > 0
        else "more modest than needed"
    )
    return f"On average it says {percent(said)} and is right in {percent(test['accuracy'])}: {verdict}."


def _album(run: Run) -> dict[str, Any]:
    """The examples that the run shows; of an older run in the form of today, where previews were files of their own kind."""
    found = optional_json(run, "report/album.json")
    for path in sorted(run.path("report").glob("*.json")) if not found else ():
        found = optional_json(run, f"report/{path.name}")
        for row in found.get("samples") or ():
            row["examples"] = next((value for value in row.values() if isinstance(value, list)), [])
        for row in found.get("explanations") or ():
            row["group"] = row["label"]
    return found


def _fragment(run: Run, source: Mapping[str, Any], says: str) -> str:
    """The preview of an example as HTML; empty where it is missing, or not one of the run.

    Args:
        run: `Run`.
        source: Dictionary, an entry of the album.
        says: String, what the preview shows, for people who cannot see it.
    """
    path = run.path(source["file"]).resolve()
    if not path.is_relative_to(run.folder.resolve()) or not path.is_file():
        return ""
    if path.suffix == ".html":
        return path.read_text(encoding="utf-8").replace(_NO_WORDS, f'alt="{html.escape(says)}"', 1)
    media, size = mimetypes.guess_type(path.name)[0], f'width="{source.get("width")}" height="{source.get("height")}"'
    if media is None:
        return ""
    content = base64.b64encode(path.read_bytes()).decode()
    return f'<img src="data:{media};base64,{content}" alt="{html.escape(says)}" {size} loading="lazy">'
