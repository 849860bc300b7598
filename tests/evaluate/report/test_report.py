"""The report: what it says, that it stands alone, that what comes from data cannot break it, and runs that ended early."""

from __future__ import annotations

import html.parser
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

import tfl
from tfl.errors import RunError
from tfl.evaluate.render import duration
from tfl.evaluate.report.page import collect_report, describe_data, write_report
from tfl.runs import Run

Maker = Callable[..., Run]
NASTY = ("<script>alert(1)</script>", "a\"b'c & <b>bold</b>", "{{ 7 * 7 }}", "日本語")


class _Page(html.parser.HTMLParser):
    """What a browser would see: tags with attributes, and text outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in tags]


def _page(run: Run) -> _Page:
    return _Page(write_report(run.folder).read_text(encoding="utf-8"))


def test_the_headline_is_the_result_with_count_interval_and_note(new_run: Maker) -> None:
    run = new_run(skill=2.0)
    test = run.read_json("metrics.json")["test"]
    text = _page(run).text
    low, high = test["accuracy_interval"]
    right = sum(row[at] for at, row in enumerate(test["confusion"]))
    assert f"Named {right} of 160 test images correctly: {test['accuracy']:.1%} (95% interval {low:.1%} to {high:.1%})." in text
    assert "drawn, not photographed" in text
    assert "160 images of 4 classes from sample:strawberry" in text


def test_every_part_is_there(new_run: Maker) -> None:
    page = _page(new_run())
    sections = {attributes.get("id") for attributes in page.named("section", "header")}
    parts = "result asked data blocks learning classes confidence mistakes looked time use made"
    assert sections == set(parts.split())
    links = {str(attributes["href"]).removeprefix("#") for attributes in page.named("a") if "class" not in attributes}
    assert links == sections
    drawn = {attributes["data-figure"] for attributes in page.named("div") if "data-figure" in attributes}
    assert drawn == {"figure-accuracy", "figure-loss", "figure-confusion", "figure-reliability"}


def test_it_says_what_was_asked_and_how_to_use_it(new_run: Maker) -> None:
    run = new_run()
    text = _page(run).text
    for phrase in (
        "the head and the top 2 blocks",
        f"tfl run recipes/leaves.py --out {run.folder}",
        f"tfl predict {run.folder} photo.jpg",
        "tfl.load_run(",
        '{"instances": [{"image_bytes": {"b64": "$(base64 -w0 photo.jpg)"}}]}',
        "Training loss fell while validation loss rose since epoch 6.",
        "2 groups of exact duplicates were kept in one split.",
    ):
        assert phrase in text, phrase


def test_the_python_snippet_is_python(new_run: Maker) -> None:
    run = new_run(class_names=NASTY)
    page = write_report(run.folder).read_text(encoding="utf-8")
    snippet = html.unescape(re.search(r"<pre[^>]*>(import tfl\n.*?)</pre>", page, re.S).group(1))  # type: ignore[union-attr]
    compile(snippet, "snippet", "exec")
    assert repr(str(run.folder)) in snippet


def test_it_asks_the_network_for_nothing(new_run: Maker) -> None:
    page = _page(new_run())
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "srcset", "poster", "data"):
            target = attributes.get(name)
            assert target is None or target.startswith(("data:image/", "#")), (tag, name, target)
    assert not page.named("link", "iframe", "object", "embed", "base")
    policy = next(a["content"] for a in page.named("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in str(policy)


def test_plotly_is_inside_once(new_run: Maker) -> None:
    text = write_report(new_run().folder).read_text(encoding="utf-8")
    assert len(re.findall(r"plotly\.js v\d", text)) == 1


def test_what_comes_from_data_is_only_text(new_run: Maker) -> None:
    run = new_run(class_names=NASTY, skill=2.0)
    plain, nasty = _page(new_run("plain", skill=2.0)), _page(run)
    assert len(nasty.named("script")) == len(plain.named("script"))
    assert not nasty.named("b", "i") or all("style" in attributes for attributes in nasty.named("b", "i"))
    assert "49" not in [word.strip() for word in nasty.words if "7 * 7" in word]
    for name in NASTY:
        assert name in nasty.text
    figures = [json.loads(script) for script in nasty.scripts if script.startswith('{"data"')]
    assert figures and "<script>" not in json.dumps(figures)  # Plotly reads tags in its texts


def test_pictures_have_words_and_sizes(new_run: Maker) -> None:
    images = _page(new_run()).named("img")
    assert len(images) > 30
    assert all(image.get("alt") and image.get("width") and image.get("height") for image in images)


def test_headings_do_not_skip_a_level(new_run: Maker) -> None:
    levels = [int(tag[1]) for tag, _ in _page(new_run()).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_an_interrupted_run_has_a_report(new_run: Maker) -> None:
    run = new_run(whole=False)
    page = _page(run)
    assert "The run was interrupted: there is no test result yet." in page.text
    assert f"--out {run.folder} --resume" in page.text
    assert not any("plotly.js v" in script for script in page.scripts)


def test_a_failed_run_says_why(new_run: Maker) -> None:
    run = new_run(whole=False)
    run.update_manifest(status="failed", error="The loss is not finite.")
    assert "The run failed: The loss is not finite." in _page(run).text


@pytest.mark.parametrize(
    "name", ["metrics.json", "plans.json", "ledger.json", "history.csv", "report/pictures.json", "state.json"]
)
def test_any_one_file_may_be_missing(new_run: Maker, name: str) -> None:
    run = new_run()
    run.path(name).unlink()
    assert "What was asked" in _page(run).text


def test_a_missing_or_foreign_picture_is_left_out(new_run: Maker) -> None:
    run = new_run()
    outside = run.folder.parent / "secret.jpg"
    outside.write_bytes(b"secret")
    document = run.read_json("report/pictures.json")
    document["samples"][0]["pictures"][0]["file"] = "../secret.jpg"
    document["samples"][0]["pictures"][1]["file"] = "report/gone.jpg"
    run.write_json("report/pictures.json", document)
    text = write_report(run.folder).read_text(encoding="utf-8")
    assert text.count("the preview is missing") == 2
    assert "c2VjcmV0" not in text  # "secret" in base64


@pytest.mark.parametrize("name", ["metrics.json", "plans.json", "history.csv"])
def test_a_damaged_file_is_named(new_run: Maker, name: str) -> None:
    run = new_run()
    run.path(name).write_text("stage,epoch\nhead,x\n")
    with pytest.raises(RunError, match=name):
        write_report(run.folder)


def test_a_folder_that_is_no_run_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RunError):
        write_report(tmp_path)


def test_blocks_and_stages_with_the_ledger(new_run: Maker) -> None:
    run = new_run()
    rows = {row["name"]: row["stages"] for row in collect_report(run)["blocks"]["rows"]}
    assert next(iter(rows)) == "stem" and list(rows)[-1] == "head"
    assert (
        rows["block_5"]["head"].items() >= {"trains": False, "multiplier": 0.0, "batchnorm": "inference", "moved": False}.items()
    )
    assert rows["block_5"]["finetune"]["trains"] and rows["block_5"]["finetune"]["moved"]
    document = run.read_json("ledger.json")
    document["head"][0]["moved"] = True
    run.write_json("ledger.json", document)
    assert "moved ✗" in _page(run).text


def test_what_trains_of_a_block_and_how_many_parameters_in_all(new_run: Maker) -> None:
    run = new_run()
    assert "Parameters that train" not in _page(run).text  # a run of an earlier version does not say it
    plans = run.read_json("plans.json")
    for stage, plan in plans.items():
        for row in plan:
            part = stage == "finetune" and row["block"] != "head"
            row |= {"weights": "biases" if part else "all", "trained": 1000 if row["trainable"] else 0}
    run.write_json("plans.json", plans)
    text, count = _page(run).text, sum(row["trainable"] for row in plans["finetune"])
    assert "▲ trains biases" in text and f"{1000 * count:,}" in text and "Parameters that train" in text


def test_the_best_epoch_is_the_one_the_training_went_back_to(new_run: Maker) -> None:
    run = new_run()
    by_metric = collect_report(run)["stages"][1]
    rows = [row for row in collect_report(run)["history"] if row["stage"] == "finetune"]
    assert by_metric["best_value"] == max(row["val_accuracy"] for row in rows)
    run.update_stage_state("finetune", {"done": True, "best_epoch": 2})
    assert collect_report(run)["stages"][1]["best_step"] == 14
    run.update_stage_state("finetune", {"done": True, "best_epoch": 0, "best_value": 0.75})
    told = collect_report(run)["stages"][1]
    assert told["kept_start"] and told["best_step"] is None
    assert "no epoch was better than the start of the stage" in _page(run).text


def test_a_loss_monitor_looks_for_the_lowest(new_run: Maker) -> None:
    run = new_run(monitor=tfl.Monitor("val_loss"))
    stage = collect_report(run)["stages"][0]
    losses = [row["val_loss"] for row in collect_report(run)["history"] if row["stage"] == "head"]
    assert stage["best_value"] == min(losses)


def test_report_json_is_beside_the_page_and_finite(new_run: Maker) -> None:
    run = new_run()
    with open(run.path("history.csv"), "a") as handle:
        handle.write("finetune,11,nan,,inf,0.5,,0.001,1.0\n")
    write_report(run.folder)
    document = json.loads(run.path("report.json").read_text(), parse_constant=lambda word: pytest.fail(word))
    assert document["result"]["sentence"].startswith("Named ")
    assert document["history"][-1]["loss"] is None


def test_many_classes_stay_readable(new_run: Maker) -> None:
    page = _page(new_run(class_names=[f"class {number}" for number in range(60)], skill=5.0))
    assert "The confusion matrix as a table" not in page.text


def test_describe_data_is_what_the_report_reads(new_run: Maker) -> None:
    examples = SimpleNamespace(class_names=("a", "b"), labels=np.array([0, 0, 1, 1, 1, 0]), source="folder", note="")
    split = SimpleNamespace(train=np.array([0, 2, 3]), val=np.array([1]), test=np.array([4, 5]))
    run = new_run()
    run.write_json("manifest.json", {**run.manifest, "data": describe_data(examples, split, notes=["one"], fingerprint="f")})
    data = collect_report(run)["data"]
    assert data["classes"] == [
        {"name": "a", "train": 1, "val": 1, "test": 1, "all": 3},
        {"name": "b", "train": 2, "val": 0, "test": 1, "all": 3},
    ]
    assert data["totals"] == {"train": 3, "val": 1, "test": 2} and data["notes"] == ["one"]


def test_duration_reads_well() -> None:
    assert [duration(seconds) for seconds in (0.04, 59.99, 60, 3600, None)] == [
        "0.0 s",
        "1 min 0 s",
        "1 min 0 s",
        "1 h 0 min",
        "–",
    ]


def test_writing_a_report_needs_no_tensorflow(new_run: Maker) -> None:
    code = (
        "import sys; from tfl.evaluate.report.page import write_report; from tfl.evaluate.compare.page import write_comparison;"
        f"write_report({str(new_run().folder)!r});"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
