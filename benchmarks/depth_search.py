"""The same 12 trials by tfl, by KerasTuner over a plain hypermodel, and by hand on arrays; then both to the same best score.

Run       KERAS_HOME=<folder with ImageNet weights> TFL_TEST_DATA=<folder with flowers/> python benchmarks/depth_search.py --json
Trials    the head alone, and from blocks 16, 13, 10, 6 and 3 up; rates 1e-3 and 1e-4; 5 epochs each, no augmentation
Network   MobileNetV2 alpha 0.35 at 224 px; Keras' `validation_split=0.2, seed=1`, the score is the best validation accuracy
Parts     plain  KerasTuner's GridSearch over a hypermodel that thaws the base from a block up and fits on the tf.data pipeline
          pinned the same with BatchNorm layers left frozen: `base(x, training=False)` should keep their statistics, and in Keras
                 3.15.1 does not
          hand   one plain forward pass that keeps what is under every block, float32 in memory, then every suffix on those
                 arrays: with the first rate by Keras' `fit`, with the second by a traced step; the faster counts for both
          tfl    `tfl tune` on the same grid, from an empty store, nothing stopped early, no confirmation
          prior  `tfl tune` again from an empty store: Bayesian, the depths in the order of linear probes, poor trials stopped by
                 the median rule, any rate from 1e-4 to 1e-3, for as long as a quarter of the plain time to its best score
Best      plain's time to its best score depends on the luck of the order, so it is the mean over all orders: half of all other
          trials, and the best one. tfl's counts everything from the start to the end of the first trial that has the score
Process   each part has one of its own: what an earlier part left in Keras and TensorFlow would slow a later one
Length    the plain part is most of it: an hour for all photos. --kept FILE keeps each part's result, and goes on from there; a
          part that was run at another time is compared by the plain forward pass that goes before each part
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

from by_hand import SuffixTraining, build_suffix, compute_maps, forward_pass
from flower_photos import choose_photos, options_of, recipe_of, top_of, write_table
from harness import document, figure, print_document
from keras_guide import CUTS, build, open_datasets, thaw_from
from stage_times import cold_store, quietly

import tfl

DEPTHS: tuple[int | None, ...] = (None, *CUTS)
RATES, EPOCHS = (1e-3, 1e-4), 5
RIVALS = {"plain": "plain", "pinned": "plain with pinned BatchNorm"}
PARTS = (*RIVALS, "hand", "tfl", "prior")
Trials = list[dict[str, Any]]
"""Each with `depth` (a block, or `head`), `rate`, `score` and `seconds`."""


class Measured:
    """The parts, one after another."""

    def __init__(self, options: Any, scratch: Path) -> None:
        self.options, self.scratch = options, scratch
        self.size = (options.size, options.size)
        self.depths, self.epochs = (DEPTHS[:2], 1) if options.smoke else (DEPTHS, EPOCHS)
        self.photos = choose_photos(options.photos, options.limit, scratch / "photos")
        self.files = [list(dataset.file_paths) for dataset in open_datasets(self.photos, size=self.size)]
        self.table = write_table(*self.files, scratch / "photos.csv")
        self.parts: dict[str, dict[str, Any]] = {}

    def run(self) -> None:
        """Every part that is asked for; those that were kept are not run again."""
        settings = [len(self.files[0]), len(self.files[1]), self.options.size, self.epochs]
        kept = self.options.kept
        if kept is not None and kept.is_file():
            found = json.loads(kept.read_text())
            if found.pop("settings") == settings:
                self.parts = found
        for name in self.options.parts:
            if name not in self.parts:
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
                    self.parts[name] = process.submit(measure, name, self.options, self.scratch / name, self.parts).result()
            if kept is not None:
                kept.write_text(json.dumps({"settings": settings, **self.parts}, indent=1))

    def plain(self) -> dict[str, Any]:
        """KerasTuner's grid."""
        return self._plain(pinned=False)

    def pinned(self) -> dict[str, Any]:
        """The same with BatchNorm as it was."""
        return self._plain(pinned=True)

    def _plain(self, *, pinned: bool) -> dict[str, Any]:
        import keras
        import keras_tuner

        epochs, size = self.epochs, self.size
        depths = ["head" if depth is None else str(depth) for depth in self.depths]

        class Plain(keras_tuner.HyperModel):
            def build(self, hp: Any) -> Any:
                depth = hp.Choice("depth", depths)
                model, base = build(classes, size=size, augment=False)
                base.trainable = depth != "head"
                if depth != "head":
                    thaw_from(base, int(depth), pinned=pinned)
                loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
                model.compile(keras.optimizers.Adam(hp.Choice("rate", list(RATES))), loss, metrics=["accuracy"])
                return model

        class Grid(keras_tuner.GridSearch):
            def run_trial(self, trial: Any, *arguments: Any, **options: Any) -> Any:
                began_trial = time.perf_counter()
                result = super().run_trial(trial, *arguments, **options)
                values = trial.hyperparameters.values
                score = max(result[0].history["val_accuracy"])
                seconds = time.perf_counter() - began_trial
                trials.append({"depth": values["depth"], "rate": values["rate"], "score": score, "seconds": round(seconds, 3)})
                return result

        trials: Trials = []
        began = time.perf_counter()
        train, held_out = open_datasets(self.photos, size=size)
        classes = len(train.class_names)
        keras.utils.set_random_seed(1)
        tuner = Grid(Plain(), objective="val_accuracy", directory=str(self.scratch / "plain"), max_trials=None)
        tuner.search(train.prefetch(2), epochs=epochs, validation_data=held_out.prefetch(2), verbose=0)
        return {"seconds": round(time.perf_counter() - began, 3), "trials": trials}

    def hand(self) -> dict[str, Any]:
        """One pass, then every suffix by two ways."""
        began = time.perf_counter()
        train, held_out = open_datasets(self.photos, size=self.size)
        classes = len(train.class_names)
        maps = compute_maps(train, held_out, size=self.size, blocks=self.depths)
        found: dict[str, Any] = {"pass_to_every_block": round(time.perf_counter() - began, 3), "trials": []}
        for depth in self.depths:
            for rate, way in zip(RATES, ("fit", "loop"), strict=True):
                began = time.perf_counter()
                training = SuffixTraining(build_suffix(depth, classes, size=self.size), maps[depth], rate, way)
                for _ in range(self.epochs):
                    training.epoch()
                row = {
                    "depth": "head" if depth is None else str(depth),
                    "rate": rate,
                    "way": way,
                    "score": max(training.accuracies),
                }
                found["trials"].append({**row, "seconds": round(time.perf_counter() - began, 3)})
        return found

    def tfl(self) -> dict[str, Any]:
        """The same grid by `tfl tune`."""
        search = tfl.Search(algorithm="grid", space=self.space(tfl.Choice(RATES)), trials=None, seeds=0, stop_poor=False)
        return self.search(search)

    def prior(self) -> dict[str, Any]:
        """As `tfl tune` is meant: probes first, and poor trials stopped."""
        rivals = [time_to_best(self.parts[name]["trials"]) for name in RIVALS if name in self.parts]
        minutes = max(rivals) / 4 / 60 if rivals else 3.0
        minutes = max(minutes, 1.0) if self.options.smoke else minutes
        space = self.space(tfl.Between(min(RATES), max(RATES), log=True))
        return self.search(tfl.Search(space=space, trials=None, minutes=minutes, seeds=0, prior="probe"))

    def space(self, rate: tfl.Choice | tfl.Between) -> dict[str, tfl.Choice | tfl.Between]:
        """Depth and rate of the one stage."""
        depths = tfl.Choice(tuple(top_of(depth) for depth in self.depths))
        return {"stages.trial.train": depths, "stages.trial.learning_rate": rate}

    def search(self, search: tfl.Search) -> dict[str, Any]:
        """One search of tfl, from an empty store."""
        import dataclasses

        from rich.console import Console

        from tfl.measure import tune_recipe

        stage = tfl.Stage("trial", epochs=self.epochs, learning_rate=RATES[0])
        recipe = dataclasses.replace(recipe_of(self.table, stage, size=self.options.size), search=search)
        out = self.scratch / f"search-{search.algorithm}"
        with cold_store():
            began = time.perf_counter()
            folder = tune_recipe(recipe, out, resume=False, workers=1, console=Console(quiet=True))
            seconds = time.perf_counter() - began
        names = {top_of(depth): "head" if depth is None else str(depth) for depth in DEPTHS}
        trials = [
            {
                "depth": names[row["values"]["stages.trial.train"]],
                "rate": row["values"]["stages.trial.learning_rate"],
                "score": row["value"],
                "status": row["status"],
                "reason": row["reason"],
                "epochs": row["epochs"],
                "seconds": round(row.get("seconds", 0.0), 3),
                "features": round(row["feature_seconds"], 3),
                "ended": round(row.get("ended_s", math.inf), 3),
            }
            for row in folder.outcomes()
            if row["status"] != "unfinished"
        ]
        before = seconds - float(folder.about.get("seconds", seconds))
        return {"seconds": round(seconds, 3), "before_and_after_trials": round(before, 3), "trials": trials}

    def figures(self) -> list[dict[str, Any]]:
        """What was measured, and what has to hold."""
        parts = self.parts
        found = [figure(f"{name}: all of it", part["seconds"], "s") for name, part in parts.items() if "seconds" in part]
        passes = [part["pass"] for part in parts.values()]
        found.append(figure("the plain forward pass before each part, slowest over fastest", max(passes) / min(passes), "ratio"))
        if "hand" in parts:
            found.append(figure("hand: one pass and every suffix on arrays", by_hand_seconds(parts["hand"]), "s"))
        if {"hand", "tfl"} <= set(parts):
            ratio = parts["tfl"]["seconds"] / by_hand_seconds(parts["hand"])
            found.append(figure("tfl over by hand, same trials", ratio, "ratio", at_most=1.25))
        if {"hand", "tfl"} <= set(parts):
            found += [*scores_by_depth("by hand", parts["hand"]), self._same_depth("by hand", parts["hand"], parts["tfl"])]
        if "tfl" in parts:
            found += scores_by_depth("tfl", parts["tfl"])
        if "prior" in parts:
            found.append(
                figure("tfl with probes first, best score", max(row["score"] for row in parts["prior"]["trials"]), "share")
            )
        for name, rival in RIVALS.items():
            if {name, "tfl"} <= set(parts):
                found += self._same_trials(rival, parts[name], parts["tfl"])
            if {name, "prior"} <= set(parts):
                found += self._same_score(rival, parts[name]["trials"], parts["prior"])
        return found

    def _same_depth(self, rival: str, other: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
        best, mine = by_depth(other["trials"]), by_depth(ours["trials"])
        theirs = max(best, key=lambda depth: best[depth])
        lost = max(mine.values()) - mine.get(theirs, 0.0)
        name = f"what tfl's scores lose at the best depth of {rival} ({theirs})"
        return figure(name, lost, "share", at_most=round(self._noise(best[theirs]), 4))

    def _same_trials(self, rival: str, plain: dict[str, Any], ours: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            *scores_by_depth(rival, plain),
            figure(f"{rival} over tfl, same trials", plain["seconds"] / ours["seconds"], "times", at_least=4.0),
            self._same_depth(rival, plain, ours),
        ]

    def _same_score(self, rival: str, plain: Trials, prior: dict[str, Any]) -> list[dict[str, Any]]:
        target = max(row["score"] for row in plain)
        slow = time_to_best(plain)
        found = [
            figure(f"{rival}, best score", target, "share"),
            figure(f"{rival}, time to its best score, mean over all orders", slow, "s"),
        ]
        for label, score, reach in (
            (f"the best score of {rival}", target, 8.0),
            (f"the best score of {rival} less one standard error", target - self._noise(target) / 1.96, None),
        ):
            seconds = time_to(score, prior)
            reached = figure(f"tfl came to {label}", float(math.isfinite(seconds)), "1 or 0", at_least=1.0)
            found.append(reached)
            if math.isfinite(seconds):
                found.append(figure(f"tfl, time to {label}", seconds, "s"))
                found.append(figure(f"{rival} over tfl, time to {label}", slow / seconds, "times", at_least=reach))
        return found

    def _noise(self, score: float) -> float:
        """Half of the 95% interval of one score, from the number of validation photos."""
        return float(1.96 * math.sqrt(score * (1 - score) / len(self.files[1])))


def measure(name: str, options: Any, scratch: Path, earlier: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One part, and the plain forward pass before it."""
    scratch.mkdir()
    with quietly():
        measured = Measured(options, scratch)
        measured.parts = earlier
        once = forward_pass(measured.photos, size=measured.size)
        return {"pass": round(once.wall, 3), **getattr(measured, name)()}


def by_depth(trials: Trials) -> dict[str, float]:
    """The best score at each depth."""
    return {
        depth: max(row["score"] for row in trials if row["depth"] == depth) for depth in dict.fromkeys(r["depth"] for r in trials)
    }


def scores_by_depth(name: str, part: dict[str, Any]) -> list[dict[str, Any]]:
    """A figure for each depth of a part."""
    return [figure(f"{name}, best score from {depth}", score, "share") for depth, score in by_depth(part["trials"]).items()]


def by_hand_seconds(part: dict[str, Any]) -> float:
    """One pass, and for both rates the faster way of training each suffix."""
    depths = dict.fromkeys(row["depth"] for row in part["trials"])
    faster = [min(row["seconds"] for row in part["trials"] if row["depth"] == depth) for depth in depths]
    return float(part["pass_to_every_block"] + len(RATES) * sum(faster))


def time_to_best(trials: Trials) -> float:
    """Seconds until the best trial has ended, averaged over all orders of the trials."""
    best = max(trials, key=lambda row: row["score"])
    return float(best["seconds"] + sum(row["seconds"] for row in trials if row is not best) / 2)


def time_to(score: float, part: dict[str, Any]) -> float:
    """Seconds from the start of a search to the end of its first trial with that score; infinite where there is none."""
    ended = [row["ended"] for row in part["trials"] if row["score"] is not None and row["score"] >= score]
    return float(part["before_and_after_trials"] + min(ended)) if ended else math.inf


def main() -> None:
    def add(parser: Any) -> None:
        parser.add_argument(
            "--parts", nargs="+", choices=PARTS, default=list(PARTS), help="only these; figures need pairs of them"
        )
        parser.add_argument("--kept", type=Path, help="keep each part's result in this file, and go on from it")

    options = options_of(__doc__, rounds=1, add=add)
    with tempfile.TemporaryDirectory() as scratch, quietly():
        measured = Measured(options, Path(scratch))
        measured.run()
    rounds = [{"part": name, **part} for name, part in measured.parts.items()]
    print_document(document("depth_search", measured.figures(), rounds), as_json=options.json)


if __name__ == "__main__":
    main()
