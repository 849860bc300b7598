"""`tfl export`: ship a run's model in one or more formats, and compare each with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import Answer, command
from tfl.cli.options import run_argument
from tfl.errors import DataError, ExportError
from tfl.export.kinds import KINDS, QUANTIZED, check_packages
from tfl.quiet import load_tensorflow
from tfl.storage import check_can_write, check_is_text

if TYPE_CHECKING:
    from tfl.data.bundle import Bundle
    from tfl.export.ship import Shipped
    from tfl.runs import Run

_ALL, _NEXT = "all", "next"


def _parse_version(context: click.Context, parameter: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == _NEXT:
        return value
    if not (value.isascii() and value.isdecimal()) or not 1 <= int(value) < 2**63:
        raise click.BadParameter(f"{value!r} is neither a whole number of at least 1 nor `next`.", ctx=context, param=parameter)
    return int(value)


@command
@run_argument
@click.option(
    "--format", "kinds", type=click.Choice([*KINDS, _ALL]), multiple=True, required=True, help="What to write; repeatable."
)
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="The export folder. [default: RUN/export]")
@click.option(
    "--version",
    metavar="N",
    callback=_parse_version,
    help="Of the SavedModel: its folder's number, or `next` for the next free one. [default: 1, replacing what is there]",
)
@click.option(
    "--quantize",
    type=click.Choice(QUANTIZED),
    multiple=True,
    help="Weights of the LiteRT files; repeatable. [default: all three]",
)
@click.option(
    "--verify/--no-verify",
    default=True,
    help="Compare each with the model on golden examples and the run's test split, or do not.",
)
@click.option("--server", metavar="URL", help="Compare a running server as well, such as http://localhost:8501.")
@click.option("--data", metavar="SOURCE", help="Where the run's images are now, if not where the recipe says.")
def export(
    run_folder: Path,
    kinds: tuple[str, ...],
    out: Path | None,
    version: int | str | None,
    quantize: tuple[str, ...],
    verify: bool,
    server: str | None,
    data: str | None,
) -> Answer:
    """Write the model of RUN for other runtimes, labels inside, and certify that each says what the model says.

    An export that cannot be written or is past its tolerance is refused: it is not put in place, and the others are. The
    command fails if all are refused. The certificate is `parity.json` in the export folder.
    """
    from tfl.runs import Run

    run = Run.open(run_folder)
    run.refuse_language_model("An export")
    chosen = tuple(KINDS) if _ALL in kinds else tuple(dict.fromkeys(kinds))
    check_packages(chosen)
    if server is not None and not verify:
        raise ExportError("--server compares, and --no-verify does not.", fix="Leave one of them out.")
    folder = out or run.path("export")
    run.model_file  # noqa: B018  (raises where the run has none)
    check_is_text(folder)
    check_can_write(folder, folder=True)
    done = _ship(run, chosen, folder, version, quantize or QUANTIZED, verify=verify, server=server, source=data)
    from tfl.export.certificate import summary

    done.require_any()
    parity = summary(done.certificate, done.names) if done.certificate else {}
    document = {
        "run": str(run.folder),
        "exports": {kind: str(folder) for kind, folder in done.folders.items()},
        "parity": parity,
        "refused": {name: dict(row) for name, row in done.refused.items()},
        "holds": all(row["holds"] is not False for row in parity.values()) if done.certificate else None,
        "golden_images": done.certificate["golden"]["count"] if done.certificate else 0,
        "test_images": done.certificate["test"]["count"] if done.certificate else 0,
    }
    return Answer(document, lambda: _show(document, done))


def _ship(
    run: Run,
    kinds: tuple[str, ...],
    folder: Path,
    version: int | str | None,
    quantize: tuple[str, ...],
    *,
    verify: bool,
    server: str | None,
    source: str | None,
) -> Shipped:
    with run.lock():
        needed = verify or ("litert" in kinds and bool(set(quantize) - {"float32"}))
        bundle, why = _data_of(run, source) if needed else (None, None)
        load_tensorflow()
        from tfl.export.saved_model import VERSION, next_version
        from tfl.export.ship import ship_model
        from tfl.serve.predictor import load_run_model

        model = load_run_model(run)
        number = next_version(folder) if version == _NEXT else int(version or VERSION)
        return ship_model(
            run,
            model,
            kinds,
            folder,
            bundle=bundle,
            no_bundle=why,
            verify=verify,
            version=number,
            quantize=quantize,
            server=server,
            tell=lambda words: click.echo(words, err=True),
        )


def _data_of(run: Run, source: str | None) -> tuple[Bundle | None, str | None]:
    """The run's data, split as it was; or None, and why they are not to be had.

    Raises:
        DataError: They were named with --data, and are not those of the run.
    """
    from rich.console import Console

    from tfl.prepare import prepare_again

    try:
        bundle = prepare_again(run, Console(stderr=True, quiet=True), source=source)
    except DataError as error:
        if source is not None:
            raise
        return None, str(error)
    return bundle, None


def _show(document: dict[str, Any], done: Shipped) -> None:
    for kind, folder in document["exports"].items():
        click.echo(f"export   {folder} ({KINDS[kind].title})")
    for words in done.refusals:
        click.echo(f"refused  {words}")
    if done.certificate is None:
        click.echo("nothing was compared with the model: --no-verify")
        return
    for words in done.sentences:
        click.echo(f"parity   {words}")
    if why := done.certificate["test"]["why_none"]:
        click.echo(
            f"note     compared on drawn {done.certificate['words']['nouns']} alone, since the test split is not to be had: {why}"
        )
