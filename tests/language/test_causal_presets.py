"""A causal preset of KerasHub, small and random, as the backbone: the same logits, exact bytes, frozen lower blocks, writing."""

import csv
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import tfl
from tfl.cli.main import cli
from tfl.errors import BackboneError, RecipeError
from tfl.modalities.passage.network import build_language_model
from tfl.modalities.passage.tokenizer import byte_symbols, tokenizer_in

hub = pytest.importorskip("keras_hub", reason="KerasHub (the extra `text`) is not installed")
pytestmark = pytest.mark.slow
MOST, TEXT = 128, "Sir, the  fog\n\n да thé  end <|endoftext|> x "


def pairs():
    """A vocabulary of all bytes and some pairs, and its merges."""
    symbols = {byte: symbol for symbol, byte in byte_symbols().items()}
    words = {"<|endoftext|>": 0} | {symbol: at for at, symbol in enumerate(symbols.values(), start=1)}
    merges = []
    for first, second in (("t", "h"), ("th", "e"), (" ", "the"), (" ", "s"), ("i", "n"), (" ", "w"), ("д", "")):
        one, two = ("".join(symbols[byte] for byte in part.encode()) for part in (first, second))
        one, two = (one, two) if two else (one[0], one[1])
        merges.append(f"{one} {two}")
        words.setdefault(one + two, len(words))
    return words, merges


def small(kind, words):
    options = {"num_layers": 3, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32, "vocabulary_size": len(words)}
    limit = {} if kind == "GPTNeoX" else {"max_sequence_length": MOST}
    return getattr(hub.models, f"{kind}Backbone")(**options, dropout=0.0, **limit)


@pytest.fixture(scope="module", autouse=True)
def short_continuations():
    """A run writes 48 bytes after each beginning, not 320, before and after it learned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfl.language.measure.LENGTH", 48)
        yield


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A function from a family to the folder of a preset of it, made once."""
    import keras

    made = {}

    def of(kind):
        if kind not in made:
            words, merges = pairs()
            if kind == "OPT":
                words = {**words, "</s>": len(words), "<pad>": len(words) + 1}
            keras.utils.set_random_seed(0)
            folder = tmp_path_factory.mktemp(kind)
            small(kind, words).save_to_preset(str(folder))
            getattr(hub.models, f"{kind}Tokenizer")(vocabulary=words, merges=merges).save_to_preset(str(folder))
            made[kind] = folder
        return made[kind]

    return of


def recipe(folder, **parts):
    options = {
        "data": tfl.Sample("authors", input=tfl.Passages(length=96), labels=("captain",), per_class=40),
        "stages": (tfl.Stage("author", train=tfl.top_blocks(1), epochs=1, learning_rate=1e-2),),
        **parts,
    }
    return tfl.Recipe(
        name="style", backbone=tfl.Backbone(str(folder)), head=tfl.Head(dropout=0.0), confidence=None, export=(), **options
    )


@pytest.fixture(scope="module")
def run(preset, tmp_path_factory):
    return tfl.run(recipe(preset("GPT2")), tmp_path_factory.mktemp("runs") / "style")


@pytest.mark.parametrize("kind", ["GPT2", "GPTNeoX", "OPT"])
def test_the_logits_are_those_of_keras_hub_and_tokens_are_the_text(kind, preset):
    import tensorflow as tf

    from tfl.backbones.blocks import find_blocks
    from tfl.model.next_token import next_token_model, put_next_token

    folder = preset(kind)
    tokenizer = tokenizer_in(folder)
    ids = tokenizer.ids(TEXT.replace("<|endoftext|>", "end").encode())
    assert b"".join(tokenizer.pieces[token] for token in ids).decode() == TEXT.replace("<|endoftext|>", "end")
    found = tokenizer.tokens(tf.constant(["the fog", "да in the"]), 12)
    network = build_language_model(tfl.Backbone(str(folder)))
    assert len(find_blocks(network.model)) == 4
    import keras

    inputs, nats = put_next_token(network, tfl.Head(dropout=0.0), vocabulary=0, seed=0)
    whole = keras.Model(inputs, nats)
    own = getattr(hub.models, f"{kind}CausalLM")(hub.models.Backbone.from_preset(str(folder)))
    expected = np.asarray(own({name: found[name] for name in ("token_ids", "padding_mask")}))
    mask = found["padding_mask"].numpy().astype(bool)
    logits = np.asarray(next_token_model(whole)(found["token_ids"]))
    np.testing.assert_allclose(logits[mask], expected[mask], atol=1e-5)
    shares = np.asarray(keras.ops.log_softmax(expected))
    first = -sum(shares[0, at, token] for at, token in enumerate(tokenizer.ids(b"the fog")))
    assert np.asarray(whole(found))[0, 0] == pytest.approx(first, rel=1e-4)


