"""`tfl audit`: what it parses, what it writes and where, what it answers."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

import tfl
from tfl.audit.audit import Audit
from tfl.cli.audit import _name_of
from tfl.cli.main import cli
from tfl.data.examples import Examples
from tfl.finding import Cost, Finding, of_groups
from tfl.modalities.base import modality_of_data


def invoke(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


def found(deep=True):
    examples = Examples(
        class_names=("ant", "b<e>e"),
        labels=np.array([0, 1, 1]),
        arrays=np.full((3, 8, 8, 3), 99, np.uint8),
        splits=np.array(["train", "test", "test"]),
    )
    cost = Cost(measure="Test accuracy", as_it_is=0.9, without=0.8, difference=-0.1, interval=(-0.2, -0.05), count=2)
    leak = of_groups("exact_leaks", "error", [["#0", "#1"]], "2 images leak.", captions=["test and train"])
    findings = (
        Finding(**{**vars(leak), "cost": cost}),
        Finding(kind="exact_duplicates", severity="info", files=("#0", "#1"), note="Copies.", groups=((0, 1),)),
        Finding(kind="zero_bytes", severity="error", files=("a<b>/x.jpg",), note="`x` is empty."),
    )
    return Audit(
        examples=examples,
        count=4,
        names={"#0": "#0", "#1": "#1", "#2": "#2"},
        splits=examples.splits,
        modality=modality_of_data(tfl.Data("x", image_size=(96, 96))),
        task="classify",
        findings=findings,
        doubtful=(),
        deep=deep,
        seconds={"files": 1.5},
    )


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my photos").mkdir()
    return tmp_path


@pytest.fixture
def asked(monkeypatch):
    calls = []

    def audit(recipe, console, *, deep):
        calls.append((recipe, deep))
        return found(deep)

    monkeypatch.setattr("tfl.cli.audit._audit", audit)
    return calls


def test_the_defaults_are_deep_and_mini(here, asked):
    result = invoke("audit", "my photos", "--out", "out")
    assert result.exit_code == 0, result.stderr
    ((recipe, deep),) = asked
    assert deep and recipe.backbone.name == "mini" and recipe.data.image_size == (96, 96) and recipe.data.source == "my photos"


def test_options(here, asked):
    words = ("--quick", "--backbone", "MobileNetV2", "--exclude", "e.txt", "--seed", "4", "--out", "out")
    assert invoke("audit", "my photos", *words).exit_code == 0
    ((recipe, deep),) = asked
    assert not deep and recipe.data.image_size == (224, 224) and recipe.data.exclude == "e.txt" and recipe.seed == 4
    assert invoke("audit", "my photos", "--image-size", "64", "--out", "other").exit_code == 0
    assert asked[1][0].data.image_size == (64, 64)


def test_the_kind_and_the_task_are_found_in_the_source(here, asked):
    (here / "films.csv").write_text("text,stars\ngood film,3.5\nbad film,4\nfine film,7\n")
    assert invoke("audit", "films.csv", "--quick", "--out", "a").exit_code == 0
    assert invoke("audit", "sample:sounds", "--quick", "--out", "b").exit_code == 0
    assert invoke("audit", "films.csv", "--quick", "--kind", "text", "--task", "classify", "--out", "c").exit_code == 0
    assert [(recipe.data.kind, recipe.task) for recipe, _ in asked] == [
        ("text", "regress"),
        ("audio", "classify"),
        ("text", "classify"),
    ]


def test_json_and_files(here, asked):
    result = invoke("audit", "my photos", "--json")
    document = json.loads(result.stdout)
    assert [finding["kind"] for finding in document["findings"]] == ["exact_leaks", "exact_duplicates", "zero_bytes"]
    for finding in document["findings"]:
        assert {"kind", "severity", "files", "note"} <= set(finding)
    assert document["findings"][0]["cost"]["interval"] == [-0.2, -0.05]
    assert document["findings"][0]["groups"] == [["#0", "#1"]]
    assert (document["files"], document["usable"], document["splits"]) == (4, 3, {"train": 1, "test": 2})
    assert re.fullmatch(r"runs/my_photos/audit-[^/]+/audit\.html", document["written"]["report"])
    written = {name: (here / file).read_text() for name, file in document["written"].items()}
    assert json.loads(written["audit"])["findings"] == document["findings"]
    assert "\n#0\n" in written["exclude"] and "\na<b>/x.jpg\n" in written["exclude"]
    assert document["proposed"] == 2


def test_the_page_is_whole_and_escaped(here, asked):
    invoke("audit", "my photos", "--out", "out")
    page = (here / "out" / "audit.html").read_text()
    assert "b&lt;e&gt;e" in page and "b<e>e" not in page and "a&lt;b&gt;/x.jpg" in page
    assert "-10.0 points" in page and "data:image/" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)


def test_the_table_for_people(here, asked):
    result = invoke("audit", "my photos", "--out", "out")
    assert "my photos: 4 files, 2 classes, 1 train · 2 test" in result.stdout
    assert "2 errors, 1 note" in result.stdout and "Leaks: the same file" in result.stdout
    assert "2 files are proposed to be left out" in result.stdout


def test_nothing_is_written_into_the_source(here, asked, monkeypatch):
    result = invoke("audit", "my photos", "--out", "my photos/audit")
    assert result.exit_code == 2 and "--out" in result.stderr and not asked
    monkeypatch.chdir(here / "my photos")
    result = invoke("audit", ".")
    assert result.exit_code == 2 and list((here / "my photos").iterdir()) == []


def test_an_earlier_audit_is_kept(here, asked):
    assert invoke("audit", "my photos", "--out", "out").exit_code == 0
    result = invoke("audit", "my photos", "--out", "out")
    assert result.exit_code == 2 and "already holds an audit" in result.stderr


@pytest.mark.parametrize(
    "source, name",
    [("photos/", "photos"), ("a/labels.csv", "labels"), ("sample:digits", "digits"), ("tfds:x/y:1.0.0", "1.0.0"), ("..", "data")],
)
def test_names(source, name):
    assert _name_of(source) == name


def test_a_source_that_is_not_there(here):
    result = invoke("audit", "nothing", "--quick", "--out", "out")
    assert result.exit_code == 2 and "nothing at this source" in result.stderr and not (here / "out").exists()


@pytest.mark.slow
def test_another_source_is_compared(here, asked):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 200, (60, 16, 16, 3)).astype(np.uint8)
    np.savez(here / "day.npz", x=grey[:30] + 55, y=np.arange(30) % 2)
    np.savez(here / "night.npz", x=grey[30:] // 4, y=np.arange(30) % 2)
    result = invoke("audit", "day.npz", "--against", "night.npz", "--image-size", "32,32", "--out", "out", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    against = document["against"]
    assert against["source"] == "night.npz" and against["interval"][0] > 1 and against["counts"] == [30, 30]
    assert document["findings"][0]["kind"] == "domain_distance" and "proxy A-distance" in document["findings"][0]["note"]
    assert "Distance to another source" in (here / "out" / "audit.html").read_text()


def test_a_comparison_takes_features(here, asked):
    result = invoke("audit", "my photos", "--quick", "--against", "my photos")
    assert result.exit_code == 2 and "--quick does without" in result.stderr and not asked
