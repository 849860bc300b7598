"""Images a second of each engine for frozen blocks, how far each is from Keras in float32, and whether tfl takes the fastest.

Run       KERAS_HOME=<folder with ImageNet weights> TFL_TEST_DATA=<folder with flowers/> python benchmarks/engines.py --json
Networks  up to the pooled last block, 224 px, `mini` at 96; ImageNet weights where KERAS_HOME has them, else random ones with
          BatchNorm statistics that are not those of a fresh network. `--networks` takes some; VGG16 only so
Images    one batch of 32 photos of flowers, or drawn ones where there are none; only the network is timed
Errors    millionths of what tells images apart (`tfl.features.engines.relative_error`), of the worst output; above the tolerance
          an engine is passed over
Order     tfl chooses first (features.engine=auto, nothing remembered); then all engines take turns, and each figure is the
          median of the rounds
Holds     the engine that was chosen is within tolerance, and the fastest of those, or within 5% of it, which is a tie
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import document, figure, print_document

import tfl

NETWORKS: dict[str, tuple[tfl.Backbone, int]] = {
    "mini": (tfl.Backbone("mini"), 96),
    "MobileNetV2 alpha 0.35": (tfl.Backbone("MobileNetV2", arguments={"alpha": 0.35}), 224),
    "MobileNetV2": (tfl.Backbone("MobileNetV2"), 224),
    "MobileNet alpha 0.75": (tfl.Backbone("MobileNet", arguments={"alpha": 0.75}), 224),
    "EfficientNetB0": (tfl.Backbone("EfficientNetB0"), 224),
    "ResNet50": (tfl.Backbone("ResNet50"), 224),
    "VGG16": (tfl.Backbone("VGG16"), 224),
}
TIE = 0.95
BATCH = 32


def load_images(side: int) -> np.ndarray:
    """`(32, side, side, 3)` float32 pixels 0..255: photos from all classes, or squares of colour with noise."""
    files = sorted(Path(os.environ.get("TFL_TEST_DATA", "/nonexistent")).glob("flowers/*/*"))
    if files:
        from PIL import Image

        chosen = files[:: max(1, len(files) // BATCH)][:BATCH]
        return np.stack([np.asarray(Image.open(file).convert("RGB").resize((side, side)), np.float32) for file in chosen])
    rng = np.random.default_rng(0)
    squares = np.kron(rng.uniform(0, 255, (BATCH, 8, 8, 3)), np.ones((1, side // 8 + 1, side // 8 + 1, 1)))[:, :side, :side]
    return np.clip(squares + rng.normal(0, 10, squares.shape), 0, 255).astype("float32")


def build(backbone: tfl.Backbone, side: int) -> tuple[Any, str]:
    """The network up to its pooled last block, and where its weights are from."""
    import keras

    from tfl.backbones.weight_files import find_imagenet_file
    from tfl.modalities.image.backbones import catalog

    row = catalog.entry(backbone.name)
    wanted = (row.weights_file_for(backbone.arguments, (side, side)), row.weights_file_for(backbone.arguments))
    trained = backbone.name == "mini" or find_imagenet_file(*wanted) is not None
    chosen = backbone if trained else tfl.Backbone(backbone.name, weights=None, arguments=backbone.arguments)
    from tfl.modalities.image.backbones.build import build_backbone

    model = build_backbone(chosen, image_size=(side, side))
    if not trained:
        enliven(model)
    return keras.Model(
        model.input, keras.layers.GlobalAveragePooling2D()(model.output)
    ), "trained" if trained else "random weights"


def enliven(model: Any) -> None:
    """BatchNorm statistics as a trained network might have them: with fresh ones all features are nearly zero."""
    import keras

    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.moving_mean.shape
            layer.moving_mean.assign(rng.normal(0, 0.3, shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, shape))


def measure(network: str, rounds: int, side: int | None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The figures of one network, and its rounds."""
    from tfl.features.engines import choose_engine, tolerance_of

    backbone, usual = NETWORKS[network]
    side = side or usual
    (prefix, weights), images = build(backbone, side), load_images(side)
    with fresh_cache():
        began = time.perf_counter()
        chosen = choose_engine("auto", prefix, images)
        choosing = time.perf_counter() - began
    engines = every_engine(prefix)
    seconds: dict[str, list[float]] = {engine: [] for engine in engines}
    for number in range(rounds + 1):
        for engine, run in engines.items():
            began = time.perf_counter()
            run(images)
            if number:  # the first one warms up
                seconds[engine].append(time.perf_counter() - began)
    rates = {engine: BATCH / statistics.median(times) for engine, times in seconds.items()}
    within = {engine: rate for engine, rate in rates.items() if chosen.errors[engine] <= tolerance_of(engine)}
    title = f"{network}, {side} px, {weights}"
    found = [figure(f"{title}: {engine}", rate, "images/s") for engine, rate in rates.items()]
    errors = {engine: error for engine, error in chosen.errors.items() if engine != "keras float32"}
    found += [figure(f"{title}: error of {engine}", error * 1e6, "ppm") for engine, error in errors.items()]
    name = chosen.engine.name
    found += [
        figure(f"{title}: error of {name} over its tolerance", chosen.errors[name] / tolerance_of(name), "ratio", at_most=1.0),
        figure(f"{title}: {name}, chosen, over the fastest", rates[name] / max(within.values()), "ratio", at_least=TIE),
    ]
    return found, {"network": title, "said": chosen.said, "choosing": round(choosing, 2), "seconds": seconds}


def every_engine(prefix: Any) -> dict[str, Any]:
    """Each engine that this machine has, by name."""
    from tfl.features.engines import KerasEngine
    from tfl.features.openvino_engine import Converted, openvino_version
    from tfl.model.policies import supported_precisions, under_policy

    engines = [KerasEngine(prefix if policy == "float32" else under_policy(prefix, policy)) for policy in supported_precisions()]
    if openvino_version() is not None:
        converted = Converted(prefix)
        engines += [converted.engine(precision) for precision in converted.precisions]  # type: ignore[misc]
    return {engine.name: engine for engine in engines}


@contextlib.contextmanager
def fresh_cache() -> Any:
    """A cache in which no earlier choice is remembered."""
    before = os.environ.get("TFL_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TFL_CACHE"] = folder
        yield
        os.environ.pop("TFL_CACHE")
        if before is not None:
            os.environ["TFL_CACHE"] = before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--rounds", type=int, default=7, help="how often each engine is measured (default 7)")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, metavar="NAME", default=[n for n in NETWORKS if n != "VGG16"])
    parser.add_argument(
        "--smoke", action="store_true", help="two small networks, one round: shows that it works, measures nothing"
    )
    options = parser.parse_args()
    names, rounds, side = options.networks, options.rounds, None
    if options.smoke:
        names, rounds, side = ["mini", "MobileNetV2 alpha 0.35"], 1, 64
    figures: list[dict[str, Any]] = []
    details = []
    with contextlib.redirect_stdout(sys.stderr):
        for name in names:
            found, detail = measure(name, rounds, side)
            figures += found
            details.append(detail)
    print_document(document("engines", figures, details), as_json=options.json)


if __name__ == "__main__":
    main()
