"""Odd modes, sizes, shapes and rotation are read from headers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from scenes import examples_of, folder_of_scenes, recipe_of, scene

from tfl.data.source import load_source
from tfl.modalities.image.audit.headers import header_findings, read_headers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of_scenes(tmp_path / "data", {"ant": 12, "bee": 12}, side=48)


def found(folder: Path):
    examples = load_source(recipe_of(folder).data)
    return {finding.kind: finding for finding in header_findings(examples, read_headers(examples))}


def names(finding):
    return [Path(file).name for file in finding.files]


def test_usual_files_are_not_odd(folder: Path):
    assert found(folder) == {}


def test_modes(folder: Path):
    image = scene(99, 48)
    image.convert("CMYK").save(folder / "ant" / "print.jpg")
    image.quantize(16).save(folder / "ant" / "palette.png")
    image.convert("RGBA").save(folder / "bee" / "alpha.png")
    image.convert("L").save(folder / "bee" / "grey.png")
    Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257).save(folder / "bee" / "deep.png")
    image.quantize(16).save(folder / "bee" / "usual.gif")
    finding = found(folder)["odd_modes"]
    assert sorted(names(finding)) == ["alpha.png", "deep.png", "grey.png", "palette.png", "print.jpg"]
    assert finding.severity == "info" and "1 of 16 bits a channel" in finding.note


def test_grey_among_grey_is_usual(tmp_path: Path):
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for number in range(6):
            scene(number).convert("L").save(tmp_path / name / f"{number}.png")
    assert found(tmp_path) == {}


def test_sizes_and_shapes(folder: Path):
    scene(90, 10).save(folder / "ant" / "small.png")
    scene(91, 300).save(folder / "ant" / "large.png")
    scene(92, 48, 200).save(folder / "bee" / "wide.png")
    scene(93, 60).save(folder / "bee" / "usual.png")
    by_kind = found(folder)
    assert sorted(names(by_kind["odd_sizes"])) == ["large.png", "small.png"]
    assert dict(zip(names(by_kind["odd_sizes"]), by_kind["odd_sizes"].captions, strict=True))["small.png"] == "10×10"
    assert names(by_kind["odd_aspect_ratios"]) == ["wide.png"]


def test_a_set_of_all_sizes_has_no_odd_ones(tmp_path: Path):
    for number in range(20):
        (tmp_path / "ant").mkdir(exist_ok=True)
        scene(number, 20 + 15 * number).save(tmp_path / "ant" / f"{number}.png")
    folder_of_scenes(tmp_path, {"bee": 2})
    assert "odd_sizes" not in found(tmp_path)


@pytest.mark.parametrize("orientation, turned", [(1, False), (2, True), (6, True), (8, True), (9, False)])
def test_rotation(folder: Path, orientation: int, turned: bool):
    exif = Image.Exif()
    exif[0x0112] = orientation
    scene(94, 48, 60).save(folder / "bee" / "turned.jpg", exif=exif)
    by_kind = found(folder)
    assert ("exif_rotated" in by_kind) is turned
    assert not turned or names(by_kind["exif_rotated"]) == ["turned.jpg"]


def test_the_size_is_that_after_turning(folder: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    scene(94, 48, 60).save(folder / "bee" / "turned.jpg", exif=exif)
    examples = load_source(recipe_of(folder).data)
    headers = read_headers(examples)
    assert headers.sides[headers.turned].tolist() == [[48, 60]]


def test_arrays_have_one_size():
    headers = read_headers(examples_of([scene(0), scene(1)]))
    assert headers.sides.tolist() == [[96, 96]] * 2 and not headers.turned.any()


def test_what_pillow_cannot_read_is_unknown(tmp_path: Path):
    folder_of_scenes(tmp_path, {"ant": 1, "bee": 1})
    (tmp_path / "ant" / "x.jpg").write_bytes(b"no image")
    headers = read_headers(load_source(recipe_of(tmp_path).data))
    assert headers.modes == ("RGB", "", "RGB") and headers.sides[1].tolist() == [0, 0]


@pytest.mark.parametrize("name", ["turned.png", "turned.webp", "turned.tif", "turned.avif", "turned.mpo"])
def test_rotation_is_found_in_every_container(folder: Path, name: str):
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"save_all": True, "append_images": [scene(95, 48)]} if name.endswith("mpo") else {}
    scene(94, 48, 60).save(folder / "bee" / name, exif=exif, **options)
    examples = load_source(recipe_of(folder).data)
    headers = read_headers(examples)
    [index] = np.flatnonzero(headers.turned)
    assert examples.name_of(int(index)).endswith(name)
    with Image.open(folder / "bee" / name) as image:
        assert tuple(headers.sides[index]) == ImageOps.exif_transpose(image).size


def test_formats_that_are_converted_have_modes_and_sizes(folder: Path):
    Image.fromarray(np.asarray(scene(94, 48, 60).convert("L"), np.uint16) * 257).save(folder / "bee" / "deep.tif")
    scene(95, 48, 60).convert("CMYK").save(folder / "bee" / "print.tif")
    examples = load_source(recipe_of(folder).data)
    headers = read_headers(examples)
    modes = {Path(examples.name_of(index)).name: mode for index, mode in enumerate(headers.modes)}
    assert modes["deep.tif"] == "I;16" and modes["print.tif"] == "CMYK" and headers.sides.min() > 0
