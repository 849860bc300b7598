"""The same trials over the depth of a text encoder by tfl and by KerasTuner over KerasHub's own classifier.

Run       TFL_TEST_DATA=<folder with sst2/> TFL_TEST_TEXT=<folder of a BERT preset> python benchmarks/text_depth_search.py --json
Trials    the head alone, and the upper 1 to 6 transformer layers with it; rates 1e-3 and 1e-4; 3 epochs each
Data      sst2: the first sentences of train.tsv (--limit, 1,000), half of each class; dev.tsv validates. The score is the best
          validation accuracy
Parts     plain  KerasTuner's GridSearch over a `BertTextClassifier` whose upper layers are thawed, strings in, fitted on tf.data
          tfl    `tfl tune` on the same grid, from an empty store, nothing stopped early, no confirmation
Length    the one that tfl chooses from the training sentences, on both sides; batches of 32
Process   each part has one of its own: what an earlier part left in Keras and TensorFlow would slow a later one. A plain forward
          pass goes before each, by which parts that were run at different times are compared
Kept      --kept FILE keeps each part's result, and goes on from there
"""

from __future__ import annotations

import json
import math
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from depth_search import by_depth, scores_by_depth
from harness import document, figure, print_document
from sentences import BATCH, LAYERS, Hub, dataset_of, forward_pass, options_of, read, recipe_of, spared, write_table
from stage_times import cold_store, prepare, quietly

import tfl

DEPTHS = tuple(range(LAYERS + 1))
RATES, EPOCHS, SENTENCES = (1e-3, 1e-4), 3, 1000
PARTS = ("plain", "tfl")
REACH = 3.0


