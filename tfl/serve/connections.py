"""What uvicorn leaves open: how long a head may take and how long it may be, and how many connections there are."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tfl.serve.limits import Limits

CONNECTION = "tfl.connection"
"""Under which a request's scope has its `GuardedConnection`."""
_FULL = b'{"error":"Too many connections. Try again in a moment."}'
_LONG = b'{"error":"The head of the request is too long."}'


class GuardedConnection(HttpToolsProtocol):
    """A connection whose client has so long to send a head of such a size.

    Args:
        limits: `max_connections`, `max_header_bytes` and `header_timeout_s`.
        arguments: uvicorn's.
    """

    def __init__(self, *, limits: Limits, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._limits = limits
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None
        self._answer: Future[Any] | None = None

    def cancel_when_lost(self, answer: Future[Any]) -> None:
        """Cancels the answer that is being waited for if the client goes before it is there.

        A connection has one request at a time, so the one before is forgotten.
        """
        self._answer = answer
        if self.transport is None or self.transport.is_closing():
            answer.cancel()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes the connection, or answers 503 at once where there are too many."""
        if len(self.connections) >= self._limits.max_connections:
            transport.write(_answer(b"503 Service Unavailable", _FULL))
            transport.close()
            return
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(self._limits.header_timeout_s, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the timer with the connection, and cancels what the client waited for."""
        self._stop_timer()
        if self._answer is not None:
            self._answer.cancel()
            self._answer = None
        if self.transport is not None:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts what belongs to a head, and gives up on one that has no end."""
        if self.transport is None or self.transport.is_closing():
            return
        in_head = self._in_head
        super().data_received(data)
        if in_head and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.max_header_bytes:
                self.transport.write(_answer(b"431 Request Header Fields Too Large", _LONG))
                self.transport.close()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.header_timeout_s, self._give_up)

    def on_headers_complete(self) -> None:
        """A head has ended."""
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()
        self.scope[CONNECTION] = self  # type: ignore[literal-required]

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets the errors' form as well."""
        self.transport.write(_answer(b"400 Bad Request", b'{"error":"' + msg.encode("ascii") + b'"}'))
        self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """An idle connection is dropped, whether or not its client reads what was sent."""
        if not self.transport.is_closing():
            self.transport.abort()

    def _give_up(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.abort()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _answer(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: "
    return head + str(len(body)).encode() + b"\r\n\r\n" + body
