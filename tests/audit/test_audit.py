"""A planted source, audited whole: each defect is found, nothing is touched, and a run can use what was proposed."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from scenes import folder_of_scenes, recipe_of, scene

import tfl
from tfl.audit.audit import audit_source, summary
from tfl.audit.proposal import exclude_text
from tfl.audit.shown import page_examples
from tfl.errors import DataError, MissingExtraError
from tfl.job import prepare_data


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = folder_of_scenes(
        tmp_path_factory.mktemp("planted") / "data",
        {"train/ant": 12, "train/bee": 12, "val/ant": 4, "val/bee": 4, "test/ant": 4, "test/bee": 4},
    )
    (root / "train/ant/empty.jpg").write_bytes(b"")
    (root / "train/ant/cut.jpg").write_bytes((root / "train/ant/001.jpg").read_bytes()[:900])
    (root / "train/ant/copy.jpg").write_bytes((root / "train/ant/002.jpg").read_bytes())
    (root / "train/bee/other.jpg").write_bytes((root / "train/ant/003.jpg").read_bytes())
    (root / "train/bee/leak.jpg").write_bytes((root / "test/bee/000.jpg").read_bytes())
    again(root / "test/bee/001.jpg", root / "train/bee/again.jpg", size=(70, 70))
    again(root / "train/ant/004.jpg", root / "train/ant/mirror.jpg", mirrored=True)
    scene(500).save(root / "val/ant/named.jpg", "PNG")
    return root


def again(source: Path, target: Path, *, size: tuple[int, int] = (96, 96), mirrored: bool = False) -> None:
    image = Image.open(source).resize(size)
    (image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else image).save(target, quality=60)


def below(root: Path, files: object) -> set[str]:
    return {str(Path(file).relative_to(root)) for file in files}  # type: ignore[attr-defined]


def content(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


EXPECTED = {
    "zero_bytes": {"train/ant/empty.jpg"},
    "undecodable": {"train/ant/cut.jpg"},
    "mistyped": {"val/ant/named.jpg"},
    "exact_duplicates": {
        *("train/ant/002.jpg", "train/ant/copy.jpg", "train/ant/003.jpg", "train/bee/other.jpg"),
        *("test/bee/000.jpg", "train/bee/leak.jpg"),
    },
    "conflicting_labels": {"train/ant/003.jpg", "train/bee/other.jpg"},
    "exact_leaks": {"test/bee/000.jpg", "train/bee/leak.jpg"},
    "near_leaks": {"test/bee/001.jpg", "train/bee/again.jpg"},
    "near_duplicates": {"test/bee/001.jpg", "train/bee/again.jpg", "train/ant/004.jpg", "train/ant/mirror.jpg"},
}


@pytest.mark.slow
def test_the_quick_audit_finds_what_was_planted(planted: Path) -> None:
    before = content(planted)
    found = audit_source(recipe_of(planted), deep=False)
    assert {finding.kind: below(planted, finding.files) for finding in found.findings} == EXPECTED
    assert [finding.severity for finding in found.findings] == sorted(
        (finding.severity for finding in found.findings), key=("error", "warning", "info").index
    )
    assert (found.count, len(found.examples), found.deep, found.doubtful) == (48, 46, False, ())
    assert summary(found) == "48 files, 2 classes, 29 train · 9 val · 8 test"
    assert content(planted) == before


@pytest.mark.slow
def test_the_deep_audit_adds_what_features_say(planted: Path) -> None:
    found = audit_source(recipe_of(planted), deep=True)
    by_kind = {finding.kind: finding for finding in found.findings}
    for kind, files in EXPECTED.items():
        assert below(planted, by_kind[kind].files) == files, kind
    cost = by_kind["exact_leaks"].cost
    assert cost.count == 8 and cost.interval[0] <= cost.difference <= cost.interval[1]
    assert len(found.doubtful) == len(found.examples) == len(set(found.doubtful))
    assert {"files", "headers", "copies", "features", "labels", "costs", "drift", "quality"} == set(found.seconds)


@pytest.mark.slow
def test_what_is_proposed_makes_the_source_clean(planted: Path, tmp_path: Path) -> None:
    found = audit_source(recipe_of(planted), deep=False)
    (tmp_path / "exclude.txt").write_text(exclude_text(found.proposed(), found.names, source=str(planted)))
    sure = {found.names[row.file] for row in found.proposed() if row.sure}
    assert sure == {
        *("train/ant/empty.jpg", "train/ant/cut.jpg", "train/ant/copy.jpg", "train/ant/mirror.jpg"),
        *("train/bee/leak.jpg", "train/bee/again.jpg"),
    }
    recipe = recipe_of(planted, exclude=str(tmp_path / "exclude.txt"))
    clean = {finding.kind for finding in audit_source(recipe, deep=False).findings}
    assert clean == {"excluded", "mistyped", "exact_duplicates", "conflicting_labels"}


@pytest.mark.slow
def test_examples_of_a_page(planted: Path) -> None:
    found = audit_source(recipe_of(planted), deep=False)
    shown = page_examples(found.findings, found.examples, found.names, found.splits, modality=found.modality, most=2)
    by_kind = {finding.kind: rows for finding, rows in zip(found.findings, shown, strict=True)}
    assert by_kind["zero_bytes"] == [] and len(by_kind["exact_duplicates"]) == 2
    (pair,) = by_kind["near_leaks"]
    assert [(one["name"], one["label"], one["split"]) for one in pair["examples"]] == [
        ("test/bee/001.jpg", "bee", "test"),
        ("train/bee/again.jpg", "bee", "train"),
    ]
    assert pair["examples"][0]["html"].startswith('<img src="data:image/jpeg;base64,')


def run_findings(recipe: tfl.Recipe) -> tuple[dict[str, list[str]], str]:
    said = io.StringIO()
    _, found = prepare_data(recipe, Console(file=said, width=300))
    return {finding["kind"]: finding["files"] for finding in found}, said.getvalue()


def test_a_run_looks_quickly(planted: Path) -> None:
    found, said = run_findings(recipe_of(planted))
    assert found.pop("image_size") == []  # 64 px is far from the 96 px of mini
    assert {kind: below(planted, files) for kind, files in found.items()} == EXPECTED
    assert "error: 2 images in 1 set show the same photo" in said


@pytest.mark.slow
def test_a_run_looks_deeply_when_asked(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(*libraries: object) -> None:
        asked.append(True)
        raise MissingExtraError.of("audit", needed_for="The deep audit")

    monkeypatch.setattr("tfl.audit.audit.check_extra", refuse)
    run_findings(recipe_of(planted))
    assert not asked
    with pytest.raises(MissingExtraError, match=r"tfl\[audit\]"):
        run_findings(recipe_of(planted).override("data.audit", "deep"))


@pytest.mark.slow
def test_copies_within_the_drawn_split_are_leaks_of_a_run(tmp_path: Path) -> None:
    root = folder_of_scenes(tmp_path / "data", {"ant": 12, "bee": 12})
    for number in range(12):
        again(root / "ant" / f"{number:03d}.jpg", root / "ant" / f"{number:03d}-again.jpg", size=(80, 80))
    found = audit_source(recipe_of(root), deep=False)
    assert {finding.kind: len(finding.files) for finding in found.findings} == {"near_duplicates": 24}
    assert "near_leaks" in run_findings(recipe_of(root))[0]


def test_arrays_are_audited_too(tmp_path: Path) -> None:
    images = np.stack([np.asarray(scene(seed)) for seed in range(24)])
    images = np.concatenate([images, images[:1], images[1:2, :, ::-1]])
    np.savez(tmp_path / "a.npz", x=images, y=np.arange(26) % 2)
    found = audit_source(recipe_of(tmp_path / "a.npz"), deep=False)
    assert {finding.kind: finding.files for finding in found.findings} == {
        "exact_duplicates": ("#0", "#24"),
        "near_duplicates": ("#1", "#25"),
    }


def test_what_a_run_refuses_is_still_audited(tmp_path: Path) -> None:
    root = folder_of_scenes(tmp_path / "data", {"train/Rose": 12, "train/tulip": 12, "test/rose": 12, "test/tulip": 2})
    for name in ("000", "001"):
        (root / "test" / "tulip" / f"{name}.jpg").write_bytes(b"")
    kinds = {finding.kind for finding in audit_source(recipe_of(root), deep=False).findings}
    assert kinds == {"class_names_differ", "zero_bytes"}


def test_a_source_without_one_usable_image(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"no")
    found = audit_source(recipe_of(tmp_path), deep=False)
    assert [finding.kind for finding in found.findings] == ["not_an_image"] and len(found.proposed()) == 2
    with pytest.raises(DataError, match="nothing at this source"):
        audit_source(dataclasses.replace(recipe_of(tmp_path), data=tfl.Data("/nowhere/at/all")), deep=False)
