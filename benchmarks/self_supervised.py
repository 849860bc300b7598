"""Images without labels: pretraining by each method and pseudo-labels, next to training on the labelled images alone.

Run       TFL_TEST_DATA=<folder with fashion_mnist/> python benchmarks/self_supervised.py --json [--kept FILE]
Data      Fashion-MNIST at 32 px, by seed: 10 images of each class to train, 5 to validate, and others without labels, all of its
          training part; `--test` images of its test part, the same for all
Network   random weights: four convolutions with BatchNorm and max-pooling (`pooled`, a `.keras` file) or three strided ones
          (`small`), whose head reads the whole feature map; or `mini`
Sides     random features  a linear probe on the random network
          scratch          trained end to end on the labelled images, at two rates, with augmentation and without
          METHOD           `tfl.Pretrain(method=METHOD)`, then a linear probe
          METHOD, tuned    the same, then everything is trained from that probe
          fixmatch         trained end to end from random weights with `tfl.PseudoLabels`
Counted   accuracy on the test images: means over the seeds with 95% intervals. The gain is over the side without images without
          labels that has the best mean on the test images, which favours it
Settings  views, temperature and rates were chosen by `--development --seeds 1 --first 100`, which scores on other training images
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import document, figure, interval, keep, kept_rows, print_document
from stage_times import cold_store, quietly

SIDE, TRAIN, VALIDATE = 32, 10, 5
GAIN = 0.05
"""By which pretraining is to be better than none."""
METHODS = ("simclr", "vicreg", "rotation")
SCRATCH = {"scratch, 0.001": (1e-3, False), "scratch, 0.001, augmented": (1e-3, True), "scratch, 0.003, augmented": (3e-3, True)}
ALONE = ("random features", *SCRATCH)
"""Sides that use no images without labels."""
_NAMES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot")


def main() -> None:
    options = parse()
    rows = kept_rows(options.kept)
    with quietly(), cold_store(), tempfile.TemporaryDirectory() as scratch:
        for seed in range(options.first, options.first + options.seeds):
            bench = Bench(Path(scratch) / str(seed), seed, options)
            for side in options.sides:
                known = {row["side"] for row in rows if row["seed"] == seed}
                if side not in known:
                    for name, value, about in bench.measure(side):
                        rows.append({"seed": seed, "side": name, "accuracy": value, **about})
                        keep(options.kept, rows[-1])
    print_document(document("self_supervised", figures_of(rows), rows), as_json=options.json)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sides = [*ALONE, *METHODS, "fixmatch"]
    parser.add_argument("--json", action="store_true", help="print the document, not a table")
    parser.add_argument("--photos", type=Path, default=os.environ.get("TFL_TEST_DATA"), help="the folder with fashion_mnist/")
    parser.add_argument("--seeds", type=int, default=3, help="how many draws (default 3)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--network", choices=("pooled", "small", "mini"), default="pooled", help="the network (default pooled)")
    parser.add_argument("--unlabelled", type=int, default=40000, help="images without labels (default 40000)")
    parser.add_argument("--epochs", type=int, default=8, help="epochs of pretraining (default 8)")
    parser.add_argument("--test", type=int, default=2000, help="test images (default 2000)")
    parser.add_argument(
        "--development", action="store_true", help="score on other images of the training part, to choose settings"
    )
    parser.add_argument("--sides", nargs="*", choices=sides, default=sides, help="some of the sides alone")
    parser.add_argument("--kept", type=Path, help="a file that keeps results, from which a killed benchmark goes on")
    options = parser.parse_args()
    if options.photos is None:
        parser.error("name the folder with fashion_mnist/: --photos FOLDER, or TFL_TEST_DATA")
    return options


class Bench:
    """One draw of the data in a folder, and what is measured on it."""

    def __init__(self, folder: Path, seed: int, options: argparse.Namespace) -> None:
        self.folder, self.seed, self.options = folder, seed, options
        folder.mkdir(parents=True)
        self._write()

    def measure(self, side: str) -> Iterator[tuple[str, float, dict[str, Any]]]:
        """Name, accuracy and what else there is to say, of a side and of what follows from it."""
        if side in SCRATCH:
            rate, augmented = SCRATCH[side]
            yield side, *self._run(side, stages=(self._whole("all", rate, augmented),))
        elif side == "random features":
            yield side, *self._run(side, **self._probed)
        elif side == "fixmatch":
            yield side, *self._run(side, unlabelled=self._unlabelled, stages=(self._pseudo(1e-3, 100),))
        else:
            yield from self._pretrained(side)

    @property
    def _probed(self) -> dict[str, Any]:
        import tfl

        return {"head": tfl.Head(start="probe", pooling=self._pooling), "stages": (tfl.Stage("probe", epochs=0),)}

    def _pretrained(self, method: str) -> Iterator[tuple[str, float, dict[str, Any]]]:
        import tfl

        views = None if method == "rotation" else tfl.Augment(flip="horizontal", crop=0.5, brightness=0.4, contrast=0.4)
        options: Any = {"epochs": self.options.epochs, "augment": views, "temperature": 0.2}
        settings = tfl.Pretrain(method=method, **options)
        yield method, *self._run(method, unlabelled=self._unlabelled, pretrain=settings, **self._probed)
        backbone = tfl.Backbone(str(self.folder / "runs" / method / "pretrained.keras"), preprocessing="none")
        finetune = dataclasses.replace(self._whole("finetune", 3e-4, True), batchnorm="inference")
        tuned = {**self._probed, "backbone": backbone, "stages": (finetune,)}
        yield f"{method}, tuned", *self._run(f"{method} tuned", **tuned)

    def _run(self, name: str, **parts: Any) -> tuple[float, dict[str, Any]]:
        """The test accuracy of one run, and what it says of pretraining."""
        from rich.console import Console

        import tfl
        from tfl.job import run_recipe

        recipe = tfl.Recipe(
            **{
                "name": "fashion",
                "data": tfl.Data(str(self.folder / "fashion.npz"), image_size=(SIDE, SIDE)),
                "backbone": self._backbone(),
                "head": tfl.Head(pooling=self._pooling),
                "monitor": tfl.Monitor(patience=None, alpha=1.0),
                "confidence": None,
                "export": (),
                "seed": self.seed,
                **parts,
            }
        )
        run = run_recipe(recipe, out=self.folder / "runs" / name.replace(" ", "_"), report=False, console=Console(quiet=True))
        metrics, about = run.read_json("metrics.json"), {}
        if run.path("pretrain.json").is_file():
            found = run.read_json("pretrain.json")
            about = {"kept": found["kept"], "p": found["gain"]["p"], "spread": found["after"]["spread"]}
            about |= {"probe": [found["before"]["value"], found["after"]["value"]], "loss": found["history"][-1]["loss"]}
        return metrics["test"]["accuracy"], {**about, "seconds": metrics["seconds"]["total"]}

    @property
    def _pooling(self) -> Any:
        return "avg" if self.options.network == "mini" else "flatten"

    def _backbone(self) -> Any:
        import tfl

        if self.options.network == "mini":
            return tfl.Backbone("mini", weights=None)
        file = self.folder / f"{self.options.network}.keras"
        if not file.exists():
            NETWORKS[self.options.network](self.seed).save(file)
        return tfl.Backbone(str(file), preprocessing="none")

    @property
    def _unlabelled(self) -> Any:
        import tfl

        return tfl.Unlabelled(str(self.folder / "unlabelled.npz"))

    def _whole(self, name: str, rate: float, augmented: bool) -> Any:
        """Everything trains, BatchNorm included: 100 passes over the 100 images."""
        import tfl

        augment = tfl.Augment(flip="horizontal", crop=0.6) if augmented else None
        options = {"epochs": 100, "learning_rate": rate, "schedule": "cosine", "warmup_epochs": 5, "batchnorm": "train"}
        return tfl.Stage(name, train="all", augment=augment, **options)

    def _pseudo(self, rate: float, epochs: int) -> Any:
        import tfl

        weak = tfl.Augment(flip="horizontal", crop=0.9)
        stage = dataclasses.replace(self._whole("pseudo", rate, True), epochs=epochs, augment=weak)
        return dataclasses.replace(stage, pseudo_labels=tfl.PseudoLabels())

    def _write(self) -> None:
        """The labelled images, and those without labels (whose labels are all one)."""
        import numpy as np

        from tfl.modalities.image.arrays import read_idx

        found = read_idx(self.options.photos / "fashion_mnist")
        images, labels = found["arrays"], np.asarray(found["labels"])
        test = np.flatnonzero(found["splits"] == "test")
        rest = np.random.default_rng(self.seed).permutation(np.flatnonzero(found["splits"] == "train"))
        drawn = [rest[labels[rest] == name][: TRAIN + VALIDATE] for name in range(10)]
        labelled, rest = np.concatenate(drawn), rest[~np.isin(rest, np.concatenate(drawn))]
        scored = np.random.default_rng(7).permutation(test)[: self.options.test]
        if self.options.development:
            scored, rest = rest[-self.options.test :], rest[: -self.options.test]
        train = np.concatenate([one[:TRAIN] for one in drawn])
        parts = {"train": train, "val": np.setdiff1d(labelled, train), "test": scored}
        arrays = {f"{key}_{name}": of[at] for name, at in parts.items() for key, of in (("x", images), ("y", labels))}
        np.savez(self.folder / "fashion.npz", class_names=np.array(_NAMES), **arrays)
        some = rest[: self.options.unlabelled]
        np.savez(self.folder / "unlabelled.npz", x=images[some], y=np.zeros(len(some), np.int32))


def small(seed: int) -> Any:
    """Three strided convolutions with BatchNorm: 94,000 parameters."""
    return _convolutions(seed, (32, 64, 128), strides=2, pooled=0)


def pooled(seed: int) -> Any:
    """Four convolutions with BatchNorm, three of them with max-pooling: 241,000 parameters."""
    return _convolutions(seed, (32, 64, 128, 128), strides=1, pooled=3)


NETWORKS = {"small": small, "pooled": pooled}


def _convolutions(seed: int, widths: tuple[int, ...], *, strides: int, pooled: int) -> Any:
    import keras

    keras.utils.set_random_seed(seed)
    layers = keras.layers
    inputs = keras.Input((SIDE, SIDE, 3), name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="scale_pixels")(inputs)
    for number, channels in enumerate(widths, start=1):
        convolution = {"strides": strides, "padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
        x = layers.Conv2D(channels, 3, name=f"conv{number}", **convolution)(x)
        x = layers.BatchNormalization(name=f"bn{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        if number <= pooled:
            x = layers.MaxPooling2D(name=f"pool{number}")(x)
    return keras.Model(inputs, x, name="convolutions")


def figures_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the seeds, and the gain over the best setting without pretraining, seed by seed."""
    by_side = {side: {row["seed"]: row["accuracy"] for row in rows if row["side"] == side} for side in _sides(rows)}
    figures = [mean_of(side, list(values.values()), "accuracy") for side, values in by_side.items()]
    settings = [side for side in by_side if side in ALONE]
    if not settings:
        return figures
    best = max(settings, key=lambda side: statistics.mean(by_side[side].values()))
    for side in (side for side in by_side if side not in ALONE):
        gains = [value - by_side[best][seed] for seed, value in by_side[side].items() if seed in by_side[best]]
        if gains:
            figures.append(mean_of(f"{side} over {best}", gains, "accuracy", at_least=GAIN))
    return figures


def _sides(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["side"] for row in rows))


def mean_of(name: str, values: list[float], unit: str, **reach: float) -> dict[str, Any]:
    between = interval(values) if len(values) > 1 else None
    return figure(name, statistics.mean(values), unit, between=between, **reach)


if __name__ == "__main__":
    main()
