"""What is often advised for small sets, each tried by itself: at the probe, and in fine-tuning from the probe.

Run       KERAS_HOME=<folder with ImageNet weights> TFL_TEST_DATA=<folder with flowers/, fashion_mnist/, blood_cells/,
              spoken_digits/> python benchmarks/small_set_tricks.py --json [--only TASK ...] [--tricks TRICK ...] [--seeds 3]
              [--kept FILE]
Tasks     small ones of `best_answer.py`, its network and its draws
Probe     `probe`     scikit-learn's logistic regression on the standardised, pooled last block of MobileNet alpha 0.75
          `mirrored`  the same, on the mean of the features of a picture and of its mirror image (not for sounds)
          `networks`  the same, on the last blocks of MobileNet and of `mini` side by side
Tuned     `tuned`     from the probe, 70% of the computation for 12 epochs at 3e-4, cosine decay, BatchNorm in inference mode
          `smoothed`  with label smoothing of 0.1
          `mixup`     with MixUp, alpha 0.2
          `averaged`  with an exponential moving average of the weights, momentum 0.98
          `soup`      the mean of the weights of three trainings in different orders
Gain      over `probe` and over `tuned`, the mean of the tasks, with a 95% interval by Student's t over the tasks
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from best_answer import TASKS, ByHand, recipe_of, table_of
from harness import document, figure, interval, keep, kept_rows, print_document

SMALL = ("flowers 5", "flowers 20", "clothes 5", "cells 30", "digits 10", "spoken digits 5", "spoken digits 20")
TRICKS = {
    "probe": "probe",
    "mirrored": "probe",
    "networks": "probe",
    "tuned": "tuned",
    "smoothed": "tuned",
    "mixup": "tuned",
    "averaged": "tuned",
    "soup": "tuned",
}
"""What each is compared with."""
EPOCHS, RATE, SHARE, BATCH = 12, 3e-4, 0.7, 16


class Tricks(ByHand):
    """The tricks on one task."""

    def mirrored(self) -> float:
        """The mean of both features."""
        import keras

        rows = np.arange(len(self.labels))
        dataset = self.bundle.dataset(rows, batch_size=32).map(lambda x, y, *_: x[..., ::-1, :])
        backbone = self.network.model.get_layer("logits").input
        pooled = keras.Model(self.network.model.inputs, backbone)
        both = np.stack([self._vectors(self.network), pooled.predict(dataset, verbose=0)])
        return self._of_vectors(both.mean(axis=0))

    def networks(self) -> float:
        """Features of two networks side by side."""
        import tfl

        other = ByHand(dataclasses.replace(self.recipe, backbone=tfl.Backbone("mini")))
        return self._of_vectors(np.concatenate([self._vectors(self.network), other._vectors(other.network)], axis=1))

    def _of_vectors(self, vectors: Any) -> float:
        return self._score(self._regression(vectors, self.known).predict(vectors[self.bundle.indices("test")]))

    def tuned(self, *, smoothing: float = 0.0, mixup: float = 0.0, average: bool = False, seed: int = 0) -> float:
        """Fine-tuning from the probe."""
        self._tune(smoothing=smoothing, mixup=mixup, average=average, seed=seed)
        return self._tested()

    def smoothed(self) -> float:
        """Label smoothing."""
        return self.tuned(smoothing=0.1)

    def mixup(self) -> float:
        """MixUp."""
        return self.tuned(mixup=0.2)

    def averaged(self) -> float:
        """A moving average of the weights."""
        return self.tuned(average=True)

    def soup(self) -> float:
        """The mean of several trainings' weights."""
        found, start = [], self.network.model.get_weights()
        for seed in range(3):
            self.network.model.set_weights(start)
            self._tune(seed=seed)
            found.append(self.network.model.get_weights())
        self.network.model.set_weights([np.mean(values, axis=0) for values in zip(*found, strict=True)])
        return self._tested()

    def _tested(self) -> float:
        test = self.bundle.dataset(self.bundle.indices("test"), batch_size=32)
        return self._score(self.network.model.predict(test, verbose=0).argmax(axis=1))

    def _tune(self, *, smoothing: float = 0.0, mixup: float = 0.0, average: bool = False, seed: int = 0) -> None:
        import keras
        import tensorflow as tf

        self.start_from_probe(self.known)
        model, blocks = self.network.model, self.network.blocks
        shares = [block.flops_share for block in blocks]
        depth = max([top for top in range(1, len(blocks)) if sum(shares[-top:]) <= SHARE] or [1])
        trained = {name for block in blocks[-depth:] for name in block.layers} | set(self.network.head_layers)
        for layer in model.layers:
            layer.trainable = layer.name in trained and not isinstance(layer, keras.layers.BatchNormalization)
        steps = EPOCHS * -(-len(self.known) // BATCH)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, steps - steps // 10, warmup_target=RATE, warmup_steps=max(steps // 10, 1)
        )
        optimizer = keras.optimizers.Adam(rate, use_ema=average, ema_momentum=0.98)
        model.compile(optimizer, loss=keras.losses.CategoricalCrossentropy(label_smoothing=smoothing))
        keras.utils.set_random_seed(seed)
        x = np.concatenate(
            [batch[0].astype(np.float32) for batch in self.bundle.dataset(self.known, batch_size=32).as_numpy_iterator()]
        )
        rows = tf.data.Dataset.from_tensor_slices((x, self.bundle.targets[self.known])).shuffle(len(x), seed=seed).batch(BATCH)
        if mixup:
            layer = keras.layers.MixUp(mixup, data_format="channels_last", seed=seed)

            def mixed(images: Any, labels: Any) -> Any:
                found = layer({"images": images, "labels": labels})
                return found["images"], found["labels"]

            rows = rows.map(mixed)
        model.fit(rows, epochs=EPOCHS, verbose=0)


