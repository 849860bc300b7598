"""`tfl`: the group of commands. A command's module is imported only when it is asked for, and none imports TensorFlow."""

from __future__ import annotations

import gc
import importlib
import sys

import rich_click as click

from tfl import __version__
from tfl.cli.command import failures
from tfl.cli.streams import keep_streams_open
from tfl.quiet import quieten_tensorflow

COMMANDS = (
    *(
        "audit",
        "advise",
        "run",
        "repeat",
        "probe",
        "tune",
        "study",
        "evaluate",
        "predict",
        "write",
        "report",
        "compare",
        "export",
        "serve",
    ),
    *("embed", "similar", "verify"),
    *("style", "warm"),
    *("backbones", "new", "cache", "doctor"),
)


class LazyGroup(click.RichGroup):
    """A group whose commands live in modules of their own, `tfl.cli.NAME`, each with one `NAME`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which a person meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; click itself says what to do when there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"tfl.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tfl", help="Show the version and exit.")
def cli() -> None:
    """Transfer learning by measurement: from labelled data to a trained, evaluated and exported model.

    Start with `tfl new NAME --data FOLDER`, then `tfl run NAME.py`. `tfl doctor` says what this machine can do.
    """


_COLLECT = (20_000, 20, 20)
"""When Python looks for objects that only point at each other. With TensorFlow and Keras loaded a whole look takes a quarter of a
second, and the default takes one several times while networks are built."""


def main() -> None:
    """The entry point: quietens TensorFlow before anything imports it, and turns what escapes into an exit code."""
    quieten_tensorflow()
    gc.set_threshold(*_COLLECT)
    keep_streams_open()
    with failures(debug="--debug" in sys.argv[1:]):
        cli(prog_name="tfl")


if __name__ == "__main__":
    main()
