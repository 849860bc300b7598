"""Fine-tuning epochs above a cut: tfl, the Keras guide, and the suffix alone trained by hand on arrays in memory.

Run       KERAS_HOME=<folder with ImageNet weights> TFL_TEST_DATA=<folder with flowers/> \
              python benchmarks/finetune_stage.py --json
Network   MobileNetV2 alpha 0.35 at 224 px; from blocks 16, 13, 10, 6 and 3 up, all of Keras' `validation_split=0.2, seed=1`
Sides     guide    one epoch of the guide's fine-tuning with the lower part frozen: photos are decoded, augmented and sent through
                   the whole network again. Two batches go before it, for tracing
          by hand  float32 maps of every photo in memory, no tfl: Keras' `fit` and a traced step called in a Python loop, the
                   faster of the two by their first epoch after tracing
          tfl      one stage from a cold store; an epoch is all that happens from one checkpoint to the next, that one included
Order     within a cut the sides take turns, an epoch each: by hand, tfl, by hand, tfl ... The first epoch of each is not counted
          (tracing). An epoch has the training and the validation photos on every side. BatchNorm stays as it is in tfl and
          by hand
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from by_hand import SuffixTraining, build_suffix, compute_maps
from flower_photos import choose_photos, options_of, recipe_of, top_of, write_table
from harness import document, figure, print_document
from keras_guide import CUTS, open_datasets, open_guide
from stage_times import cold_store, prepare, quietly, run_stage

import tfl

RATE = 1e-4


class Measured:
    """The rounds of every cut."""

    def __init__(self, options: Any, scratch: Path) -> None:
        self.options, self.scratch = options, scratch
        self.size = (options.size, options.size)
        self.photos = choose_photos(options.photos, options.limit, scratch / "photos")
        self.train, self.held_out = open_datasets(self.photos, size=self.size)
        self.classes = len(self.train.class_names)
        self.table = write_table(self.train.file_paths, self.held_out.file_paths, scratch / "photos.csv")
        self.bundle = prepare(self.recipe(None)).bundle
        self.rounds: list[dict[str, Any]] = []

    def recipe(self, block: int | None) -> tfl.Recipe:
        """One stage from block N up, an epoch more than there are rounds."""
        stage = tfl.Stage("finetune", train=top_of(block), epochs=self.options.rounds + 1, learning_rate=RATE)
        return recipe_of(self.table, stage, size=self.options.size)

    def run(self) -> None:
        """Every cut, one after another."""
        for block in self.options.blocks:
            row: dict[str, Any] = {"block": block}
            if not self.options.no_guide:
                row["guide"] = round(self.plain(block), 3)
            row |= self.take_turns(block)
            self.rounds.append(row)

    def plain(self, block: int) -> float:
        """Seconds of one epoch of the guide's fine-tuning."""
        guide = open_guide(self.photos, size=self.size)
        guide.compile_for_tuning(from_block=block)
        guide.model.fit(guide.train.take(2), validation_data=guide.held_out.take(2), verbose=0)
        guide.fit(1)
        return guide.seconds[-1]

    def take_turns(self, block: int) -> dict[str, Any]:
        """tfl's epochs and those by hand in turns: whenever tfl has finished one, one is trained by hand."""
        arrays = compute_maps(self.train, self.held_out, size=self.size, blocks=[block])[block]
        fit, loop = (
            SuffixTraining(build_suffix(block, self.classes, size=self.size), arrays, RATE, way) for way in ("fit", "loop")
        )
        for way in (fit, loop):
            way.epoch()
            way.epoch()
        faster, other = (fit, loop) if fit.seconds[1] <= loop.seconds[1] else (loop, fit)
        ours: list[float] = []
        began = time.perf_counter()

        def after_epoch(epoch: int) -> None:
            nonlocal began
            ours.append(time.perf_counter() - began)
            faster.epoch()
            began = time.perf_counter()

        with cold_store():
            times = run_stage(self.recipe(block), self.scratch / f"finetune-{block}", bundle=self.bundle, after_epoch=after_epoch)
        return {
            "tfl": _rounded(ours[1:]),
            "by_hand": _rounded(faster.seconds[2:]),
            "way": faster.way,
            "other_way": round(other.seconds[1], 3),
            "features": round(times.features, 3),
            "tfl_accuracy": times.accuracy,
            "by_hand_accuracy": faster.accuracies[self.options.rounds],
            "notices": times.notices,
        }

    def figures(self) -> list[dict[str, Any]]:
        """What was measured, and what has to hold."""
        found = []
        for row in self.rounds:
            ours, by_hand = statistics.median(row["tfl"]), statistics.median(row["by_hand"])
            label = f"from block {row['block']}"
            found += [
                figure(f"{label}: by hand on arrays ({row['way']}), an epoch", by_hand, "s"),
                figure(f"{label}: tfl, an epoch", ours, "s"),
                figure(f"{label}: tfl over by hand", ours / by_hand, "ratio", at_most=1.15),
                figure(f"{label}: tfl's features, once", row["features"], "s"),
            ]
            with contextlib.suppress(KeyError):
                found += [
                    figure(f"{label}: guide, an epoch", row["guide"], "s"),
                    figure(f"{label}: guide over tfl", row["guide"] / ours, "times"),
                ]
        return found


def _rounded(seconds: list[float]) -> list[float]:
    return [round(value, 3) for value in seconds]


def main() -> None:
    def add(parser: Any) -> None:
        parser.add_argument("--blocks", type=int, nargs="+", default=list(CUTS), choices=list(CUTS), help="train from these up")
        parser.add_argument("--no-guide", action="store_true", help="leave the guide out, which takes a third of the time")

    options = options_of(__doc__, rounds=3, add=add)
    with tempfile.TemporaryDirectory() as scratch, quietly():
        measured = Measured(options, Path(scratch))
        measured.run()
    print_document(document("finetune_stage", measured.figures(), measured.rounds), as_json=options.json)


if __name__ == "__main__":
    main()
