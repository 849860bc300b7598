"""`tfl export`: ship a run's model, and compare the export with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from tfl.cli.command import Answer, command
from tfl.cli.options import run_argument
from tfl.cli.quiet import load_tensorflow


@command
@run_argument
@click.option("--format", "kind", type=click.Choice(["saved_model"]), required=True, help="What to write.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="The export folder. [default: RUN/export]")
def export(run_folder: Path, kind: str, out: Path | None) -> Answer:
    """Write the model of RUN for serving, labels inside, and check that it agrees with the model.

    `saved_model` takes image bytes (TensorFlow Serving's REST `b64`) or pixels, and needs TensorFlow alone.
    """
    from tfl.runs import Run
    from tfl.serve.predictor import load_run_model

    run = Run.open(run_folder)
    class_names, data = run.class_names, run.recipe.data
    load_tensorflow()
    model = load_run_model(run)
    from tfl.export.parity import check_parity, probe_images
    from tfl.export.saved_model import export_saved_model

    target = export_saved_model(
        model, class_names=class_names, data=data, folder=out or run.path("export"), metadata={"recipe": run.recipe.name}
    )
    parity = check_parity(model, target, probe_images(), data)
    document = {"run": str(run.folder), "format": kind, "export": str(target), "parity": parity}
    return Answer(document, lambda: _show(document))


def _show(document: dict[str, Any]) -> None:
    parity = document["parity"]
    click.echo(f"export   {document['export']}")
    click.echo(
        f"agrees   with the model to {parity['largest_difference']:.1e} in probability on {parity['count']} drawn image files "
        f"(at most {parity['tolerance']:g} is allowed)"
    )
