"""The page of `tfl serve`: drop a file or type a text, see the answer, how sure it is, and why.

    GET  /                  the page                   GET /page/static/NAME   its style, scripts and icon, from a fixed table
    GET  /page/about        the model's name, version, classes and kind of example
    POST /page/look         a content; the answer, the content as decoded, what spoke for the answer, nearest training examples

Attributions and the training examples come from the run; an export alone is served without them, and the page says so.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.resources
from typing import TYPE_CHECKING, Any

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from tfl.errors import BadContentError
from tfl.modalities.shipping import Shipping
from tfl.runs import Run
from tfl.serve.about import task_of_export
from tfl.serve.models import Models
from tfl.serve.refusal import RefusedError

if TYPE_CHECKING:
    from tfl.serve.page.answer import Answers, NearestOf

_KINDS = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "client.js": "text/javascript; charset=utf-8",
    "answer.js": "text/javascript; charset=utf-8",
    "record.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_AT_ONCE = 1  # explanations: each uses every core
_MOST_WAITING = 8


def page_routes(models: Models, run: Run | None, nearest: NearestOf | None = None) -> APIRouter:
    """The routes of the page, for `create_app(models, page=...)`, which limits bodies, asks for the token and adds headers.

    Args:
        models: What answers.
        run: The run that the model came from, for attributions and the training examples; None for an export alone.
        nearest: As of `tfl.serve.page.answer.Answers`.
    """
    router = APIRouter(include_in_schema=False)
    files = _packaged()
    desk = _Desk(models, run, nearest)

    @router.get("/")
    async def page() -> Response:
        return Response(files["page.html"], media_type="text/html; charset=utf-8")

    @router.get("/page/static/{name}")
    async def static(name: str) -> Response:
        if name not in _KINDS:
            raise RefusedError("NOT_FOUND", "The page has no such file.")
        return Response(files[name], media_type=_KINDS[name])

    @router.get("/page/about")
    async def about() -> dict[str, Any]:
        return desk.about()

    @router.post("/page/look")
    async def look(request: Request) -> JSONResponse:
        return JSONResponse(await desk.look(await request.body()))

    return router


class _Desk:
    """Takes contents in, one after the other, and hands out what the page shows of them."""

    def __init__(self, models: Models, run: Run | None, nearest: NearestOf | None = None) -> None:
        self.models, self.run, self.nearest = models, run, nearest
        self._answers: Answers | None = None
        self._limiter: anyio.CapacityLimiter | None = None
        self._inside = 0

    def about(self) -> dict[str, Any]:
        version = self.models.latest
        return {
            "model": self.models.name,
            "version": version.number,
            "task": task_of_export(version.folder),
            "classes": list(version.class_names),
            "most_bytes": self.models.limits.max_body_bytes,
            "kind": version.shipping.modality.kind,
            "noun": version.shipping.modality.noun,
            "nouns": version.shipping.modality.nouns,
        }

    async def look(self, content: bytes) -> dict[str, Any]:
        if self._inside >= _AT_ONCE + _MOST_WAITING:
            nouns = self.models.latest.shipping.modality.nouns
            raise RefusedError("UNAVAILABLE", f"Many {nouns} wait to be looked at. Try again in a moment.")
        self._inside += 1
        try:
            return await self._look(content)
        finally:
            self._inside -= 1

    async def _look(self, content: bytes) -> dict[str, Any]:
        version = self.models.latest
        shipping = version.shipping
        try:
            weight = await anyio.to_thread.run_sync(self._cost, content, shipping)
            content = await anyio.to_thread.run_sync(shipping.modality.readable, content)
        except BadContentError as error:
            noun = shipping.modality.noun
            raise RefusedError(
                "INVALID_ARGUMENT", f"This is no {noun} that can be looked at: {error}. {shipping.formats}"
            ) from error
        outputs = await asyncio.wrap_future(self.models.submit([content], version=version, weight=weight))
        answer = await anyio.to_thread.run_sync(self._explained, content, outputs, limiter=self._queue())
        return {"model": self.models.name, "version": version.number, **answer}

    def _cost(self, content: bytes, shipping: Shipping) -> int:
        """What decoding takes, of a content that is not empty either."""
        cost = shipping.cost(content, most=self.models.limits.max_cost)
        if shipping.harmless:
            shipping.accept(content)
        return cost

    def _queue(self) -> anyio.CapacityLimiter:
        if self._limiter is None:  # which belongs to the loop that serves
            self._limiter = anyio.CapacityLimiter(_AT_ONCE)
        return self._limiter

    def _explained(self, content: bytes, outputs: Any) -> dict[str, Any]:
        if self._answers is None:
            from tfl.serve.about import task_of_export
            from tfl.serve.page.answer import Answers

            version = self.models.latest
            task = task_of_export(version.folder)
            self._answers = Answers(self.run, shipping=version.shipping, task=task, nearest=self.nearest)
        return self._answers.answer(content, outputs)


@functools.cache
def _packaged() -> dict[str, bytes]:
    folder = importlib.resources.files("tfl.serve.page") / "static"
    return {name: (folder / name).read_bytes() for name in ("page.html", *_KINDS)}
