"""What the benchmarks of a stage share: a cold store, and a stage of tfl run as a library, with what its seconds went to."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tfl


def quietly() -> contextlib.redirect_stdout[Any]:
    """Keras prints to standard output, where the document belongs alone."""
    return contextlib.redirect_stdout(sys.stderr)


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
    """The recipe's examples, found, split and audited, as a `tfl.prepare.Prepared`."""
    from rich.console import Console

    from tfl.job import audit_before_run
    from tfl.prepare import prepare

    console = Console(file=sys.stderr, quiet=True)
    prepared = prepare(recipe, console)
    audit_before_run(recipe, prepared, console)
    return prepared


def run_stage(
    recipe: tfl.Recipe, folder: Path, *, bundle: Any = None, after_epoch: Callable[[int], None] | None = None
) -> StageTimes:
    """The recipe's first stage from nothing: data (unless at hand as `bundle`), network, features, epochs, checkpoints.

    `after_epoch` is called when an epoch is over and on disk.
    """
    from tfl.model.assemble import assemble_for
    from tfl.runs import Run
    from tfl.train.stage import train_stage

    began, processor = time.perf_counter(), time.process_time()
    if bundle is None:
        prepared = prepare(recipe)
        recipe, bundle = prepared.recipe, prepared.bundle
    ready = time.perf_counter()
    assembled = assemble_for(recipe, bundle)
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


def engine_used() -> str:
    """The engine that made the features in the store, with its precision."""
    from tfl.features.budget import stored_spaces

    (engine,) = {str(space.about["engine"]) for space in stored_spaces()}
    return engine
