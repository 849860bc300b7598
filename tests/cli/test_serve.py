"""`tfl serve` where it cannot start: one message and exit code 2, before TensorFlow is imported where possible."""

import sys

import pytest
from click.testing import CliRunner

from tfl.cli.main import cli
from tfl.serve.server import bind


@pytest.fixture
def run():
    return lambda *words: CliRunner().invoke(cli, ["serve", *map(str, words)])


def test_where_there_is_no_export_it_says_how_to_make_one(run, tmp_path):
    done = run(tmp_path, "--port", 0)
    assert done.exit_code == 2 and "tfl export RUN --format saved_model" in done.output and "Traceback" not in done.output


def test_a_port_in_use_is_told(run, tmp_path):
    (tmp_path / "saved_model.pb").touch()
    with bind("127.0.0.1", 0) as taken:
        done = run(tmp_path, "--port", taken.getsockname()[1])
    assert done.exit_code == 2 and "already in use" in done.output and "--port" in done.output


def test_a_missing_token_file_is_told(run, tmp_path):
    done = run(tmp_path, "--token-file", tmp_path / "nowhere")
    assert done.exit_code == 2 and "token file" in done.output


def test_an_absent_extra_is_named(run, tmp_path, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "fastapi" else found(name, *more))
    done = run(tmp_path)
    assert done.exit_code == 2 and "pip install 'tfl[serve]'" in done.output


@pytest.mark.parametrize(
    "words", [("--port", "70000"), ("--max-batch-size", "0"), ("--max-wait", "0"), ("--max-body-mb", "0"), ("--workers", "2")]
)
def test_options_out_of_range_are_told(run, tmp_path, words):
    done = run(tmp_path, *words)
    assert done.exit_code == 2 and words[0] in done.output


def test_its_help_imports_neither_tensorflow_nor_the_extra():
    import subprocess

    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom tfl.cli.main import cli\n"
        "assert CliRunner().invoke(cli, ['serve', '--help']).exit_code == 0\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'fastapi', 'uvicorn', 'grpc')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
