"""A head of 10 epochs on film reviews from cold, next to one plain forward pass and to KerasHub's own classifier.

Run       TFL_TEST_DATA=<folder with sst2/> TFL_TEST_TEXT=<folder of a BERT preset> python benchmarks/text_head.py --json
Data      sst2: train.tsv to train, dev.tsv to validate (tfl takes one sentence of each class of dev as the test split it wants)
Length    the one that tfl chooses from the training sentences, on every side; batches of 32
Sides     hub   `BertTextClassifier` with a frozen backbone: strings in, `fit` for 10 epochs of one training, all of them
                measured, an equal part of them in every round; Adam at 1e-3, dropout as it comes
          pass  one plain forward pass over the same sentences to the last layer's tokens: `BertBackbone.predict`
          tfl   data, audit, network, features, epochs, checkpoints, with an empty store every time; Adam at 1e-3
Counted   on every side: building the network, loading its weights, tracing, tokenising, validation. Not counted on any side:
          importing the libraries
Order     tfl comes first in every round, so that it and not the others pays what TensorFlow does once a process
Accuracy  on dev after the last epoch; tfl's seed is the number of the round. hub classifies the pooled first token, as it does
          by default, and tfl the mean over the tokens
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import document, figure, print_document
from sentences import BATCH, Hub, forward_pass, options_of, read, recipe_of, spared, write_table
from stage_times import cold_store, engine_used, prepare, quietly, rounded, run_stage

import tfl

EPOCHS = 10


class Measured:
    """The rounds of all sides."""

    def __init__(self, options: Any, scratch: Path) -> None:
        self.options, self.scratch = options, scratch
        self.epochs = options.rounds if options.smoke else EPOCHS
        self.train = read(options.sst2 / "train.tsv", options.limit)
        self.held_out = read(options.sst2 / "dev.tsv", options.limit)
        val, test = spared(self.held_out)
        self.table = write_table(scratch / "sentences.csv", train=self.train, val=val, test=test)
        self.length = self.chosen_length()
        self.hub: Hub | None = None
        self.hub_start = 0.0
        self.rounds: list[dict[str, Any]] = []

    def recipe(self, seed: int) -> tfl.Recipe:
        """One stage of the head alone."""
        stage = tfl.Stage("head", epochs=self.epochs, batch_size=BATCH)
        return recipe_of(self.table, self.options.encoder, stage, seed=seed, engine=self.options.engine)

    def chosen_length(self) -> int:
        """The tokens that tfl settles on."""
        data = prepare(self.recipe(0)).recipe.data
        return int(data.input.length)

    def run(self) -> None:
        """Every round: tfl, the plain pass, and the part of hub's epochs."""
        count = self.options.rounds
        for number in range(count):
            row: dict[str, Any] = {"round": number, "tfl": self.ours(number)}
            texts = [text for text, _ in self.train + self.held_out]
            wall, processor = forward_pass(self.options.encoder, texts, length=self.length)
            row["pass"] = {"total": round(wall, 3), "processor": round(processor, 3)}
            row["hub_epochs"] = self.plain(self.epochs * (number + 1) // count - self.epochs * number // count)
            self.rounds.append(row)

    def ours(self, number: int) -> dict[str, Any]:
        """One stage of tfl from nothing."""
        with cold_store():
            times = run_stage(self.recipe(number), self.scratch / f"head-{number}")
            engine = engine_used()
        return {**rounded(times), "engine": engine, "accuracy": times.accuracy, "notices": times.notices}

    def plain(self, epochs: int) -> list[float]:
        """The next epochs of hub."""
        if self.hub is None:
            began = time.perf_counter()
            self.hub = Hub(self.options.encoder, self.train, self.held_out, self.length)
            self.hub_start = time.perf_counter() - began
        done = len(self.hub.seconds)
        self.hub.fit(epochs)
        return [round(value, 3) for value in self.hub.seconds[done:]]

    def figures(self) -> list[dict[str, Any]]:
        """What was measured, and what has to hold."""
        assert self.hub is not None  # noqa: S101
        ours = [row["tfl"] for row in self.rounds]
        mine = statistics.median(row["total"] for row in ours)
        hub = self.hub_start + sum(self.hub.seconds)
        ratios = {
            kind: statistics.median(row["tfl"][kind] / row["pass"][kind] for row in self.rounds)
            for kind in ("total", "processor")
        }
        score, plain = statistics.mean(row["accuracy"] for row in ours), self.hub.accuracies[-1]
        half = 1.96 * ((score * (1 - score) + plain * (1 - plain)) / len(self.held_out)) ** 0.5
        return [
            figure("tokens of each text", self.length, "tokens"),
            figure("one plain forward pass", statistics.median(row["pass"]["total"] for row in self.rounds), "s"),
            figure(f"hub, {self.epochs} epochs", hub, "s"),
            figure("hub, median epoch", statistics.median(self.hub.seconds), "s"),
            figure(f"tfl, {self.epochs} epochs", mine, "s"),
            figure(f"tfl, {self.epochs} epochs, over one plain forward pass", ratios["total"], "ratio", at_most=1.25),
            figure(f"tfl, {self.epochs} epochs, over one plain forward pass, processor time", ratios["processor"], "ratio"),
            figure(f"hub over tfl, {self.epochs} epochs", hub / mine, "times", at_least=8.0),
            figure("hub, validation accuracy after the last epoch", plain, "share"),
            figure("tfl, validation accuracy after the last epoch, mean of the rounds", score, "share"),
            figure(
                "tfl's accuracy over hub's",
                score - plain,
                "share",
                at_least=0.0,
                between=(score - plain - half, score - plain + half),
            ),
            *(
                figure(f"tfl, of that {part}", statistics.median(row[part] for row in ours), "s")
                for part in ("data", "network", "features", "epochs", "other")
            ),
        ]


def main() -> None:
    def add(parser: Any) -> None:
        parser.add_argument("--rounds", type=int, default=3, help="how often each side is measured (default 3)")
        parser.add_argument(
            "--engine", choices=("keras", "openvino", "auto"), default="keras", help="what computes tfl's frozen part"
        )

    options = options_of(__doc__, add=add)
    with tempfile.TemporaryDirectory() as scratch, quietly():
        measured = Measured(options, Path(scratch))
        measured.run()
    print_document(document("text_head", measured.figures(), measured.rounds), as_json=options.json)


if __name__ == "__main__":
    main()
