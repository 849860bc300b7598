"""`tfl export`: ship a run's model in one or more formats, and compare each with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import Answer, command
from tfl.cli.options import classes_options
from tfl.errors import DataError, ExportError
from tfl.export.kinds import KINDS, QUANTIZED, check_packages
from tfl.quiet import load_tensorflow
from tfl.recipe import GENERATE
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
@click.argument("model", metavar="RUN|PRESET", type=click.Path(path_type=Path))
@click.option(
    "--format", "kinds", type=click.Choice([*KINDS, _ALL]), multiple=True, required=True, help="What to write; repeatable."
)
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="The export folder. [default: RUN/export; a PRESET needs one]"
)
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
    help="Weights of the LiteRT files; repeatable. [default: all three; int8 is not for a PRESET]",
)
@click.option(
    "--verify/--no-verify",
    default=True,
    help="Compare each with the model on golden examples and the run's test split, or do not.",
)
@classes_options
@click.option("--server", metavar="URL", help="Compare a running server as well, such as http://localhost:8501.")
@click.option("--data", metavar="SOURCE", help="Where the run's images are now, if not where the recipe says.")
def export(
    model: Path,
    kinds: tuple[str, ...],
    out: Path | None,
    version: int | str | None,
    quantize: tuple[str, ...],
    verify: bool,
    classes: Path | None,
    prompts: tuple[str, ...],
    server: str | None,
    data: str | None,
) -> Answer:
    """Write the model of RUN for other runtimes, labels inside, and certify that each says what the model says.

    With --classes the export names the classes of a file, whether they were trained on or not, as `tfl predict --classes` does;
    of a PRESET of CLIP or SigLIP it is the image encoder, with the vectors of the texts inside. It takes the place of an export
    of the same format in the folder; `tfl serve` answers with its classes.

    Of a language model it is a Keras file (--format keras) that gives the logits of the next token.

    An export that cannot be written or is past its tolerance is refused: it is not put in place, and the others are. The
    command fails if all are refused. The certificate is `parity.json` in the export folder.
    """
    chosen = tuple(KINDS) if _ALL in kinds else tuple(dict.fromkeys(kinds))
    if _ALL not in kinds:
        check_packages(chosen)
    if server is not None and not verify:
        raise ExportError("--server compares, and --no-verify does not.", fix="Leave one of them out.")
    if classes is None and prompts:
        raise click.UsageError("--prompt goes with --classes.")
    run = _run_at(model, out, data, classes, quantize)
    if run is None or run.recipe.task != GENERATE:
        check_packages(chosen)
    folder = out or (model if run is None else run.folder) / "export"
    check_is_text(folder)
    check_can_write(folder, folder=True)
    asked = _Asked(chosen, folder, version, quantize or _weights(run), verify, server, data)
    if run is not None and run.recipe.task == GENERATE:
        return _ship_language_model(run, asked)
    if run is None:
        done = _ship_classes(None, asked, model, classes, prompts)
    else:
        with run.lock():
            done = _ship(run, asked) if classes is None else _ship_classes(run, asked, model, classes, prompts)
    from tfl.export.certificate import summary

    done.require_any()
    parity = summary(done.certificate, done.names) if done.certificate else {}
    document = {
        "run": str(model) if run is None else str(run.folder),
        "exports": {kind: str(folder) for kind, folder in done.folders.items()},
        "parity": parity,
        "refused": {name: dict(row) for name, row in done.refused.items()},
        "holds": all(row["holds"] is not False for row in parity.values()) if done.certificate else None,
        "golden_images": done.certificate["golden"]["count"] if done.certificate else 0,
        "test_images": done.certificate["test"]["count"] if done.certificate else 0,
    }
    return Answer(document, lambda: _show(document, done))


@dataclass(frozen=True)
class _Asked:
    """What is to be written, and what it is compared on."""

    kinds: tuple[str, ...]
    folder: Path
    version: int | str | None
    quantize: tuple[str, ...]
    verify: bool
    server: str | None
    source: str | None

    def options(self, run: Run | None) -> dict[str, Any]:
        """Arguments of `ship_model` and `ship_namer`; TensorFlow is imported."""
        needed = self.verify or ("litert" in self.kinds and bool(set(self.quantize) - {"float32"}))
        bundle, why = _data_of(run, self.source) if needed and run is not None else (None, None)
        load_tensorflow()
        from tfl.export.saved_model import VERSION, next_version

        return {
            "bundle": bundle,
            "no_bundle": why,
            "verify": self.verify,
            "version": next_version(self.folder) if self.version == _NEXT else int(self.version or VERSION),
            "quantize": self.quantize,
            "server": self.server,
            "tell": lambda words: click.echo(words, err=True),
        }


def _run_at(model: Path, out: Path | None, data: str | None, classes: Path | None, quantize: tuple[str, ...]) -> Run | None:
    """The run that is exported; None for a preset, whose classes a file names.

    Raises:
        RunError: There is no run, or it has no model.
        ExportError: An option is for a run, or is missing for a preset.
    """
    from tfl.runs import Run

    if classes is not None and not (model / "manifest.json").is_file():
        from tfl.zero_shot.namer import is_run

        if not is_run(model):
            if out is None:
                raise ExportError("A preset has no folder for exports.", received=str(model), fix="Name one: --out FOLDER")
            if data is not None:
                raise ExportError("--data says where the examples of a run are, and a preset has none.", received=data)
            if "int8" in quantize:
                raise ExportError(
                    "LiteRT int8 needs training examples, and a preset has none.", fix="--quantize float32 --quantize float16"
                )
            return None
    run = Run.open(model)
    if classes is not None:
        run.refuse_language_model("An export that names classes")
    run.model_file  # noqa: B018  (raises where the run has none)
    return run


def _ship_language_model(run: Run, asked: _Asked) -> Answer:
    """The Keras file of a language model."""
    from tfl.language.ship import KIND, refuse_other_formats, ship_language_model

    refuse_other_formats(run, asked.kinds)
    given = {"--server": asked.server, "--data": asked.source, "--version": asked.version}
    if unused := [name for name, value in given.items() if value is not None]:
        raise ExportError("This option is not for the export of a language model.", received=", ".join(unused))
    with run.lock():
        load_tensorflow()
        about = ship_language_model(run, asked.folder)
    place = str(asked.folder / KIND)
    document = {
        "run": str(run.folder),
        "exports": {KIND: place},
        "parity": {KIND: {"largest_difference": about["largest_difference"]}},
    }

    def show() -> None:
        click.echo(f"export   {place} ({KINDS[KIND].title})")
        click.echo(f"parity   {KIND}: probabilities of the next token within {about['largest_difference']:.1e} of the model")

    return Answer(document, show)


def _weights(run: Run | None) -> tuple[str, ...]:
    """Of LiteRT files, where none are named: int8 needs training examples, which a preset has not."""
    return QUANTIZED if run is not None else tuple(weights for weights in QUANTIZED if weights != "int8")


def _ship(run: Run, asked: _Asked) -> Shipped:
    options = asked.options(run)
    from tfl.export.ship import ship_model
    from tfl.serve.predictor import load_run_model

    return ship_model(run, load_run_model(run), asked.kinds, asked.folder, **options)


def _ship_classes(run: Run | None, asked: _Asked, model: Path, classes: Path | None, prompts: tuple[str, ...]) -> Shipped:
    from tfl.zero_shot.namer import open_namer

    namer = open_namer(model, str(classes), prompts=prompts)
    options = asked.options(run)
    from tfl.zero_shot.ship import ship_namer

    return ship_namer(namer, asked.kinds, asked.folder, **options)


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
