"""What all interactive figures have in common: colours, axes, layout. Plotly itself is not imported here."""

from __future__ import annotations

from typing import Any

COLOURS = {
    "ink": "#1d2524",
    "muted": "#5c6866",
    "line": "#dedbd2",
    "surface": "#ffffff",
    "good": "#1f7a5c",
    "bad": "#c2571a",
    "cool": "#2f6db3",
    "shade": "#f1efe8",
    "good_fill": "#86cbb0",
    "good_pale": "#e3f1ea",
    "bad_fill": "#f0ae84",
    "bad_pale": "#fbe9dd",
}
"""By role; `templates/page.js` holds the dark twin of each."""
RUN_COLOURS = ("#2f6db3", "#c2571a", "#1f7a5c", "#8b4fa8", "#9a7b0f", "#b3315e")
"""One a run in a comparison; further runs begin again."""
CLASS_COLOURS = (*RUN_COLOURS, "#0e8a93", "#7a5230", "#d26aa5", "#5b5fc7", "#5f8a1f", "#d1443a")
"""One a label on a map."""

Figure = dict[str, Any]
"""`data` and `layout` as Plotly takes them, and `height` as CSS counts it."""
AXIS = {
    "gridcolor": COLOURS["line"],
    "linecolor": COLOURS["line"],
    "zeroline": False,
    "automargin": True,
    "tickfont": {"color": COLOURS["muted"]},
    "fixedrange": True,
}


def titled(text: str) -> dict[str, Any]:
    """The title of an axis."""
    return {"title": {"text": text, "standoff": 14, "font": {"color": COLOURS["muted"], "size": 13}}}


def layout_of(**parts: Any) -> dict[str, Any]:
    """The layout of a figure: what all have in common, and `parts`."""
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": COLOURS["ink"], "family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13},
        "hoverlabel": {"bgcolor": COLOURS["surface"], "bordercolor": COLOURS["line"], "font": {"color": COLOURS["ink"]}},
        "showlegend": "legend" in parts,
        "dragmode": False,
        **parts,
    }


def shortened(text: str, most: int) -> str:
    """At most so many characters of a text.

    Example:

    >>> from tfl.evaluate.figures import shortened
    >>> shortened("strawberry", 6)
    'straw…'
    """
    return text if len(text) <= most else text[: most - 1] + "…"
