"""The frame: help, what is imported, exit codes, what goes to which stream."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rich_click as click
from click.testing import CliRunner

from tfl.cli.command import Answer, command, if_interrupted
from tfl.cli.main import COMMANDS, cli
from tfl.errors import DataError

PAGE = Path("docs/commands.md").read_text(encoding="utf-8")


def named(name):
    return cli.get_command(click.Context(cli), name)


def section(name):
    found = re.search(rf"^## tfl {name}\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M)
    return found.group(1) if found else ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_a_section_with_one_example(name):
    assert named(name).help
    assert len(re.findall(rf"^    tfl {name}\b", section(name), re.M)) == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help_and_a_row(name):
    options = [parameter for parameter in named(name).params if isinstance(parameter, click.Option)]
    assert {"--json", "--debug"} <= {option.opts[0] for option in options}
    for option in options:
        assert option.help, option.opts
        assert re.search(rf"^\| `{option.opts[0]}\b", section(name), re.M), f"{name} {option.opts[0]} is not in docs/commands.md"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_names_no_option_that_is_not_there(name):
    known = {option for parameter in named(name).params for option in parameter.opts}
    assert set(re.findall(r"^\| `(--[a-z-]+)", section(name), re.M)) <= known


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_parse(name):
    words = re.search(rf"^    tfl {name}(.*)$", section(name), re.M).group(1).split()
    named(name).make_context(name, words)


def test_the_page_has_no_other_commands():
    assert re.findall(r"^## tfl (\w+)", PAGE, re.M) == list(COMMANDS)


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys; from tfl.cli.main import cli\n"
        "try: cli(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'numpy', 'PIL', 'sklearn')))"
    )
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - start)
        assert done.returncode == 0 and "doctor" in done.stdout
    assert min(seconds) < 0.8  # 0.25 s measured; a loaded machine is forgiven, an import of TensorFlow (seconds) is not


def test_an_unknown_command_or_option_is_wrong_input():
    assert CliRunner().invoke(cli, ["trian"]).exit_code == 2
    assert CliRunner().invoke(cli, ["run", "x.py", "--epochs", "3"]).exit_code == 2


def made(body):
    """A group of one command, `probe`, that does `body`."""

    def probe():
        """Probe."""
        return body()

    group = click.Group("tfl")
    group.add_command(command(probe))
    return group


def test_json_is_all_there_is_on_standard_output():
    def body():
        print("a library talks")
        return Answer({"value": float("nan"), "name": "é"}, lambda: click.echo("for people"))

    result = CliRunner().invoke(made(body), ["probe", "--json"])
    assert json.loads(result.stdout) == {"value": None, "name": "é"}
    assert "a library talks" in result.stderr
    result = CliRunner().invoke(made(body), ["probe"])
    assert result.stdout == "for people\n" and result.exit_code == 0


def test_what_c_libraries_print_is_kept_off_standard_output_too():
    code = (
        "import os, rich_click as click\n"
        "from tfl.cli.command import Answer, command\n"
        "def probe():\n    os.system('echo from below'); print('from above')\n    return Answer({'a': 1}, lambda: None)\n"
        "command(probe)(['--json'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert json.loads(done.stdout) == {"a": 1} and done.returncode == 0
    assert "from below" in done.stderr and "from above" in done.stderr


def test_a_tfl_error_is_one_message_and_exit_2():
    def body():
        raise DataError("The folder is empty.", fix="Put photos in it.")

    result = CliRunner().invoke(made(body), ["probe"])
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr == "tfl: The folder is empty. Put photos in it.\n"
    assert "Traceback" in CliRunner().invoke(made(body), ["probe", "--debug"]).stderr


def test_a_full_disk_that_nobody_caught_is_wrong_input():
    def body():
        raise OSError(28, "No space left on device", "/data/model.keras")

    result = CliRunner().invoke(made(body), ["probe"])
    assert result.exit_code == 2 and "no space is left" in result.stderr and "/data/model.keras" in result.stderr


def test_running_out_of_memory_is_no_defect():
    def body():
        raise MemoryError("Unable to allocate 90.0 GiB")

    result = CliRunner().invoke(made(body), ["probe"])
    assert result.exit_code == 2 and "90.0 GiB" in result.stderr and "batch_size" in result.stderr


def test_anything_else_is_a_defect_and_exit_1():
    def body():
        raise KeyError("weights")

    result = CliRunner().invoke(made(body), ["probe"])
    assert result.exit_code == 1
    assert "defect of tfl" in result.stderr and "--debug" in result.stderr and "Traceback" not in result.stderr
    assert "Traceback" in CliRunner().invoke(made(body), ["probe", "--debug"]).stderr


def test_an_interruption_is_130_and_says_how_to_go_on():
    def body():
        if_interrupted(lambda: "Resume with: tfl run x.py --resume")
        raise KeyboardInterrupt

    result = CliRunner().invoke(made(body), ["probe"])
    assert result.exit_code == 130 and "Resume with: tfl run x.py --resume" in result.stderr


def test_an_answer_may_itself_be_bad_news():
    result = CliRunner().invoke(made(lambda: Answer({"problems": 1}, lambda: None, exit_code=2)), ["probe", "--json"])
    assert result.exit_code == 2 and json.loads(result.stdout) == {"problems": 1}