def test_a_run_learns_with_frozen_lower_blocks_and_counts_bytes(run):
    style, ledger = run.read_json("style.json"), run.read_json("ledger.json")["author"]
    moved = {row["block"] for row in ledger if row["moved"]}
    assert len(ledger) == 5 and len(moved) == 2  # the top block and the head
    before, after = style["perplexity"]["before"]["value"], style["perplexity"]["after"]["value"]
    assert after == pytest.approx(run.metrics["test"]["perplexity"], rel=1e-5) and after < before
    with open(run.path("predictions.csv"), newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    nats, sizes = (
        sum(float(value) for row in rows for name, value in row.items() if name.startswith(start))
        for start in ("nats_of_", "bytes_of_")
    )
    assert len(rows) == run.metrics["test"]["count"] and np.exp(nats / sizes) == pytest.approx(after, rel=1e-4)
    assert (run.folder / "tokenizer" / "config.json").is_file()


def test_writing_is_bytes_of_the_asked_length(run, preset, tmp_path):
    text, other = tfl.write(run, "Sir, ", length=40, number=2, seed=1)
    assert text.startswith("Sir, ") and 35 <= len(text.encode()) - 5 <= 40 + 2 * text.count("\ufffd")
    assert text != other and "<|endoftext|>" not in text
    moved = tmp_path / "moved"
    shutil.copytree(run.folder, moved)
    document = json.loads((moved / "recipe.json").read_text())
    document["backbone"]["name"] = str(tmp_path / "gone")
    (moved / "recipe.json").write_text(json.dumps(document))
    done = CliRunner().invoke(cli, ["write", str(moved), "Sir, ", "--length", "40", "--seed", "1"])
    assert done.exit_code == 0 and done.stdout.strip() == text.strip()


def test_its_keras_file_has_the_tokenizer_beside_it(run, tmp_path, monkeypatch, capsys):
    import re

    done = CliRunner().invoke(cli, ["export", str(run.folder), "--format", "keras", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.stderr
    folder = tmp_path / "keras"
    (lines,) = re.findall("```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(folder)
    exec(lines, {})
    written = tfl.write(run, "Once", length=8, temperature=0.0)[0]
    assert written[4:].encode().startswith(capsys.readouterr().out[:-1].encode()[:8])


def test_the_network_of_such_a_run_is_the_next_backbone(run, tmp_path):
    found = tfl.run(recipe(run.folder, stages=(tfl.Stage("author", train="head", epochs=1, learning_rate=0.0),)), tmp_path / "r")
    assert found.metrics["test"]["perplexity"] == pytest.approx(run.metrics["test"]["perplexity"], rel=1e-5)
    assert tfl.write(found, "Sir", length=8) == tfl.write(run, "Sir", length=8)


def test_what_does_not_fit_is_refused(preset, tmp_path):
    for folder, said in (("Bert", "no causal network"), ("bare", "no tokenizer")):
        (tmp_path / folder).mkdir()
        name = "GPT2Backbone" if folder == "bare" else "BertBackbone"
        (tmp_path / folder / "config.json").write_text(json.dumps({"class_name": name, "config": {}}))
        with pytest.raises(BackboneError, match=said):
            tfl.run(recipe(tmp_path / folder), tmp_path / "run")
    long = tfl.Sample("authors", input=tfl.Passages(length=400), labels=("captain",), per_class=20)
    with pytest.raises(RecipeError, match="more tokens than the network takes"):
        tfl.run(recipe(preset("GPT2"), data=long), tmp_path / "run")
    assert not (tmp_path / "run").exists()
