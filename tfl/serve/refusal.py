"""A request that is answered with an error: one code, which HTTP and gRPC each say in their own way."""

from __future__ import annotations

from typing import Literal

Code = Literal[
    "INVALID_ARGUMENT",
    "FAILED_PRECONDITION",
    "UNAUTHENTICATED",
    "NOT_FOUND",
    "TIMEOUT",
    "TOO_LARGE",
    "INTERNAL",
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
]
HTTP_STATUS: dict[Code, int] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "NOT_FOUND": 404,
    "TIMEOUT": 408,
    "TOO_LARGE": 413,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""As TensorFlow Serving maps its own (model_servers/http_server.cc); `TIMEOUT` and `TOO_LARGE` are tfl's."""


class RefusedError(Exception):
    """Why a request gets no answer.

    Args:
        code: Of which kind.
        message: For the caller: nothing in it that the caller did not send or may not know.
        retry_after_s: When it may be worth trying again; by default 1 for `UNAVAILABLE`.

    Example:

    >>> from tfl.serve.refusal import RefusedError
    >>> RefusedError("NOT_FOUND", "Servable not found for request: Latest(cats)").http_status
    404
    """

    def __init__(self, code: Code, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message
        self.retry_after_s = retry_after_s

    @property
    def http_status(self) -> int:
        """The status of the HTTP answer."""
        return HTTP_STATUS[self.code]