def measure(name: str, seed: int, trick: str, folder: Path) -> dict[str, Any]:
    """One trick on one task."""
    accuracy = getattr(Tricks(recipe_of(table_of(name, seed, folder), name, seed)), trick)()
    return {"task": name, "seed": seed, "trick": trick, "accuracy": accuracy}


def figures_of(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The accuracies by task, and the gains over what each trick is compared with."""
    cells: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        cells[row["trick"]][row["task"]][row["seed"]] = row["accuracy"]
    figures = [
        figure(f"{task}: {trick}", statistics.mean(seeds.values()), "test accuracy")
        for trick, tasks in cells.items()
        for task, seeds in tasks.items()
    ]
    for trick, tasks in cells.items():
        beside = cells.get(TRICKS[trick], {})
        gains = [
            100 * statistics.mean(value - beside[task][seed] for seed, value in seeds.items() if seed in beside[task])
            for task, seeds in tasks.items()
            if trick != TRICKS[trick] and task in beside
        ]
        if gains:
            between = interval(gains) if len(gains) > 1 else None
            figures.append(figure(f"{trick} over {TRICKS[trick]}", statistics.mean(gains), "points", between=between))
    return figures


def main() -> None:
    """Measures the tasks that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--only", nargs="+", choices=TASKS, default=SMALL)
    parser.add_argument("--tricks", nargs="+", choices=TRICKS, default=tuple(TRICKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kept", type=Path)
    options = parser.parse_args()
    rows = kept_rows(options.kept)
    done = {(row["task"], row["seed"], row["trick"]) for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TFL_CACHE"] = str(Path(folder) / "cache")
        for seed in range(options.seeds):
            for name in options.only:
                for trick in options.tricks:
                    sound = TASKS[name].source == "spoken_digits"
                    if (name, seed, trick) in done or (sound and trick == "mirrored"):
                        continue
                    rows.append(measure(name, seed, trick, Path(folder)))
                    keep(options.kept, rows[-1])
    print_document(document("small_set_tricks", figures_of(rows), rows), as_json=options.json)


if __name__ == "__main__":
    main()
