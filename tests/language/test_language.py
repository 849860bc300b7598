"""A language model from books to `tfl write`: causal, exact in its likelihood, resumed to the same weights."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import tfl
from tfl.cli.main import cli
from tfl.errors import DataError, RunError
from tfl.job import run_recipe
from tfl.runs import Run

pytestmark = pytest.mark.slow


def recipe(**options):
    whole = {
        "name": "style",
        "data": tfl.Sample("authors", input=tfl.Passages(length=64), labels=("captain",), per_class=60),
        "backbone": tfl.Backbone("bytes", weights=None, arguments={"width": 16, "blocks": 1, "heads": 2}),
        "head": tfl.Head(dropout=0.0),
        "stages": (
            tfl.Stage("general", on="others", train="all", epochs=1, learning_rate=1e-2),
            tfl.Stage("author", train=tfl.top_blocks(2), epochs=2, learning_rate=1e-2),
        ),
        "confidence": None,
        "export": (),
    }
    return tfl.Recipe(**{**whole, **options})


@pytest.fixture(scope="module", autouse=True)
def short_continuations():
    """A run writes 48 bytes after each beginning, not 320, before and after it learned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfl.language.measure.LENGTH", 48)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory, folder_of_a_kill):
    runs = tmp_path_factory.mktemp("runs")
    with folder_of_a_kill(runs / "killed", "author"):
        return tfl.run(recipe(), runs / "style")


def test_a_run_says_how_the_style_changed(run):
    style, metrics = run.read_json("style.json"), run.metrics
    before, after = style["perplexity"]["before"]["value"], style["perplexity"]["after"]["value"]
    assert after == pytest.approx(metrics["test"]["perplexity"], rel=1e-5) and after < before < 258
    assert style["change"]["value"] == pytest.approx(after / before - 1)
    assert len(style["continuations"]) == 12 and set(style["whose"]["authors"]) == {"captain", "gardener", "ledger", "almanac"}
    page = run.path("report.html").read_text()
    assert "How it writes" in page and "written by a program" in page
    moved = {row["block"] for row in run.read_json("ledger.json")["author"] if row["moved"]}
    assert moved == {"block1_attention_sum", "norm", "head"} or len(moved) == 3  # the top two blocks and the head


def test_the_likelihood_is_that_of_the_next_bytes_and_sees_none_of_them(run):
    import keras
    import tensorflow as tf

    from tfl.modalities.passage.tokens import byte_tokens
    from tfl.model.next_token import next_token_model

    tokens = byte_tokens(tf.constant(["Sir, the fog.", "Да"]), 20)
    logits = next_token_model(run.model).predict(tokens["token_ids"], verbose=0)
    logarithms = np.asarray(keras.ops.log_softmax(logits))
    for row, text in enumerate((b"Sir, the fog.", "Да".encode())):
        expected = -sum(logarithms[row, at, byte] for at, byte in enumerate(text))
        assert run.model.predict(tokens, verbose=0)[row, 0] == pytest.approx(expected, rel=1e-4)
    changed = tokens["token_ids"].numpy()
    changed[:, 8:] = 65
    again = next_token_model(run.model).predict(changed, verbose=0)
    assert np.allclose(again[:, :8], logits[:, :8], atol=1e-5) and not np.allclose(again[:, 8:], logits[:, 8:], atol=1e-3)


def test_writing_is_a_function_of_the_seed_and_streams_the_same(run):
    from tfl.language.writing import Writing, open_writer

    first, second = tfl.write(run, "Sir, ", length=80, number=2, seed=1)
    assert first.startswith("Sir, ") and first != second
    assert tfl.write(run, "Sir, ", length=80, seed=2) == [second]
    writer = open_writer(run)
    assert "".join(writer.stream("Sir, ", Writing(length=80, number=2, seed=1))) == f"{first}\n\n{second}\n"
    greedy = tfl.write(run, "Да", length=30, temperature=0.0)
    assert greedy == tfl.write(run, "Да", length=30, temperature=0.0, seed=9) == tfl.write(run, "Да", length=30, top_p=1e-6)
    assert len(tfl.write(run, "x" * 500, length=5)[0]) >= 501  # longer than the network sees


