"""The recipe of `tfl new` next to what a careful person would write by hand, on small sets of photos, clothes, digits, cells,
sounds and sentences.

Run       KERAS_HOME=<folder with ImageNet weights> TFL_TEST_DATA=<folder with flowers/, strawberry/, fashion_mnist/,
              spoken_digits/, blood_cells/, sst2/> [TFL_TEST_TEXT=<folder of a BERT preset>] python benchmarks/best_answer.py
              --json [--only TASK ...] [--sides SIDE ...] [--seeds 3] [--minutes 2] [--kept FILE]
Tasks     see `TASKS`: 2 to 10 classes, 5 to 500 examples of each, two of them 1:20; others of the same classes are tested
Networks  the same for all sides: MobileNet alpha 0.75 with ImageNet weights, at 160 px for photos and at 96 px for others; the
          preset for texts
Sides     auto      the recipe that `tfl new` writes, with this network and size
          probe     scikit-learn's logistic regression on the standardised, pooled last block, C by 5-fold cross-validation
          blocks    the same on five blocks of the upper half side by side, which `tfl.Auto` begins with; shown, no rival
          guide     the Keras guide on transfer learning: a new head for 20 epochs at 1e-3, then the whole network for 10 at 1e-5,
                    BatchNorm in inference mode
          lp_ft     the probe as the head, then the whole network for 10 epochs at 1e-4, BatchNorm in inference mode
          tf_idf    for sentences: scikit-learn's TfidfVectorizer of words and pairs, and logistic regression, C as above
          `guide` and `lp_ft` hold a fifth back and keep the epoch that does best on it; the others train on everything
Accuracy  the mean over classes of the share that is right (balanced accuracy), since tests hold as many of each class
Time      of `auto`: the whole of `tfl run`, beside one forward pass of the network over the task's examples in the same process
Minutes   of `Auto`; on a machine that shares its cores with other jobs more than the 2 that `tfl new` writes come to the same
Kept      --kept FILE keeps each result as a line of JSON, and goes on from there
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner
from harness import document, figure, interval, keep, kept_rows, print_document
from stage_times import quietly

import tfl

MOBILENET = tfl.Backbone("MobileNet", arguments={"alpha": 0.75})
SIDES = ("auto", "probe", "blocks", "guide", "lp_ft", "tf_idf")
RATES = tuple(10.0**power for power in np.arange(-5, 2.5, 0.5))


@dataclasses.dataclass(frozen=True)
class Task:
    """Some examples of some classes of a data set.

    Args:
        source: The folder.
        counts: Examples of each class to learn from, in the order of the classes; one number for all.
        tested: Examples of each class to test on, at most.
        classes: Names; empty for all.
        size: Pixels.
    """

    source: str
    counts: int | tuple[int, ...]
    tested: int
    classes: tuple[str, ...] = ()
    size: int = 96


TASKS = {
    "flowers 5": Task("flowers", 5, 100, size=160),
    "flowers 20": Task("flowers", 20, 100, size=160),
    "flowers 100": Task("flowers", 100, 100, size=160),
    "roses and tulips 10": Task("flowers", 10, 200, ("rose", "tulip"), 160),
    "roses and tulips 200:10": Task("flowers", (200, 10), 200, ("rose", "tulip"), 160),
    "strawberry 10": Task("strawberry", 10, 200, size=160),
    "strawberry 100": Task("strawberry", 100, 200, size=160),
    "clothes 5": Task("fashion_mnist", 5, 60),
    "clothes 50": Task("fashion_mnist", 50, 60),
    "clothes 500": Task("fashion_mnist", 500, 60),
    "cells 30": Task("blood_cells", 30, 150),
    "digits 10": Task("digits", 10, 60),
    "spoken digits 5": Task("spoken_digits", 5, 30),
    "spoken digits 20": Task("spoken_digits", 20, 30),
    "spoken digits 200": Task("spoken_digits", 200, 30),
    "sentences 25": Task("sst2", 25, 400),
    "sentences 250": Task("sst2", 250, 400),
    "sentences 500:25": Task("sst2", (500, 25), 400),
}


def cells_of(task: Task, folder: Path) -> dict[str, tuple[list[str], list[str]]]:
    """By class: what can be learnt from, and what the source itself keeps for the test; paths, or texts."""
    root = Path(os.environ["TFL_TEST_DATA"])
    found: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    if task.source == "sst2":
        for split in ("train", "test"):
            for line in (root / task.source / f"{split}.tsv").read_text().splitlines():
                text, label = line.split("\t")
                found[f"class {label}"][split == "test"].append(text)
        return found
    base = root / task.source
    if task.source in ("digits", "fashion_mnist"):
        base = _as_files(task.source, root, folder)
    elif task.source == "blood_cells":
        base = _cut_out(root / task.source, folder)
    for file in sorted(base.rglob("*")):
        if file.suffix.lower() in (".jpg", ".jpeg", ".png", ".wav"):
            spoken = task.source == "spoken_digits"
            label = f"digit {file.name[0]}" if spoken else file.parent.name
            if not task.classes or label in task.classes:
                found[label][spoken and "test" in file.parts].append(str(file))
    return found


def _as_files(source: str, root: Path, folder: Path) -> Path:
    from PIL import Image

    from tfl.data.source import load_source

    base = folder / source
    if not base.exists():
        loaded: Any = load_source(tfl.Data("sample:digits" if source == "digits" else str(root / source), image_size=(32, 32)))
        for index, label in enumerate(loaded.labels):
            file = base / loaded.class_names[label].replace("/", "_") / f"{index:05}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.squeeze(loaded.arrays[index])).save(file)
    return base


def _cut_out(source: Path, folder: Path) -> Path:
    """Each cell of the microscope pictures by itself; of the many red ones every eighth."""
    from xml.etree import ElementTree

    from PIL import Image

    base = folder / source.name
    pictures = {file.stem: file for file in source.rglob("*.jpg")}
    for file in [] if base.exists() else sorted(source.rglob("*.xml")):
        if file.stem not in pictures:
            continue
        picture = Image.open(pictures[file.stem]).convert("RGB")
        for number, box in enumerate(ElementTree.parse(file).getroot().iter("object")):
            name = str(box.findtext("name"))
            edges = [int(float(box.findtext(f"bndbox/{edge}", "0"))) for edge in ("xmin", "ymin", "xmax", "ymax")]
            if (name != "RBC" or number % 8 == 0) and min(edges[2] - edges[0], edges[3] - edges[1]) >= 12:
                (base / name).mkdir(parents=True, exist_ok=True)
                picture.crop(tuple(edges)).save(base / name / f"{file.stem}_{number}.png")
    return base


def table_of(name: str, seed: int, folder: Path) -> Path:
    """A table with the drawn examples, to learn from and to test on; written once."""
    file = folder / f"{''.join(letter if letter.isalnum() else '_' for letter in name)}_{seed}.csv"
    if not file.exists():
        _write_table(file, name, folder=folder, seed=seed)
    return file


def _write_table(file: Path, name: str, *, folder: Path, seed: int) -> None:
    task, rng = TASKS[name], np.random.default_rng(seed)
    with open(file, "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["text" if task.source == "sst2" else "path", "label", "split"])
        for at, (label, (known, kept)) in enumerate(sorted(cells_of(task, folder).items())):
            count = task.counts if isinstance(task.counts, int) else task.counts[at]
            known = [known[place] for place in rng.permutation(len(known))]
            tested = [kept[place] for place in rng.permutation(len(kept))] if kept else known[count:]
            writer.writerows([cell, label, "train"] for cell in known[:count])
            writer.writerows([cell, label, "test"] for cell in tested[: task.tested])


def recipe_of(table: Path, name: str, seed: int) -> tfl.Recipe:
    """What `tfl new` writes for the table, with this benchmark's network and size."""
    from tfl.cli.main import cli

    (table.parent / f"{table.stem}.py").unlink(missing_ok=True)
    task = TASKS[name]
    options = ["--backbone", os.environ["TFL_TEST_TEXT"] if task.source == "sst2" else "mini"]
    before = os.getcwd()
    with quietly():
        os.chdir(table.parent)
        try:
            result = CliRunner().invoke(cli, ["new", table.stem, "--data", str(table), *options])
        finally:
            os.chdir(before)
    if result.exit_code:
        raise SystemExit(result.output + result.stderr)
    recipe = dataclasses.replace(tfl.load_recipe(table.parent / f"{table.stem}.py"), seed=seed, export=())
    if task.source != "sst2":
        recipe = dataclasses.replace(recipe, backbone=MOBILENET)
        recipe = recipe.override("data.image_size", (task.size, task.size))
    return recipe


