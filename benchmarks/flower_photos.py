"""What the benchmarks on flowers share: their options, the photos, a cold store, and a stage of tfl run as a library."""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tfl

NETWORK = tfl.Backbone("MobileNetV2", arguments={"alpha": 0.35})
SMOKE_PHOTOS, SMOKE_SIZE = 200, 100
"""Keras has ImageNet weights of this network for 224 px, and takes them for sizes that are not one of its own, such as 100."""


def options_of(description: str | None, *, rounds: int, add: Callable[[Any], None] = lambda parser: None) -> argparse.Namespace:
    """The command line that these benchmarks have in common; `options.photos` is the folder of all photos."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"how often each side is measured (default {rounds})")
    parser.add_argument("--limit", type=int, help="so many photos, an equal share of each class; default all")
    parser.add_argument("--size", type=int, default=224, help="pixels a side (default 224)")
    parser.add_argument("--smoke", action="store_true", help="a run of a minute that shows that it works, and measures nothing")
    add(parser)
    options = parser.parse_args()
    if options.smoke:
        options.limit, options.size = options.limit or SMOKE_PHOTOS, SMOKE_SIZE
    options.photos = Path(os.environ.get("TFL_TEST_DATA", "")) / "flowers"
    if not options.photos.is_dir():
        parser.error("set TFL_TEST_DATA to the folder that holds flowers/, and KERAS_HOME to the one with ImageNet weights")
    return options


def quietly() -> contextlib.redirect_stdout[Any]:
    """Keras prints to standard output, where the document belongs alone."""
    return contextlib.redirect_stdout(sys.stderr)


def choose_photos(photos: Path, limit: int | None, folder: Path) -> Path:
    """The photos themselves, or links to an equal share of each class; every file is read once, so that none is cold."""
    if limit is not None:
        classes = sorted(path for path in photos.iterdir() if path.is_dir())
        for chosen in classes:
            (folder / chosen.name).mkdir(parents=True)
            for file in sorted(chosen.iterdir())[: max(1, limit // len(classes))]:
                (folder / chosen.name / file.name).symlink_to(file.resolve())
        photos = folder
    for file in photos.glob("*/*"):
        file.read_bytes()
    return photos


def write_table(training: Sequence[str], held_out: Sequence[str], table: Path) -> Path:
    """A CSV source with the guide's own split: its training photos train, its validation photos validate.

    tfl wants a test split as well; it gets one photo a class of the guide's validation photos.
    """
    spared: dict[str, str] = {}
    for file in held_out:
        spared.setdefault(Path(file).parent.name, file)
    with open(table, "w", newline="", encoding="utf-8") as handle:
        rows = csv.writer(handle)
        rows.writerow(("path", "label", "split"))
        rows.writerows((file, Path(file).parent.name, "train") for file in training)
        rows.writerows((file, Path(file).parent.name, "test" if file in spared.values() else "val") for file in held_out)
    return table


def recipe_of(table: Path, *stages: tfl.Stage, size: int, seed: int = 0, engine: str = "keras") -> tfl.Recipe:
    """tfl's side: the same network and head, every epoch run, nothing exported."""
    return tfl.Recipe(
        name="flowers",
        data=tfl.Data(str(table), image_size=(size, size)),
        backbone=NETWORK,
        head=tfl.Head(dropout=0.2),
        stages=stages,
        monitor=tfl.Monitor("val_accuracy", patience=None),
        features=tfl.Features(engine=engine),  # type: ignore[arg-type]
        seed=seed,
        export=(),
    )


def top_of(block: int | None) -> str:
    """`Stage.train` for the head alone (None), or for all from block N up: MobileNetV2 has 16 and a last convolution."""
    return "head" if block is None else tfl.top_blocks(18 - block)


@contextlib.contextmanager
def cold_store() -> Iterator[Path]:
    """An empty feature store for as long as the block runs."""
    before = os.environ.get("TFL_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TFL_CACHE"] = folder
        try:
            yield Path(folder)
        finally:
            os.environ.pop("TFL_CACHE")
            if before is not None:
                os.environ["TFL_CACHE"] = before


@dataclass
class StageTimes:
    """Seconds of one stage by what they went to; `processor` is that of all threads, which other jobs disturb less."""

    total: float
    processor: float
    data: float
    network: float
    features: float
    epochs: float
    other: float
    history: list[dict[str, Any]]
    notices: list[str]

    @property
    def accuracy(self) -> float:
        """Validation accuracy after the last epoch."""
        return float(self.history[-1]["val_accuracy"])


def prepare(recipe: tfl.Recipe) -> Any:
    """The recipe's images, found, audited and split."""
    from rich.console import Console

    from tfl.job import prepare_data

    return prepare_data(recipe, Console(file=sys.stderr, quiet=True))[0]


def run_stage(
    recipe: tfl.Recipe, folder: Path, *, bundle: Any = None, after_epoch: Callable[[int], None] | None = None
) -> StageTimes:
    """The recipe's first stage from nothing: data (unless at hand as `bundle`), network, features, epochs, checkpoints.

    `after_epoch` is called when an epoch is over and on disk.
    """
    from tfl.model.assemble import assemble
    from tfl.runs import Run
    from tfl.train.stage import train_stage

    began, processor = time.perf_counter(), time.process_time()
    bundle = prepare(recipe) if bundle is None else bundle
    ready = time.perf_counter()
    assembled = assemble(recipe, bundle.examples.class_names)
    built = time.perf_counter()
    run = Run.create(folder, recipe, command=[])
    watchers = [] if after_epoch is None else [_watcher(after_epoch)]
    with run.lock():
        result = train_stage(run, assembled, recipe.stages[0], bundle, recipe=recipe, watchers=watchers)
    done = time.perf_counter()
    spent = result.feature_seconds + result.train_seconds
    return StageTimes(
        total=done - began,
        processor=time.process_time() - processor,
        data=ready - began,
        network=built - ready,
        features=result.feature_seconds,
        epochs=result.train_seconds,
        other=done - built - spent,
        history=list(result.history),
        notices=list(result.notices),
    )


def _watcher(after_epoch: Callable[[int], None]) -> Any:
    import keras

    class Watcher(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            after_epoch(epoch)

    return Watcher()


def rounded(times: StageTimes) -> dict[str, float]:
    """The seconds, for the document."""
    names = ("total", "processor", "data", "network", "features", "epochs", "other")
    return {name: round(getattr(times, name), 3) for name in names}
