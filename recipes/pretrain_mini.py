"""The weights of `mini`: a large network's features, learnt from two dozen photos and from drawings.

Run       KERAS_HOME=~/.keras python recipes/pretrain_mini.py --minutes 90
Needs     the ImageNet weights of MobileNet alpha 0.75 (Apache-2.0) where `keras.applications` looks for them, and
          the photos that come with scikit-image and scikit-learn. Nothing else is read.
Makes     tfl/backbones/weights/mini.npz, mini.json and mini.md. A killed run continues where it was.

The student sees 96 px crops; the teacher saw the same crops at 192 px, once, and its features are kept on disk. The
student learns to reproduce two of the teacher's feature maps (`conv_pw_11` and the last one, 6×6, standardised and
projected on their principal components) and their means over the crop. Crops are cut at many scales, turned,
colour-mixed and laid over each other (after Asano and Saeed, "Extrapolating from a Single Image to a Thousand Classes
using Distillation", 2021); a part of them is drawn by `tfl.data.drawing`.
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
from PIL import Image

TEACHER_PX, STUDENT_PX = 192, 96
SHARD = 4096
MAP_SIZE, COMPONENTS = 6, 128
DRAWN_EVERY = 4  # each fourth shard is drawn, not cut from photos
BATCH = 64
COLOUR_PHOTOS = (
    *("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg"),
    *("china.jpg", "flower.jpg", "retina.jpg", "ihc.png", "hubble_deep_field.jpg"),
)
GREY_PHOTOS = (
    *("brick.png", "camera.png", "cell.png", "clock_motion.png", "coins.png", "grass.png", "gravel.png", "moon.png"),
    *("page.png", "text.png"),
)
COLOUR_SHARE = 0.75


# ---------------------------------------------------------------------------------------------------------- the crops


def photo_folders() -> tuple[Path, Path]:
    """Where scikit-image and scikit-learn keep the photos that came in their wheels."""
    import skimage
    import sklearn

    return Path(skimage.__file__).parent / "data", Path(sklearn.__file__).parent / "datasets" / "images"


def load_pyramids(names: tuple[str, ...]) -> list[list[Image.Image]]:
    """Each photo with its halvings, so that a crop is never shrunk more than twice and does not alias."""
    pyramids = []
    for name in names:
        path = next(folder / name for folder in photo_folders() if (folder / name).exists())
        levels = [Image.open(path).convert("RGB")]
        while min(levels[-1].size) >= 2 * TEACHER_PX:
            levels.append(levels[-1].reduce(2))
        pyramids.append(levels)
    return pyramids


def cut(rng: np.random.Generator, pyramid: list[Image.Image]) -> np.ndarray:
    """One turned, stretched window of a photo, `(192, 192, 3)` float32 in 0..1."""
    height, width = pyramid[0].size[1], pyramid[0].size[0]
    side = min(height, width) * math.exp(rng.uniform(math.log(0.16), 0.0))
    stretch, angle = math.exp(rng.uniform(-0.25, 0.25)), rng.normal(0, 0.35) + (rng.random() < 0.2) * math.pi / 2
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * side / 2 * [stretch, 1 / stretch]
    corners = corners * rng.choice([-1, 1], p=[0.5, 0.5]) ** np.array([1, 0]) + rng.normal(0, 0.04 * side, (4, 2))
    corners = corners @ np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    reach = np.minimum(np.abs(corners).max(0), [width / 2, height / 2])
    corners += rng.uniform(reach, np.maximum([width, height] - reach, reach + 1e-6))
    level = min(len(pyramid) - 1, max(0, int(math.log2(max(side / TEACHER_PX, 1.0)) + 0.3)))
    quad = (corners / 2**level).ravel().tolist()
    size = (TEACHER_PX, TEACHER_PX)
    crop = pyramid[level].transform(size, Image.Transform.QUAD, quad, Image.Resampling.BICUBIC)
    return np.asarray(crop, np.float32) / 255


def tint(rng: np.random.Generator, grey: np.ndarray) -> np.ndarray:
    """A grey picture through a ramp of three random colours."""
    ramp = np.sort(rng.random((3, 1)), axis=0) * 0.6 + rng.random((3, 3)) * 0.4
    level = grey.mean(-1)
    return np.stack([np.interp(level, [0, 0.5, 1], ramp[:, c]) for c in range(3)], -1).astype(np.float32)


def mix_colours(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Hue, saturation, white balance, contrast and gamma, moderately in most crops and wildly in some."""
    wild = rng.random() < 0.25
    mean = image.mean(-1, keepdims=True)
    image = mean + (image - mean) * rng.uniform(0.3, 1.7)
    matrix = np.eye(3) + rng.normal(0, 0.3 if wild else 0.06, (3, 3))
    image = image @ (matrix / matrix.sum(1, keepdims=True).clip(0.5)).astype(np.float32)
    if wild and rng.random() < 0.5:
        image = image[..., rng.permutation(3)]
    gain = rng.uniform(0.8, 1.2, 3) * rng.uniform(0.6, 1.4)
    image = (image - 0.5) * rng.uniform(0.6, 1.4) + 0.5
    return np.clip(image * gain, 0, 1).astype(np.float32) ** np.float32(math.exp(rng.normal(0, 0.25)))


