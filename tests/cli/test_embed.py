"""`tfl embed`, `tfl similar` and `tfl verify`: what they say, one JSON document, and exit codes."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tfl.cli.main import cli


def invoke(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, colour in (("blue", (30, 40, 200)), ("red", (200, 40, 30))):
        (folder / name).mkdir()
        for number in range(8):
            pixels = np.clip(np.array(colour) + rng.normal(0, 6, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def made(photos, tmp_path_factory, small_network):
    """A folder with the vectors of the photos, to be copied."""
    folder = tmp_path_factory.mktemp("vectors")
    result = invoke("embed", small_network, photos, "--out", folder / "v.parquet", "--set", "data.image_size=32,32")
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture
def vectors(made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "v.parquet"


@pytest.mark.slow
def test_embed_answers_with_one_document(photos, tmp_path):
    result = invoke("embed", "mini", photos, "--out", tmp_path / "v.npy", "--set", "data.image_size=32,32", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0 and document["count"] == document["labelled"] == 16 and document["width"] == 128
    assert (tmp_path / "v.csv").read_text().startswith("file,label,fingerprint")
    again = invoke("embed", "mini", photos, "--out", tmp_path / "v.npy")
    assert again.exit_code == 2 and "already there" in again.stderr and "tfl similar" in again.stderr


@pytest.mark.slow
def test_embed_lists_what_it_leaves_out(photos, tmp_path, small_network):
    (tmp_path / "mixed").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "mixed" / "a.png")
    (tmp_path / "mixed" / "b.png").write_text("no picture")
    words = ("embed", small_network, tmp_path / "mixed", "--set", "data.image_size=32,32")
    result = invoke(*words, "--out", tmp_path / "v.npy")
    assert result.exit_code == 2 and "1 vectors" in result.stdout and "left out: " in result.stderr
    assert invoke(*words, "--out", tmp_path / "w.npy", "--skip-bad").exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("mini", "nowhere"), "nothing at this source"),
        (("MobilNet", "{photos}"), "Did you mean `MobileNet`"),
        (("mini", "{photos}", "--out", "v.txt"), ".parquet, .npy"),
        (("mini", "{photos}", "--block", "unit99"), "no such block"),
        (("mini", "{photos}", "--set", "data.image_sise=32"), "Did you mean `image_size`"),
        (("mini",), "SOURCE"),
    ],
)
def test_embed_refuses(photos, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    result = invoke("embed", *(word.format(photos=photos) for word in words))
    assert result.exit_code == 2 and message in " ".join(result.stderr.split()), result.stderr
    assert not [entry.name for entry in tmp_path.iterdir() if not entry.name.startswith(".")]


@pytest.mark.slow
def test_similar_finds_adds_and_removes(vectors, photos, tmp_path):
    document = json.loads(invoke("similar", vectors, photos / "red" / "3.png", "--top", 3, "--json").stdout)
    first = document["queries"][0]["neighbours"][0]
    assert first["file"] == str(photos / "red" / "3.png") and first["same_content"] and first["label"] == "red"
    table = invoke("similar", vectors, photos / "red" / "3.png").stdout
    assert "similarity" in table and "same content" in table
    Image.new("RGB", (32, 32), "white").save(tmp_path / "white.png")
    added = invoke("similar", vectors, "--add", tmp_path / "white.png", "--label", "white", "--json")
    assert json.loads(added.stdout)["count"] == 17
    assert "white" in invoke("similar", vectors, tmp_path / "white.png", "--top", 1).stdout
    removed = invoke("similar", vectors, "--remove", tmp_path / "white.png")
    assert removed.stdout == f"1 removed; {vectors} has 16 vectors\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "FILE..."),
        (("--add", "--remove", "a"), "two commands"),
        (("a", "--label", "b"), "needs --add"),
        (("nowhere.png",), "There is no file nowhere.png"),
        (("--remove", "nowhere.png"), "has no vectors of nowhere.png"),
        (("--text", "words"), "Texts cannot be compared"),
    ],
)
def test_similar_refuses(vectors, words, message):
    result = invoke("similar", vectors, *words)
    assert result.exit_code == 2 and message in " ".join(result.stderr.split()), result.stderr


@pytest.mark.slow
def test_verify_measures_and_answers(vectors, photos):
    measured = json.loads(invoke("verify", vectors, "--far", "0.1", "--json").stdout)["verification"]
    assert measured["genuine"] == 56 and measured["impostor"] == 64 and measured["held_out"] == "items"
    said = invoke("verify", vectors, "--far", "0.1").stdout
    assert "equal error rate" in said and "held-out" in said
    answer = invoke("verify", vectors, photos / "red" / "0.png", photos / "red" / "1.png", "--far", "0.1")
    assert answer.stdout.startswith("same: similarity 0.9"), answer.stderr
    other = json.loads(
        invoke("verify", vectors, photos / "red" / "0.png", photos / "blue" / "1.png", "--threshold", 0.999, "--json").stdout
    )
    assert other["same"] is False and "verification" not in other
    for words, message in (((photos / "red" / "0.png",), "Two files are compared"), (("--far", "0.001"), "at least 1000")):
        result = invoke("verify", vectors, *words)
        assert result.exit_code == 2 and message in " ".join(result.stderr.split())


@pytest.mark.parametrize("verb", ["embed", "similar", "verify"])
def test_help_imports_no_tensorflow(verb):
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom tfl.cli.main import cli\n"
        f"assert CliRunner().invoke(cli, ['{verb}', '--help']).exit_code == 0\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'sklearn', 'usearch', 'pyarrow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
