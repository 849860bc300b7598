"""Annotation files of boxes: Pascal VOC, COCO and tables, each as pictures with the boxes that people drew on them."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tfl.data.split_names import SPLIT_FOLDERS
from tfl.data.tables import TEXT_SUFFIXES, Table, read_table
from tfl.errors import DataError

Corners = tuple[float, float, float, float]
COLUMNS = {
    "image": ("image", "filename", "file", "path", "imagepath", "filepath", "img", "imageid", "imagename"),
    "left": ("xmin", "x1", "left"),
    "top": ("ymin", "y1", "top"),
    "right": ("xmax", "x2", "right"),
    "bottom": ("ymax", "y2", "bottom"),
    "class": ("class", "label", "name", "category", "classname"),
}
"""How the columns of a table of boxes are called, in lower case without blanks and marks, likeliest first."""
_OPTIONAL = {"width": ("width", "imagewidth"), "height": ("height", "imageheight"), "split": ("split", "set", "subset")}
_EDGES = ("left", "top", "right", "bottom")
_MOST_BYTES = 2**31
_DOCTYPE = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)
_SPLIT_WORD = re.compile(r"(?<![a-z])(train|val|valid|test)(?![a-z])")


@dataclass(frozen=True, kw_only=True)
class Annotated:
    """One picture with its boxes.

    Args:
        image: Its name, as the annotation has it.
        file: The annotation.
        size: (width, height) in pixels that the annotation states; None where it states none.
        names: The class of each box.
        corners: Left, top, right and bottom of each, in pixels.
        split: `train`, `val`, `test`, or empty.
    """

    image: str
    file: Path
    size: tuple[float, float] | None = None
    names: tuple[str, ...] = ()
    corners: tuple[Corners, ...] = ()
    split: str = ""


@dataclass(frozen=True, kw_only=True)
class BoxFiles:
    """The annotation files of a source.

    Args:
        kind: `voc`, `coco` or `table`.
        files: The files, sorted.
        splits: The split that a file, or the folder that it lies in, says, by file; files without one are not in it.
    """

    kind: str
    files: tuple[Path, ...]
    splits: Mapping[Path, str] = field(default_factory=dict)


def find_box_files(path: Path) -> BoxFiles | None:
    """The annotation files at a source; None where it has none.

    Args:
        path: A COCO file, a table, or a folder: with `Annotations/*.xml`, with XML files beside the pictures, with COCO files in
            it or in `annotations/`, or with tables of boxes; also with folders for the splits, as Roboflow exports them.
    """
    if path.is_file():
        if path.suffix.lower() == ".json":
            return _with_splits("coco", [path]) if _is_coco(path) else None
        return _with_splits("table", [path]) if _is_box_table(path) else None
    places = [path, *(child for child in sorted(path.iterdir()) if child.is_dir())]
    found = [file for place in places for file in sorted(place.iterdir()) if file.is_file() and not file.name.startswith(".")]
    if xml := [file for file in found if file.suffix.lower() == ".xml" and _is_voc(file)]:
        return _with_splits("voc", xml)
    if coco := [file for file in found if file.suffix.lower() == ".json" and _is_coco(file)]:
        instances = [file for file in coco if file.name.startswith("instances")]  # of COCO itself, beside key points of the same
        return _with_splits("coco", instances or coco)
    tables = [file for file in found if _is_box_table(file)]
    return _with_splits("table", tables) if tables else None


def _with_splits(kind: str, files: Sequence[Path]) -> BoxFiles:
    said = {file: _split_of(file) for file in files}
    if len(set(said.values())) < 2 or "train" not in said.values():  # one file alone says nothing of a division
        said = {}
    return BoxFiles(kind=kind, files=tuple(files), splits={file: split for file, split in said.items() if split})


def _split_of(file: Path) -> str:
    """The split of `train/_annotations.coco.json`, and of `annotations/instances_val2017.json`."""
    if (own := SPLIT_FOLDERS.get(file.parent.name.lower())) is not None:
        return own
    found = _SPLIT_WORD.search(file.stem.lower())
    return SPLIT_FOLDERS[found.group(1)] if found and file.suffix.lower() != ".xml" else ""


def read_box_files(found: BoxFiles) -> Iterator[Annotated]:
    """The pictures of all annotation files, in their order.

    Raises:
        DataError: A file cannot be read, or is not what it seems; the message names it.
    """
    readers = {"voc": _read_voc, "coco": _read_coco, "table": _read_table}
    divided = _image_sets(found.files[0].parent.parent) if found.kind == "voc" else {}
    for file in found.files:
        for one in readers[found.kind](file):
            split = found.splits.get(file) or divided.get(file.stem, "") or one.split
            yield one if split == one.split else Annotated(**{**vars(one), "split": split})


# ------------------------------------------------------------------------------------------------------------ Pascal VOC


def _is_voc(file: Path) -> bool:
    with open(file, "rb") as handle:
        return b"<annotation" in handle.read(2048)


def _read_voc(file: Path) -> Iterator[Annotated]:
    """One picture, as host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html describes it."""
    root = _xml(file)
    names, corners = [], []
    for one in root.iter("object"):
        names.append(_text_of(one, "name", file))
        corners.append(tuple(_number(_text_of(one, f"bndbox/{edge}", file), file) for edge in ("xmin", "ymin", "xmax", "ymax")))
    sides = [root.findtext(f"size/{side}") for side in ("width", "height")]
    size = tuple(_number(side, file) for side in sides if side) if all(sides) else ()
    image = (root.findtext("filename") or "").strip() or file.stem
    yield Annotated(image=image, file=file, size=_size(size), names=tuple(names), corners=tuple(corners))  # type: ignore[arg-type]


def _xml(file: Path) -> ElementTree.Element:
    """The root of a file without a document type: entities, by which a small file becomes a huge one, are declared there."""
    content = _content(file)
    if _DOCTYPE.search(content) or b"\0" in content:
        raise DataError(
            f"{file} is not an annotation that is read: it declares a document type, or is no UTF-8.",
            fix="Remove the declaration, or save the file as UTF-8.",
        )
    try:
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        raise DataError(f"{file} is damaged: {error}.", allowed="an annotation in the form of Pascal VOC") from error


def _text_of(element: ElementTree.Element, path: str, file: Path) -> str:
    found = (element.findtext(path) or "").strip()
    if not found:
        raise DataError(f"An object of {file} has no `{path}`.", fix="Complete the annotation, or remove the object.")
    return found


def _image_sets(root: Path) -> dict[str, str]:
    """The split of each picture by the name of its annotation, as `ImageSets/Main/train.txt` and the like divide them."""
    found: dict[str, str] = {}
    for split in ("train", "val", "test"):
        file = root / "ImageSets" / "Main" / f"{split}.txt"
        if file.is_file():
            lines = _content(file).decode("utf-8", "replace").splitlines()
            found |= dict.fromkeys((line.split()[0] for line in lines if line.strip()), split)
    return found


# ------------------------------------------------------------------------------------------------------------------ COCO


def _is_coco(file: Path) -> bool:
    try:
        document = json.loads(_content(file))
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and {"images", "annotations", "categories"} <= set(document)


def _read_coco(file: Path) -> Iterator[Annotated]:
    """The pictures of a file in the form of cocodataset.org/#format-data; boxes of crowds are left out."""
    document = json.loads(_content(file))
    try:
        names = {one["id"]: str(one["name"]) for one in document["categories"]}
        of_image = defaultdict(list)
        for one in document["annotations"]:
            if not one.get("iscrowd"):
                left, top, width, height = (float(value) for value in one["bbox"])
                of_image[one["image_id"]].append((names[one["category_id"]], (left, top, left + width, top + height)))
        for image in document["images"]:
            rows = of_image.get(image["id"], [])
            yield Annotated(
                image=str(image["file_name"]),
                file=file,
                size=_size((float(image.get("width") or 0), float(image.get("height") or 0))),
                names=tuple(name for name, _ in rows),
                corners=tuple(corners for _, corners in rows),
            )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{file} is not a COCO file that can be read: {type(error).__name__} {error}.",
            allowed="images (id, file_name), annotations (image_id, category_id, bbox of 4 numbers) and categories (id, name)",
        ) from error


