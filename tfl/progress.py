"""How far a pass over examples is: a bar on a terminal, now and then a line in a notebook, nothing in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

LINE_SECONDS = 10.0
"""Between two lines in a notebook."""


def progress_console() -> Console:
    """Where progress is shown: standard error, or the output of the cell in a notebook.

    In a notebook it is plain text without colours or widgets, and `is_interactive` though no terminal: what shows a bar on a
    terminal prints a line now and then.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_jupyter:
        return console
    return Console(
        file=sys.stdout,
        force_jupyter=False,
        force_terminal=False,
        force_interactive=True,
        color_system=None,
        highlight=False,
        width=110,
    )


@contextlib.contextmanager
def progress_shown(
    console: Console | None, title: str, total: int | None = None, *, nouns: str = "examples"
) -> Iterator[Callable[[int], None]]:
    """Shows a pass for the block; gives a function to be called with how many examples are done.

    Args:
        console: Where to; None shows nothing, and neither does one that is no terminal and not interactive.
        title: What is done.
        total: How many examples there are, where that is known.
        nouns: What they are called.
    """
    if console is None or not (console.is_terminal or console.is_interactive):
        yield lambda done: None
    elif console.is_terminal:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        ends = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        columns = ends if total is not None else (TextColumn(f"{{task.completed:.0f}} {nouns}"),)
        with Progress(TextColumn("{task.description}"), *columns, console=console, transient=True) as bar:
            task = bar.add_task(title, total=total)
            yield lambda done: bar.update(task, completed=done)
    else:
        yield _lines(console, title, total, nouns)


def _lines(console: Console, title: str, total: int | None, nouns: str) -> Callable[[int], None]:
    of, last = "" if total is None else f" of {total}", time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            console.print(f"{title}: {done}{of} {nouns}", highlight=False, markup=False)

    return tell
