"""One pass of a frozen network over sounds, from their bytes, against the pass over as many inputs that are ready.

Run       python benchmarks/audio_pass.py --json     (--sounds N, --rounds N)
Sounds    drawn ones, WAV of 1 s at 16 kHz (`sample:sounds`); the same spectrograms, as uint8 in memory, are the other side
Networks  mini at 96 px, and MobileNet, alpha 0.75, at 96, 160 and 224 px; random weights, which take the same time
sounds    bytes, samples, log-mel spectrogram and the network, through the dataset that a run reads
ready     uint8 tensors of the same spectrograms and the network: what a pass over decoded images costs
          Both sides run in turn; each ratio is the median over the rounds, of the time on the clock and of the processor time
          of all threads, which other work on the machine disturbs less
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterable
from typing import Any

from harness import document, figure, print_document

NETWORKS = (
    ("mini", {}, 96),
    ("MobileNet", {"alpha": 0.75}, 96),
    ("MobileNet", {"alpha": 0.75}, 160),
    ("MobileNet", {"alpha": 0.75}, 224),
)
BATCH = 32
REACH = 1.3


def measure(name: str, arguments: dict[str, Any], side: int, *, count: int, rounds: int) -> list[dict[str, Any]]:
    """Seconds of both passes in each round."""
    import keras
    import numpy as np
    import tensorflow as tf

    import tfl
    from tfl.data.pipeline import make_dataset, untuned
    from tfl.data.source import load_source
    from tfl.modalities.base import modality_of

    data = tfl.Sample("sounds", image_size=(side, side), input=tfl.Audio(seconds=1.0))
    recipe = tfl.Recipe(name="pass", data=data, backbone=tfl.Backbone(name, weights=None, arguments=arguments))
    examples, modality = load_source(data), modality_of(recipe)
    indices = np.arange(count) % len(examples)
    keras.utils.set_random_seed(0)
    network = modality.build_backbone(recipe.backbone)
    forward = tf.function(lambda batch: network(tf.cast(batch, tf.float32), training=False), reduce_retracing=True)
    sounds = make_dataset(examples, indices, modality=modality, batch_size=BATCH).map(lambda batch, _: batch)
    pixels = np.concatenate([batch.numpy() for batch in sounds]).astype(np.uint8)
    ready = untuned(tf.data.Dataset.from_tensor_slices(pixels).batch(BATCH).prefetch(tf.data.AUTOTUNE))
    sides = {"sounds": sounds, "ready": ready}
    for dataset in sides.values():  # warm
        _pass(forward, dataset)
    found = []
    for number in range(rounds):
        order = list(sides) if number % 2 == 0 else list(sides)[::-1]
        row: dict[str, Any] = {"network": name, "side": side}
        for side_name in order:
            row[f"{side_name}_s"], row[f"{side_name}_processor_s"] = _pass(forward, sides[side_name])
        found.append(row)
    return found


def _pass(forward: Any, dataset: Iterable[Any]) -> tuple[float, float]:
    """Seconds on the clock, and of the processor."""
    start, processor = time.perf_counter(), time.process_time()
    for batch in dataset:
        forward(batch).numpy()
    return round(time.perf_counter() - start, 4), round(time.process_time() - processor, 4)


def main() -> None:
    """Measures every network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--sounds", type=int, default=2560)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    figures, rounds = [], []
    for name, arguments, side in NETWORKS:
        found = measure(name, arguments, side, count=options.sounds, rounds=options.rounds)
        rounds += found
        for key, words in (("", "time on the clock"), ("processor_", "processor time")):
            ratio = statistics.median(row[f"sounds_{key}s"] / row[f"ready_{key}s"] for row in found)
            figures.append(figure(f"{name} {side} px, {words}, sounds / ready", ratio, "ratio", at_most=REACH))
    print_document(document("audio_pass", figures, rounds), as_json=options.json)


if __name__ == "__main__":
    main()
