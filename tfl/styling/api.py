"""`tfl.style`. No TensorFlow is imported before it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfl.backbones.titles import parse_backbone
from tfl.progress import progress_console
from tfl.recipe import Backbone
from tfl.runs import default_folder
from tfl.styling.options import MINUTES, StyleOptions
from tfl.styling.transfer import Styled, transfer_style


def style(
    photo: Path | str,
    painting: Path | str,
    out: Path | str | None = None,
    *,
    backbone: Backbone | str = "mini",
    minutes: float = MINUTES,
    resume: bool = False,
    **options: Any,
) -> Styled:
    """Gives a photo the style of a painting: `tfl style` from Python.

    Args:
        photo, painting: Paths of image files, or `sample:leaf`, `sample:scene`, `sample:waves`, `sample:mosaic`.
        out: Path, the folder. Defaults to None, which creates `runs/style/style-<time>`.
        backbone: `Backbone` with pretrained weights, or a title such as `"MobileNet alpha=0.75"`.
        minutes: Float; a transfer that would take longer is refused before it begins.
        resume: Bool, whether to resume the transfer in `out`, with the same options; `steps` may be more.
        **options: Other fields of `tfl.styling.options.StyleOptions`, such as `size`, `steps` and `style_weight`.

    Returns:
        `result` (the path of the picture), `report` (that of the page), `folder`, and `document`, what `style.json` holds.

    Raises:
        TflError: A picture, the network, a block or the folder cannot be used, or it would take too much memory or time.

    Example:

    >>> import tempfile, tfl
    >>> done = tfl.style("sample:leaf", "sample:waves", tempfile.mkdtemp(), size=64, steps=2)
    >>> done.result.name, done.document["steps"]
    ('result.png', 2)
    """
    network = backbone if isinstance(backbone, Backbone) else parse_backbone(backbone)
    folder = Path(out) if out is not None else default_folder("style", kind="style")
    chosen = StyleOptions(backbone=network, **options)
    return transfer_style(photo, painting, folder, chosen, minutes=minutes, resume=resume, console=progress_console())