# ---------------------------------------------------------------------------------------------------------------- tables


def _is_box_table(file: Path) -> bool:
    if file.suffix.lower() not in TEXT_SUFFIXES:
        return False
    try:
        return _columns_of(read_table(file)) is not None
    except DataError:
        return False


def _columns_of(table: Table) -> dict[str, str] | None:
    """The column of each part of a box; None where one is missing."""
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(table.columns)}
    found = {}
    for part, known in {**COLUMNS, **_OPTIONAL}.items():
        if own := next((plain[name] for name in known if name in plain), None):
            found[part] = own
    return found if set(COLUMNS) <= set(found) else None


def _read_table(file: Path) -> Iterator[Annotated]:
    """The pictures of a table with a row for each box; one whose row has no corners has no box."""
    table = read_table(file)
    columns = _columns_of(table) or {}
    cells = {part: table.cells(column) for part, column in columns.items()}
    rows_of: dict[str, list[int]] = defaultdict(list)
    for at, image in enumerate(cells["image"]):
        rows_of[image].append(at)
    for image, rows in rows_of.items():
        if not image:
            raise DataError(f"{file}, line {table.numbers[rows[0]]}: no image is named.", fix="Complete the row, or remove it.")
        boxed = [at for at in rows if any(cells[edge][at] for edge in _EDGES)]
        nameless = [at for at in boxed if not cells["class"][at]]
        if nameless:
            raise DataError(f"{file}, line {table.numbers[nameless[0]]}: a box has no class.", fix="Complete or remove the row.")
        first = rows[0]
        size = [_number(cells[side][first], file) for side in ("width", "height") if side in cells and cells[side][first]]
        yield Annotated(
            image=image,
            file=file,
            size=_size(tuple(size)),
            names=tuple(cells["class"][at] for at in boxed),
            corners=tuple(_row_of(cells, at, file, table.numbers[at]) for at in boxed),
            split=SPLIT_FOLDERS.get(cells["split"][first].lower(), "") if "split" in cells else "",
        )


def _row_of(cells: Mapping[str, Sequence[str]], at: int, file: Path, line: int) -> Corners:
    left, top, right, bottom = (_number(cells[edge][at], file, line=line) for edge in _EDGES)
    return left, top, right, bottom


# ----------------------------------------------------------------------------------------------------------- small parts


def _size(sides: Sequence[float]) -> tuple[float, float] | None:
    """A stated size; zeros, which some programs write, state none."""
    return (sides[0], sides[1]) if len(sides) == 2 and min(sides) > 0 else None


def _number(text: str, file: Path, *, line: int | None = None) -> float:
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if found - found != 0:  # neither infinite nor no number
        where = f"{file}" if line is None else f"{file}, line {line}"
        raise DataError(f"{where}: a corner of a box is no number.", received=text[:60], allowed="pixels, such as 131 or 131.5")
    return found


def _content(file: Path) -> bytes:
    try:
        if os.path.getsize(file) > _MOST_BYTES:
            raise DataError(f"{file} is too large to be read.", received=f"{os.path.getsize(file) / 1e9:.1f} GB")
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror}.") from error