def run_auto(recipe: tfl.Recipe, folder: Path) -> float:
    """`tfl run`."""
    with quietly():
        run = tfl.run(recipe, tempfile.mkdtemp(dir=folder))
    return statistics.mean(row["recall"] for row in run.metrics["test"]["per_class"].values())


class ByHand:
    """The rivals on one task, which share its decoded data and its features."""

    def __init__(self, recipe: tfl.Recipe) -> None:
        from rich.console import Console

        from tfl.modalities.base import settled
        from tfl.model.assemble import assemble_for
        from tfl.prepare import prepare

        prepared = prepare(settled(dataclasses.replace(recipe, head=tfl.Head(dropout=0.2))), Console(quiet=True))
        self.recipe, self.bundle = prepared.recipe, prepared.bundle
        self.network = assemble_for(self.recipe, self.bundle)
        self.labels = np.asarray(self.bundle.examples.labels)
        self.known = np.concatenate([self.bundle.indices("train"), self.bundle.indices("val")])

    def forward_pass(self) -> float:
        """Seconds of one forward pass over all examples, decoding and tracing included."""
        began = time.perf_counter()
        self.network.model.predict(self.bundle.dataset(np.arange(len(self.labels)), batch_size=32), verbose=0)
        return time.perf_counter() - began

    def probe(self) -> float:
        """scikit-learn's probe on the last block."""
        return self._probed(self.network)

    def blocks(self) -> float:
        """scikit-learn's probe on several blocks."""
        from tfl.advice.probe_candidates import SPREAD

        names = [block.name for block in self.network.blocks]
        taps = tuple(dict.fromkeys(names[max(len(names) - down, 0)] for down in sorted(SPREAD, reverse=True)))
        return self.tapped(taps)

    def tapped(self, taps: Sequence[str], *, balanced: bool = False) -> float:
        """scikit-learn's probe on these blocks; on the last one where there are none."""
        from tfl.model.assemble import assemble_for

        head = dataclasses.replace(self.recipe.head, taps=tuple(taps), start="random", hidden=())
        recipe = dataclasses.replace(self.recipe, head=head, stages=(tfl.Stage("head"),))
        return self._probed(assemble_for(recipe, self.bundle), balanced=balanced)

    def guide(self) -> float:
        """The Keras guide. The frozen network is run once, not in every epoch: nothing below the head changes."""
        return self._score(self._fit(epochs=10, rate=1e-5, best=self._fit_head(epochs=20, rate=1e-3))[1])

    def lp_ft(self) -> float:
        """The probe, then the whole network."""
        self.start_from_probe(self.bundle.indices("train"))
        return self._score(self._fit(epochs=10, rate=1e-4)[1])

    def start_from_probe(self, rows: Any) -> None:
        """Sets the head to the probe of these examples."""
        scaler, regression = self._regression(self._vectors(self.network), rows)
        kernel, bias = regression.coef_.T, regression.intercept_
        if kernel.shape[1] == 1:
            kernel, bias = np.concatenate([-kernel, kernel], axis=1) / 2, np.array([-1, 1]) * bias / 2
        kernel = kernel / scaler.scale_[:, None]
        self.network.model.get_layer("logits").set_weights([kernel, bias - scaler.mean_ @ kernel])

    def tf_idf(self) -> float:
        """Words and pairs of words."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        texts = np.array([self.bundle.examples.bytes_of(index).decode() for index in range(len(self.labels))], dtype=object)
        from sklearn.linear_model import LogisticRegressionCV
        from sklearn.pipeline import make_pipeline

        words = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegressionCV(Cs=np.logspace(-2, 4, 13), cv=5)
        )
        words.fit(texts[self.known], self.labels[self.known])
        return self._score(words.predict(texts[self.bundle.indices("test")]))

    def _score(self, predicted: Any) -> float:
        from sklearn.metrics import balanced_accuracy_score

        return float(balanced_accuracy_score(self.labels[self.bundle.indices("test")], predicted))

    def _probed(self, network: Any, *, balanced: bool = False) -> float:
        vectors, test = self._vectors(network), self.bundle.indices("test")
        return self._score(self._regression(vectors, self.known, balanced=balanced).predict(vectors[test]))

    def _vectors(self, network: Any) -> Any:
        from tfl.features.pooled import head_inputs

        every = np.arange(len(self.labels))
        return head_inputs(network, self.bundle, every, pooling=self.recipe.head.pooling, features=self.recipe.features)

    def _regression(self, vectors: Any, rows: Any, *, balanced: bool = False) -> Any:
        from sklearn.linear_model import LogisticRegressionCV
        from sklearn.model_selection import StratifiedKFold
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        folds = StratifiedKFold(max(2, min(5, np.bincount(self.labels[rows]).min())), shuffle=True, random_state=0)
        weight = "balanced" if balanced else None
        probe = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=RATES, cv=folds, max_iter=300, class_weight=weight))
        return probe.fit(vectors[rows], self.labels[rows])

    def _fit_head(self, *, epochs: int, rate: float) -> Any:
        """The best validation accuracy of a new head on the frozen network, and its answers for the test examples."""
        import keras

        vectors, targets, logits = self._vectors(self.network), self.bundle.targets, self.network.model.get_layer("logits")
        inputs = keras.Input(vectors.shape[1:])
        head = keras.Model(inputs, keras.layers.Activation("softmax")(logits(keras.layers.Dropout(0.2)(inputs))))
        head.compile(keras.optimizers.Adam(rate), loss="categorical_crossentropy", metrics=["accuracy"])
        rows = {part: self.bundle.indices(part) for part in ("train", "val", "test")}
        best: Any = (-1.0, None)
        for _ in range(epochs):
            head.fit(vectors[rows["train"]], targets[rows["train"]], batch_size=32, verbose=0)
            found = head.evaluate(vectors[rows["val"]], targets[rows["val"]], verbose=0)[1]
            if found >= best[0]:
                best = (found, head.predict(vectors[rows["test"]], verbose=0).argmax(axis=1))
        return best

    def _fit(self, *, epochs: int, rate: float, best: Any = None) -> Any:
        """The best validation accuracy so far, and what the network of that epoch answers for the test examples."""
        import keras

        model = self.network.model
        for layer in model.layers:
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
        model.compile(keras.optimizers.Adam(rate), loss="categorical_crossentropy", metrics=["accuracy"])
        parts = {part: self.bundle.dataset(self.bundle.indices(part), batch_size=32) for part in ("val", "test")}
        best = best or (model.evaluate(parts["val"], verbose=0)[1], model.predict(parts["test"], verbose=0).argmax(axis=1))
        for epoch in range(1, epochs + 1):
            train = self.bundle.dataset(self.bundle.indices("train"), batch_size=32, shuffle_seed=self.bundle.seed, epoch=epoch)
            model.fit(train, verbose=0)
            found = model.evaluate(parts["val"], verbose=0)[1]
            if found >= best[0]:
                best = (found, model.predict(parts["test"], verbose=0).argmax(axis=1))
        return best


def measure(name: str, seed: int, side: str, folder: Path, *, minutes: float = 2.0) -> dict[str, Any]:
    """The accuracy of one side on one task, and the seconds it took."""
    recipe, began = recipe_of(table_of(name, seed, folder), name, seed), time.perf_counter()
    if isinstance(recipe.stages, tfl.Auto):
        recipe = dataclasses.replace(recipe, stages=dataclasses.replace(recipe.stages, minutes=minutes))
    accuracy = run_auto(recipe, folder) if side == "auto" else getattr(ByHand(recipe), side)()
    row = {"task": name, "seed": seed, "side": side, "accuracy": accuracy, "seconds": time.perf_counter() - began}
    return {**row, "forward_pass_seconds": ByHand(recipe).forward_pass()} if side == "auto" else row


def figures_of(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means by task and side, and how `auto` does against the rivals."""
    rows = list(rows)
    found: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        found[row["task"]][row["side"]][row["seed"]] = row["accuracy"]
    figures: list[dict[str, Any]] = []
    behind: list[tuple[float, str]] = []
    under: list[tuple[float, str]] = []
    for task, sides in found.items():
        means = {side: statistics.mean(values.values()) for side, values in sides.items()}
        for side in SIDES:
            if side in means:
                values = list(sides[side].values())
                span = interval(values) if len(values) > 1 else None
                figures.append(figure(f"{task}: {side}", means[side], "test accuracy", between=span))
        rivals = {side: value for side, value in means.items() if side not in ("auto", "blocks")}
        if "auto" in means and rivals:
            behind.append((max(rivals.values()) - means["auto"], task))
            under += [(means["probe"] - means["auto"], task)] if "probe" in means else []
    measured = [side for side in SIDES if side != "tf_idf" and any(side in sides for sides in found.values())]
    whole = [sides for sides in found.values() if all(side in sides for side in measured)]
    mean = {side: statistics.mean(statistics.mean(sides[side].values()) for sides in whole) for side in measured if whole}
    for side, value in mean.items():
        figures.append(figure(f"mean of {len(whole)} tasks that all sides have: {side}", value, "test accuracy"))
    full = [mean[side] for side in mean if side not in ("auto", "blocks")]
    if full and behind and "auto" in mean:
        gain, (most, task) = mean["auto"] - max(full), max(behind)
        figures.append(figure("mean of auto over the best single rival's", 100 * gain, "points", at_least=1))
        figures.append(figure(f"furthest behind the best rival of a task ({task})", 100 * most, "points", at_most=1))
    if under:
        most, task = max(under)
        figures.append(figure(f"furthest below the probe ({task})", 100 * most, "points", at_most=0.5))
    timed = [row for row in rows if "forward_pass_seconds" in row]
    if timed:
        beyond, task = max((row["seconds"] - 3 * row["forward_pass_seconds"], row["task"]) for row in timed)
        figures.append(figure(f"longest run beyond three forward passes ({task})", beyond, "s", at_most=120))
    return figures


def main() -> None:
    """Measures the tasks that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--only", nargs="+", choices=TASKS, default=[name for name in TASKS if _possible(name)])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--kept", type=Path)
    options = parser.parse_args()
    rows = kept_rows(options.kept)
    done = {(row["task"], row["seed"], row["side"]) for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TFL_CACHE"] = str(Path(folder) / "cache")
        for seed in range(options.seeds):
            for name in options.only:
                for side in options.sides:
                    if (name, seed, side) in done or (side == "tf_idf") > (TASKS[name].source == "sst2"):
                        continue
                    rows.append(measure(name, seed, side, Path(folder), minutes=options.minutes))
                    keep(options.kept, rows[-1])
    print_document(document("best_answer", figures_of(rows), rows), as_json=options.json)


def _possible(name: str) -> bool:
    return TASKS[name].source != "sst2" or "TFL_TEST_TEXT" in os.environ


if __name__ == "__main__":
    main()
