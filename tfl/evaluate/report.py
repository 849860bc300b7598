"""The report of a run: one JSON document collected from the run folder, and one HTML page made of that. No TensorFlow.

run folder ─▶ collect_report ─▶ report.json ─▶ templates/report.html.j2 ─▶ report.html (one file, opens offline)
"""

from __future__ import annotations

import base64
import shlex
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from tfl.evaluate import charts
from tfl.evaluate.evaluations import evaluation_facts
from tfl.evaluate.gather import (
    block_facts,
    confused_pairs,
    data_facts,
    optional_json,
    percent,
    read_history,
    readable,
    result_facts,
    stage_facts,
    time_facts,
)
from tfl.evaluate.trust import trust_facts
from tfl.fields import as_plain
from tfl.runs import Run
from tfl.storage import finite, write_atomically, write_json

_MEDIA = {".jpg": "image/jpeg", ".png": "image/png"}


def collect_report(run: Run | Path | str) -> dict[str, Any]:
    """Everything the page says, as plain data, read from the files of a run folder.

    Args:
        run: A run, or its folder.

    Returns:
        `recipe`, `manifest`, `result` (the headline), `data`, `blocks`, `stages`, `history`, `metrics`, `confused`, `trust`,
        `evaluations`, `time`, `pictures`. Parts that the run has not reached are empty.

    Raises:
        RunError: The folder holds no run, or a file of it is damaged.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    manifest, metrics = run.manifest, optional_json(run, "metrics.json")
    recipe, history = as_plain(run.recipe), read_history(run)
    with readable(run, "state.json", "manifest.json"):
        stages = stage_facts(recipe, history, run.state, manifest)
    with readable(run, "plans.json", "ledger.json"):
        blocks = block_facts(optional_json(run, "plans.json"), optional_json(run, "ledger.json"))
    with readable(run, "evaluations/"):
        evaluations = evaluation_facts(run)
    with readable(run, "metrics.json", "manifest.json"):
        document = {
            "format": 1,
            "folder": str(run.folder),
            "recipe": recipe,
            "manifest": manifest,
            "result": result_facts(metrics, manifest),
            "data": data_facts(manifest, metrics),
            "blocks": blocks,
            "stages": stages,
            "history": history,
            "metrics": metrics,
            "confused": confused_pairs(metrics.get("test") or {}),
            "trust": trust_facts(metrics),
            "evaluations": evaluations,
            "time": time_facts(metrics, stages),
            "pictures": optional_json(run, "report/pictures.json"),
        }
    return dict(finite(document))  # type: ignore[call-overload]


def write_report(run_folder: Path | str) -> Path:
    """Writes `report.json` and `report.html` into a run folder.

    Returns:
        The page: one file with its pictures, its styles and Plotly inside, that asks the network for nothing.

    Raises:
        RunError: The folder holds no run, or a file of it is damaged.
        StorageError: It cannot be written.
    """
    run = Run.open(run_folder)
    document = collect_report(run)
    with readable(run, "metrics.json", "manifest.json", "history.csv", "plans.json", "report/pictures.json"):
        page = render(
            "report.html.j2",
            report=document,
            figures=_figures(document),
            use=_use(run, document),
            trust=_trust(document["metrics"].get("test") or {}),
            picture=lambda name: _data_uri(run, name),
        )
        write_json(run.path("report.json"), document)
        return write_atomically(run.path("report.html"), page)


def describe_data(
    examples: Any, split: Any, *, findings: Iterable[Any] = (), notes: Iterable[str] = (), fingerprint: str = ""
) -> dict[str, Any]:
    """What `manifest["data"]` says, in the form that the report reads.

    Args:
        examples: The `tfl.data.source.Examples` that are used.
        split: The `tfl.data.split.Split` of them.
        findings: Of the audit: dictionaries with `kind`, `severity`, `files`, `note`.
        notes: Of the split: sentences.
        fingerprint: Of the whole data.
    """
    names = [str(name) for name in examples.class_names]
    labels = np.asarray(examples.labels)
    counts = {
        part: dict(zip(names, np.bincount(labels[np.asarray(getattr(split, part))], minlength=len(names)).tolist(), strict=True))
        for part in ("train", "val", "test")
    }
    return {
        "source": examples.source,
        "note": examples.note,
        "class_names": names,
        "count": len(labels),
        "counts": counts,
        "findings": [dict(finding) for finding in findings],
        "notes": [str(note) for note in notes],
        "fingerprint": fingerprint,
    }


def render(template: str, **values: Any) -> str:
    """A page made of one of the templates, with Plotly inside if it has `figures`. Everything from data is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tfl.evaluate", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, duration=duration, grouped=_grouped, figure=_figure_number)
    return environment.get_template(template).render(plotly=_plotly() if values.get("figures") else "", **values)


