"""What needs no network to be found is found before TensorFlow is imported: here its import fails, and messages still come."""

import json
import subprocess
import sys

import pytest

import tfl
from tfl.runs import Run

RECIPE = """
import tfl
recipe = tfl.Recipe(
    name="digits", data=tfl.Sample("digits", per_class=4, labels=("3", "8")), backbone=tfl.Backbone("mini"), export=()
)
"""
WITHOUT_TENSORFLOW = """
import contextlib, io, json, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras"):
            raise RuntimeError(f"{name} was imported")

sys.meta_path.insert(0, Refuse())
from click.testing import CliRunner
from tfl.cli.main import cli

def answer(words):
    result = CliRunner().invoke(cli, words)
    return [result.exit_code, " ".join(result.stderr.split())]

print(json.dumps([answer(words) for words in json.load(sys.stdin)]))
"""
LONG = "a" * 300
CASES = [
    ("run nowhere.py", "no recipe file"),
    ("run digits.py --out done", "already holds a run"),
    ("run digits.py --out full", "is not empty"),
    ("run digits.py --out file/run", "a part of the path is a file"),
    (f"run digits.py --out {LONG}", "a name in the path is too long"),
    ("run digits.py --data nowhere", "nothing at this source"),
    ("run digits.py --data empty", "empty"),
    ("run digits.py --data one", "No class of one is called"),
    ("run digits.py --set backbone=MobilNet", "Did you mean `MobileNet`?"),
    ("run digits.py --set backbone=own.keras", "no model file own.keras"),
    ("run digits.py --set backbone.weights=own.h5", "no weights file own.h5"),
    ("run digits.py --set data.exclude=list.txt", "list.txt"),
    ("run digits.py --resume", "no run of `digits` to resume"),
    ("run digits.py --resume --out full", "not a run folder"),
    ("run digits.py --resume --out busy", "is being written by another process"),
    ("repeat unfinished", "did not come to its end"),
    ("repeat done --out full", "is not empty"),
    ("repeat done --out file/run", "a part of the path is a file"),
    ("probe digits.py --data nowhere", "nothing at this source"),
    ("probe digits.py --out profiled", "already holds a profile"),
    ("probe digits.py --out file/probe", "a part of the path is a file"),
    ("probe digits.py --set backbone=MobilNet", "Did you mean `MobileNet`?"),
    ("tune digits.py --data nowhere", "nothing at this source"),
    ("tune digits.py --out done", "already holds a run"),
    ("tune digits.py --out file/tune", "a part of the path is a file"),
    ("tune digits.py --resume", "no search of `digits`"),
    ("audit nowhere", "nothing at this source"),
    ("audit sample:digits --out file/audit", "a part of the path is a file"),
    ("audit sample:digits --backbone MobilNet", "Did you mean `MobileNet`?"),
    ("predict unfinished digits.py", "has no model.keras"),
    ("predict done nowhere.jpg", "no file nowhere.jpg"),
    ("predict done empty", "no image below empty"),
    ("predict nowhere digits.py", "no folder nowhere"),
    ("evaluate unfinished", "has no model.keras"),
    ("evaluate done --data nowhere", "nothing at this source"),
    ("export unfinished --format keras", "has no model.keras"),
    ("export done --format keras --out file/export", "a part of the path is a file"),
    ("export done --format keras --data nowhere", "nothing at this source"),
    ("serve unfinished", "has no model.keras"),
    ("serve empty", "no SavedModel in empty"),
    ("report full", "not a run folder"),
    ("report done done --out file/page.html", "a part of the path is a file"),
    ("new other --data nowhere", "nothing at this source"),
    ("new file/other --data one", "a part of the path is a file"),
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """The exit code and the message of every case, in one process."""
    here = tmp_path_factory.mktemp("here")
    (here / "digits.py").write_text(RECIPE)
    (here / "file").touch()
    for folder in ("empty", "full", "one/class", "profiled"):
        (here / folder).mkdir(parents=True)
    for file in ("full/mine.txt", "one/class/a.png", "profiled/probe.json"):
        (here / file).write_text("x")
    recipe = tfl.load_recipe(here / "digits.py")
    Run.create(here / "unfinished", recipe, command=[])
    done = Run.create(here / "done", recipe, command=[])
    done.update_manifest(status="done", data={"class_names": ["3", "8"]})
    done.path("model.keras").touch()
    busy = Run.create(here / "busy", recipe, command=[])
    with busy.lock():
        process = subprocess.run(
            [sys.executable, "-c", WITHOUT_TENSORFLOW],
            input=json.dumps([words.split() for words, _ in CASES]),
            capture_output=True,
            text=True,
            cwd=here,
            check=False,
        )
    assert process.returncode == 0, process.stderr
    return {words: answer for (words, _), answer in zip(CASES, json.loads(process.stdout), strict=True)}


@pytest.mark.parametrize(("words", "message"), CASES, ids=[words.replace(LONG, "LONG") for words, _ in CASES])
def test_the_message_comes_without_tensorflow(answers, words, message):
    code, said = answers[words]
    assert code == 2 and message in said, said
    assert "defect" not in said and said.count("tfl: ") == 1


@pytest.mark.parametrize("command", ["new", "audit", "predict", "evaluate", "export", "report", "probe"])
def test_no_command_advises_an_option_that_it_does_not_have(answers, command):
    said = [text for words, (_, text) in answers.items() if words.startswith(f"{command} ")]
    assert said
    for text in said:
        assert "--resume" not in text or "tfl run" in text
