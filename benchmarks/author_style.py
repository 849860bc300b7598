"""The style of an author: a byte model that has read four authors learns the fifth, next to the same model from nothing.

Run       TFL_TEST_DATA=<folder with books/> python benchmarks/author_style.py --json [--kept FILE]
Data      books/AUTHOR/*.txt: five Russian authors; whole works, drawn by the seed, are held out. The first `--general`
          passages of 256 bytes of each of the four others and the first `--passages` of the author, held-out shares included
Network   `bytes`: three blocks 128 wide, 0.75 million parameters; no weights are downloaded
Sides     before            trained on the four others for `--general-epochs`; what every transfer begins from
          top K             `before`, then the top K blocks on the author for `--epochs`
          nothing           random weights, everything on the author for the same epochs: the same steps of the same batches. A
                            step that trains everything takes more processor time than one over frozen blocks
          nothing, longer   the same with the steps of both stages together
Counted   perplexity for each byte on the author's held-out works. Accuracy of telling the five authors by passages of held-out
          works: character n-grams with TF-IDF, and the mean of the hidden states of `before`, each with a logistic regression
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from harness import document, figure, interval, keep, kept_rows, print_document
from stage_times import cold_store, quietly

GAIN = 0.10
"""By which share the perplexity is to fall."""
LENGTH, BATCH = 256, 4
BLOCKS = 8
"""Blocks of the network as it is cut: embedding, stem, two for each of three transformer blocks."""


def main() -> None:
    options = parse()
    rows = kept_rows(options.kept)
    with quietly(), cold_store(), tempfile.TemporaryDirectory() as scratch:
        for seed in range(options.first, options.first + options.seeds):
            known = {row["side"] for row in rows if row["seed"] == seed}
            bench = Bench(Path(scratch) / str(seed), seed, options)
            for side in options.sides:
                if side not in known:
                    rows += [{"seed": seed, "side": side, **bench.measure(side)}]
                    keep(options.kept, rows[-1])
    print_document(document("author_style", figures_of(rows), rows), as_json=options.json)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the document, not a table")
    parser.add_argument("--kept", type=Path, help="a file that keeps each result, to go on from")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--author", default="dostoevsky")
    parser.add_argument("--general", type=int, default=3_000, help="passages of each of the others")
    parser.add_argument("--general-epochs", type=int, default=4)
    parser.add_argument("--passages", type=int, default=4_000, help="passages of the author")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1e-3, help="the learning rate of training on the author after the others")
    parser.add_argument("--dropout", type=float, default=0.1, help="of the network, on every side")
    sides = ["top 4", f"top {BLOCKS}", "nothing", "nothing, longer", "classify"]
    parser.add_argument("--sides", nargs="+", default=sides, help="`top K`, `nothing`, `nothing, longer`, `classify`")
    return parser.parse_args()


class Bench:
    """One seed: the network that has read the others is trained once.

    Args:
        folder: For runs.
        seed: Of the draw of passages and works, and of new weights.
        options: Of the command line.
    """

    def __init__(self, folder: Path, seed: int, options: argparse.Namespace) -> None:
        self.folder, self.seed, self.options = folder, seed, options
        self.books = Path(os.environ["TFL_TEST_DATA"]) / "books"
        self.authors = sorted(path.name for path in self.books.iterdir() if path.is_dir())

    def measure(self, side: str) -> dict[str, Any]:
        """The figures of one side."""
        if side == "classify":
            return self._classify()
        kind, _, depth = side.partition(" ")
        if kind == "top":
            run = self._run(side, backbone=self._general(), train=f"top:{depth}", epochs=self.options.epochs)
        else:
            longer = 4 * self.options.general_epochs * self.options.general // self.options.passages if "longer" in side else 0
            run = self._run(side, backbone=None, train="all", epochs=self.options.epochs + longer)
        style, seconds = run.read_json("style.json"), run.metrics["seconds"]
        return {
            "before": style["perplexity"]["before"]["value"],
            "after": style["perplexity"]["after"]["value"],
            "interval": style["perplexity"]["after"]["interval"],
            "change": style["change"]["value"],
            "change_interval": style["change"]["interval"],
            "copied": {name: style["copied"][name]["longest"] for name in ("before", "after", "real")},
            "copied_share": style["copied"]["after"]["share"],
            "whose": style["whose"],
            "seconds": seconds["author"] + seconds.get("features", 0.0),
            "written": style["continuations"][:2],
        }

    def _general(self) -> Path:
        if not (self.folder / "general" / "model.keras").is_file():
            others = tuple(name for name in self.authors if name != self.options.author)
            count, epochs = self.options.general, self.options.general_epochs
            self._run("general", backbone=None, train="all", epochs=epochs, labels=others, count=count)
        return self.folder / "general"

    def _run(
        self,
        name: str,
        *,
        backbone: Path | None,
        train: str,
        epochs: int,
        labels: tuple[str, ...] = (),
        count: int = 0,
    ) -> Any:
        import tfl

        new = tfl.Backbone("bytes", weights=None, arguments={"dropout": self.options.dropout})
        network = tfl.Backbone(str(backbone)) if backbone else new
        data = tfl.Data(
            str(self.books),
            input=tfl.Passages(length=LENGTH),
            labels=labels or (self.options.author,),
            per_class=max(3, count or self.options.passages),
            validation=0.1,
            test=0.15,
        )
        rate = self.options.rate if backbone else 2e-3
        stage = tfl.Stage(
            "author", train=train, epochs=epochs, batch_size=BATCH, learning_rate=rate, schedule="cosine", warmup_epochs=0.1
        )
        recipe = tfl.Recipe(
            name="author_style",
            data=data,
            backbone=network,
            head=tfl.Head(dropout=0.0),
            stages=(stage,),
            monitor=tfl.Monitor("val_perplexity", patience=None),
            confidence=None,
            export=(),
            seed=self.seed,
        )
        return tfl.run(recipe, self.folder / name.replace(" ", "_").replace(",", ""))

    def _classify(self) -> dict[str, Any]:
        import keras
        import numpy as np
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        from tfl.data.books import held_out_parts, passages_of, read_works
        from tfl.language.whose import MOST, fit_authors
        from tfl.modalities.passage.tokens import byte_tokens
        from tfl.runs import Run
        from tfl.serve.predictor import load_run_model

        works = read_works(str(self.books))
        simple = fit_authors(works, length=LENGTH, validation=0.1, test=0.15, seed=self.seed)
        model = load_run_model(Run.open(self._general()))
        hidden = keras.Model(model.inputs, keras.layers.GlobalAveragePooling1D()(model.get_layer("head_pool").output))
        vectors: dict[str, list[Any]] = {"train": [], "test": []}
        labels: dict[str, list[str]] = {"train": [], "test": []}
        for author in self.authors:
            own = [one for one in works if one.author == author]
            parts = held_out_parts(own, validation=0.1, test=0.15, seed=self.seed)
            for split in vectors:
                passages = [one for part, _, text in parts if part == split for one in passages_of(text, LENGTH)]
                rows = np.unique(np.linspace(0, len(passages) - 1, min(MOST, len(passages))).round().astype(int))
                found = byte_tokens(np.array([passages[row] for row in rows], object), LENGTH + 1)
                vectors[split].append(hidden.predict(found, batch_size=64, verbose=0))
                labels[split] += [author] * len(rows)
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000, class_weight="balanced"))
        probe.fit(np.concatenate(vectors["train"]), labels["train"])
        accuracy = float((probe.predict(np.concatenate(vectors["test"])) == np.array(labels["test"])).mean())
        return {"tfidf": simple.accuracy if simple else None, "hidden": accuracy, "count": len(labels["test"])}


def figures_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the seeds; the gain, and the transfer against the same steps from nothing."""
    found, of_side = (
        [],
        {side: [row for row in rows if row["side"] == side] for side in dict.fromkeys(row["side"] for row in rows)},
    )
    nothing = {row["seed"]: row["after"] for row in of_side.get("nothing", [])}

    def mean(name: str, values: list[float], unit: str, **reach: float) -> None:
        between = interval(values) if len(values) > 1 else None
        found.append(figure(name, statistics.mean(values), unit, between=between, **reach))

    for side, some in of_side.items():
        if side == "classify":
            mean("authors told by TF-IDF of characters", [row["tfidf"] for row in some], "accuracy")
            mean("authors told by hidden states", [row["hidden"] for row in some], "accuracy")
            continue
        mean(f"{side}: perplexity", [row["after"] for row in some], "each byte")
        if side.startswith("top"):
            mean(f"{side}: before", [row["before"] for row in some], "each byte")
            mean(f"{side}: fall of the perplexity", [-row["change"] for row in some], "share", at_least=GAIN)
            paired = [row["after"] / nothing[row["seed"]] for row in some if row["seed"] in nothing]
            if paired:
                mean(f"{side}: over nothing, the same steps", paired, "ratio", at_most=1.0)
            mean(f"{side}: longest run copied", [row["copied"]["after"] for row in some], "characters")
        mean(f"{side}: training", [row["seconds"] for row in some], "s")
    return found


if __name__ == "__main__":
    main()
