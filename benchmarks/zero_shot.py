"""Classes without a training image, named by their attributes, and then with a few labels, next to simpler rules.

Run       KERAS_HOME=<folder with ImageNet weights> TFL_TEST_DATA=<folder with fashion_mnist/> python benchmarks/zero_shot.py
              --json [--sets animals clothes] [--seeds 10] [--kept FILE]
Sets      animals  `sample:animals`, fourteen drawn kinds with nine attributes, through `mini` at 96 px; four kinds are unseen
          clothes  Fashion-MNIST, 100 images of each of its ten classes from its test part, with a table of ten attributes written
                   by hand (`CLOTHES`), through MobileNet alpha 0.75 at 96 px; two classes are unseen, drawn by the seed
Split     by seed: which classes are unseen; of each seen class 60% of the images to train, 20% to validate, 20% to test
Sides     dap, eszsl  the two methods alone; auto, the one that held-out seen classes choose, as `tfl.ZeroShot` does
          conse       the mean of the attributes of the seen classes, weighted by the probabilities of a logistic probe, and the
                      unseen class whose attributes have the highest cosine with it (Norouzi et al. 2014)
          chance      one over the number of unseen classes
          N labels    of each unseen class: `auto` with them (Tip-Adapter), and a logistic probe on them alone
Counted   mean accuracy over the unseen classes, among these; for `auto` also among all, with and without the constant that seen
          classes pay
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harness import document, figure, interval, keep, kept_rows, print_document
from stage_times import quietly

EACH, LABELS = 100, (1, 2, 4)
CLOTHES: dict[str, tuple[str, ...]] = {
    "T-shirt": ("worn_above", "short_sleeves"),
    "Trouser": ("worn_below", "long"),
    "Pullover": ("worn_above", "long_sleeves", "warm"),
    "Dress": ("worn_above", "worn_below", "short_sleeves", "long"),
    "Coat": ("worn_above", "long_sleeves", "opens_in_front", "warm", "long"),
    "Sandal": ("footwear", "open_gaps"),
    "Shirt": ("worn_above", "long_sleeves", "opens_in_front"),
    "Sneaker": ("footwear",),
    "Bag": ("handle",),
    "Boot": ("footwear", "high", "warm"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the document, not a table")
    parser.add_argument("--photos", type=Path, default=os.environ.get("TFL_TEST_DATA"), help="the folder with fashion_mnist/")
    parser.add_argument("--sets", nargs="*", choices=list(SETS), help="some of the sets alone")
    parser.add_argument("--seeds", type=int, default=10, help="how many draws of unseen classes (default 10)")
    parser.add_argument("--limit", type=int, default=EACH, help="images of each class of clothes (default 100)")
    parser.add_argument("--kept", type=Path, help="a file that keeps results, from which a killed benchmark goes on")
    options = parser.parse_args()
    rows = kept_rows(options.kept)
    sets = options.sets or [name for name in SETS if name != "clothes" or options.photos is not None]
    with quietly(), tempfile.TemporaryDirectory() as scratch:
        for name in sets:
            done = {row["seed"] for row in rows if row["set"] == name}
            if wanted := [seed for seed in range(options.seeds) if seed not in done]:
                features, labels, table, unseen = SETS[name](Path(scratch), options)
                for seed in wanted:
                    rows.append({"set": name, "seed": seed, **measure(features, labels, table, unseen, seed)})
                    keep(options.kept, rows[-1])
    print_document(document("zero_shot", figures_of(rows), rows), as_json=options.json)


def animals(folder: Path, options: argparse.Namespace) -> tuple[Any, Any, Any, int]:
    """Features, labels, table, and how many classes are unseen."""
    import tfl
    from tfl.modalities.image.animals import ANIMALS
    from tfl.zero_shot.classes import attributes_of

    index = tfl.embed("mini", "sample:animals", folder / "animals.npy", settings={"data.image_size": (96, 96)})
    return (*_rows(index, tuple(ANIMALS)), attributes_of(ANIMALS), 4)


def clothes(folder: Path, options: argparse.Namespace) -> tuple[Any, Any, Any, int]:
    """As `animals`."""
    import tfl
    from tfl.modalities.image.arrays import read_idx
    from tfl.zero_shot.classes import attributes_of

    found = read_idx(options.photos / "fashion_mnist")
    images, labels = found["arrays"], np.asarray(found["labels"])
    test = np.flatnonzero(found["splits"] == "test")
    some = np.concatenate([test[labels[test] == name][: options.limit] for name in range(len(CLOTHES))])
    np.savez(folder / "clothes.npz", x=images[some], y=labels[some], class_names=np.array(tuple(CLOTHES)))
    settings = {"data.image_size": (96, 96), "backbone.arguments": {"alpha": 0.75}}
    index = tfl.embed("MobileNet", folder / "clothes.npz", folder / "clothes.npy", settings=settings)
    return (*_rows(index, tuple(CLOTHES)), attributes_of(CLOTHES), 2)


SETS = {"animals": animals, "clothes": clothes}


def _rows(index: Any, names: tuple[str, ...]) -> tuple[Any, Any]:
    return np.asarray(index.vectors(), np.float64), np.array([names.index(name) for name in index.rows.labels])


def measure(features: Any, labels: Any, table: Any, unseen: int, seed: int) -> dict[str, Any]:
    """The accuracies of one draw of unseen classes."""
    import tfl
    from tfl.zero_shot.few import chosen_cache
    from tfl.zero_shot.fit import evaluate_head, fit_head, per_class_accuracy

    draw = np.random.default_rng(seed)
    order = draw.permutation(len(table.class_names))
    new, seen = np.sort(order[:unseen]), np.sort(order[unseen:])
    names = [table.class_names[at] for at in seen]
    parts: dict[str, list[Any]] = {"train": [], "val": [], "test": []}
    for at in seen:
        rows = draw.permutation(np.flatnonzero(labels == at))
        for name, some in zip(parts, np.split(rows, [int(0.6 * len(rows)), int(0.8 * len(rows))]), strict=True):
            parts[name].append(some)
    places = np.full(len(table.class_names), -1)
    places[seen], places[new] = np.arange(len(seen)), np.arange(unseen)
    split = {name: (features[rows := np.concatenate(some)], places[labels[rows]]) for name, some in parts.items()}
    held = np.isin(labels, new)
    few, rest = _few(np.flatnonzero(held), labels, draw)
    unseen_names = [table.class_names[at] for at in new]
    row: dict[str, Any] = {"unseen": unseen_names, "chance": 1 / unseen}
    for method in ("dap", "eszsl", "auto"):
        settings = tfl.ZeroShot("table", method=method)
        head, about = fit_head(*split["train"], split["val"], names, table, settings=settings, seed=seed)
        found = evaluate_head(head, split["test"], (features[rest], places[labels[rest]]), unseen_names, seed=seed)
        row[method] = found["accuracy"]
    row |= {"method": about["method"], "generalised": found["generalised"], "uncalibrated": found["uncalibrated"]}
    row["conse"] = per_class_accuracy(_conse(split["train"], features[rest], table, seen, new), places[labels[rest]])
    described = dataclasses.replace(table, class_names=tuple(unseen_names), values=table.values[new])
    plain = head.logits(features[rest], described)
    for count, chosen in few.items():
        keys, own = head.standardised(features[chosen]), places[labels[chosen]]
        cache = chosen_cache(keys, own, head.logits(features[chosen], described))
        answered = cache.logits(head.standardised(features[rest]), plain).argmax(axis=1)
        row[f"{count} labels, with attributes"] = per_class_accuracy(answered, places[labels[rest]])
        probed = _probe(head.standardised(features[chosen]), own).predict(head.standardised(features[rest]))
        row[f"{count} labels, probe"] = per_class_accuracy(probed, places[labels[rest]])
    return row


def _few(rows: Any, labels: Any, draw: np.random.Generator) -> tuple[dict[int, Any], Any]:
    """Some examples of each unseen class by their number, the fewer among the more, and the others, which are measured on."""
    by_class = [draw.permutation(rows[labels[rows] == at]) for at in np.unique(labels[rows])]
    few = {count: np.concatenate([one[:count] for one in by_class]) for count in LABELS}
    return few, np.concatenate([one[max(LABELS) :] for one in by_class])


def _conse(train: Any, features: Any, table: Any, seen: Any, new: Any) -> Any:
    """The answers of ConSE, places among the unseen classes."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train[0])
    shares = _probe(scaler.transform(train[0]), train[1]).predict_proba(scaler.transform(features))
    meant, wanted = shares @ table.values[seen], table.values[new]
    lengths = [np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-12) for one in (meant, wanted)]
    return ((meant / lengths[0]) @ (wanted / lengths[1]).T).argmax(axis=1)


def _probe(features: Any, labels: Any) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.1, max_iter=2000).fit(features, labels)


def figures_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the draws, with their intervals."""
    figures = []
    for name in dict.fromkeys(row["set"] for row in rows):
        own = [row for row in rows if row["set"] == name]
        sides = ("chance", "conse", "dap", "eszsl", "auto")
        for side in (*sides, *(f"{count} labels, {what}" for count in LABELS for what in ("with attributes", "probe"))):
            figures.append(_mean(f"{name}: {side}", [row[side] for row in own]))
        for key in ("uncalibrated", "generalised"):
            for part in ("seen", "unseen", "harmonic"):
                figures.append(_mean(f"{name}: auto, {key}, {part}", [row[key][part] for row in own]))
    return figures


def _mean(name: str, values: list[float]) -> dict[str, Any]:
    between = interval(values) if len(values) > 1 else None
    return figure(name, statistics.mean(values), "accuracy", between=between)


if __name__ == "__main__":
    main()
