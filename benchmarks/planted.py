"""A copy of some photos with defects planted in it: which files, by a seed, and so the answers that an audit should give."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

SHARES = {"train": 0.6, "val": 0.15, "test": 0.25}
JPEG = {"quality": 92}
ALREADY_ALIKE = 0.97
_SIDE = 64


@dataclass
class Planted:
    """What was planted, as paths below the folder.

    Attributes:
        folder: train/, val/ and test/ with class folders.
        files: By kind, the files that have the defect.
        copies: By kind, pairs of (copy, original).
        count: Files in all.
    """

    folder: Path
    files: dict[str, list[str]] = field(default_factory=dict)
    copies: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    count: int = 0


def choose(source: Path, per_class: int, rng: np.random.Generator) -> dict[str, list[Path]]:
    """Photos of each class, none of them a copy of another one already: all pairs are laid over each other at 64 px."""
    drawn = {
        folder.name: list(rng.permutation(np.array(sorted(folder.iterdir()))))[: per_class * 5 // 4]
        for folder in sorted(source.iterdir())
        if folder.is_dir()
    }
    files = [file for some in drawn.values() for file in some]
    pixels = np.stack([_grey(file) for file in files])
    alike = np.triu(np.maximum(pixels @ pixels.T, pixels @ _mirrored(pixels).T), 1)
    copies = {files[second] for second in np.flatnonzero((alike > ALREADY_ALIKE).any(axis=0))}
    return {name: [file for file in some if file not in copies][:per_class] for name, some in drawn.items()}


def _grey(file: Path) -> np.ndarray:
    grey = np.asarray(Image.open(file).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float32).ravel()
    grey -= grey.mean()
    return grey / max(float(np.linalg.norm(grey)), 1e-6)


def _mirrored(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(-1, _SIDE, _SIDE)[:, :, ::-1].reshape(len(pixels), -1)


def plant(source: Path, folder: Path, *, per_class: int, each: int, seed: int) -> Planted:
    """Copies photos into splits and spoils some of them, no photo twice.

    Args:
        source: A folder of class folders.
        folder: Where to.
        per_class: Photos of each class.
        each: Defects of each kind of file; of each kind of copy, twice as many.
        seed: Of everything.
    """
    rng = np.random.default_rng([seed, 11])
    chosen = choose(source, per_class, rng)
    made = Planted(folder)
    places: dict[str, Path] = {}
    for name, files in chosen.items():
        sizes = [round(len(files) * share) for share in list(SHARES.values())[:-1]]
        splits = rng.permutation(np.repeat(list(SHARES), [*sizes, len(files) - sum(sizes)]))
        for number, (file, split) in enumerate(zip(files, splits, strict=True)):
            places[f"{split}/{name}/{number:04d}.jpg"] = file
    for name, file in places.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    untouched = rng.permutation(list(places)).tolist()
    _spoil(folder, untouched, made, each, rng)
    _copy(folder, untouched, list(chosen), made, 2 * each, rng)
    made.count = sum(path.is_file() for path in folder.rglob("*"))
    return made


def plant_wrong_labels(source: Path, folder: Path, *, per_class: int, share: float, seed: int) -> Planted:
    """Copies photos and puts a share of them into a class that is not theirs, every other class as likely; nothing else is wrong.

    Args: As of `plant`; `share` of the photos of each class.
    """
    rng = np.random.default_rng([seed, 12])
    made = Planted(folder, files={"wrong_labels": []})
    chosen = choose(source, per_class, rng)
    for label, files in chosen.items():
        for number, file in enumerate(rng.permutation(np.array(files))):
            wrong = number < round(share * len(files))
            given = str(rng.choice([other for other in chosen if other != label])) if wrong else label
            name = f"{given}/{list(chosen).index(label)}-{number:04d}.jpg"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(file.read_bytes())
            made.files["wrong_labels"] += [name] if wrong else []
    made.count = sum(map(len, chosen.values()))
    return made


def _opened(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


def _jpeg(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **{**JPEG, **options})
    return buffer.getvalue()


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


# ------------------------------------------------------------------------------------------------ defects of one file


def _unreadable(path: Path, rng: np.random.Generator) -> bytes:
    content = path.read_bytes()
    kinds = (b"", b"not a photo at all\n" * 30, content[: len(content) // 2], b"\x00" * 64 + content[64:])
    return kinds[int(rng.integers(len(kinds)))]


def _odd_mode(path: Path, rng: np.random.Generator) -> bytes:
    image = _opened(path)
    kind = int(rng.integers(4))
    if kind == 0:
        return _jpeg(image.convert("CMYK"))
    if kind == 1:
        return _png(image.quantize(64))
    if kind == 2:
        with_alpha = image.copy()
        with_alpha.putalpha(128)
        return _png(with_alpha)
    return _png(Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257))


def _odd_size(path: Path, rng: np.random.Generator) -> bytes:
    image = _opened(path)
    times = 0.2 if rng.random() < 0.5 else 6
    return _jpeg(image.resize((round(image.width * times), round(image.height * times))))


def _odd_shape(path: Path, rng: np.random.Generator) -> bytes:
    image = _opened(path)
    times = float(rng.uniform(3, 6))
    size = (round(image.width * times), image.height) if rng.random() < 0.5 else (image.width, round(image.height * times))
    return _jpeg(image.resize(size))


def _rotated(path: Path, rng: np.random.Generator) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(2, 9))
    return _jpeg(_opened(path), exif=exif)


def _dark(path: Path, rng: np.random.Generator) -> bytes:
    return _jpeg(_opened(path).point(lambda value: value * 0.15))


def _blank(path: Path, rng: np.random.Generator) -> bytes:
    image = _opened(path)
    grey = rng.integers(60, 200) + rng.integers(0, 3, (image.height, image.width, 1))
    return _jpeg(Image.fromarray(np.repeat(grey, 3, axis=2).astype(np.uint8)))


def _blurred(path: Path, rng: np.random.Generator) -> bytes:
    image = _opened(path)
    return _jpeg(image.filter(ImageFilter.GaussianBlur(image.width / 20)))


SPOILERS: dict[str, tuple[Callable[[Path, np.random.Generator], bytes], str]] = {
    "unreadable": (_unreadable, ".jpg"),
    "mistyped": (lambda path, rng: _png(_opened(path)), ".jpg"),
    "odd_modes": (_odd_mode, ".img"),
    "odd_sizes": (_odd_size, ".jpg"),
    "odd_aspect_ratios": (_odd_shape, ".jpg"),
    "exif_rotated": (_rotated, ".jpg"),
    "dark": (_dark, ".jpg"),
    "blank": (_blank, ".jpg"),
    "blurred": (_blurred, ".jpg"),
}


def _spoil(folder: Path, untouched: list[str], made: Planted, each: int, rng: np.random.Generator) -> None:
    for kind, (spoiled, suffix) in SPOILERS.items():
        made.files[kind] = []
        for _ in range(each):
            name = untouched.pop()
            content = spoiled(folder / name, rng)
            if suffix == ".img":  # named by what it is
                (folder / name).unlink()
                name = name.removesuffix(".jpg") + (".jpg" if content[:2] == b"\xff\xd8" else ".png")
            (folder / name).write_bytes(content)
            made.files[kind].append(name)


# ------------------------------------------------------------------------------------------------------------- copies


def _same(path: Path, rng: np.random.Generator) -> bytes:
    return path.read_bytes()


def _again(path: Path, rng: np.random.Generator) -> bytes:
    """Encoded again at another quality, or resized, or both."""
    image = _opened(path)
    kind = int(rng.integers(3))
    if kind:
        times = float(rng.uniform(0.5, 1.6))
        image = image.resize((round(image.width * times), round(image.height * times)))
    return _jpeg(image, quality=int(rng.integers(30, 90)) if kind != 1 else 92)


def _cropped(path: Path, rng: np.random.Generator) -> bytes:
    """Cropped by up to a fifth of a side, mirrored, or both."""
    image = _opened(path)
    kind = int(rng.integers(3))
    if kind:
        keep = float(rng.uniform(0.8, 0.95))
        width, height = round(image.width * keep), round(image.height * keep)
        left, top = int(rng.integers(image.width - width + 1)), int(rng.integers(image.height - height + 1))
        image = image.crop((left, top, left + width, top + height))
    if kind != 1:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _jpeg(image, quality=int(rng.integers(70, 95)))


COPIERS: dict[str, tuple[Callable[[Path, np.random.Generator], bytes], str]] = {
    "exact_duplicates": (_same, "class"),
    "exact_leaks": (_same, "split"),
    "conflicting_labels": (_same, "other class"),
    "reencoded_or_resized": (_again, "class"),
    "cropped_or_mirrored": (_cropped, "class"),
    "near_leaks": (_again, "split"),
    "near_conflicting_labels": (_again, "other class"),
}
"""How a copy is made, and where it goes: into the same split and class, into train, or into another class."""


def _copy(folder: Path, untouched: list[str], classes: list[str], made: Planted, each: int, rng: np.random.Generator) -> None:
    for kind, (copied, where) in COPIERS.items():
        of_test = [name for name in untouched if name.startswith("test/")]
        originals = (of_test if where == "split" else untouched)[-each:]
        made.copies[kind] = []
        for original in originals:
            untouched.remove(original)
            split, label, file = original.split("/")
            if where == "split":
                split = "train"
            elif where == "other class":
                label = str(rng.choice([one for one in classes if one != label]))
            copy = f"{split}/{label}/{kind}-{file}"
            (folder / copy).parent.mkdir(parents=True, exist_ok=True)
            (folder / copy).write_bytes(copied(folder / original, rng))
            made.copies[kind].append((copy, original))


# --------------------------------------------------------------------------------------------- what only a CSV can say


def write_grouped(planted: Planted, file: Path, *, groups: int, torn: int, seed: int) -> set[str]:
    """A CSV of the folder's training and test photos in groups of four, some of them in both splits; the torn groups' files."""
    rng = np.random.default_rng([seed, 13])
    rows, wrong = [], set()
    for split in ("train", "test"):
        names = sorted(str(path.relative_to(planted.folder)) for path in (planted.folder / split).rglob("*.jpg"))
        rows += [[name, name.split("/")[1], "", split] for name in names if name not in planted.files["unreadable"]]
    train, test = (
        [row for row in rng.permutation(np.array(rows, object)).tolist() if row[3] == split] for split in ("train", "test")
    )
    for number, (some, others) in enumerate(zip(_fours(train), _fours(test), strict=False)):
        if number >= groups:
            break
        if number < torn:
            some[2:], others[2:] = others[2:], some[2:]
            wrong |= {row[0] for row in (*some, *others)}
        for letter, members in (("a", some), ("b", others)):
            for row in members:
                row[2] = f"{letter}{number}"
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["path", "label", "group", "split"])
        writer.writerows([[str(planted.folder / row[0]), *row[1:]] for row in (*train, *test)])
    return {str(planted.folder / name) for name in wrong}


def _fours(rows: list[list[str]]) -> list[list[list[str]]]:
    return [rows[start : start + 4] for start in range(0, len(rows) - 3, 4)]
