"""Accuracy on the test split of film reviews: an encoder frozen, fine-tuned, and with few sentences, next to TF-IDF.

Run       TFL_TEST_DATA=<folder with sst2/> TFL_TEST_TEXT=<folder of a BERT preset> python benchmarks/text_accuracy.py --json
              [--only frozen finetuned few]
Data      sst2 in its own split: 6,920 sentences to train, 872 to validate, 1,821 to test, which are looked at once for each run
Parts     frozen     nothing of the encoder trains; the head reads all six layers side by side
          finetuned  the whole encoder with a new head on the mean over its tokens, three epochs
          few        100 training sentences, half of each class, drawn by the seed; 100 others validate; frozen, and the
                     head reads the upper four layers
          tfidf      scikit-learn's logistic regression on TF-IDF of words, the penalty by cross-validation, on the same sentences
Settings  chosen on dev.tsv with seed 0 in view; the best epoch is that of the best validation loss
          (frozen) or accuracy
Seeds     three, of everything that is drawn; means with the 95% interval by Student's t. TF-IDF on all sentences draws nothing
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import document, figure, interval, print_document
from sentences import BATCH, CLASSES, LAYERS, Sentences, options_of, read, recipe_of, tfidf_accuracy, write_table
from stage_times import cold_store, quietly

import tfl

FEW = 50
"""Sentences of each class."""
ALL = tfl.Head(taps=tuple(f"transformer_layer_{number}" for number in range(LAYERS)), dropout=0.2)
UPPER = tfl.Head(taps=ALL.taps[-4:], dropout=0.2)
FROZEN = (
    tfl.Stage("head", epochs=20, batch_size=64, learning_rate=1e-3, optimizer="adamw", weight_decay=1.0, schedule="cosine"),
)
OF_FEW = (tfl.Stage("head", epochs=40, batch_size=16, learning_rate=1e-3, schedule="cosine"),)
FINETUNED = (
    tfl.Stage(
        "finetune",
        train="all",
        epochs=3,
        batch_size=BATCH,
        learning_rate=1e-4,
        optimizer="adamw",
        weight_decay=0.01,
        schedule="cosine",
        warmup_epochs=0.3,
        layer_decay=0.9,
    ),
)
REACH = {"frozen": 0.837, "finetuned": 0.87, "few": 0.69}
METRIC = {"frozen": "val_loss", "finetuned": "val_accuracy", "few": "val_accuracy"}
PARTS = tuple(REACH)


class Measured:
    """The parts, seed after seed."""

    def __init__(self, options: Any, scratch: Path) -> None:
        self.options, self.scratch = options, scratch
        limit = options.limit if options.smoke else None
        self.train = read(options.sst2 / "train.tsv", options.limit)
        self.val, self.test = (read(options.sst2 / name, limit) for name in ("dev.tsv", "test.tsv"))
        self.seeds = range(2 if options.smoke else 3)
        self.rounds: list[dict[str, Any]] = []

    def run(self) -> None:
        """Every part that is asked for."""
        for part in self.options.only:
            for seed in self.seeds:
                train, val = self.drawn(seed) if part == "few" else (self.train, self.val)
                self.rounds.append({"part": part, "seed": seed, **self.ours(part, seed, train, val)})
                if part == "few" or seed == 0:
                    score = tfidf_accuracy(train, self.test)
                    self.rounds.append({"part": f"tfidf {part}", "seed": seed, "accuracy": score})
                print(part, seed, [row["accuracy"] for row in self.rounds if row["part"] == part], file=sys.stderr, flush=True)

    def drawn(self, seed: int) -> tuple[Sentences, Sentences]:
        """Few sentences to train, and as many others of the training split to validate."""
        rng, train, val = random.Random(seed), [], []
        for label in range(len(CLASSES)):
            chosen = rng.sample([row for row in self.train if row[1] == label], 2 * FEW)
            train += chosen[:FEW]
            val += chosen[FEW:]
        return train, val

    def ours(self, part: str, seed: int, train: Sentences, val: Sentences) -> dict[str, Any]:
        """The test accuracy of one run of tfl, from an empty store."""
        from rich.console import Console

        from tfl.job import run_recipe

        folder = self.scratch / f"{part}-{seed}"
        table = write_table(self.scratch / f"{part}-{seed}.csv", train=train, val=val, test=self.test)
        stages, head = {"frozen": (FROZEN, ALL), "few": (OF_FEW, UPPER), "finetuned": (FINETUNED, None)}[part]
        recipe = recipe_of(table, self.options.encoder, *stages, head=head, seed=seed)
        recipe = recipe.override("monitor.metric", METRIC[part])
        with cold_store():
            began = time.perf_counter()
            run = run_recipe(recipe.smoke() if self.options.smoke else recipe, out=folder, console=Console(file=sys.stderr))
            seconds = time.perf_counter() - began
        metrics = run.read_json("metrics.json")
        return {"accuracy": metrics["test"]["accuracy"], "seconds": round(seconds, 1), "metrics": metrics}

    def figures(self) -> list[dict[str, Any]]:
        """Means over seeds, and what has to hold."""
        found = []
        for part in dict.fromkeys(row["part"] for row in self.rounds):
            rows = [row for row in self.rounds if row["part"] == part]
            scores = [row["accuracy"] for row in rows]
            between = interval(scores) if len(scores) > 1 else None
            name = f"{part}: test accuracy, mean of {len(scores)} seeds" if between else f"{part}: test accuracy"
            found.append(figure(name, statistics.mean(scores), "share", at_least=REACH.get(part), between=between))
            if part in REACH:
                found.append(figure(f"{part}: one run", statistics.median(row["seconds"] for row in rows), "s"))
        return found


def main() -> None:
    def add(parser: Any) -> None:
        parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="only these parts")

    options = options_of(__doc__, add=add)
    with tempfile.TemporaryDirectory() as scratch, quietly():
        measured = Measured(options, Path(scratch))
        measured.run()
    print_document(document("text_accuracy", measured.figures(), measured.rounds), as_json=options.json)


if __name__ == "__main__":
    main()
