"""TensorFlow Serving's REST calls on one model: status, metadata and predict, with its errors.

Contract: https://www.tensorflow.org/tfx/serving/api_rest. Its server answers whatever else lies below /v1/ with 400.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from fastapi import APIRouter, Request, Response
from google.protobuf.json_format import MessageToDict
from starlette.requests import ClientDisconnect

from tfl.serve.batching import Outputs
from tfl.serve.connections import CONNECTION
from tfl.serve.limits import Limits
from tfl.serve.models import Models, ServedVersion
from tfl.serve.refusal import RefusedError
from tfl.serve.tensors import Asked, dump_json, parse_json, parse_predict, signature_name, write_predict

_AT_ONCE_BYTES = 64 * 2**10
"""Bodies up to this size are parsed between two requests; longer ones in a thread, so that nobody waits for them."""
_PREDICTION = "tensorflow/serving/predict"


def rest_routes(models: Models, limits: Limits) -> APIRouter:
    """The calls below /v1/models.

    Args:
        models: What is served.
        limits: Of requests.
    """
    router = APIRouter(responses=_errors(400, 401, 404, 408, 413, 503, 504))
    parsers = ThreadPoolExecutor(2, thread_name_prefix="tfl-parse")

    async def predict(name: str, request: Request, number: int | None) -> Response:
        body = await request.body()
        if len(body) <= _AT_ONCE_BYTES:
            version, asked = _parse(models, limits, name, number, body)
        else:
            version, asked = await asyncio.get_running_loop().run_in_executor(parsers, _parse, models, limits, name, number, body)
        exactly = number is not None
        answer = models.submit(asked.rows, version=version, signature=asked.signature, weight=asked.weight, exactly=exactly)
        return json_response(write_predict(await outputs_of(answer, request), asked.layout))

    # the call that is made most comes first: routes are tried in order
    @router.post("/v1/models/{name}:predict", summary="The model's answers", openapi_extra=_BODY, responses=_ANSWER)
    async def predict_latest(name: str, request: Request) -> Response:
        return await predict(name, request, None)

    @router.get("/v1/models/{name}", summary="The versions of the model and their states", responses=_STATUS)
    async def status(name: str) -> Response:
        return json_response(dump_json(_status(models, name)))

    @router.get("/v1/models/{name}/versions/{version}", summary="The state of one version", responses=_STATUS)
    async def status_of_version(name: str, version: str) -> Response:
        return json_response(dump_json(_status(models, name, _number(version, request_line=f"GET /v1/models/{name}"))))

    @router.get("/v1/models/{name}/labels/{label}", summary="Labels are not assigned: 400", responses=_STATUS)
    async def status_of_label(name: str, label: str) -> Response:
        raise _no_label(label)

    @router.get("/v1/models/{name}/metadata", summary="The signatures of the model", responses=_METADATA)
    async def metadata(name: str) -> Response:
        return json_response(dump_json(_metadata(models, name, None)))

    @router.get("/v1/models/{name}/versions/{version}/metadata", summary="The signatures of one version", responses=_METADATA)
    async def metadata_of_version(name: str, version: str) -> Response:
        number = _number(version, request_line=f"GET /v1/models/{name}")
        return json_response(dump_json(_metadata(models, name, number)))

    @router.get("/v1/models/{name}/labels/{label}/metadata", summary="Labels are not assigned: 400", responses=_METADATA)
    async def metadata_of_label(name: str, label: str) -> Response:
        raise _no_label(label)

    @router.post(
        "/v1/models/{name}/versions/{version}:predict",
        summary="The answers of one version",
        openapi_extra=_BODY,
        responses=_ANSWER,
    )
    async def predict_by_version(name: str, version: str, request: Request) -> Response:
        return await predict(name, request, _number(version, request_line=f"POST /v1/models/{name}"))

    @router.post("/v1/models/{name}/labels/{label}:predict", summary="Labels are not assigned: 400", openapi_extra=_BODY)
    async def predict_by_label(name: str, label: str) -> Response:
        raise _no_label(label)

    for verb in ("classify", "regress"):
        _add_other_verb(router, models, verb)

    @router.api_route("/v1/{rest:path}", methods=[*_METHODS], include_in_schema=False)
    async def malformed(rest: str, request: Request) -> Response:
        raise _malformed(f"{request.method} /v1/{rest}")

    return router


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def _add_other_verb(router: APIRouter, models: Models, verb: str) -> None:
    """Calls that need a signature of another kind, which exports of tfl do not have."""
    summary = f"The model has no signature to {verb}: 400"

    @router.post(f"/v1/models/{{name}}:{verb}", summary=summary, name=verb)
    async def other(name: str) -> Response:
        raise _wrong_kind(models, name, None, verb)

    @router.post(f"/v1/models/{{name}}/versions/{{version}}:{verb}", summary=summary, name=f"{verb}_by_version")
    async def other_by_version(name: str, version: str) -> Response:
        raise _wrong_kind(models, name, _number(version, request_line=f"POST /v1/models/{name}"), verb)


def _wrong_kind(models: Models, name: str, number: int | None, verb: str) -> RefusedError:
    models.find(name, number)
    kind = "classification" if verb == "classify" else "regression"
    message = f"Expected {kind} signature method_name to be tensorflow/serving/{verb}. Was: {_PREDICTION}. Use :predict."
    return RefusedError("INVALID_ARGUMENT", message)


def _parse(models: Models, limits: Limits, name: str, number: int | None, body: bytes) -> tuple[ServedVersion, Asked]:
    document = parse_json(body, limits)
    wanted = signature_name(document)
    version = models.find(name, number)
    return version, parse_predict(document, find_signature(version, wanted), limits, version.shipping)


def find_signature(version: ServedVersion, name: str) -> Any:
    """The signature of that name.

    Raises:
        RefusedError: There is none.
    """
    found = version.signatures.get(name)
    if found is None:
        raise RefusedError("INVALID_ARGUMENT", f'Serving signature name: "{name[:200]}" not found in signature def')
    return found


async def outputs_of(answer: Future[Outputs], request: Request) -> Outputs:
    """The outputs, waited for as long as the client does.

    Raises:
        RefusedError: There are none.
        ClientDisconnect: The client has gone, and what still waited for the model is not run.
    """
    if (connection := request.scope.get(CONNECTION)) is not None:
        connection.cancel_when_lost(answer)
    try:
        return await asyncio.wrap_future(answer)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # by the limit of time, not with the connection
            raise
        raise ClientDisconnect from None


def _status(models: Models, name: str, number: int | None = None) -> dict[str, Any]:
    if name != models.name:
        raise RefusedError("NOT_FOUND", f"Could not find any versions of model {name[:200]}")
    states = models.states()
    if number is not None:
        states = [state for state in states if state["version"] == str(number)]
        if not states:
            raise RefusedError("NOT_FOUND", f"Could not find version {number} of model {name}")
    return {"model_version_status": states}


def _metadata(models: Models, name: str, number: int | None) -> dict[str, Any]:
    version = models.find(name, number)
    spec = {"name": name, "signature_name": "", "version": str(version.number)}
    shown = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
    definitions = {name: MessageToDict(definition, **shown) for name, definition in version.definitions.items()}
    return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": definitions}}}


def _number(text: str, *, request_line: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise _malformed(f"{request_line}/versions/{text}")
    if int(text[:40]) >= 2**63 or len(text) > 40:
        raise RefusedError("INVALID_ARGUMENT", f"Failed to convert version: {text[:40]} to numeric.")
    return int(text)


def _no_label(label: str) -> RefusedError:
    return RefusedError("INVALID_ARGUMENT", f"Unrecognized servable version label: {label[:200]}")


def _malformed(request_line: str) -> RefusedError:
    return RefusedError("INVALID_ARGUMENT", f"Malformed request: {request_line[:200]}")


def json_response(body: bytes, status: int = 200) -> Response:
    """A body of JSON."""
    return Response(body, status, media_type="application/json")


_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}


def _errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    answer = {"description": "Why not", "content": {"application/json": {"schema": _ERROR}}}
    return dict.fromkeys(codes, answer)


def _answers(description: str, key: str, kind: str) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "object", "required": [key], "properties": {key: {"type": kind}}}
    return {200: {"description": description, "content": {"application/json": {"schema": schema}}}}


_STATUS = _answers("States", "model_version_status", "array")
_METADATA = _answers("Signatures", "metadata", "object")
_CONTENT = {"type": "object", "required": ["b64"], "properties": {"b64": {"type": "string", "format": "byte"}}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "signature_name": {"type": "string"},
                        "instances": {
                            "type": "array",
                            "items": {"anyOf": [_CONTENT, {"type": "string"}, {"type": "object"}, {"type": "array"}]},
                        },
                        "inputs": {"anyOf": [{"type": "array"}, {"type": "object"}]},
                    },
                }
            }
        },
    }
}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`predictions` for `instances`, `outputs` for `inputs`",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}