def smooth_mask(rng: np.random.Generator) -> np.ndarray:
    """A blotchy mask `(192, 192, 1)` in 0..1, with edges from hard to soft."""
    cells = int(rng.integers(2, 9))
    noise = Image.fromarray(rng.random((cells, cells), np.float32)).resize((TEACHER_PX,) * 2, Image.Resampling.BICUBIC)
    field = (np.asarray(noise) - rng.uniform(0.35, 0.65)) * math.exp(rng.uniform(1, 4))
    return (0.5 + 0.5 * np.tanh(2 * field))[..., None].astype(np.float32)


class Crops:
    """Draws training pictures; each is decided by its number alone."""

    def __init__(self) -> None:
        self.colour, self.grey = load_pyramids(COLOUR_PHOTOS), load_pyramids(GREY_PHOTOS)

    def photo(self, rng: np.random.Generator) -> np.ndarray:
        if rng.random() < COLOUR_SHARE:
            return mix_colours(rng, cut(rng, self.colour[rng.integers(len(self.colour))]))
        grey = cut(rng, self.grey[rng.integers(len(self.grey))])
        return mix_colours(rng, tint(rng, grey) if rng.random() < 0.7 else grey)

    def drawing(self, rng: np.random.Generator) -> np.ndarray:
        from tfl.data.drawing import draw_scene

        image = draw_scene(rng, TEACHER_PX)
        return mix_colours(rng, image) if rng.random() < 0.5 else image

    def picture(self, number: int, *, drawn: bool) -> np.ndarray:
        rng = np.random.default_rng((20240607, number))
        image = self.drawing(rng) if drawn else self.photo(rng)
        if rng.random() < 0.3:
            other = self.photo(rng)
            mask = smooth_mask(rng) if rng.random() < 0.7 else np.float32(rng.uniform(0.25, 0.75))
            image = image * mask + other * (1 - mask)
        if rng.random() < 0.15:
            image = image + rng.normal(0, rng.uniform(0.01, 0.06), image.shape)
        return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


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


# -------------------------------------------------------------------------------------------------------- the teacher


def build_teacher() -> Any:
    """MobileNet alpha 0.75 with two 6×6 maps as outputs: `conv_pw_11` averaged 2×2, and the last one."""
    import keras

    net = keras.applications.MobileNet(input_shape=(None, None, 3), alpha=0.75, include_top=False, weights="imagenet")
    middle = keras.layers.AveragePooling2D(2)(net.get_layer("conv_pw_11_relu").output)
    scaled = keras.Input((TEACHER_PX, TEACHER_PX, 3))
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
            print(f"shard {number + 1}/{shards}{' drawn' if drawn else ''}: {time.time() - began:.0f} s", flush=True)


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

    from tfl.backbones.mini import build_mini

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


def distil(work: Path, shards: int, *, minutes: float, peak_rate: float) -> tuple[Any, dict[str, Any]]:
    """Train the student for so many minutes in all, going on from a checkpoint; the rate falls with the time spent."""
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
        spent = before + time.time() - began
        share = spent / (60 * minutes)
        if share >= 1:
            break
        optimiser.learning_rate.assign(peak_rate * min(1, step_number / 300) * (0.5 + 0.5 * math.cos(math.pi * share)))
        losses = 0.98 * losses + 0.02 * step(*batch).numpy() if step_number else step(*batch).numpy()
        step_number += 1
        if step_number % 100 == 0:
            print(f"step {step_number} {100 * share:.0f}% losses {np.round(losses, 4)}", flush=True)
        if time.time() - saved > 60:
            state["step"].assign(step_number)
            state["seconds"].assign(spent)
            manager.save()
            saved = time.time()
    return mini, {"steps": step_number, "batch": BATCH, "final_losses": np.round(losses, 4).tolist()}


def signatures() -> tuple[Any, ...]:
    import tensorflow as tf

    maps = tf.TensorSpec((None, MAP_SIZE, MAP_SIZE, COMPONENTS), tf.float32)
    images = tf.TensorSpec((None, STUDENT_PX, STUDENT_PX, 3), tf.uint8)
    return images, maps, maps, tf.TensorSpec((None, 384 + 768), tf.float32)


# --------------------------------------------------------------------------------------------------------------- main


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the weights of the mini backbone.")
    parser.add_argument("--minutes", type=float, default=60, help="time for training, beside the teacher's pass")
    parser.add_argument("--shards", type=int, default=20, help=f"shards of {SHARD} pictures")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--work", type=Path, default=Path("runs/pretrain_mini"), help="folder for what can be resumed")
    parser.add_argument("--out", type=Path, help="weights file to write (default: the one in the package)")
    parser.add_argument("--workers", type=int, default=2, help="processes that make pictures")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    began = time.time()
    teach(arguments.work, arguments.shards, workers=arguments.workers)
    taught = time.time()
    mini, result = distil(arguments.work, arguments.shards, minutes=arguments.minutes, peak_rate=arguments.rate)

    from tfl.backbones.mini import WEIGHTS_FILE, save_weights

    card = {
        "command": f"python recipes/pretrain_mini.py --minutes {arguments.minutes:g} --shards {arguments.shards}",
        "teacher": "MobileNet alpha 0.75, ImageNet (keras.applications), Apache-2.0",
        "pictures": arguments.shards * SHARD,
        "minutes": {"teacher": round((taught - began) / 60, 1), "student": round(arguments.minutes, 1)},
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        **result,
    }
    save_weights(mini, arguments.out or WEIGHTS_FILE, card=card)
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
