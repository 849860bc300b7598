"""What stands before every route: the token, the limits of a body in size and time, safe headers, and errors without traces."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import orjson
from starlette.requests import ClientDisconnect

from tfl.serve.limits import Limits
from tfl.serve.metrics import Metrics
from tfl.serve.refusal import RefusedError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
POLICY = (
    b"content-security-policy",
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    b"media-src 'self' data: blob:; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
)
OPEN_PATHS = ("/", "/healthz", "/readyz", "/favicon.ico")
_DISCARD_S = 2.0
_log = logging.getLogger("tfl.serve")


class Shield:
    """ASGI middleware.

    Args:
        app: What it stands before.
        limits: Of requests.
        metrics: Where each answer is counted.
        token: Asked of every path but the open ones.
        hosts: Allowed names in the header Host; None allows any.
    """

    def __init__(
        self, app: Any, *, limits: Limits, metrics: Metrics, token: str | None = None, hosts: Sequence[str] | None = None
    ) -> None:
        self.app, self.limits, self.metrics = app, limits, metrics
        self._expected = None if token is None else b"Bearer " + token.encode()
        self._hosts = None if hosts is None else frozenset(host.encode().lower() for host in hosts)
        self._pending = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        guarded = _Exchange(self, scope, receive, send)
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self.limits.answer_timeout_s):
                await guarded.run()
        except RefusedError as error:
            await guarded.refuse(error)
        except TimeoutError:
            await guarded.refuse(RefusedError("DEADLINE_EXCEEDED", "The answer took too long. Try again in a moment."))
        except ClientDisconnect:
            guarded.status = guarded.status or 499
        except Exception:
            _log.exception("A request failed")
            await guarded.refuse(RefusedError("INTERNAL", "The server failed on this request; its log says why."))
        finally:
            guarded.release()
            self.metrics.answered("REST", str(guarded.status), time.perf_counter() - began)

    def take(self, size: int) -> None:
        """Counts bytes of a body that are held.

        Raises:
            RefusedError: All requests together hold too many.
        """
        self._pending += size
        if self._pending > self.limits.max_pending_bytes:
            raise RefusedError("UNAVAILABLE", "Too much is being received at once. Try again in a moment.")

    def give_back(self, size: int) -> None:
        """Bytes of a body are no longer held."""
        self._pending -= size

    def check(self, headers: dict[bytes, bytes], path: str) -> None:
        """Raises `RefusedError` where the host, the token or the announced length is wrong."""
        if self._hosts is not None and _host_of(headers.get(b"host", b"")) not in self._hosts:
            raise RefusedError("INVALID_ARGUMENT", "This server is not known under that name (header Host).")
        if self._expected is not None and path not in OPEN_PATHS and not path.startswith("/page/static/"):
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                raise RefusedError("UNAUTHENTICATED", "A token is needed: the header Authorization: Bearer TOKEN.")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > self.limits.max_body_bytes:
            raise self.too_large()

    def too_large(self) -> RefusedError:
        """The refusal of a long body."""
        return RefusedError("TOO_LARGE", f"The body is longer than {self.limits.max_body_bytes:,} bytes.")


class _Exchange:
    """One request and its answer."""

    def __init__(self, shield: Shield, scope: Message, receive: Receive, send: Send) -> None:
        self.shield, self.scope, self._receive, self._send = shield, scope, receive, send
        self.received = self.status = 0
        self._whole = self._given_up = False
        self._until: float | None = None
        self._headers = dict(scope["headers"])

    async def run(self) -> None:
        self.shield.check(self._headers, self.scope["path"])
        await self.shield.app(self.scope, self.receive, self.send)

    async def receive(self) -> Message:
        limits = self.shield.limits
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + limits.body_timeout_s
        try:
            async with asyncio.timeout_at(None if self._whole else self._until):
                message = await self._receive()
        except TimeoutError:
            raise RefusedError("TIMEOUT", f"The body did not arrive within {limits.body_timeout_s:g} s.") from None
        if message["type"] == "http.request":
            self._whole = not message.get("more_body", False)
            size = len(message.get("body", b""))
            self.received += size
            if self.received > limits.max_body_bytes:
                self.received -= size  # it is not kept
                raise self.shield.too_large()
            self.shield.take(size)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            await self._discard_rest()
            named = {name for name, _ in message.get("headers", ())}
            added = [header for header in (*HEADERS, POLICY) if header[0] not in named]
            if not self._whole:
                added.append((b"connection", b"close"))
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await self._send(message)

    async def refuse(self, error: RefusedError) -> None:
        if self.status:  # the answer had begun: the server closes the connection
            return
        self.release()
        if error.code == "TIMEOUT":
            self._given_up = True
        body = orjson.dumps({"error": error.message})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if error.code == "UNAUTHENTICATED":
            headers.append((b"www-authenticate", b"Bearer"))
        if error.code == "UNAVAILABLE":
            headers.append((b"retry-after", str(error.retry_after_s).encode()))
        try:
            async with asyncio.timeout(self.shield.limits.answer_timeout_s):
                await self.send({"type": "http.response.start", "status": error.http_status, "headers": headers})
                await self.send({"type": "http.response.body", "body": body})
        except TimeoutError:
            return

    def release(self) -> None:
        self.shield.give_back(self.received)
        self.received = 0

    async def _discard_rest(self) -> None:
        """Reads what the client still sends, for a moment: a connection closed before loses the answer on its way."""
        if self._whole or self._given_up or self._headers.get(b"expect"):
            return
        if not self._headers.get(b"transfer-encoding") and self._headers.get(b"content-length", b"0") == b"0":
            self._whole = True
            return
        left = self.shield.limits.max_body_bytes
        try:
            async with asyncio.timeout(_DISCARD_S):
                while not self._whole and left > 0:
                    message = await self._receive()
                    if message["type"] != "http.request":
                        return
                    left -= len(message.get("body", b""))
                    self._whole = not message.get("more_body", False)
        except TimeoutError:
            return


def _host_of(header: bytes) -> bytes:
    """`Host` without its port."""
    host = header.strip().lower()
    if host.startswith(b"["):
        return host.partition(b"]")[0] + b"]"
    return host.partition(b":")[0]
