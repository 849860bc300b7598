"""The whole of a style transfer: two pictures, a network, blocks, the optimisation, and what it leaves in a folder."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfl import __version__
from tfl.backbones.titles import title_of
from tfl.errors import RecipeError
from tfl.fields import as_plain
from tfl.modalities.image.backbones.available import check_available
from tfl.progress import progress_shown
from tfl.quiet import load_tensorflow
from tfl.storage import locked, write_atomically, write_json
from tfl.styling import folder as files
from tfl.styling.options import MINUTES, StyleOptions
from tfl.styling.pictures import Picture, as_png, decoded, read_picture, result_size

if TYPE_CHECKING:
    from rich.console import Console

    from tfl.styling.network import BlockNetwork
    from tfl.styling.optimise import Optimisation


@dataclass(frozen=True)
class Styled:
    """A finished style transfer.

    Attributes:
        folder: Where its files are.
        document: What `style.json` holds: `steps`, `losses` (at the `start` and at the `end`), `blocks`, `seconds`, ...
    """

    folder: Path
    document: dict[str, Any]

    @property
    def result(self) -> Path:
        """The picture, a PNG."""
        return self.folder / files.RESULT

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / files.PAGE


def transfer_style(
    content: Path | str,
    style: Path | str,
    folder: Path,
    options: StyleOptions,
    *,
    minutes: float = MINUTES,
    resume: bool = False,
    console: Console,
) -> Styled:
    """Gives the photo `content` the style of the picture `style`.

    Args:
        content, style: Image files, or `sample:NAME`.
        folder: Where to write.
        options: What decides the result.
        minutes: A transfer that would take longer, by a step that is tried, is refused before it begins.
        resume: Whether to resume the one in `folder`, with the same options; `steps` may be more.
        console: rich `Console` for messages and progress.

    Raises:
        DataError: A picture is not there, or (`BadImageError`) cannot be read.
        BackboneError: The network cannot be had.
        RecipeError: A block is not there, or it would take too much memory or time.
        RunError: The folder is taken, or was begun with something else.
    """
    photo, painting = read_picture(content), read_picture(style)
    files.check_folder(folder, resume=resume)
    check_available(options.backbone)
    size = result_size((photo.height, photo.width), options.size)
    if min(size) < 32:
        raise RecipeError(
            "The result would be too narrow.",
            received=f"{size[1]}×{size[0]} px from {photo.name}",
            allowed="at least 32 px a side",
            fix="Name a larger --size, or cut the photo.",
        )
    load_tensorflow()
    with locked(folder):
        return _Transfer(photo, painting, folder, options, minutes, console).run(resume=resume)


@dataclass
class _Transfer:
    photo: Picture
    painting: Picture
    folder: Path
    options: StyleOptions
    minutes: float
    console: Console

    def run(self, *, resume: bool) -> Styled:
        began = time.perf_counter()
        job, settings = self._prepare(resume)
        self._refuse_long(job)
        if not resume:
            files.keep_picture(self.folder, 0, as_png(job.pixels()))
            files.write_settings(self.folder, settings)
        steps = job.steps
        with progress_shown(self.console, "style", self.options.steps, nouns="steps") as progress:
            while job.steps < self.options.steps:
                job.step()
                progress(job.steps)
                if job.steps % self.options.every == 0 or job.steps == self.options.steps:
                    self._keep(job)
        seconds = time.perf_counter() - began
        return self._finish(job, settings, seconds, done=job.steps - steps)

    def _keep(self, job: Optimisation) -> None:
        """The picture first: what the state says is there is there."""
        files.keep_picture(self.folder, job.steps, as_png(job.pixels()))
        write_atomically(self.folder / files.STATE, job.state())
        files.write_losses(self.folder, job.columns, [*job.rows, job.finish()])

    def _prepare(self, resume: bool) -> tuple[Optimisation, dict[str, Any]]:
        import numpy as np

        from tfl.backbones.weight_hash import weights_fingerprint
        from tfl.styling.losses import Targets
        from tfl.styling.network import block_network, check_memory
        from tfl.styling.optimise import Optimisation, starting_pixels

        photo, painting = decoded(self.photo, self.options.size), decoded(self.painting, self.options.size)
        if self.options.size is None:
            painting = decoded(self.painting, max(photo.shape[:2]))
        size = (photo.shape[0], photo.shape[1])
        network = block_network(self.options.backbone, size)
        for field in ("content_blocks", "style_blocks"):
            network.check_names(getattr(self.options, field), field)
        settings: dict[str, Any] = {
            "tfl": __version__,
            "content": {"name": self.photo.name, "sha256": self.photo.sha256},
            "style": {"name": self.painting.name, "sha256": self.painting.sha256},
            "options": as_plain(self.options),
            "weights": weights_fingerprint(network.model),
        }
        if resume:
            kept = files.read_settings(self.folder)
            files.refuse_other(self.folder, kept, settings)
        check_memory(network.model, size)
        settings |= self._blocks(network, photo, painting)
        names = list(dict.fromkeys([*settings["blocks"]["content"], *settings["blocks"]["style"]]))
        maps = network.up_to(names)
        of_painting = network.up_to(names, (painting.shape[0], painting.shape[1]))
        targets = Targets.of(
            photo[None],
            maps(photo[None], training=False),
            of_painting(painting[None], training=False),
            content=settings["blocks"]["content"],
            style=settings["blocks"]["style"],
        )
        job = Optimisation(maps, targets, np.asarray(starting_pixels(photo, self.options)), self.options)
        state = self.folder / files.STATE
        if resume and state.exists():
            job.resume(state.read_bytes(), str(state))
        settings |= {"size": list(size), "painting_size": list(painting.shape[:2])}
        return job, settings

    def _blocks(self, network: BlockNetwork, photo: Any, painting: Any) -> dict[str, Any]:
        """The blocks that count, and what was measured of all; nothing is measured where both are named."""
        from tfl.styling.choose import chosen_content, chosen_style, measure_blocks

        content, style = self.options.content_blocks, self.options.style_blocks
        measured = [] if content and style else measure_blocks(network, photo, painting, seed=self.options.seed)
        blocks = {
            "content": list(content or chosen_content(measured)),
            "style": list(style or chosen_style(measured)),
        }
        self._say(f"blocks for content: {', '.join(blocks['content'])}{'' if content else ' (measured)'}")
        self._say(f"blocks for style: {', '.join(blocks['style'])}{'' if style else ' (measured)'}")
        return {"blocks": blocks, "measured": [dataclasses.asdict(row) for row in measured]}

    def _refuse_long(self, job: Optimisation) -> None:
        left = self.options.steps - job.steps
        if left <= 0:
            return
        each = job.seconds_of_a_step()
        self._say(f"{left} steps of {each:.2f} s: about {max(1, round(left * each / 60))} min")
        if left * each > 60 * self.minutes:
            raise RecipeError(
                f"{left} steps of {each:.2f} s take about {left * each / 60:.0f} minutes.",
                allowed=f"--minutes, {self.minutes:g}",
                fix=f"Allow more with --minutes, or take a smaller --size or --steps {max(1, int(60 * self.minutes / each))}.",
            )

    def _finish(self, job: Optimisation, settings: dict[str, Any], seconds: float, *, done: int) -> Styled:
        from tfl.styling.page import write_style_page

        rows = [*job.rows, job.finish()]
        pictures = files.kept_pictures(self.folder, up_to=job.steps)
        write_atomically(self.folder / files.RESULT, as_png(job.pixels()))
        files.write_losses(self.folder, job.columns, rows)
        document = {
            **settings,
            "options": {**settings["options"], "steps": job.steps},
            "network": title_of(self.options.backbone),
            "steps": job.steps,
            "losses": {
                "start": dict(zip(job.columns, rows[0], strict=True)),
                "end": dict(zip(job.columns, rows[-1], strict=True)),
            },
            "pictures": {str(step): f"{files.PICTURES}/{file.name}" for step, file in pictures.items()},
            "seconds": {"total": round(seconds, 2), "steps": done},
        }
        files.write_settings(self.folder, {**settings, "options": document["options"]})
        write_json(self.folder / files.DOCUMENT, document)
        both = decoded(self.photo, max(settings["size"])), decoded(self.painting, max(settings["painting_size"]))
        write_style_page(document, self.folder / files.PAGE, columns=job.columns, rows=rows, pictures=pictures, both=both)
        return Styled(self.folder, document)

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False)
