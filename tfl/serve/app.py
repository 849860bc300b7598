"""The HTTP application: TensorFlow Serving's REST contract, health, metrics, and the routes that others add."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException

from tfl import __version__
from tfl.serve.limits import Limits
from tfl.serve.metrics import Metrics
from tfl.serve.models import Models
from tfl.serve.refusal import RefusedError
from tfl.serve.rest import json_response, rest_routes
from tfl.serve.shield import Shield
from tfl.serve.tensors import dump_json

_TEXT: dict[int | str, dict[str, Any]] = {200: {"description": "Text", "content": {"text/plain": {"schema": {"type": "string"}}}}}


def create_app(
    models: Models,
    *,
    limits: Limits | None = None,
    token: str | None = None,
    page: APIRouter | None = None,
    hosts: Sequence[str] | None = None,
    metrics: Metrics | None = None,
) -> FastAPI:
    """The application for one model.

    Args:
        models: What it serves.
        limits: Of requests; those of `models` by default.
        token: Asked of every request except for the page's files, `/healthz` and `/readyz`, as `Authorization: Bearer TOKEN`.
        page: A router of further routes (`page_routes`), or None.
        hosts: The names under which the server may be addressed (the `Host` header); None allows any.
        metrics: Where answers are counted; a new one by default.
    """
    limits, metrics = limits or models.limits, metrics or Metrics(models)
    app = FastAPI(title="tfl serve", version=__version__, docs_url=None, redoc_url=None)
    app.include_router(rest_routes(models, limits))
    app.include_router(_health_routes(models, metrics))
    if page is not None:
        app.include_router(page)
    app.add_exception_handler(HTTPException, _in_words)
    app.add_middleware(Shield, limits=limits, metrics=metrics, token=token, hosts=hosts)
    return app


def _health_routes(models: Models, metrics: Metrics) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz", summary="The process lives")
    async def alive() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz", summary="A version is loaded", responses={503: {"description": "None is"}})
    async def ready() -> Response:
        try:
            version = models.latest.number
        except RefusedError as error:
            return json_response(dump_json({"error": error.message}), error.http_status)
        return json_response(dump_json({"status": "ready", "model": models.name, "version": version}))

    @router.get("/metrics", summary="Counters for Prometheus", response_class=Response, responses=_TEXT)
    @router.get("/monitoring/prometheus/metrics", summary="The same", response_class=Response, responses=_TEXT)
    async def counters() -> Response:
        return Response(metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


async def _in_words(request: Request, error: Exception) -> Response:
    """FastAPI's own errors (no such path, no such method) in the form of the contract."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = str(error.detail) if isinstance(error, HTTPException) else "The server failed."
    answer = json_response(dump_json({"error": f"{detail}: {request.method} {request.url.path[:200]}"}), status)
    answer.headers.update(getattr(error, "headers", None) or {})
    return answer
