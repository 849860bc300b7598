"""Which score of the head's features tells photos of another kind apart? Nearest neighbours beside the Mahalanobis distance.

Run       TFL_TEST_DATA=<folder of flowers/ and strawberry/> KERAS_HOME=<folder of weights> python
          benchmarks/out_of_distribution.py --json
Sets      photos of flowers (five classes) and of strawberry leaves (two classes), `--limit` of each class; each split into 60% to
          train, 20% to validate, 20% to test. Far: one set is known, all photos of the other are unfamiliar, and the reverse.
          Near: four of the flowers are known and all photos of the fifth are unfamiliar, each of the five in turn
Features  what the head reads (`head_pool`) of mini at 96 px and of MobileNet (alpha 0.75) at 224 px, the backbones as they come:
          those of a head that is trained on frozen blocks
Scores    nearest: one minus the cosine to the k-th nearest of 500 training photos (Sun et al. 2022), as tfl has it with k = 1,
          and 5, 20, and with 200 photos or all; Mahalanobis: the distance to the nearest class mean under one covariance of all
          classes (Lee et al. 2018), shrunk as Ledoit and Wolf 2004
Figures   AUROC of unfamiliar photos against the test photos of the known set; found: the share of the unfamiliar ones above the
          threshold, which lets 95% or 99% of the validation photos through; called: the share of the known test photos above it.
          Means over seeds of the split, and over the five flowers
Trained   --trained also runs tfl whole, with mini at 96 px: the head, then the three blocks below it, on all flowers and on four
          of them, and asks the confidence that the run kept about the strawberry leaves and about the fifth flower
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness import document, figure, print_document

BACKBONES = {"mini": ("mini", {}, 96), "MobileNet": ("MobileNet", {"alpha": 0.75}, 224)}
SETS = ("flowers", "strawberry")
FLOWERS = ("daisy", "dandelion", "rose", "sunflower", "tulip")
SHARES = (0.95, 0.99)
SHIPPED = "nearest"


def main() -> None:
    options = parse()
    rows: list[dict[str, Any]] = []
    for backbone in options.backbones:
        sets = {name: features_of(options, backbone, name) for name in SETS}
        for seed in range(options.seeds):
            for about, known, labels, unknown in cases(sets):
                found = measure(known, labels, unknown, seed)
                rows += [{"backbone": backbone, **about, "seed": seed, **row} for row in found]
            print(backbone, "seed", seed, file=sys.stderr, flush=True)
    if options.trained:
        rows += [row for left_out in (None, *FLOWERS) for row in trained(options, left_out)]
    print_document(document("out_of_distribution", figures_of(rows), rows), as_json=options.json)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the document, not a table")
    parser.add_argument("--photos", type=Path, default=os.environ.get("TFL_TEST_DATA"), help="the folder of the sets")
    parser.add_argument("--limit", type=int, default=200, help="so many photos of each class (default 200)")
    parser.add_argument("--seeds", type=int, default=3, help="how many splits (default 3)")
    parser.add_argument("--trained", action="store_true", help="also train on flowers, some minutes")
    parser.add_argument("--backbones", nargs="*", choices=list(BACKBONES), default=list(BACKBONES))
    options = parser.parse_args()
    if options.photos is None:
        parser.error("name the folder of the photos: --photos, or TFL_TEST_DATA")
    return options


def features_of(options: argparse.Namespace, backbone: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """`head_pool` of `--limit` photos of each class, and their labels; computed once, whatever the seeds."""
    import keras

    import tfl
    from tfl.data.pipeline import make_dataset
    from tfl.data.source import load_source
    from tfl.evaluate.explain import tensor_of
    from tfl.modalities.base import modality_of_data
    from tfl.model.assemble import assemble

    network, arguments, side = BACKBONES[backbone]
    data = tfl.Data(str(Path(options.photos) / name), image_size=(side, side), per_class=options.limit)
    examples = load_source(data, seed=0)
    recipe = tfl.Recipe(name="out_of_distribution", data=data, backbone=tfl.Backbone(network, arguments=arguments))
    model = assemble(recipe, examples.class_names).model
    inner = keras.Model(model.input, tensor_of(model, "head_pool"))
    dataset = make_dataset(examples, np.arange(len(examples)), modality=modality_of_data(data), batch_size=64)
    return inner.predict(dataset, verbose=0), np.asarray(examples.labels)


def cases(sets: dict[str, tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray]]:
    """What is known and what is not: (what it is called, known features, their labels, unfamiliar features)."""
    for name, other in (SETS, SETS[::-1]):
        yield {"case": f"{other} unfamiliar to {name}"}, *sets[name], sets[other][0]
    features, labels = sets["flowers"]
    for left_out in np.unique(labels):
        inside = labels != left_out
        about = {"case": "a flower unfamiliar to the other four", "left_out": int(left_out)}
        yield about, features[inside], labels[inside], features[~inside]


def measure(features: np.ndarray, labels: np.ndarray, others: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """Every score on one split of the known photos."""
    from sklearn.metrics import roc_auc_score

    from tfl.evaluate.out_of_distribution import score_threshold

    order = np.random.default_rng(seed).permutation(len(features))
    train, val, test = np.split(order, [int(0.6 * len(order)), int(0.8 * len(order))])
    rows = []
    for name, score in scores(features[train], labels[train]).items():
        known, unknown = score(features[test]), score(others)
        truth = np.r_[np.zeros(len(known)), np.ones(len(unknown))]
        row: dict[str, Any] = {"score": name, "auroc": float(roc_auc_score(truth, np.r_[known, unknown]))}
        for share in SHARES:
            threshold, _ = score_threshold(score(features[val]), share=share)
            row[f"found at {share}"] = float((unknown > threshold).mean())
            row[f"called at {share}"] = float((known > threshold).mean())
        rows.append(row)
    return rows


def scores(features: np.ndarray, labels: np.ndarray) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """The scores fitted on training features, each from features to `(n,)`, larger where less familiar."""
    from tfl.evaluate.out_of_distribution import BANK, NEAREST, make_bank, out_of_distribution_scores

    banks = {rows: make_bank(features[:rows]) for rows in (BANK, 200, len(features))}
    kinds = {
        SHIPPED: (BANK, NEAREST),
        "nearest, k=5": (BANK, 5),
        "nearest, k=20": (BANK, 20),
        "nearest of 200": (200, NEAREST),
        "nearest of all": (len(features), NEAREST),
    }
    made: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        name: lambda rows, bank=banks[size], nearest=nearest: out_of_distribution_scores(rows, bank, nearest=nearest)
        for name, (size, nearest) in kinds.items()
    }
    return {**made, "Mahalanobis": mahalanobis(features, labels)}


def mahalanobis(features: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The distance to the nearest class mean, under the covariance that all classes share (Lee et al. 2018)."""
    from sklearn.covariance import LedoitWolf

    means = np.stack([features[labels == label].mean(axis=0) for label in np.unique(labels)])
    precision = LedoitWolf(assume_centered=True).fit(features - means[np.searchsorted(np.unique(labels), labels)]).precision_
    root = np.linalg.cholesky(precision)

    def score(rows: np.ndarray) -> np.ndarray:
        away = (rows @ root)[:, None] - (means @ root)[None]
        return np.sqrt((away**2).sum(axis=-1).min(axis=-1))

    return score


