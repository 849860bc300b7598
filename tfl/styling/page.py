"""The page of a style transfer: the pictures by step, the losses by block, what was measured. One file that opens offline."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.evaluate.figures import AXIS, CLASS_COLOURS, COLOURS, Figure, layout_of, titled
from tfl.evaluate.render import render
from tfl.modalities.image.shown import shown_picture
from tfl.storage import write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_SHOWN = 41
"""Pictures on the page: of more, evenly many."""
_MOST_POINTS = 400
_LEAST_SHOWN = 1e-5
"""On the logarithmic axis: the content loss of the photo itself is zero, or next to it."""


def write_style_page(
    document: Mapping[str, Any],
    path: Path,
    *,
    columns: Sequence[str],
    rows: Sequence[Sequence[float]],
    pictures: Mapping[int, Path],
    both: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> Path:
    """Writes the page.

    Args:
        document: The contents of `style.json`.
        path: Where to.
        columns: What a row of losses holds.
        rows: The losses after 0, 1, 2, ... steps.
        pictures: The files of the pictures by step.
        both: The pixels of the photo and of the painting, 0..255.
    """
    shown = [{"step": step, **_of_file(pictures[step])} for step in _evenly(list(pictures), MOST_SHOWN)]
    page = render(
        "style.html.j2",
        style=document,
        names=[Path(document[part]["name"]).name for part in ("content", "style")],
        shown=shown,
        photo=shown_picture(np.rint(both[0]).astype(np.uint8)),
        painting=shown_picture(np.rint(both[1]).astype(np.uint8)),
        losses=_by_block(document, columns, rows),
        measured={row["block"]: row for row in document["measured"]},
        figures={"losses": losses_chart(columns, rows)},
    )
    return write_atomically(path, page)


def _of_file(file: Path) -> dict[str, Any]:
    from PIL import Image

    with Image.open(file) as image:
        return shown_picture(np.asarray(image.convert("RGB")))


def _evenly(steps: Sequence[int], most: int) -> list[int]:
    if len(steps) <= most:
        return list(steps)
    return [steps[round(at * (len(steps) - 1) / (most - 1))] for at in range(most)]


def _by_block(document: Mapping[str, Any], columns: Sequence[str], rows: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    """For each loss of a block its part, its name, and its values at the start and at the end."""
    return [
        {"part": name.partition(" ")[0], "block": name.partition(" ")[2], "start": rows[0][at], "end": rows[-1][at]}
        for at, name in enumerate(columns)
        if name not in ("total", "variation")
    ]


def losses_chart(columns: Sequence[str], rows: Sequence[Sequence[float]]) -> Figure:
    """The losses by step on a logarithmic axis: dotted for content, solid for style, grey for the variation."""
    steps = _evenly(range(len(rows)), _MOST_POINTS)
    data = []
    for at, name in enumerate(columns):
        if name == "total":
            continue
        part = name.partition(" ")[0]
        colour = COLOURS["muted"] if part == "variation" else CLASS_COLOURS[at % len(CLASS_COLOURS)]
        dash = {"content": "dot", "style": "solid", "variation": "dash"}[part]
        label = html.escape(name)
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": label,
                "x": steps,
                "y": [rows[step][at] if rows[step][at] > _LEAST_SHOWN else None for step in steps],
                "line": {"color": colour, "width": 2, "dash": dash},
                "hovertemplate": f"{label}: %{{y:.4f}}<extra></extra>",
            }
        )
    layout = layout_of(
        xaxis={**AXIS, **titled("step"), "showgrid": False},
        yaxis={**AXIS, **titled("loss, relative to the photo"), "type": "log", "dtick": 1},
        legend={"orientation": "h", "y": -0.22, "x": 0, "font": {"color": COLOURS["ink"]}},
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        hovermode="x unified",
    )
    return {"data": data, "layout": layout, "height": 400}
