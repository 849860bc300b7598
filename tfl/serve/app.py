"""The HTTP application: TensorFlow Serving's REST contract, health, metrics, and the routes that others add."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfl.serve.limits import Limits
from tfl.serve.models import Models


def create_app(
    models: Models,
    *,
    limits: Limits | None = None,
    token: str | None = None,
    page: Any | None = None,
    hosts: Sequence[str] | None = None,
) -> Any:
    """The application for one model.

    Args:
        models: What it serves.
        limits: Of requests; those of `models` by default.
        token: Asked of every request except for the page's files, `/healthz` and `/readyz`, as `Authorization: Bearer TOKEN`.
        page: A router of further routes (`page_routes`), or None.
        hosts: The names under which the server may be addressed (the `Host` header); None allows any.

    Returns:
        A `fastapi.FastAPI`.
    """
    from fastapi import FastAPI

    app = FastAPI(title="tfl serve", docs_url=None, redoc_url=None)
    if page is not None:
        app.include_router(page)
    return app
