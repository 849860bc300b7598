"""How long the end of an epoch waits for tf.data's autotuner, and that it does not wait without it.

Run       python benchmarks/autotuner.py --json
Pipelines a map in parallel and a generator, both prefetched; the consumer takes half a second over each of six elements
Measured  from the last element to the moment at which the iterator is gone, with the autotuner on and off in turn
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from harness import document, figure, print_document

ELEMENTS, CONSUMER_SECONDS = 6, 0.5


def pipelines() -> dict[str, Callable[[], Any]]:
    """Each as a function that makes a new dataset."""
    import numpy as np
    import tensorflow as tf

    def elements() -> Iterator[Any]:
        for number in range(ELEMENTS):
            yield np.int64(number)

    return {
        "parallel map": lambda: (
            tf.data.Dataset.range(ELEMENTS)
            .map(lambda number: number + 1, num_parallel_calls=tf.data.AUTOTUNE)
            .prefetch(tf.data.AUTOTUNE)
        ),
        "generator": lambda: tf.data.Dataset.from_generator(elements, output_signature=tf.TensorSpec((), tf.int64)).prefetch(1),
    }


def seconds_to_let_go(dataset: Any) -> float:
    """From the last element until the iterator is gone."""
    iterator = iter(dataset)
    for _ in iterator:
        time.sleep(CONSUMER_SECONDS)
    began = time.perf_counter()
    del iterator
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--rounds", type=int, default=8, help="how often each is measured (default 8)")
    options = parser.parse_args()
    from tfl.data.pipeline import untuned

    rows: list[dict[str, Any]] = []
    for _ in range(options.rounds):
        for name, make in pipelines().items():
            for tuner, dataset in (("on", make()), ("off", untuned(make()))):
                rows.append({"pipeline": name, "autotuner": tuner, "seconds": round(seconds_to_let_go(dataset), 4)})
    figures = []
    for name in pipelines():
        for tuner in ("on", "off"):
            found = [row["seconds"] for row in rows if (row["pipeline"], row["autotuner"]) == (name, tuner)]
            figures.append(figure(f"{name}, autotuner {tuner}: median", statistics.median(found), "s"))
            reach = {"at_most": 0.1} if tuner == "off" else {}
            figures.append(figure(f"{name}, autotuner {tuner}: longest", max(found), "s", **reach))
    print_document(document("autotuner", figures, rows), as_json=options.json)


if __name__ == "__main__":
    main()
