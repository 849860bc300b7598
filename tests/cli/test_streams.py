"""Standard streams that break, fill up, are closed, or cannot encode a file name: the command goes on, and names survive."""

import json
import os
import subprocess
import sys

import pytest

RECIPE = """
import tfl
recipe = tfl.Recipe(
    name="digits",
    data=tfl.Sample("digits", image_size=(32, 32), per_class=6, labels=("3", "8")),
    backbone=tfl.Backbone("mini"),
    stages=(tfl.Stage("head", epochs=1),),
    export=(),
    confidence=None,
)
"""
TALKS = """
import sys
from rich.console import Console
from tfl.cli.streams import keep_streams_open
keep_streams_open()
console = Console(stderr=True)
for number in range(3000):
    console.print("progress", number)
    print("answer", number)
open(sys.argv[1], "w").write("whole")
"""


def tfl(*words, **options):
    words = [sys.executable, "-m", "tfl.cli.main", *map(str, words)]
    return subprocess.run(words, stdin=subprocess.DEVNULL, check=False, **options)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_goes_stops_nothing(tmp_path, stream):
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", TALKS, str(tmp_path / "done")], **pipes)
    reader = getattr(process, stream)
    assert b"0" in reader.readline()
    reader.close()
    assert process.wait(timeout=60) == 0 and (tmp_path / "done").read_text() == "whole"


@pytest.mark.slow
def test_a_run_goes_on_when_the_reader_of_its_progress_goes(tmp_path):
    (tmp_path / "digits.py").write_text(RECIPE)
    words = [sys.executable, "-m", "tfl.cli.main", "run", str(tmp_path / "digits.py"), "--out", str(tmp_path / "run")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert b"data" in process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=300) == 0
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "done"
    assert (tmp_path / "run" / "report.html").is_file() and (tmp_path / "run" / "model.keras").is_file()


def test_an_answer_into_a_closed_pipe_ends_quietly():
    read, write = os.pipe()
    os.close(read)
    done = tfl("backbones", "--json", stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_an_answer_that_a_full_disk_loses_is_an_error_and_a_lost_message_is_none():
    with open("/dev/full", "wb") as full:
        lost = tfl("backbones", stdout=full, stderr=subprocess.PIPE)
        assert lost.returncode == 2 and b"Cannot write standard output: no space is left" in lost.stderr
        assert tfl("backbones", stdout=subprocess.PIPE, stderr=full).returncode == 0
        assert tfl("run", "nowhere.py", stdout=subprocess.PIPE, stderr=full).returncode == 2


@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0)])
def test_closed_streams_stop_nothing(closed, code):
    words = f'"{sys.executable}" -m tfl.cli.main backbones {closed}'
    assert subprocess.run(["sh", "-c", words], capture_output=True, check=False).returncode == code


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C.UTF-8"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}], ids=["utf-8", "posix"]
)
def test_file_names_are_written_as_the_file_system_has_them(locale):
    code = (
        "import os, sys, rich_click as click; from tfl.cli.streams import keep_streams_open; keep_streams_open()\n"
        "for name in sys.argv[1:]:\n    click.echo(name); print(name, file=sys.stderr)"
    )
    names = [b"caf\xe9.png", "größe ×.png".encode(), b"plain.png"]
    done = subprocess.run(
        [sys.executable.encode(), b"-c", code.encode(), *names], env={**os.environ, **locale}, capture_output=True
    )
    assert done.stdout.splitlines() == names and done.stderr.splitlines() == names


def test_a_character_that_the_encoding_lacks_becomes_an_escape():
    code = "from tfl.cli.streams import keep_streams_open; keep_streams_open(); print('3 × 3')"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONIOENCODING": "cp1251"}, capture_output=True)
    assert done.stdout == b"3 \\xd7 3\n"
