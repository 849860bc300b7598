"""The weights of `mini`: a large network's features, learnt from two dozen photos and from drawings.

Run       KERAS_HOME=~/.keras python recipes/pretrain_mini.py --steps 14000
Needs     the ImageNet weights of MobileNet alpha 0.75 (Apache-2.0) where `keras.applications` looks for them, and
          the photos that come with scikit-image and scikit-learn. Nothing else is read.
Makes     tfl/modalities/image/backbones/weights/mini.npz and its card, mini.json and mini.md. A killed run resumes.
Then      python benchmarks/mini_transfer.py --json > scores.json
          python recipes/pretrain_mini.py --scores scores.json      (only puts the scores on the card)

The student sees 96 px crops; the teacher saw the same crops at 192 px, once, and its features are kept on disk. The
student learns to reproduce two of the teacher's feature maps (`conv_pw_11` and the last one, 6×6, standardised and
projected on their principal components) and their means over the crop. Where the crops come from: `tfl.modalities.image.crops`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tfl.modalities.image.backbones.mini import WEIGHTS_FILE, build_mini, save_weights, write_card
from tfl.modalities.image.crops import CROP_PX, Crops

STUDENT_PX = CROP_PX // 2
SHARD = 4096
MAP_SIZE, COMPONENTS = 6, 128
DRAWN_EVERY = 4  # each fourth shard is drawn, not cut from photos
BATCH = 64
DATA = (
    "windows of the 21 photos in the wheels of scikit-image and scikit-learn (three of four), and drawings of healthy "
    "leaves, flowers, grounds and blobs by tfl.modalities.image.drawing (one of four; no lesion of the strawberry sample is "
    "among them)"
)


# -------------------------------------------------------------------------------------------------------- the teacher


_crops: Crops | None = None


def make_pictures(numbers: range, *, drawn: bool) -> np.ndarray:
    """The pictures of these numbers, `(n, 192, 192, 3)` uint8; runs in a worker process."""
    global _crops
    _crops = _crops or Crops()
    return np.stack([_crops.picture(number, drawn=drawn) for number in numbers])


def shrink(images: np.ndarray) -> np.ndarray:
    """Halve pictures by 2×2 means, uint8 to uint8: what the student sees."""
    n, size = len(images), images.shape[1] // 2
    return np.rint(images.reshape(n, size, 2, size, 2, 3).mean((2, 4), dtype=np.float32)).astype(np.uint8)


def build_teacher() -> Any:
    """MobileNet alpha 0.75 with two 6×6 maps as outputs: `conv_pw_11` averaged 2×2, and the last one."""
    import keras

    net = keras.applications.MobileNet(input_shape=(None, None, 3), alpha=0.75, include_top=False, weights="imagenet")
    middle = keras.layers.AveragePooling2D(2)(net.get_layer("conv_pw_11_relu").output)
    scaled = keras.Input((CROP_PX, CROP_PX, 3))
    outputs = keras.Model(net.input, [middle, net.output])(keras.layers.Rescaling(1 / 127.5, -1)(scaled))
    return keras.Model(scaled, outputs)


def fit_projection(maps: np.ndarray) -> dict[str, np.ndarray]:
    """Standardise each channel, then its principal components, half whitened.

    Half whitening (dividing by the fourth root of the eigenvalue) keeps a few broad components, mostly brightness and
    clutter, from being all of the loss.
    """
    rows = maps.reshape(-1, maps.shape[-1])
    mean, scale = rows.mean(0), rows.std(0) + 1e-3
    values, vectors = np.linalg.eigh(np.cov(((rows - mean) / scale).T))
    values, vectors = values[::-1][:COMPONENTS], vectors[:, ::-1][:, :COMPONENTS]
    matrix = vectors / values**0.25
    matrix *= math.sqrt(COMPONENTS / np.sum(values**0.5))  # components of mean variance 1
    return {"mean": mean, "matrix": (matrix / scale[:, None]).astype(np.float32)}


def fit_statistics(work: Path, maps: tuple[np.ndarray, np.ndarray]) -> None:
    """Fit, on the first shard, all that turns teacher features into targets, and store it."""
    statistics: dict[str, np.ndarray] = {}
    for name, values in zip(("middle", "last"), maps, strict=True):
        pooled = values.mean((1, 2))
        fitted = fit_projection(values[: SHARD // 2])
        fitted |= {"pool_mean": pooled.mean(0), "pool_scale": pooled.std(0) + 1e-3}
        statistics |= {f"{name}_{key}": value for key, value in fitted.items()}
    save_array(work / "statistics.npz", statistics)


def project(statistics: dict[str, np.ndarray], maps: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
    """Teacher maps to the targets that are kept: two projected maps and one vector of standardised means."""
    targets, pools = {}, []
    for name, values in zip(("middle", "last"), maps, strict=True):
        one = {key: statistics[f"{name}_{key}"] for key in ("mean", "matrix", "pool_mean", "pool_scale")}
        targets[name] = ((values - one["mean"]) @ one["matrix"]).astype(np.float16)
        pools.append((values.mean((1, 2)) - one["pool_mean"]) / one["pool_scale"])
    return targets | {"pool": np.clip(np.concatenate(pools, -1), -8, 8).astype(np.float16)}


def save_array(file: Path, arrays: dict[str, np.ndarray] | np.ndarray) -> None:
    """Write an `.npz` or `.npy` so that it is there whole or not at all."""
    partial = file.with_name(f"partial-{file.name}")
    if isinstance(arrays, dict):
        np.savez(partial, allow_pickle=False, **arrays)
    else:
        np.save(partial, arrays)
    os.replace(partial, file)


def teach(work: Path, shards: int, *, workers: int) -> None:
    """Draw and cut the pictures, run the teacher over them once, keep small pictures and targets, shard by shard."""
    missing = [number for number in range(shards) if not (work / f"{number:03d}-pool.npy").exists()]
    if not missing:
        return
    import tensorflow as tf

    teacher = tf.function(build_teacher(), reduce_retracing=True)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for number in missing:
            began = time.time()
            chunks = [range(first, first + 256) for first in range(number * SHARD, (number + 1) * SHARD, 256)]
            drawn = number % DRAWN_EVERY == DRAWN_EVERY - 1
            jobs = [pool.submit(make_pictures, chunk, drawn=drawn) for chunk in chunks]
            small, middle, last = [], [], []
            for job in jobs:
                pictures = job.result()
                small.append(shrink(pictures))
                for start in range(0, len(pictures), 64):
                    maps = teacher(pictures[start : start + 64].astype(np.float32), training=False)
                    middle.append(maps[0].numpy())
                    last.append(maps[1].numpy())
            keep_shard(work, number, np.concatenate(small), (np.concatenate(middle), np.concatenate(last)))
            seconds = time.time() - began
            (work / f"{number:03d}-seconds").write_text(f"{seconds:.1f}")
            print(f"shard {number + 1}/{shards}{' drawn' if drawn else ''}: {seconds:.0f} s", flush=True)


def keep_shard(work: Path, number: int, images: np.ndarray, maps: tuple[np.ndarray, np.ndarray]) -> None:
    if not (work / "statistics.npz").exists():
        fit_statistics(work, maps)
    with np.load(work / "statistics.npz") as stored:
        targets = project(dict(stored), maps)
    for name, values in {"images": images, **targets}.items():  # "pool" last: its presence says the shard is whole
        save_array(work / f"{number:03d}-{name}.npy", values)


# -------------------------------------------------------------------------------------------------------- the student


def batches(work: Path, shards: int, *, first_step: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Endless batches, each decided by its step: pictures, two target maps, target means; half of them mirrored."""
    names = ("images", "middle", "last", "pool")
    stored = [[np.load(work / f"{number:03d}-{name}.npy", mmap_mode="r") for name in names] for number in range(shards)]
    per_epoch = shards * SHARD // BATCH
    step = first_step
    while True:
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng((epoch, 1)).permutation(shards * SHARD)
        for start in range(place * BATCH, per_epoch * BATCH, BATCH):
            rows = np.sort(order[start : start + BATCH])
            groups = [(shard, rows[rows // SHARD == shard] % SHARD) for shard in np.unique(rows // SHARD)]
            batch = [np.concatenate([stored[shard][k][inside] for shard, inside in groups]) for k in range(4)]
            mirrored = np.random.default_rng((step, 2)).random(BATCH) < 0.5
            for k in range(3):
                batch[k][mirrored] = batch[k][mirrored, :, ::-1]
            yield tuple(values if k == 0 else values.astype(np.float32) for k, values in enumerate(batch))
            step += 1


def build_student() -> tuple[Any, Any]:
    """The mini, and the mini under the linear heads that are thrown away afterwards."""
    import keras

    mini = build_mini((STUDENT_PX, STUDENT_PX, 3), weights=None)
    pooled = keras.layers.GlobalAveragePooling2D()(mini.output)
    heads = [keras.layers.Conv2D(COMPONENTS, 1, name=name)(mini.output) for name in ("middle", "last")]
    heads.append(keras.layers.Dense(384 + 768, name="pool")(pooled))
    return mini, keras.Model(mini.input, heads)


def make_step(student: Any, optimiser: Any) -> Any:
    import tensorflow as tf

    @tf.function
    def step(images: Any, middle: Any, last: Any, pool: Any) -> Any:
        images = tf.cast(images, tf.float32)
        shape = (tf.shape(images)[0], 1, 1, 1)
        images = tf.clip_by_value(images * tf.random.uniform(shape, 0.9, 1.1) + tf.random.uniform(shape, -12, 12), 0, 255)
        with tf.GradientTape() as tape:
            outputs = student(images, training=True)
            pairs = zip(outputs, (middle, last, pool), strict=True)
            losses = tf.stack([tf.reduce_mean(tf.square(out - target)) for out, target in pairs])
            loss = tf.reduce_sum(losses)
        variables = student.trainable_variables
        optimiser.apply(tape.gradient(loss, variables), variables)
        return losses

    return step


def distil(work: Path, shards: int, *, steps: int, peak_rate: float) -> tuple[Any, dict[str, Any]]:
    """Train the student for so many steps in all, going on from a checkpoint; the rate falls with the share of them done.

    A folder whose student was done goes on too where more steps are asked for: the rate then rises to where it would be.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(7)
    mini, student = build_student()
    optimiser = keras.optimizers.AdamW(peak_rate, weight_decay=0.02, global_clipnorm=1.0)
    optimiser.build(student.trainable_variables)
    state = {"step": tf.Variable(0, dtype=tf.int64), "seconds": tf.Variable(0.0, dtype=tf.float64)}
    variables = {str(k): v.value for k, v in enumerate([*student.variables, *optimiser.variables])}
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(**state, **variables), str(work / "checkpoints"), 1)
    manager.restore_or_initialize()
    before, began, step_number = float(state["seconds"]), time.time(), int(state["step"])
    step, losses, saved = make_step(student, optimiser), np.zeros(3), time.time()
    feed = tf.data.Dataset.from_generator(
        lambda: batches(work, shards, first_step=step_number), output_signature=signatures()
    ).prefetch(4)
    for batch in feed:
        share = step_number / steps
        if share >= 1:
            break
        optimiser.learning_rate.assign(peak_rate * min(1, step_number / 300) * (0.5 + 0.5 * math.cos(math.pi * share)))
        latest = step(*batch).numpy()
        losses = 0.98 * losses + 0.02 * latest if losses.any() else latest
        step_number += 1
        if step_number % 100 == 0:
            print(f"step {step_number} {100 * share:.0f}% losses {np.round(losses, 4)}", flush=True)
        if time.time() - saved > 60 or step_number == steps:
            state["step"].assign(step_number)
            state["seconds"].assign(before + time.time() - began)
            manager.save()
            saved = time.time()
    spent = float(state["seconds"])
    return mini, {"minutes": spent / 60, "steps": step_number, "batch": BATCH, "final_losses": np.round(losses, 4).tolist()}


def signatures() -> tuple[Any, ...]:
    import tensorflow as tf

    maps = tf.TensorSpec((None, MAP_SIZE, MAP_SIZE, COMPONENTS), tf.float32)
    images = tf.TensorSpec((None, STUDENT_PX, STUDENT_PX, 3), tf.uint8)
    return images, maps, maps, tf.TensorSpec((None, 384 + 768), tf.float32)


# --------------------------------------------------------------------------------------------------------------- main


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the weights of the mini backbone.")
    parser.add_argument("--steps", type=int, default=14_000, help=f"of {BATCH} pictures each")
    parser.add_argument("--shards", type=int, default=20, help=f"shards of {SHARD} pictures")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--work", type=Path, default=Path("runs/pretrain_mini"), help="folder for what can be resumed")
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE, help="weights file to write")
    parser.add_argument("--scores", type=Path, help="train nothing: put this output of the benchmark on the card")
    parser.add_argument("--workers", type=int, default=2, help="processes that make pictures")
    arguments = parser.parse_args()
    if arguments.scores:
        card = json.loads(arguments.out.with_suffix(".json").read_text())
        write_card(arguments.out, card | {"scores": read_scores(arguments.scores)})
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    teach(arguments.work, arguments.shards, workers=arguments.workers)
    teacher_s = sum(float((arguments.work / f"{number:03d}-seconds").read_text()) for number in range(arguments.shards))
    mini, result = distil(arguments.work, arguments.shards, steps=arguments.steps, peak_rate=arguments.rate)
    student_min = result.pop("minutes")
    card = {
        "command": f"python recipes/pretrain_mini.py --steps {arguments.steps} --shards {arguments.shards}",
        "teacher": "MobileNet alpha 0.75, ImageNet weights of keras.applications, Apache-2.0",
        "data": DATA,
        "pictures": arguments.shards * SHARD,
        "minutes": {"teacher": round(teacher_s / 60, 1), "student": round(student_min, 1)},
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        **result,
    }
    save_weights(mini, arguments.out, card=card)
    print(json.dumps(card, indent=2))


def read_scores(file: Path) -> dict[str, Any]:
    """The command, the machine and the figures of a run of benchmarks/mini_transfer.py."""
    document = json.loads(file.read_text())
    return {"command": document["command"], "machine": document["machine"], "figures": document["figures"]}


if __name__ == "__main__":
    main()