def test_the_command_writes_and_refuses(run):
    def invoke(*words):
        return CliRunner().invoke(cli, [str(word) for word in words])

    done = invoke("write", run.folder, "Sir", "--length", "20", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["texts"] == tfl.write(run, "Sir", length=20)
    assert invoke("write", run.folder, "Sir", "--length", "20").stdout.strip() == tfl.write(run, "Sir", length=20)[0].strip()
    for option, value in (("--top-p", "0"), ("--temperature", "-1"), ("--length", "0"), ("--number", "0"), ("--seed", "-1")):
        wrong = invoke("write", run.folder, "Sir", option, value)
        assert wrong.exit_code == 2 and "out of range" in wrong.stderr
    for words in (
        ("predict", run.folder, "--text", "Once"),
        ("export", run.folder, "--format", "keras", "--format", "onnx"),
        ("export", run.folder, "--format", "all"),
        ("export", run.folder, "--format", "keras", "--classes", "attributes.csv"),
        ("serve", run.folder),
    ):
        assert "language model" in invoke(*words).stderr, words
    with pytest.raises(DataError, match="top_p"):
        tfl.write(run, top_p=2.0)
    assert invoke("evaluate", run.folder).exit_code == 0


def test_a_keras_file_gives_the_logits(run, tmp_path, monkeypatch, capsys):
    import re

    import keras

    from tfl.model.next_token import next_token_model

    done = CliRunner().invoke(cli, ["export", str(run.folder), "--format", "keras", "--out", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.stderr
    folder = tmp_path / "keras"
    assert json.loads(done.stdout)["exports"] == {"keras": str(folder)}
    tokens = np.array([[256, *b"Sir, "]], np.int32)
    logits = np.asarray(keras.saving.load_model(folder / "model.keras")(tokens))
    np.testing.assert_allclose(logits, next_token_model(run.model)(tokens), atol=1e-5)
    (lines,) = re.findall("```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(folder)
    exec(lines, {})
    assert capsys.readouterr().out.strip() == repr(tfl.write(run, "Once", length=1, temperature=0.0)[0][4:].encode())
    wrong = CliRunner().invoke(cli, ["export", str(run.folder), "--format", "keras", "--version", "2"])
    assert wrong.exit_code == 2 and "--version" in wrong.stderr


def test_a_run_killed_after_an_epoch_on_the_author_resumes_to_the_same(run):
    killed = Run.open(run.folder.parent / "killed")
    assert killed.manifest["status"] == "running" and not killed.path("style.json").exists()
    resumed = run_recipe(recipe(), out=killed.folder, resume=True, report=False)
    assert resumed.read_json("style.json") == run.read_json("style.json")
    assert resumed.path("predictions.csv").read_bytes() == run.path("predictions.csv").read_bytes()


def test_the_network_of_a_run_is_the_next_backbone(run, tmp_path):
    stage = tfl.Stage("author", train="head", epochs=1, learning_rate=0.0)
    author = recipe(backbone=tfl.Backbone(str(run.folder)), stages=(stage,))
    found = run_recipe(author, out=tmp_path / "next", report=False).read_json("metrics.json")
    assert found["test"]["perplexity"] == pytest.approx(run.metrics["test"]["perplexity"], rel=1e-5)
    adapters = tfl.Backbone(str(run.folder), adapter_width=4)
    lower = tfl.Stage("author", train="all", weights="adapters", epochs=1, learning_rate=1e-2)
    found = run_recipe(recipe(backbone=adapters, stages=(lower,)), out=tmp_path / "adapters", report=False)
    assert found.read_json("metrics.json")["test"]["perplexity"] < 258


def test_depth_is_searched(run, tmp_path):
    stage = tfl.Stage("author", train=tfl.top_blocks(1), epochs=1, learning_rate=1e-2)
    search = tfl.Search(trials=2, seeds=0)
    found = tfl.tune(recipe(backbone=tfl.Backbone(str(run.folder)), stages=(stage,), search=search), tmp_path / "search")
    assert [row["status"] for row in found.outcomes()] == ["done", "done"]


def test_other_runs_do_not_write(tmp_path):
    digits = tfl.Recipe(name="digits", data=tfl.Sample("digits"), backbone=tfl.Backbone("mini"))
    other = Run.create(tmp_path / "other", digits, command=[])
    with pytest.raises(RunError, match="no run of a language model"):
        tfl.write(other, "Once")