def duration(seconds: float | None) -> str:
    """Seconds as a person says them.

    Example:

    >>> duration(4.21), duration(75), duration(7260)
    ('4.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds is None:
        return "–"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _grouped(value: float | None) -> str:
    return "–" if value is None else f"{value:,}"


def _figure_number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _figures(document: dict[str, Any]) -> dict[str, charts.Figure]:
    history, stages, test = document["history"], document["stages"], document["metrics"].get("test") or {}
    also = "val_macro_f1" if document["recipe"]["monitor"]["metric"] == "val_macro_f1" else None
    drawn = {
        "accuracy": charts.curve(history, stages, train="accuracy", validation="val_accuracy", title="accuracy", also=also),
        "loss": charts.curve(history, stages, train="loss", validation="val_loss", title="loss"),
        "confusion": charts.confusion(test),
        "reliability": charts.reliability(test.get("reliability") or ()),
        "calibrated": charts.reliability((document["trust"].get("reliability") or {}).get("after") or ()),
    }
    return {name: figure for name, figure in drawn.items() if figure}


_PYTHON = """from pathlib import Path

import keras
from tfl.data.pipeline import preprocess_bytes

model = keras.saving.load_model({model!r})
class_names = {names}
# the same decoding, size and orientation as in training
pixels = preprocess_bytes(Path("photo.jpg").read_bytes(), ({height}, {width}), {fit})
probabilities = model.predict(pixels[None])[0]
print(class_names[probabilities.argmax()], probabilities.max())
"""
_SERVE = """docker run --rm -p 8501:8501 -v {export}:/models/{name} \\
    -e MODEL_NAME={name} tensorflow/serving &

curl -s http://localhost:8501/v1/models/{name}:predict -d @- <<END
{{"instances": [{{"image_bytes": {{"b64": "$(base64 -w0 photo.jpg)"}}}}]}}
END
"""


def _use(run: Run, document: dict[str, Any]) -> dict[str, Any]:
    """What the page needs to say how the model is used, as text to copy."""
    data, folder = document["recipe"]["data"], shlex.quote(str(run.folder))
    (height, width), export = data["image_size"], run.path("export", "saved_model")
    names = document["manifest"].get("data", {}).get("class_names") or []
    lines = textwrap.wrap(repr(list(map(str, names))), 100, subsequent_indent="    ", break_long_words=False)
    return {
        "has_model": run.path("model.keras").is_file(),
        "has_export": export.is_dir(),
        "recipe": run.recipe.to_json(),
        "command": shlex.join(map(str, document["manifest"].get("command") or [])),
        "predict": f"tfl predict {folder} photo.jpg more_photos/",
        "resume": f"tfl run {folder}/recipe.json --out {folder} --resume",
        "export": f"tfl export {folder} --format saved_model",
        "python": _PYTHON.format(
            model=str(run.path("model.keras")), names="\n".join(lines), height=height, width=width, fit=_fit_arguments(data)
        ),
        "serve": _SERVE.format(export=shlex.quote(str(export.absolute())), name=run.recipe.name),
    }


def _fit_arguments(data: dict[str, Any]) -> str:
    bits = data.get("bits")
    return repr(data["fit"]) + ("" if bits is None else f", bits={bits}")


def _trust(test: dict[str, Any]) -> str:
    """Whether the network is surer than it should be, as a sentence."""
    bins = [row for row in test.get("reliability") or () if row["count"]]
    if not bins:
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


def _data_uri(run: Run, name: str) -> str:
    """A picture of the run as a `data:` address; empty where it is missing, or not a picture of the run."""
    path = run.path(name).resolve()
    media = _MEDIA.get(path.suffix)
    if media is None or not path.is_relative_to(run.folder.resolve()) or not path.is_file():
        return ""
    return f"data:{media};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _plotly() -> str:
    from plotly.offline import get_plotlyjs  # imported here: it takes a third of a second

    return get_plotlyjs().replace("</script", "<\\/script")
