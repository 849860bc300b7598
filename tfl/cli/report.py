"""`tfl report`: look at a run, or at several side by side."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from tfl.cli.command import Answer, command
from tfl.storage import check_can_write


@command
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where the page of several runs goes. [default: comparison.html]",
)
def report(runs: tuple[Path, ...], out: Path | None) -> Answer:
    """Write the report of RUN again, one HTML file that opens offline; of several RUNs, one page that compares them."""
    from tfl.evaluate.compare.page import write_comparison
    from tfl.evaluate.report.page import write_report
    from tfl.runs import Run

    opened = [Run.open(folder) for folder in runs]
    check_can_write(opened[0].path("report.html") if len(opened) == 1 else out or Path("comparison.html"), folder=False)
    if len(opened) == 1:
        page = write_report(opened[0].folder)
    else:
        page = write_comparison([run.folder for run in opened], out or Path("comparison.html"))
    document = {"runs": [str(run.folder) for run in opened], "report": str(page)}
    return Answer(document, lambda: click.echo(f"report   {page}"))
