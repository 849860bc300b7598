"""A running server as one more export: TensorFlow Serving's REST contract, asked over HTTP with files as base64."""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfl.errors import ExportError
from tfl.export.runtimes import Outputs, Runtime

TIMEOUT_S = 60.0
_MOST_BYTES = 4 * 2**20
TOKEN = "TFL_SERVE_TOKEN"
"""The environment variable that holds the server's bearer token, where it asks for one."""


def open_server(address: str, *, name: str) -> Runtime:
    """A model behind an address.

    Args:
        address: `http://HOST:PORT`, or the model's own `http://HOST:PORT/v1/models/NAME`.
        name: Of the model, where the address does not say.

    Raises:
        ExportError: The address is none of HTTP.

    Example:

    >>> from tfl.export.server import open_server
    >>> open_server("http://localhost:8501", name="leaves").name
    'server'
    """
    url = _predict_url(address, name)

    def answer(contents: list[bytes]) -> Outputs:
        parts = [_ask(url, part) for part in _requests(contents)]
        return {output: np.concatenate([part[output] for part in parts]) for output in parts[0]}

    return Runtime("server", True, answer)


def _requests(contents: list[bytes]) -> Iterator[list[bytes]]:
    """The files in requests that a server with a limit on bodies takes, unless a single file is larger."""
    part: list[bytes] = []
    for content in contents:
        if part and sum(map(len, part)) + len(content) > _MOST_BYTES:
            yield part
            part = []
        part.append(content)
    if part:
        yield part


def _predict_url(address: str, name: str) -> str:
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ExportError("This is not the address of a server.", received=address, allowed="such as http://localhost:8501")
    path = parts.path.rstrip("/").removesuffix(":predict")
    if "/v1/models/" not in path:
        path = f"{path}/v1/models/{urllib.parse.quote(name)}"
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, f"{path}:predict", "", ""))


def _ask(url: str, contents: list[bytes]) -> Outputs:
    """One request, in the row format."""
    instances = [{"b64": base64.b64encode(content).decode()} for content in contents]
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get(TOKEN):
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, json.dumps({"instances": instances}).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            rows = json.load(answer)["predictions"]
    except urllib.error.HTTPError as error:
        raise ExportError(f"The server at {url} refuses: {error.code} {_words(error.read(2000))}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"The server at {url} gives no answer: {error}", fix="Start it first, with: tfl serve RUN, or TensorFlow Serving."
        ) from error
    return _columns(rows, url, len(contents))


def _columns(rows: Any, url: str, count: int) -> Outputs:
    try:
        if len(rows) != count:
            raise ValueError(f"{len(rows)} answers to {count} contents")
        return {name: np.asarray([row[name] for row in rows]) for name in rows[0] if name not in ("label", "labels")}
    except (LookupError, TypeError, ValueError) as error:
        raise ExportError(f"The server at {url} answers in another form: {error}") from error


def _words(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])[:300]
    except (ValueError, LookupError, TypeError):
        return body.decode(errors="replace")[:300]