class Measured:
    """The parts, one after another."""

    def __init__(self, options: Any, scratch: Path) -> None:
        self.options, self.scratch = options, scratch
        self.depths, self.epochs = (DEPTHS[:2], 1) if options.smoke else (DEPTHS, EPOCHS)
        self.train = read(options.sst2 / "train.tsv", options.limit or SENTENCES)
        self.held_out = read(options.sst2 / "dev.tsv", options.limit if options.smoke else None)
        self.parts: dict[str, dict[str, Any]] = {}

    def run(self) -> None:
        """Every part that is asked for; those that were kept are not run again."""
        settings = [len(self.train), len(self.held_out), self.epochs, len(self.depths)]
        kept = self.options.kept
        if kept is not None and kept.is_file():
            found = json.loads(kept.read_text())
            if found.pop("settings") == settings:
                self.parts = found
        for name in self.options.parts:
            if name not in self.parts:
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
                    self.parts[name] = process.submit(measure, name, self.options, self.scratch / name).result()
            if kept is not None:
                kept.write_text(json.dumps({"settings": settings, **self.parts}, indent=1))

    def recipe(self) -> tfl.Recipe:
        """The recipe that is searched."""
        val, test = spared(self.held_out)
        table = write_table(self.scratch / "sentences.csv", train=self.train, val=val, test=test)
        stage = tfl.Stage("trial", epochs=self.epochs, batch_size=BATCH, learning_rate=RATES[0])
        return recipe_of(table, self.options.encoder, stage)

    def chosen_length(self) -> int:
        """The tokens that tfl settles on."""
        return int(prepare(self.recipe()).recipe.data.input.length)

    def plain(self) -> dict[str, Any]:
        """KerasTuner's grid."""
        import keras_tuner

        measured, length = self, self.chosen_length()
        trials: list[dict[str, Any]] = []

        class Plain(keras_tuner.HyperModel):
            def build(self, hp: Any) -> Any:
                top, rate = hp.Choice("depth", list(measured.depths)), hp.Choice("rate", list(RATES))
                return Hub(measured.options.encoder, measured.train, measured.held_out, length, top=top, rate=rate).model

        class Grid(keras_tuner.GridSearch):
            def run_trial(self, trial: Any, *arguments: Any, **options: Any) -> Any:
                began = time.perf_counter()
                result = super().run_trial(trial, *arguments, **options)
                seconds, values = time.perf_counter() - began, trial.hyperparameters.values
                score = max(result[0].history["val_accuracy"])
                trials.append({"depth": name_of(values["depth"]), "rate": values["rate"], "score": score, "seconds": seconds})
                return result

        began = time.perf_counter()
        tuner = Grid(Plain(), objective="val_accuracy", directory=str(self.scratch / "plain"), max_trials=None)
        train, held_out = dataset_of(self.train, shuffle=True), dataset_of(self.held_out)
        tuner.search(train, epochs=self.epochs, validation_data=held_out, verbose=0)
        return {"seconds": round(time.perf_counter() - began, 3), "length": length, "trials": trials}

    def tfl(self) -> dict[str, Any]:
        """The same grid by `tfl tune`."""
        import dataclasses

        from rich.console import Console

        from tfl.measure import tune_recipe

        trains = {self.train_of(depth): depth for depth in self.depths}
        space = {"stages.trial.train": tfl.Choice(tuple(trains)), "stages.trial.learning_rate": tfl.Choice(RATES)}
        search = tfl.Search(algorithm="grid", space=space, trials=None, seeds=0, stop_poor=False)
        recipe = dataclasses.replace(self.recipe(), search=search)
        with cold_store():
            began = time.perf_counter()
            folder = tune_recipe(recipe, self.scratch / "search", resume=False, workers=1, console=Console(quiet=True))
            seconds = time.perf_counter() - began
        trials = [
            {
                "depth": name_of(trains[row["values"]["stages.trial.train"]]),
                "rate": row["values"]["stages.trial.learning_rate"],
                "score": row["value"],
                "status": row["status"],
                "reason": row["reason"],
                "seconds": round(row.get("seconds", 0.0), 3),
                "features": round(row["feature_seconds"], 3),
            }
            for row in folder.outcomes()
        ]
        return {"seconds": round(seconds, 3), "trials": trials}

    def train_of(self, depth: int) -> str:
        """`Stage.train` for the head and so many transformer layers."""
        return tfl.top_blocks(depth) if depth else "head"

    def figures(self) -> list[dict[str, Any]]:
        """What was measured, and what has to hold."""
        parts = self.parts
        passes = [part["pass"] for part in parts.values()]
        found = [figure(f"{name}: all of it", part["seconds"], "s") for name, part in parts.items()]
        found.append(figure("the plain forward pass before each part, slowest over fastest", max(passes) / min(passes), "ratio"))
        for name, part in parts.items():
            found.append(figure(f"{name}: trials that came to their end", len(part["trials"]), "trials"))
            found += scores_by_depth(name, part)
        if set(PARTS) <= set(parts):
            plain, ours = parts["plain"], parts["tfl"]
            found.append(figure("plain over tfl, same trials", plain["seconds"] / ours["seconds"], "times", at_least=REACH))
            found.append(self._same_best(plain, ours))
        return found

    def _same_best(self, plain: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
        """What tfl's best score lacks of plain's, within half of the 95% interval of one score."""
        theirs, mine = max(by_depth(plain["trials"]).values()), max(by_depth(ours["trials"]).values())
        noise = 1.96 * math.sqrt(theirs * (1 - theirs) / len(self.held_out))
        return figure("what tfl's best score lacks of plain's", theirs - mine, "share", at_most=round(noise, 4))


def name_of(depth: int) -> str:
    """A depth in words."""
    return f"top {depth}" if depth else "head"


def measure(name: str, options: Any, scratch: Path) -> dict[str, Any]:
    """One part, and the plain forward pass before it."""
    scratch.mkdir()
    with quietly():
        measured = Measured(options, scratch)
        wall, processor = forward_pass(options.encoder, [text for text, _ in measured.train], length=48)
        return {"pass": round(wall, 3), "pass_processor": round(processor, 3), **getattr(measured, name)()}


def main() -> None:
    def add(parser: Any) -> None:
        parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="only these")
        parser.add_argument("--kept", type=Path, help="keep each part's result in this file, and go on from it")

    options = options_of(__doc__, add=add)
    with tempfile.TemporaryDirectory() as scratch, quietly():
        measured = Measured(options, Path(scratch))
        measured.run()
    rounds = [{"part": name, **part} for name, part in measured.parts.items()]
    print_document(document("text_depth_search", measured.figures(), rounds), as_json=options.json)


if __name__ == "__main__":
    main()
