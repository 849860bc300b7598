"""How the steps of a run say what they found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH = 9
"""Characters of the column of titles."""


def tell(console: Console, title: str, lead: str = "", lines: Iterable[str] = (), *, apart: bool = False) -> None:
    """Prints a title in bold with what leads, and lines below it, all of them as they are: no markup, no highlighting.

    Args:
        console: Where to print.
        title: Such as `data`; of more than eight characters, its own width wide.
        lead: What stands next to it.
        lines: What stands below.
        apart: Whether an empty line comes first.

    Example:

    >>> from rich.console import Console
    >>> tell(Console(), "extra", "12 of 20 examples from more/", ["8 are left out."])
    extra    12 of 20 examples from more/
             8 are left out.
    """
    from rich.markup import escape

    gap = " " * max(1, _WIDTH - len(title)) if lead else ""
    console.print(("\n" if apart else "") + f"[bold]{title}[/]{gap}{escape(lead)}", highlight=False)
    tell_lines(console, lines)


def tell_lines(console: Console, lines: Iterable[str]) -> None:
    """Prints lines below a title that was printed before."""
    for words in lines:
        console.print(" " * _WIDTH + words, markup=False, highlight=False)
