"""A head trained for 10 and for 20 epochs from cold, beside the Keras guide and one plain forward pass over the same photos.

Run       KERAS_HOME=<folder with ImageNet weights> TFL_TEST_DATA=<folder with flowers/> python benchmarks/head_stage.py --json
Network   MobileNetV2 alpha 0.35 at 224 px, ImageNet weights; `validation_split=0.2, seed=1` of Keras on every side
Sides     guide  the Keras guide: 20 epochs of one training, all of them measured, an equal part of them in every round
          pass   one plain forward pass over all photos to the pooled output, with the engine and the precision that tfl used
          tfl    data, audit, network, features, epochs, checkpoints, with an empty store every time; 10 epochs, and 20
Counted   on every side: listing the files, decoding, building the network, loading its weights, tracing, validation. Not
          counted on any side: importing the libraries, and reading the files for the first time
Order     tfl comes first in every round, so that it and not the guide pays what TensorFlow does once a process
Accuracy  on the guide's validation photos after the last epoch; tfl's seed is the number of the round. The guide mirrors
          and turns its photos at random, tfl here does not
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from by_hand import forward_pass
from flower_photos import choose_photos, options_of, recipe_of, write_table
from harness import document, figure, print_document
from keras_guide import Guide, open_datasets, open_guide
from stage_times import cold_store, engine_used, quietly, rounded, run_stage

import tfl

EPOCHS, SMOKE_EPOCHS = (10, 20), (1, 2)
REACH = {10: 7.5, 20: 14.0}
"""Times faster than the guide, by its epochs."""


class Measured:
    """The rounds of all sides."""

    def __init__(self, options: Any, scratch: Path) -> None:
        self.options, self.scratch = options, scratch
        self.size = (options.size, options.size)
        self.epochs = SMOKE_EPOCHS if options.smoke else EPOCHS
        self.photos = choose_photos(options.photos, options.limit, scratch / "photos")
        files = [list(dataset.file_paths) for dataset in open_datasets(self.photos, size=self.size)]
        self.held_out = len(files[1])
        self.table = write_table(*files, scratch / "photos.csv")
        self.guide: Guide | None = None
        self.guide_start = 0.0
        self.rounds: list[dict[str, Any]] = []

    def run(self) -> None:
        """Every round: tfl for few epochs, the plain pass, tfl for many, the plain pass, and the guide's part."""
        count = self.options.rounds
        for number in range(count):
            row: dict[str, Any] = {"round": number, "pass": [], "tfl": {}}
            for epochs in self.epochs:
                row["tfl"][str(epochs)] = self.ours(epochs, number)
                engine = row["tfl"][str(epochs)]["engine"]
                once = forward_pass(self.photos, size=self.size, engine=engine)
                row["pass"].append({"engine": engine, "total": round(once.wall, 3), "processor": round(once.processor, 3)})
            longest = max(self.epochs)
            row["guide_epochs"] = self.plain(longest * (number + 1) // count - longest * number // count)
            self.rounds.append(row)

    def ours(self, epochs: int, number: int) -> dict[str, Any]:
        """One stage of tfl from nothing."""
        stage = tfl.Stage("head", epochs=epochs)
        recipe = recipe_of(self.table, stage, size=self.options.size, seed=number, engine=self.options.engine)
        with cold_store():
            times = run_stage(recipe, self.scratch / f"head-{epochs}-{number}")
            engine = engine_used()
        return {**rounded(times), "engine": engine, "accuracy": times.accuracy, "notices": times.notices}

    def plain(self, epochs: int) -> list[float]:
        """The guide's next epochs."""
        if self.guide is None:
            began = time.perf_counter()
            self.guide = open_guide(self.photos, size=self.size)
            self.guide.compile_for_head()
            self.guide_start = time.perf_counter() - began
        done = len(self.guide.seconds)
        self.guide.fit(epochs)
        return [round(value, 3) for value in self.guide.seconds[done:]]

    def whole_run(self) -> dict[str, Any]:
        """`tfl run` of the longer stage: evaluating, saving and the report on top, for comparison."""
        from rich.console import Console

        from tfl.job import run_recipe

        stage = tfl.Stage("head", epochs=max(self.epochs))
        recipe = recipe_of(self.table, stage, size=self.options.size, engine=self.options.engine)
        with cold_store():
            began = time.perf_counter()
            finished = run_recipe(recipe, out=self.scratch / "whole", console=Console(quiet=True))
            seconds = time.perf_counter() - began
        return {"whole_run": round(seconds, 3), "seconds": finished.read_json("metrics.json")["seconds"]}

    def figures(self) -> list[dict[str, Any]]:
        """What was measured, and what has to hold."""
        assert self.guide is not None  # noqa: S101
        one_pass = statistics.median(once["total"] for row in self.rounds for once in row["pass"])
        found = [
            figure("guide, median epoch", statistics.median(self.guide.seconds), "s"),
            figure("one plain forward pass", one_pass, "s"),
        ]
        for at, epochs in enumerate(self.epochs):
            ours = [row["tfl"][str(epochs)] for row in self.rounds]
            guide = self.guide_start + sum(self.guide.seconds[:epochs])
            mine = statistics.median(row["total"] for row in ours)
            ratios = {
                kind: statistics.median(row["tfl"][str(epochs)][kind] / row["pass"][at][kind] for row in self.rounds)
                for kind in ("total", "processor")
            }
            score, plain = statistics.mean(row["accuracy"] for row in ours), self.guide.history[epochs - 1]
            found += [
                figure(f"guide, {epochs} epochs", guide, "s"),
                figure(f"tfl, {epochs} epochs", mine, "s"),
                figure(f"tfl, {epochs} epochs, over one plain forward pass", ratios["total"], "ratio", at_most=1.25),
                figure(f"tfl, {epochs} epochs, over one plain forward pass, processor time", ratios["processor"], "ratio"),
                figure(f"guide over tfl, {epochs} epochs", guide / mine, "times", at_least=REACH.get(epochs)),
                figure(f"guide, validation accuracy after {epochs} epochs", plain, "share"),
                figure(f"tfl, validation accuracy after {epochs} epochs, mean of the rounds", score, "share"),
                figure(
                    f"tfl's accuracy over the guide's, {epochs} epochs",
                    score - plain,
                    "share",
                    at_least=0.0,
                    between=self._difference(score, plain),
                ),
            ]
        for part in ("data", "network", "features", "epochs", "other"):
            values = [row["tfl"][str(max(self.epochs))][part] for row in self.rounds]
            found.append(figure(f"tfl, {max(self.epochs)} epochs, of that {part}", statistics.median(values), "s"))
        return found

    def _difference(self, ours: float, plain: float) -> tuple[float, float]:
        """A 95% interval of the difference of two shares of the held out photos, taken as independent."""
        half = 1.96 * ((ours * (1 - ours) + plain * (1 - plain)) / self.held_out) ** 0.5
        return ours - plain - half, ours - plain + half


def main() -> None:
    def add(parser: Any) -> None:
        engines = ("keras", "openvino")
        parser.add_argument(
            "--engine", choices=engines, default="keras", help="what computes the frozen part, and the plain pass"
        )

    options = options_of(__doc__, rounds=4, add=add)
    with tempfile.TemporaryDirectory() as scratch, quietly():
        measured = Measured(options, Path(scratch))
        measured.run()
        whole = measured.whole_run()
        figures = [
            *measured.figures(),
            figure(f"tfl run, {max(measured.epochs)} epochs, evaluated and reported", whole["whole_run"], "s"),
        ]
    print_document(document("head_stage", figures, [*measured.rounds, whole]), as_json=options.json)


if __name__ == "__main__":
    main()
