"""Pictures that are as different from each other as photos are, and folders of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import tfl
from tfl.data.examples import Examples


def scene(seed: int, side: int = 96, width: int | None = None) -> Image.Image:
    """Soft colours with some sharp boxes."""
    rng = np.random.default_rng(seed)
    soft = Image.fromarray(rng.integers(0, 256, (5, 5, 3)).astype(np.uint8))
    image = np.array(soft.resize((width or side, side), Image.Resampling.BICUBIC))
    for _ in range(6):
        top, left = rng.integers(0, side * 3 // 4, 2)
        image[top : top + side // 5, left : left + side // 4] = rng.integers(0, 256, 3)
    return Image.fromarray(image)


def pixels(images: Sequence[Image.Image], side: int = 96) -> np.ndarray:
    return np.stack([np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BOX)) for image in images])


def examples_of(images: Sequence[Image.Image], labels: Sequence[int] | None = None, **options: object) -> Examples:
    """In memory, of two classes."""
    given = np.zeros(len(images), np.int32) if labels is None else np.asarray(labels, np.int32)
    return Examples(
        class_names=("ant", "bee"), labels=given, arrays=pixels(images), source="scenes", noun="image", nouns="images", **options
    )  # type: ignore[arg-type]


def folder_of_scenes(root: Path, counts: dict[str, int], *, start: int = 0, side: int = 96) -> Path:
    """`counts["train/ant"]` different pictures in `root/train/ant`."""
    seed = start
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            scene(seed, side).save(root / name / f"{number:03d}.jpg", quality=92)
            seed += 1
    return root


def recipe_of(source: Path | str, **options: object) -> tfl.Recipe:
    data = tfl.Data(str(source), image_size=(64, 64), on_bad="skip", **options)  # type: ignore[arg-type]
    return tfl.Recipe(name="scenes", data=data, backbone=tfl.Backbone("mini"))
