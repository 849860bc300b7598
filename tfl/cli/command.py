"""What all commands share: `--json`, `--debug`, an answer that alone goes to standard output, and exit codes.

Exit codes: 0 done, 2 the input or the surroundings are wrong (one message, what to do), 1 a defect of tfl, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import rich_click as click
from click.exceptions import Exit

from tfl.cli.streams import descriptor
from tfl.errors import DataError, StorageError, TflError
from tfl.storage import finite, storage_errors

EXIT_DEFECT, EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 1, 2, 130
_GO_ON, _GO_ON_AFTER = "tfl.go_on", "tfl.go_on_after"


@dataclass(frozen=True)
class Answer:
    """The answer of a command.

    Attributes:
        document: Dictionary of JSON values, what `--json` prints.
        show: Callable that prints the same for a person on standard output.
        exit_code: Int, 0 unless the answer itself says that something is wrong. Defaults to 0.
        then: Callable, what runs after the answer is printed, such as a server. Defaults to None.
    """

    document: dict[str, Any]
    show: Callable[[], None]
    exit_code: int = 0
    then: Callable[[], None] | None = None


def command(function: Callable[..., Answer]) -> click.Command:
    """Makes a command of a function that returns an `Answer`; adds `--json` and `--debug`.

    While the function runs, standard output is standard error: whatever a library or a recipe prints, only the answer is
    ever read by the program behind the pipe.
    """

    @functools.wraps(function)
    def wrapper(*, as_json: bool, debug: bool, **arguments: Any) -> None:
        with failures(debug=debug):
            with _output_to_error():
                answer = function(**arguments)
            with storage_errors("standard output"):
                if as_json:
                    click.echo(json.dumps(finite(answer.document), indent=2))
                else:
                    answer.show()
                sys.stdout.flush()
            if answer.then is not None:
                with _output_to_error():
                    answer.then()
        if answer.exit_code:
            raise SystemExit(answer.exit_code)

    made: click.Command = click.command(name=function.__name__)(wrapper)
    json_help = "One JSON document on standard output, all else on standard error."
    made.params += [
        click.RichOption(["--json", "as_json"], is_flag=True, help=json_help),
        click.RichOption(["--debug"], is_flag=True, help="Show the whole traceback when something goes wrong."),
    ]
    return made


def if_interrupted(hint: Callable[[], str]) -> None:
    """Registers how to resume the running command if it is interrupted; `hint` is called then."""
    if (context := click.get_current_context(silent=True)) is not None:
        context.meta[_GO_ON] = hint


def if_stopped_by_its_surroundings(hint: Callable[[], str]) -> None:
    """Registers how to resume the running command if a full disk, vanished data or too little memory stops it."""
    if (context := click.get_current_context(silent=True)) is not None:
        context.meta[_GO_ON_AFTER] = hint


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Inside the block, SIGTERM does what Ctrl-C does: a scheduler that ends the process lets it save what it has."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def failures(*, debug: bool) -> Iterator[None]:
    """Turns what is raised inside the block into a message on standard error and an exit code."""
    try:
        yield
    except TflError as error:
        raise SystemExit(_wrong_input(error, debug)) from error
    except KeyboardInterrupt as error:
        _say(_interrupted(), debug)
        raise SystemExit(EXIT_INTERRUPTED) from error
    except (click.ClickException, click.Abort, Exit):
        raise
    except Exception as error:
        if (known := _disk_error(error) or _memory_error(error)) is not None:
            raise SystemExit(_wrong_input(known, debug)) from error
        _say(f"{type(error).__name__}: {error}\nThis is a defect of tfl, not of your input." + _how_to_see(debug), debug)
        raise SystemExit(EXIT_DEFECT) from error


def _wrong_input(error: TflError, debug: bool) -> int:
    from_outside = isinstance(error, StorageError | DataError) or error.what.startswith("Memory ran out")
    hint = _hint(_GO_ON_AFTER) if from_outside else None
    _say(f"{error} {hint}" if hint else str(error), debug)
    return EXIT_WRONG_INPUT


def _how_to_see(debug: bool) -> str:
    return "" if debug else " To see where it happened, run the same command with --debug."


def _interrupted() -> str:
    return "Interrupted. " + (_hint(_GO_ON) or "Nothing is half written.")


def _hint(kind: str) -> str | None:
    context = click.get_current_context(silent=True)
    hint = context.meta.get(kind) if context else None
    return hint() if hint else None


def _disk_error(error: BaseException) -> TflError | None:
    """The `StorageError` for an `OSError` about the disk that no module had caught; None for any other."""
    if not isinstance(error, OSError):
        return None
    try:
        with storage_errors(error.filename or "a file", doing="use"):
            raise error
    except StorageError as found:
        return found
    except OSError:
        return None


def _memory_error(error: BaseException) -> TflError | None:
    """Too little memory, in Python's words or in TensorFlow's, which cannot be imported to ask for its class."""
    if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":
        return None
    first = str(error).strip().split("\n")[0][:200]
    return TflError(
        f"Memory ran out{f' ({first})' if first else ''}.",
        fix="Use a smaller batch_size or image_size or a smaller backbone, or a machine with more memory.",
    )


def _say(message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    click.echo(f"tfl: {message}", err=True)


@contextlib.contextmanager
def _output_to_error() -> Iterator[None]:
    """Standard output goes to standard error inside the block: for Python's `print`, and for C++ libraries as well."""
    with contextlib.ExitStack() as stack:
        if descriptor(sys.stdout) == 1 and descriptor(sys.stderr) == 2:
            sys.stdout.flush()
            kept = os.dup(1)
            os.dup2(2, 1)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 1)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        yield
