"""Every export beside the model it came from: the largest difference, changed labels, accuracy, seconds and size.

Run       KERAS_HOME=<folder with ImageNet weights> TFL_TEST_DATA=<folder with flowers/> python benchmarks/parity.py --json
Networks  mini on the drawn strawberry sample, in float32 and in mixed_bfloat16; MobileNetV2 alpha 0.35 with ImageNet weights on
          photos of flowers, where photos and weights are there
Head      the layer `logits` trained on the stored features of the training images, as a head stage does
Files     the golden images and the whole test split, from bytes to label; formats without a decoder get tfl's pixels, and
          `read by Pillow` is the model on the pixels that the README's lines make
Server    tfl's own, started on the SavedModel, asked over HTTP
Rounding  where an export differs by more than 1e-5, the model beside itself with BatchNorm folded into its convolutions
int8      as it is written, with all from the pooled features on in float32; `all int8` is what it would be without that
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from flower_photos import NETWORK, choose_photos
from harness import document, figure, print_document
from stage_times import prepare, quietly

import tfl

REACH = {"float32": 1e-5, "float16": 1e-2}
MOST_POINTS = 1.0


def recipes(options: argparse.Namespace, scratch: Path) -> Iterator[tuple[str, tfl.Recipe, str]]:
    """What is exported: a title, the recipe, and the policy that the network computes in."""
    sample = tfl.Sample("strawberry", image_size=(96, 96), per_class=20 if options.smoke else None)
    mini = tfl.Recipe(name="mini", data=sample, backbone=tfl.Backbone("mini"), precision="float32")
    yield "mini", mini, "float32"
    yield "mini, mixed", mini, "mixed_bfloat16"
    photos = Path(os.environ.get("TFL_TEST_DATA", "")) / "flowers"
    if photos.is_dir() and os.environ.get("KERAS_HOME"):
        limit, side = (100, 100) if options.smoke else (options.limit, 224)
        data = tfl.Data(str(choose_photos(photos, limit, scratch / "photos")), image_size=(side, side))
        yield "MobileNetV2", tfl.Recipe(name="flowers", data=data, backbone=NETWORK), "float32"
    else:
        print("no photos or weights: MobileNetV2 is left out", file=sys.stderr)


def build(recipe: tfl.Recipe, policy: str) -> tuple[Any, Any, Any]:
    """The network with a fitted head, its images, and the confidence fitted on the validation split."""
    import keras

    from tfl.evaluate.confidence import fit_confidence
    from tfl.evaluate.explain import tensor_of
    from tfl.model.assemble import assemble

    bundle = prepare(recipe).bundle
    keras.config.set_dtype_policy(policy)
    try:
        model = assemble(recipe, bundle.examples.class_names).model
    finally:
        keras.config.set_dtype_policy("float32")
    seen = keras.Model(model.input, tensor_of(model, "head_pool"))
    features = {part: look_at(seen, bundle, part) for part in ("train", "val")}
    fit_head(model.get_layer("logits"), features["train"], bundle.labels("train"))
    kernel, bias = model.get_layer("logits").get_weights()
    confidence = fit_confidence(
        tfl.Calibration(),
        logits=features["val"] @ kernel + bias,
        features=features["val"],
        targets=bundle.targets_of("val"),
        training_features=features["train"][:500],
    )
    return model, bundle, confidence


def look_at(seen: Any, bundle: Any, part: str) -> np.ndarray:
    """The features of a split."""

    dataset = bundle.dataset(bundle.indices(part), batch_size=32)
    features: np.ndarray = seen.predict(dataset, verbose=0)
    return features.astype("float32")


def fit_head(logits: Any, features: np.ndarray, labels: np.ndarray) -> None:
    """Trains the layer alone on the features, as a head stage does: Adam at 2e-3, 40 epochs of batches of 32."""
    import keras

    inputs = keras.Input(features.shape[1:])
    head = keras.Model(inputs, logits(inputs))
    head.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    head.fit(features, labels, batch_size=32, epochs=40, verbose=0)


def measure(title: str, recipe: tfl.Recipe, policy: str, folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Figures and rounds of one network."""
    from tfl.export.certificate import Certifier
    from tfl.export.kinds import KINDS
    from tfl.export.litert import REPRESENTATIVE
    from tfl.export.server import open_server
    from tfl.export.ship import ship
    from tfl.export.shipment import prepare as prepare_shipment
    from tfl.export.trial import Trial, tensors_of

    model, bundle, confidence = build(recipe, policy)
    shipment = prepare_shipment(
        model,
        class_names=bundle.examples.class_names,
        modality=bundle.modality,
        metadata={"recipe": recipe.name},
        confidence=confidence,
        representative=tensors_of(bundle.examples, bundle.indices("train"), modality=bundle.modality, at_most=REPRESENTATIVE),
    )
    trial = Trial.of_bundle(bundle)
    certifier = Certifier(shipment, trial, trained=model, strict=False)
    done = ship(
        tuple(KINDS), shipment, folder, certifier=certifier, tell=lambda words: print(f"{title}: {words}", file=sys.stderr)
    )
    with serving(done.folders["saved_model"].parent) as address:
        began = time.perf_counter()
        row = certifier.certify(open_server(address, name=recipe.name), path=".")
        row["seconds_to_answer"] = time.perf_counter() - began
    all_int8 = measure_all_int8(shipment, certifier, folder)
    certificate = {**certifier.document(), "all_int8": all_int8}
    return list(figures_of(title, certificate)), [{"network": title, "policy": policy, **certificate}]


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """tfl's server on a SavedModel, in a process of its own; gives its address."""
    command = [sys.executable, "-m", "tfl.cli.main", "serve", str(folder), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            text = ""
            for line in server.stdout or ():
                text += line
                if line.startswith("}"):
                    break
            yield str(json.loads(text)["address"])
        finally:
            server.terminate()


def measure_all_int8(shipment: Any, certifier: Any, folder: Path) -> dict[str, Any]:
    """int8 with the head, the probabilities and the confidence quantised too: not what tfl writes."""
    from tfl.export.litert import _write_int8, file_of
    from tfl.export.parity import compare
    from tfl.export.runtimes import open_export

    target = folder / "all_int8"
    target.mkdir()
    _write_int8(shipment, target / file_of("int8"), float_tail=False)
    [runtime] = open_export("litert", target)
    row = compare(runtime, runtime.look_at(certifier.trial), certifier.expected, certifier.trial, shipment.class_names)
    return {**row, "bytes": (target / file_of("int8")).stat().st_size}


def figures_of(title: str, certificate: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A handful of figures for each export."""
    yield figure(f"{title}: accuracy of the model", certificate["model"]["accuracy"], "share")
    for name, row in {**certificate["exports"], "all int8": certificate["all_int8"]}.items():
        test, others, said = row["test"], row["other_outputs"], f"{title}, {name}"
        reach = REACH.get(row["weights"])
        if "rounding" in row:
            yield figure(f"{said}: what float32 rounds by", 1e6 * row["rounding"], "millionths")
        if reach is not None:
            yield figure(f"{said}: largest difference", 1e6 * row["largest_difference"], "millionths", at_most=1e6 * reach)
        else:
            yield figure(f"{said}: largest difference", 1e6 * row["largest_difference"], "millionths")
            evaluated = {"at_most": MOST_POINTS} if name != "all int8" else {}
            yield figure(f"{said}: accuracy lost", 100 * test["accuracy_lost"], "points", **evaluated)
        yield figure(f"{said}: accuracy", test["accuracy"], "share")
        yield figure(f"{said}: changed labels", row["changed"], f"of {row['count']} files")
        yield figure(f"{said}: changed prediction sets", others["prediction_set"]["changed"], f"of {row['count']} files")
        yield figure(f"{said}: changed unfamiliar", others["is_out_of_distribution"]["changed"], f"of {row['count']} files")
        if "bytes" in row:
            yield figure(f"{said}: size", row["bytes"] / 1e6, "MB")
        if "seconds_to_write" in row:
            yield figure(f"{said}: to write", row["seconds_to_write"], "s")
        if "seconds_to_answer" in row:
            yield figure(f"{said}: to answer", 1e3 * row["seconds_to_answer"] / row["count"], "ms an image")
    for name, row in (("as trained", certificate["as_trained"]), ("read by Pillow", certificate["read_by_pillow"])):
        if row is not None:
            yield figure(f"{title}, {name}: largest difference", 1e6 * row["largest_difference"], "millionths")
            yield figure(f"{title}, {name}: accuracy", row["test"]["accuracy"], "share")
            yield figure(f"{title}, {name}: changed labels", row["changed_labels"], f"of {row['count']} files")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--limit", type=int, help="so many photos, an equal share of each class; default all")
    parser.add_argument("--smoke", action="store_true", help="a few images, to see that it works; measures nothing")
    parser.add_argument("--only", nargs="+", help="only networks of these titles")
    options = parser.parse_args()
    found: list[dict[str, Any]] = []
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch, quietly():
        for number, (title, recipe, policy) in enumerate(recipes(options, Path(scratch))):
            if options.only and title not in options.only:
                continue
            figures, certificate = measure(title, recipe, policy, Path(scratch) / str(number))
            found += figures
            rounds += certificate
    print_document(document("parity", found, rounds), as_json=options.json)


if __name__ == "__main__":
    main()
