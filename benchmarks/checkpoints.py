"""What the checkpoint of an epoch costs, beside `save_weights` of Keras.

Run       python benchmarks/checkpoints.py --json
Network   MobileNetV2 at 224 px, no top, random weights: 2.3 million parameters, all of them trained with Adam
Sides     keras  `model.save_weights`: weights alone, without the optimiser
          tfl    `Checkpoints.on_epoch_end`: weights, optimiser, state, flushed to the disk, old ones removed
          load   `Checkpoints.resume` against `model.load_weights`
Order     in turns, the median of the rounds
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness import document, figure, print_document


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(rounds: int, side: int, scratch: Path) -> list[dict[str, float]]:
    """Seconds of each side, a round each."""
    import keras

    import tfl
    from tfl.runs import Run
    from tfl.train.callbacks.checkpoints import Checkpoints
    from tfl.train.state import StageState

    model = keras.applications.MobileNetV2(input_shape=(side, side, 3), include_top=False, weights=None)
    recipe = tfl.Recipe(name="checkpoints", data=tfl.Data("unused"), backbone=tfl.Backbone("mini"))
    state = StageState()
    checkpoints = Checkpoints(
        Run.create(scratch / "run", recipe, command=[]), "all", whole=model, live=model, state=state, keep=2
    )
    checkpoints.optimizer = keras.optimizers.Adam()
    checkpoints.optimizer.build(model.trainable_variables)
    checkpoints.start()
    file = scratch / "keras.weights.h5"
    found = []
    for epoch in range(1, rounds + 2):
        state.epoch = epoch
        row = {
            "keras_save": timed(lambda: model.save_weights(file)),
            "keras_load": timed(lambda: model.load_weights(file)),
            "epoch": timed(lambda epoch=epoch: checkpoints.on_epoch_end(epoch)),  # type: ignore[misc]
            "resume": timed(checkpoints.resume),
        }
        found.append({name: round(seconds, 4) for name, seconds in row.items()})
    return found[1:]  # the first is for warming up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--rounds", type=int, default=9, help="of each side (default 9)")
    parser.add_argument("--smoke", action="store_true", help="one round at 32 px: shows that it works, measures nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = measure(1 if options.smoke else options.rounds, 32 if options.smoke else 224, Path(scratch))
    median = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    figures = [
        figure("save_weights of Keras", median["keras_save"], "s"),
        figure("checkpoint of an epoch, with the optimiser", median["epoch"], "s"),
        figure("load_weights of Keras", median["keras_load"], "s"),
        figure("going on from it", median["resume"], "s"),
        figure("checkpoint over save_weights", median["epoch"] / median["keras_save"], "ratio", at_most=1.0),
    ]
    print_document(document("checkpoints", figures, rows), as_json=options.json)


if __name__ == "__main__":
    main()
