"""`Data.exclude`: which images a list leaves out, what is said about it, and that nothing else is read from it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import class_folders, noise

import tfl
from tfl.data.exclude import leave_out, names_in_source, read_exclude
from tfl.data.source import load_source
from tfl.errors import DataError, RecipeError


def audit(examples: Any, *, on_bad: Any = "error", bits: int | None = None, data: Any = None, keep: bool = False) -> Any:
    """The audit of images at 32 pixels, or at the size of `data`."""
    from tfl.data.audit import audit as audit_examples
    from tfl.modalities.image.modality import ImageModality

    modality = ImageModality(data or tfl.Data("x", image_size=(32, 32), bits=bits))
    return audit_examples(examples, modality=modality, on_bad=on_bad, keep=keep)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "data", {"ant": 4, "bee": 4})


def listed(tmp_path: Path, text: str) -> str:
    (tmp_path / "exclude.txt").write_text(text, encoding="utf-8")
    return str(tmp_path / "exclude.txt")


def load(folder: Path | str, exclude: str, **options: object):
    return load_source(tfl.Data(str(folder), exclude=exclude, **options))  # type: ignore[arg-type]


def test_listed_images_are_left_out(folder: Path, tmp_path: Path) -> None:
    examples = load(folder, listed(tmp_path, "\ufeff# why\nant/001.png\r\n\n./bee//003.png\n"))
    assert [Path(path).name for path in examples.paths] == ["000.png", "002.png", "003.png", "000.png", "001.png", "002.png"]
    assert [finding["kind"] for finding in examples.findings] == ["excluded"]
    assert "2 images are left out" in examples.findings[0]["note"]


def test_the_audit_passes_it_on(folder: Path, tmp_path: Path) -> None:
    examples = load(folder, listed(tmp_path, "ant/001.png\n"))
    assert audit(examples).findings[0]["kind"] == "excluded"
    assert (folder / "ant" / "001.png").exists()


def test_an_absolute_path_is_fine(folder: Path, tmp_path: Path) -> None:
    assert len(load(folder, listed(tmp_path, f"{folder}/ant/001.png\n"))) == 7


def test_lines_that_fit_no_image_are_named(folder: Path, tmp_path: Path) -> None:
    examples = load(folder, listed(tmp_path, "ant/001.png\nant/nine.png\n../bee/001.png\n"))
    assert len(examples) == 7
    assert examples.findings[1]["severity"] == "warning" and examples.findings[1]["files"] == ["ant/nine.png", "../bee/001.png"]


def test_it_comes_before_labels_and_per_class(folder: Path, tmp_path: Path) -> None:
    class_folders(folder, {"cow": 4}, start=50)
    exclude = listed(tmp_path, "ant/000.png\nbee/000.png\n")
    examples = load(folder, exclude, labels=("ant", "bee"), per_class=3)
    assert examples.counts() == {"ant": 3, "bee": 3} and len(examples.findings) == 1


def test_a_csv_counts_from_its_own_folder(folder: Path, tmp_path: Path) -> None:
    rows = [f"data/{name}/{number:03d}.png,{name}" for name in ("ant", "bee") for number in range(4)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
    examples = load(tmp_path / "labels.csv", listed(tmp_path, "data/ant/002.png\n"))
    assert len(examples) == 7 and names_in_source(examples)[0] == "data/ant/000.png"


def test_images_of_an_array_have_numbers(tmp_path: Path) -> None:
    images = np.stack([np.asarray(noise(seed)) for seed in range(8)])
    np.savez(tmp_path / "a.npz", x=images, y=np.arange(8) % 2)
    examples = load(tmp_path / "a.npz", listed(tmp_path, "# a comment\n#3\n# #4\n"))
    assert len(examples) == 7 and not (examples.arrays == images[3]).all(axis=(1, 2, 3)).any()


def test_a_class_that_is_left_empty_is_an_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ant"):
        load(folder, listed(tmp_path, "".join(f"ant/{number:03d}.png\n" for number in range(4))))
    with pytest.raises(DataError, match="leaves no image"):
        leave_out(
            load_source(tfl.Data(str(folder))), listed(tmp_path, "\n".join(names_in_source(load_source(tfl.Data(str(folder))))))
        )


@pytest.mark.parametrize("content", [b"\xff\xfe\x00a", b"ant/\x00001.png"])
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "exclude.txt").write_bytes(content)
    with pytest.raises(DataError, match="text"):
        read_exclude(tmp_path / "exclude.txt")


def test_a_missing_list_says_how_to_get_one(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing.txt.*tfl audit"):
        load(folder, str(tmp_path / "nothing.txt"))
    with pytest.raises(DataError, match="cannot be read"):
        load(folder, str(tmp_path))


def test_the_recipe_knows_it() -> None:
    recipe = tfl.Recipe(name="x", data=tfl.Data("photos", exclude="exclude.txt", audit="deep"), backbone=tfl.Backbone("mini"))
    assert tfl.Recipe.from_json(recipe.to_json()) == recipe
    assert recipe.override("data.exclude", "none").data.exclude is None
    with pytest.raises(RecipeError, match="exclude"):
        dataclasses.replace(recipe.data, exclude=" ")
    with pytest.raises(RecipeError, match="quick"):
        recipe.override("data.audit", "full")