def trained(options: argparse.Namespace, left_out: str | None) -> Iterator[dict[str, Any]]:
    """What the confidence of a whole run says of its test photos, and of photos of another kind."""
    import dataclasses

    from rich.console import Console
    from sklearn.metrics import roc_auc_score

    import tfl
    from tfl.data.source import load_source
    from tfl.evaluate.confidence import Confidence
    from tfl.evaluate.predictor import SplitPredictor
    from tfl.job import prepare_data, run_recipe
    from tfl.serve.predictor import load_run_model

    flowers = str(Path(options.photos) / "flowers")
    data = tfl.Data(
        flowers, image_size=(96, 96), per_class=options.limit, labels=tuple(name for name in FLOWERS if name != left_out)
    )
    stages = (
        tfl.Stage("head", epochs=15, learning_rate=3e-3),
        tfl.Stage("blocks", train=tfl.top_blocks(3), epochs=10, augment=tfl.Augment(flip="horizontal")),
    )
    recipe = tfl.Recipe(name="flowers", data=data, backbone=tfl.Backbone("mini"), stages=stages, export=())
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(sys.stderr):
        run = run_recipe(recipe, out=Path(scratch) / "run", console=Console(stderr=True))
        confidence, predictor = Confidence.load(run.folder), SplitPredictor(load_run_model(run))
        bundle, _ = prepare_data(recipe, Console(quiet=True))
        known = predictor.predict(bundle, bundle.indices("test"))
        accuracy = float((known.logits.argmax(axis=1) == bundle.labels("test")).mean())
        source = str(Path(options.photos) / "strawberry") if left_out is None else flowers
        others = load_source(dataclasses.replace(data, source=source, labels=None), seed=0)
        if left_out is not None:
            others = others.take(np.flatnonzero(others.labels == others.class_names.index(left_out)))
        unknown = predictor.predict(dataclasses.replace(bundle, examples=others, pixels=None), np.arange(len(others)))
    scores = [confidence.answer(outputs.logits, outputs.features) for outputs in (known, unknown)]
    truth = np.r_[np.zeros(len(known.logits)), np.ones(len(unknown.logits))]
    case = "strawberry unfamiliar to flowers" if left_out is None else "a flower unfamiliar to the other four"
    row: dict[str, Any] = {"backbone": "trained mini", "case": case, "left_out": left_out, "score": SHIPPED, "accuracy": accuracy}
    row["auroc"] = float(roc_auc_score(truth, np.concatenate([answer["out_of_distribution_score"] for answer in scores])))
    for word, answer in zip(("called", "found"), scores, strict=True):
        row[f"{word} at 0.99"] = float(answer["is_out_of_distribution"].mean())
    print(row, file=sys.stderr, flush=True)
    yield row


def figures_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the seeds."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[f"{row['backbone']}, {row['case']}: {row['score']}"].append(row)
    measures = ["accuracy", "auroc", *(f"{word} at {share}" for share in SHARES for word in ("found", "called"))]
    return [
        figure(f"{name}, {measure_}", float(np.mean([row[measure_] for row in group])), "share")
        for name, group in groups.items()
        for measure_ in measures
        if measure_ in group[0]
    ]


if __name__ == "__main__":
    main()
