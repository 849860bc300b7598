"""Small pictures for the page of an audit, as `data:` addresses; a few a finding, so that the page stays small."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfl.data.examples import Examples
from tfl.finding import UNUSABLE, Finding

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDGE = 160
"""Pixels of the longer side."""
MOST_IN_GROUP = 6


def shown(finding: Finding, most: int) -> list[tuple[tuple[str, ...], str]]:
    """The files that a page shows side by side, with what to write under them: at most `most` groups, or single files.

    Example:

    >>> from tfl.finding import Finding
    >>> from tfl.audit.shown import shown
    >>> shown(Finding(kind="dark", severity="warning", files=("1", "2", "3"), note="", captions=("x", "y", "z")), 2)
    [(('1',), 'x'), (('2',), 'y')]
    """
    if finding.kind in UNUSABLE:
        return []
    groups = finding.groups or tuple((at,) for at in range(len(finding.files)))
    captions = finding.captions or ("",) * len(groups)
    rows = list(zip(groups, captions, strict=True))[:most]
    return [(tuple(finding.files[at] for at in group[:MOST_IN_GROUP]), caption) for group, caption in rows]


def page_pictures(
    findings: Sequence[Finding], examples: Examples, names: Mapping[str, str], splits: NDArray[Any] | None, *, most: int
) -> list[list[dict[str, Any]]]:
    """For each finding, what its page shows: dictionaries of `pictures` (`uri`, `name`, `label`, `split`) and `caption`.

    Args:
        findings: Of the audit.
        examples: The usable images.
        names: What to call each of them, by `Examples.name_of`.
        splits: `(n,)` the split of each; None where nothing is split.
        most: Groups, or single pictures, a finding.
    """
    places = {examples.name_of(index): index for index in range(len(examples))}
    known: dict[str, str] = {}

    def picture(file: str) -> dict[str, Any]:
        index = places[file]
        if file not in known:
            known[file] = _uri(examples, index)
        return {
            "uri": known[file],
            "name": names.get(file, file),
            "label": examples.class_names[examples.labels[index]],
            "split": "" if splits is None else str(splits[index]),
        }

    return [_of_finding(finding, places, picture, most) for finding in findings]


def _of_finding(
    finding: Finding, places: dict[str, int], picture: Callable[[str], dict[str, Any]], most: int
) -> list[dict[str, Any]]:
    rows = []
    for number, (files, caption) in enumerate(shown(finding, most)):
        pictures = [picture(file) for file in files if file in places]
        if pictures:
            more = len(finding.groups[number]) - len(files) if finding.groups else 0
            rows.append({"pictures": pictures, "caption": caption, "more": more})
    return rows


def _uri(examples: Examples, index: int) -> str:
    from PIL import Image

    picture = Image.fromarray(_pixels(examples, index))
    picture.thumbnail((EDGE, EDGE), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def _pixels(examples: Examples, index: int) -> NDArray[Any]:
    """As training sees them, at their own size and shape: upright, RGB."""
    import tensorflow as tf

    from tfl.modalities.image.convert import readable_by_graph
    from tfl.modalities.image.decode import decode_image

    pixels: NDArray[Any] = decode_image(tf.constant(readable_by_graph(examples.bytes_of(index)))).numpy()
    return pixels
