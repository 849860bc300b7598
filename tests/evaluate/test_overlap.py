"""Which images of another source a run has used: by content, and as near copies."""

import shutil
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from rich.console import Console

import tfl
from tfl.data.bundle import Bundle
from tfl.data.listing import write_listing
from tfl.data.source import load_source
from tfl.data.split import Split, split
from tfl.evaluate.overlap import overlap_with, overlap_within
from tfl.runs import Run


def audit(examples: Any, *, on_bad: Any = "error", bits: int | None = None, data: Any = None, keep: bool = False) -> Any:
    """The audit of images at 32 pixels, or at the size of `data`."""
    from tfl.data.audit import audit as audit_examples
    from tfl.modalities.image.modality import ImageModality

    modality = ImageModality(data or tfl.Data("x", image_size=(32, 32), bits=bits))
    return audit_examples(examples, modality=modality, on_bad=on_bad, keep=keep)


QUIET = Console(quiet=True)


def picture(seed):
    """A coarse pattern of colours, which no other seed comes near."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)


def bundle_of(folder, data=None):
    data = data or tfl.Data(str(folder), image_size=(32, 32))
    found = audit(load_source(data))
    parts = split(found.examples, validation=0.25, test=0.25, seed=0, fingerprints=found.fingerprints)
    return Bundle(examples=found.examples, split=parts, data=data, seed=0, fingerprints=found.fingerprints)


@pytest.fixture
def used(tmp_path):
    """A run on `photos/`, as far as its data was read, and the bundle of that."""
    for number in range(24):
        folder = tmp_path / "photos" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        picture(number).save(folder / f"{number}.png")
    bundle = bundle_of(tmp_path / "photos")
    run = Run.create(tmp_path / "run", tfl.Recipe(name="x", data=bundle.data, backbone=tfl.Backbone("mini")), command=[])
    write_listing(run.folder, bundle)
    return run, bundle


def other(tmp_path, files):
    """A bundle of these images, by name; classes `a` and `b` in turn."""
    for number, (name, image) in enumerate(files.items()):
        place = tmp_path / "more" / "ab"[number % 2] / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, place) if isinstance(image, str) else image.save(place)
    return bundle_of(tmp_path / "more")


def found_in(bundle, overlap):
    names = [bundle.examples.name_of(index) for index in range(len(bundle.examples))]
    document = overlap.to_json(names)
    return document, {row["file"].split("/")[-1]: (row["split"], row["how"]) for row in document["files"]}


@pytest.mark.slow
def test_the_same_content_is_counted_by_split_whatever_it_is_called(tmp_path, used):
    run, bundle = used
    files = {}
    for part, count in (("train", 3), ("val", 2), ("test", 1)):
        for index in bundle.indices(part)[:count]:
            files[f"{part}-{index}.png"] = bundle.examples.name_of(index)
    files |= {f"new-{seed}.png": picture(seed) for seed in range(100, 104)}
    more = other(tmp_path, files)
    document, rows = found_in(more, overlap_with(run, more, near=False, console=QUIET))
    assert {name: document[name] for name in ("train", "val", "test", "near", "unseen")} == {
        "train": 3,
        "val": 2,
        "test": 1,
        "near": None,
        "unseen": 5,
    }
    assert {name.split("-")[0] for name in rows} == {"train", "val"}
    assert "not looked for" in document["notes"][0]


@pytest.mark.slow
def test_near_copies_of_used_images_are_found_and_others_are_not(tmp_path, used):
    run, bundle = used
    train, val, test = (bundle.examples.name_of(bundle.indices(part)[0]) for part in ("train", "val", "test"))
    more = other(
        tmp_path,
        {
            "encoded.jpg": Image.open(train).convert("RGB"),
            "resized.png": Image.open(val).resize((48, 48)),
            "mirrored.png": ImageOps.mirror(Image.open(train)),
            "cropped.png": Image.open(train).crop((3, 4, 61, 62)),
            "of_the_test_split.png": Image.open(test).resize((50, 50)),
            **{f"new-{seed}.png": picture(seed) for seed in range(100, 110)},
        },
    )
    document, rows = found_in(more, overlap_with(run, more, near=True, console=QUIET))
    near = "near copy"
    assert rows == {
        "encoded.jpg": ("train", near),
        "resized.png": ("val", near),
        "mirrored.png": ("train", near),
        "cropped.png": ("train", near),
    }
    assert document["near"] == 4 and document["unseen"] == 11 and document["notes"] == []


@pytest.mark.slow
def test_small_pictures_are_near_copies_only_if_they_are_equal(tmp_path):
    """Scanned digits of 8 pixels: many look alike, and an array and a PNG of it have other fingerprints."""
    data = tfl.Sample("digits", image_size=(32, 32), per_class=10)
    bundle = bundle_of(None, data)
    run = Run.create(tmp_path / "run", tfl.Recipe(name="x", data=data, backbone=tfl.Backbone("mini")), command=[])
    write_listing(run.folder, bundle)
    kept = bundle.indices("train")[:5]
    fresh = load_source(tfl.Sample("digits"))
    seen = {image.tobytes() for image in bundle.examples.arrays}
    new = [image for image in fresh.arrays if image.tobytes() not in seen][:15]
    files = {f"old-{index}.png": Image.fromarray(bundle.examples.arrays[index]) for index in kept}
    more = other(tmp_path, {**files, **{f"new-{number}.png": Image.fromarray(image) for number, image in enumerate(new)}})
    _, rows = found_in(more, overlap_with(run, more, near=True, console=QUIET))
    assert set(rows) == set(files)


@pytest.mark.slow
def test_what_cannot_be_checked_is_said(tmp_path, used):
    run, bundle = used
    more = other(tmp_path, {f"new-{seed}.png": picture(seed) for seed in range(100, 112)})
    gone = bundle.examples.name_of(bundle.indices("train")[0])
    shutil.move(gone, tmp_path / "away.png")
    found = overlap_with(run, more, near=True, console=QUIET)
    assert found.unseen.all() and "1 of the 18 images that the run has used are no longer in" in found.notes[0]
    shutil.move(tmp_path / "photos", tmp_path / "elsewhere")
    found = overlap_with(run, more, near=True, console=QUIET)
    assert found.near is None and found.unseen.all() and "could not be looked for: There is nothing" in found.notes[0]
    run.path("data.csv").unlink()
    found = overlap_with(run, more, near=True, console=QUIET)
    assert found.unseen is None and "has no data.csv" in found.notes[0] and found.to_json([])["unseen"] is None


def test_a_sources_own_test_split_may_hold_training_images():
    images = np.random.default_rng(0).integers(0, 256, (8, 4, 4)).astype(np.uint8)
    examples = tfl.data.examples.Examples(class_names=("a", "b"), labels=np.arange(8) % 2, arrays=images, source="memory")
    parts = Split(train=np.arange(4), val=np.array([4, 5]), test=np.array([6, 7]))
    prints = [f"{name:0<64}" for name in "abcdefba"]
    found = overlap_within(Bundle(examples=examples, split=parts, data=tfl.Data("x"), seed=0, fingerprints=prints))
    assert found.same.tolist() == ["train", "train"] and not found.unseen.any()
    found = overlap_within(
        Bundle(
            examples=examples,
            split=parts,
            data=tfl.Data("x"),
            seed=0,
            fingerprints=[*prints[:6], prints[5], "g" * 64],
        )
    )
    assert found.same.tolist() == ["val", "test"] and found.unseen.tolist() == [False, True]
