"""A run folder made from nothing but the contracts between the parts: no network, no training, a second."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tfl
from tfl.runs import Run
from tfl.tasks.class_metrics import evaluate_classes

LEAVES = ("healthy", "leaf_scorch", "leaf_spot", "powdery_mildew")
BLOCKS = ("stem", "block_1", "block_2", "block_3", "block_4", "block_5")


def make_recipe(**changes: Any) -> tfl.Recipe:
    parts: dict[str, Any] = {
        "name": "leaves",
        "data": tfl.Sample("strawberry", image_size=(96, 96)),
        "backbone": tfl.Backbone("mini"),
        "stages": (
            tfl.Stage("head", train="head", epochs=12, learning_rate=3e-3),
            tfl.Stage(
                "finetune",
                train=tfl.top_blocks(2),
                epochs=10,
                learning_rate=1e-3,
                layer_decay=0.8,
                schedule="cosine",
                augment=tfl.Augment(flip="both", rotate_deg=20.0),
            ),
        ),
    }
    return tfl.Recipe(**{**parts, **changes})


def predictions(classes: int, count: int, *, seed: int = 0, skill: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.sort(generator.integers(0, classes, count))
    logits = generator.normal(size=(count, classes)) + skill * np.eye(classes)[labels]
    odds = np.exp(1.2 * logits)
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32), labels.astype(np.int32)


def make_run(
    folder: Path, *, class_names: Sequence[str] = LEAVES, whole: bool = True, seed: int = 0, skill: float = 4.0, **changes: Any
) -> Run:
    """A run; with `whole=False`, one that was interrupted before its first epoch ended."""
    run = Run.create(folder, make_recipe(**changes), command=["tfl", "run", "recipes/leaves.py", "--out", str(folder)])
    if not whole:
        run.update_manifest(status="interrupted")
        return run
    classes, count = len(class_names), 40 * len(class_names)
    (probabilities, labels), validation = (
        predictions(classes, count, seed=seed, skill=skill),
        predictions(classes, count, seed=seed + 1),
    )
    seconds = {
        "data": 4.2,
        "features": 11.8,
        "head": 9.0,
        "finetune": 31.5,
        "evaluate": 3.4,
        "report": 1.1,
        "export": 6.0,
        "total": 68.3,
    }
    test = evaluate_classes(probabilities, labels, class_names)
    run.write_json("metrics.json", {"test": test, "validation": evaluate_classes(*validation, class_names), "seconds": seconds})
    run.update_manifest(
        status="done",
        weights={"mini": "sha256:4a1f"},
        data={
            "source": "sample:strawberry",
            "note": "drawn, not photographed",
            "class_names": list(class_names),
            "counts": {
                part: {name: share for name in class_names} for part, share in (("train", 120), ("val", 40), ("test", 40))
            },
            "findings": [
                {"kind": "exact_duplicate", "severity": "warning", "files": ["a/1.jpg", "b/2.jpg"], "note": "kept together"}
            ],
            "notes": ["2 groups of exact duplicates were kept in one split."],
        },
    )
    run.path("model.keras").write_bytes(b"weights")
    _write_plans(run)
    _write_history(run, seed)
    run.update_stage_state(
        "finetune", {"done": True, "notices": ["Training loss fell while validation loss rose since epoch 6."]}
    )
    _write_pictures(run, class_names, probabilities, labels)
    return run


def _write_plans(run: Run) -> None:
    plans, ledger = {}, {}
    for stage, live in (("head", 0), ("finetune", 2)):
        rows = []
        for position, name in enumerate((*BLOCKS, "head")):
            depth = len(BLOCKS) - position
            trains = depth <= live
            multiplier = 0.8**depth if trains else 0.0
            row = {"block": name, "trainable": trains, "multiplier": multiplier, "batchnorm": "inference", "layers": 3}
            rows.append({**row, "parameters": 12_000 * (position + 1), "flops_share": 0.3 / (position + 1)})
        plans[stage] = rows
        ledger[stage] = [{"block": row["block"], "was_to_move": row["trainable"], "moved": row["trainable"]} for row in rows]
    run.write_json("plans.json", plans)
    run.write_json("ledger.json", ledger)


def _write_history(run: Run, seed: int) -> None:
    generator = np.random.default_rng(seed)
    columns = ["stage", "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_macro_f1", "learning_rate", "seconds"]
    with open(run.path("history.csv"), "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(columns)
        for stage, epochs, start, end in (("head", 12, 1.2, 0.45), ("finetune", 10, 0.42, 0.08)):
            for epoch in range(1, epochs + 1):
                loss = end + (start - end) * np.exp(-epoch / 3)
                late = 0.02 * max(0, epoch - 6) if stage == "finetune" else 0.0
                val_loss = loss + 0.08 + late + 0.01 * generator.normal()
                accuracy, val_accuracy = 1 - loss / 2.2, 1 - val_loss / 2.2
                writer.writerow([stage, epoch, loss, accuracy, val_loss, val_accuracy, val_accuracy - 0.01, 1e-3, 1.7])


def _write_pictures(run: Run, class_names: Sequence[str], probabilities: np.ndarray, labels: np.ndarray) -> None:
    generator = np.random.default_rng(0)

    def thumb(stem: str) -> dict[str, Any]:
        run.path("report").mkdir(exist_ok=True)
        pixels = generator.integers(0, 255, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((120, 96)).save(run.path("report", f"{stem}.jpg"))
        return {"file": f"report/{stem}.jpg", "width": 120, "height": 96, "index": 0, "name": f"folder/{stem}.jpg"}

    def verdict(row: int) -> dict[str, Any]:
        best = int(probabilities[row].argmax())
        said = {"predicted": class_names[best], "probability": float(probabilities[row, best])}
        return {"label": class_names[labels[row]], **said, "probability_of_label": float(probabilities[row, labels[row]])}

    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)[:5]
    document = {
        "format": 1,
        "samples": [
            {"class": name, "pictures": [thumb(f"sample-{at}-{n}") for n in range(6)]} for at, name in enumerate(class_names)
        ],
        "mistakes": [{**thumb(f"wrong-{row}"), **verdict(int(row))} for row in wrong],
        "explanations": [
            {**thumb(f"seen-{row}"), "overlay": thumb(f"cam-{row}")["file"], **verdict(row)}
            for row in range(0, len(labels), max(1, len(labels) // (2 * len(class_names))))
        ],
        "feature_layer": "block_5",
        "feature_map": [6, 6],
    }
    run.write_json("report/pictures.json", document)


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[..., Run]:
    """Makes a synthetic run in a folder of its own: `new_run("name", class_names=…)`."""
    return lambda name="run", **options: make_run(tmp_path / name, **options)
