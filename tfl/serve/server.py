"""The server as a whole: ports, the model, HTTP and gRPC, until a signal ends it; what was begun is answered first."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import resource
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfl.errors import MissingExtraError, ServingError
from tfl.recipe import SEVERAL
from tfl.serve.limits import Limits
from tfl.serve.models import Models

_BACKLOG = 2048
_DRAIN_S = 30
_SPARE_FILES = 128
_SWITCH_S = 0.001
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_NEEDED = ("fastapi", "uvicorn", "httptools", "orjson", "prometheus_client")


def check_extra(*, rpc: bool) -> None:
    """Raises `MissingExtraError` at once where a library of the extra `serve` is not installed."""
    import importlib.util

    for name in (*_NEEDED, *(["grpc", "tensorflow_serving"] if rpc else [])):
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError.of("serve", needed_for=f"`tfl serve` ({name} cannot be imported)")


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        ServingError: The address is in use, or none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        why = (error.strerror or str(error)).lower()
        raise ServingError(
            f"The server cannot listen at {host}, port {port}: {why}.", fix="Name another --port or --host."
        ) from error
    return listener


def read_token(file: Path | None) -> str | None:
    """The token from a file, or from the environment variable TFL_SERVE_TOKEN; None where there is neither.

    Raises:
        ServingError: The file cannot be read, or the token is empty or no printable ASCII.
    """
    if file is None:
        token = os.environ.get("TFL_SERVE_TOKEN")
        if token is None:
            return None
    else:
        try:
            token = file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ServingError(f"The token file {file} cannot be read: {error}.") from error
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ServingError("The token is empty, or has characters that a header cannot carry.", allowed="printable ASCII")
    return token


@dataclass(frozen=True)
class Server:
    """A server that listens, its model loaded. Make one with `open_server`; `run` answers until a signal.

    Attributes:
        models: What it serves.
        listener: Of HTTP.
        rpc: The gRPC server and its port, or None.
        application: The HTTP application.
        limits: Of requests.
    """

    models: Models
    listener: socket.socket
    rpc: tuple[Any, int] | None
    application: Any
    limits: Limits

    @property
    def address(self) -> str:
        """Where HTTP is answered."""
        host, port = self.listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def has_page(self) -> bool:
        """Whether there is a page to try the model at: it takes one file, and so there is none for several inputs."""
        return self.models.latest.shipping.modality.kind != SEVERAL

    def run(self) -> None:
        """Answers until SIGTERM, which ends it well, or Ctrl-C; both after what was begun is answered.

        Raises:
            KeyboardInterrupt: After Ctrl-C.
        """
        import uvicorn

        from tfl.serve.connections import GuardedConnection

        config = uvicorn.Config(
            self.application,
            http=functools.partial(GuardedConnection, limits=self.limits),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=int(self.limits.idle_timeout_s),
            timeout_graceful_shutdown=_DRAIN_S,
        )
        self.models.tidy = _tidy
        _tidy()
        self.models.watch()
        with _quick_switches(), _ended_by_signals(server := uvicorn.Server(config)) as ended_by:
            server.run(sockets=[self.listener])
            self.close()
        if signal.SIGINT in ended_by:
            raise KeyboardInterrupt

    def close(self) -> None:
        """Ends gRPC and lets go of the model, after what was begun is answered."""
        if self.rpc is not None:
            self.rpc[0].stop(_DRAIN_S).wait()
        self.models.close()


def open_server(
    path: Path | str,
    listener: socket.socket,
    *,
    rpc_port: int | None = None,
    name: str | None = None,
    token: str | None = None,
    limits: Limits | None = None,
    nearest: Callable[[bytes], list[dict[str, Any]]] | None = None,
) -> Server:
    """Loads the model of a run or an export, to be served at a socket that listens already.

    Args:
        path: A run, or the folder of an export.
        listener: What `bind` returned; closed where the server cannot start.
        rpc_port: Of gRPC, at the same address; None leaves it out.
        name: Of the model; by default that of its recipe.
        token: Asked of every request; None asks for none.
        limits: Of requests.
        nearest: From a content to the examples that the page shows as nearest to it. Defaults to the run's training examples.

    Raises:
        MissingExtraError: The extra `serve` is not installed.
        RunError: There is no export.
        ExportError: It cannot be loaded.
        ServingError: The port for gRPC is in use.
    """
    limits = _as_many_as_files(limits or Limits())
    try:
        check_extra(rpc=rpc_port is not None)
        warnings.simplefilter("ignore")  # Pillow warns of large files, whose headers are checked
        models = Models.open(path, name=name, limits=limits)
        return _compose(models, listener, rpc_port=rpc_port, token=token, page=_page(models, Path(path), nearest))
    except BaseException:
        listener.close()
        raise


def _compose(models: Models, listener: socket.socket, *, rpc_port: int | None, token: str | None, page: Any) -> Server:
    from tfl.serve.app import create_app
    from tfl.serve.metrics import Metrics

    metrics, limits = Metrics(models), models.limits
    host = listener.getsockname()[0]
    rpc = None
    if rpc_port is not None:
        from tfl.serve.rpc import start_rpc

        address = f"[{host}]:{rpc_port}" if ":" in host else f"{host}:{rpc_port}"
        rpc = start_rpc(models, address=address, limits=limits, metrics=metrics, token=token)
    hosts = _LOOPBACK if host in ("127.0.0.1", "::1") else None
    app = create_app(models, limits=limits, token=token, page=page, hosts=hosts, metrics=metrics)
    return Server(models, listener, rpc, app, limits)


def _page(models: Models, path: Path, nearest: Callable[[bytes], list[dict[str, Any]]] | None) -> Any:
    from tfl.runs import Run
    from tfl.serve.page.routes import page_routes

    if models.latest.shipping.modality.kind == SEVERAL:
        return None  # the page takes one file
    return page_routes(models, Run.open(path) if (path / "manifest.json").is_file() else None, nearest)


def _as_many_as_files(limits: Limits) -> Limits:
    """No more connections than the process may have open files, whose number is raised as far as it may be."""
    import dataclasses

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.max_connections + _SPARE_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return dataclasses.replace(limits, max_connections=max(1, min(limits.max_connections, soft - _SPARE_FILES)))


def _tidy() -> None:
    """Collects what is garbage, and takes the rest out of later collections: going through all of TensorFlow's objects
    takes a tenth of a second, in which no request is answered."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def _quick_switches() -> Iterator[None]:
    """Threads take turns more often than Python's 5 ms: a finished batch must not wait so long for the event loop."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextlib.contextmanager
def _ended_by_signals(server: Any) -> Iterator[list[int]]:
    """The first SIGINT or SIGTERM lets the server finish; a second one does not wait."""
    caught: list[int] = []

    def end(number: int, frame: object) -> None:
        server.force_exit = bool(caught)
        server.should_exit = True
        caught.append(number)

    server.capture_signals = contextlib.nullcontext  # uvicorn would raise them again when it is done
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def log_to_stderr() -> None:
    """What the server has to say goes to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name, level in (("tfl.serve", logging.INFO), ("uvicorn.error", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
