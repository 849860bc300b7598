"""HTML pages in a notebook."""

from __future__ import annotations

import html
from pathlib import Path

HEIGHT = 700
"""Of a page in a notebook, in CSS px; it scrolls."""


class Page:
    """An HTML page on disk that a notebook shows in place.

    Args:
        file: A page that needs no other file.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def __repr__(self) -> str:
        return f"Page({str(self.file)!r})"

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that neither its styles nor its scripts touch the notebook's."""
        page = html.escape(self.file.read_text(encoding="utf-8"), quote=True)
        style = f"width: 100%; height: {HEIGHT}px; border: 1px solid #ccc; background: white"
        return f'<iframe srcdoc="{page}" style="{style}" title="{html.escape(self.file.name)}"></iframe>'
