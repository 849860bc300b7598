"""`tfl serve`: a model behind TensorFlow Serving's REST and gRPC calls, and a page to try it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import rich_click as click

from tfl.cli.command import Answer, command, if_interrupted
from tfl.quiet import load_tensorflow


@command
@click.argument("path", metavar="RUN|EXPORT", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at; 0.0.0.0 is every one.")
@click.option("--port", type=click.IntRange(0, 65535), default=8501, show_default=True, help="Of HTTP; 0 takes a free one.")
@click.option("--grpc-port", type=click.IntRange(0, 65535), help="Answers gRPC too, at this port. [default: no gRPC]")
@click.option("--name", metavar="NAME", help="Under which the model is served. [default: the recipe's name]")
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Asks every request for the token in this file. [default: that in TFL_SERVE_TOKEN, else none]",
)
@click.option(
    "--max-batch-size", type=click.IntRange(1, 1024), default=32, show_default=True, help="Examples the model takes at once."
)
@click.option(
    "--max-wait",
    type=click.FloatRange(0.001, 60),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="Answer 503 to requests that are expected to wait longer for the model.",
)
@click.option(
    "--max-body-mb", type=click.FloatRange(0.001, 1024), default=16, show_default=True, help="Longest body of a request."
)
@click.option(
    "--index",
    metavar="INDEX",
    type=click.Path(path_type=Path),
    help="Vectors of `tfl embed`, among which the page shows the nearest. [default: the run's training examples]",
)
def serve(
    path: Path,
    host: str,
    port: int,
    grpc_port: int | None,
    name: str | None,
    token_file: Path | None,
    max_batch_size: int,
    max_wait: float,
    max_body_mb: float,
    index: Path | None,
) -> Answer:
    """Serve the export of RUN, or EXPORT, until Ctrl-C.

    Takes TensorFlow Serving's REST calls (and gRPC), with a page to try it at /. A new version in the export's folder
    is served without a restart. For trying and for small use; the same folder suits TensorFlow Serving.
    """
    from tfl.embeddings.served import IndexOnPage
    from tfl.serve.folder import base_of
    from tfl.serve.limits import Limits
    from tfl.serve.server import bind, check_extra, log_to_stderr, open_server, read_token

    check_extra(rpc=grpc_port is not None)
    if_interrupted(lambda: "The server has ended.")
    token = read_token(token_file)
    base_of(path)
    opened = None if index is None else IndexOnPage.open(index, path)
    listener = bind(host, port)
    body = int(max_body_mb * 2**20)
    limits = Limits(
        max_batch_size=max_batch_size,
        max_expected_wait_s=max_wait,
        max_body_bytes=body,
        max_pending_bytes=max(4 * body, 2**28),
    )
    load_tensorflow(with_keras=opened is not None)
    nearest = None if opened is None else opened.ready()
    log_to_stderr()
    server = open_server(path, listener, rpc_port=grpc_port, name=name, token=token, limits=limits, nearest=nearest)
    document = {
        "model": server.models.name,
        "version": server.models.latest.number,
        "folder": str(server.models.base),
        "address": server.address,
        "grpc": f"{host}:{server.rpc[1]}" if server.rpc else None,
        "token": token is not None,
        "index": None if index is None else str(index),
        "page": server.has_page,
        "pid": os.getpid(),
    }
    return Answer(document, lambda: _show(document), then=server.run)


def _show(document: dict[str, Any]) -> None:
    name, address = document["model"], document["address"]
    click.echo(f"serving  {name}, version {document['version']}, of {document['folder']}")
    if document["page"]:
        click.echo(f"page     {address}/")
    click.echo(f"REST     {address}/v1/models/{name}:predict")
    if document["grpc"]:
        click.echo(f"gRPC     {document['grpc']}")
    click.echo("token    asked of every request" if document["token"] else "token    none is asked for")
    click.echo("Ctrl-C ends it.")
