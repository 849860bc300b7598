"""gRPC: TensorFlow Serving's PredictionService and ModelService on the same model, through its own stubs.

API: tensorflow_serving/apis/prediction_service.proto and model_service.proto.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tfl.errors import ServingError
from tfl.evaluate.out_of_distribution import OLD_NAMES
from tfl.modalities.shipping import Shipping
from tfl.serve.limits import Limits
from tfl.serve.metrics import Metrics
from tfl.serve.models import CONTENTS, Input, Models, ServedVersion, Signature
from tfl.serve.refusal import Code, RefusedError
from tfl.serve.tensors import check_contents, check_count, decodable_contents, rows_of_inputs

_STATUS: dict[Code, grpc.StatusCode] = {
    "INVALID_ARGUMENT": grpc.StatusCode.INVALID_ARGUMENT,
    "FAILED_PRECONDITION": grpc.StatusCode.FAILED_PRECONDITION,
    "UNAUTHENTICATED": grpc.StatusCode.UNAUTHENTICATED,
    "NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "TIMEOUT": grpc.StatusCode.DEADLINE_EXCEEDED,
    "TOO_LARGE": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "INTERNAL": grpc.StatusCode.INTERNAL,
    "UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
    "DEADLINE_EXCEEDED": grpc.StatusCode.DEADLINE_EXCEEDED,
}
_WORKERS = 32
_AT_ONCE = 64
_IDLE_MS = 300_000
_log = logging.getLogger("tfl.serve")


def start_rpc(
    models: Models, *, address: str, limits: Limits, metrics: Metrics, token: str | None = None
) -> tuple[grpc.Server, int]:
    """Starts the gRPC server in threads of its own.

    Args:
        models: What it serves.
        address: `HOST:PORT`; port 0 takes a free one.
        limits: Of requests.
        metrics: Where each answer is counted.
        token: Asked of every call, as the metadata `authorization: Bearer TOKEN`.

    Returns:
        The server and its port.

    Raises:
        ServingError: The port is in use.
    """
    options = [
        ("grpc.max_receive_message_length", limits.max_body_bytes),
        ("grpc.max_metadata_size", limits.max_header_bytes),
        ("grpc.max_connection_idle_ms", _IDLE_MS),
        ("grpc.so_reuseport", 0),
    ]
    pool = futures.ThreadPoolExecutor(_WORKERS, thread_name_prefix="tfl-rpc")
    server = grpc.server(pool, options=options, maximum_concurrent_rpcs=_AT_ONCE)
    calls = _Calls(models, limits, metrics, token)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Prediction(calls), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Model(calls), server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise ServingError(f"{address} cannot be used for gRPC: {error}", fix="Name another one with --grpc-port.") from error
    if port == 0:
        raise ServingError(f"{address} is in use.", fix="Name another port with --grpc-port.")
    server.start()
    return server, port


class _Calls:
    """What all calls share: the token, errors as status codes, and counting."""

    def __init__(self, models: Models, limits: Limits, metrics: Metrics, token: str | None) -> None:
        self.models, self.limits, self._metrics = models, limits, metrics
        self._expected = None if token is None else f"Bearer {token}".encode()

    def answer(self, context: grpc.ServicerContext, make: Callable[[], Any]) -> Any:
        began, code = time.perf_counter(), "OK"
        try:
            self._check_token(context)
            return make()
        except RefusedError as error:
            code, message = error.code, error.message
            if code == "UNAVAILABLE":  # the form that gRPC's own retries read
                context.set_trailing_metadata((("grpc-retry-pushback-ms", str(1000 * error.retry_after_s)),))
        except Exception:
            _log.exception("A gRPC call failed")
            code, message = "INTERNAL", "The server failed on this request; its log says why."
        finally:
            self._metrics.answered("gRPC", code, time.perf_counter() - began)
        context.abort(_STATUS[code], message)  # type: ignore[index]  # raises

    def _check_token(self, context: grpc.ServicerContext) -> None:
        if self._expected is None:
            return
        given = dict(context.invocation_metadata()).get("authorization", "")
        given = given.encode() if isinstance(given, str) else given
        if not hmac.compare_digest(given, self._expected):
            raise RefusedError("UNAUTHENTICATED", "A token is needed: the metadata authorization: Bearer TOKEN.")

    def version(self, spec: Any) -> tuple[ServedVersion, bool]:
        """The version a request means, and whether it means exactly this one."""
        if spec.version_label:
            raise RefusedError("INVALID_ARGUMENT", f"Unrecognized servable version label: {spec.version_label[:200]}")
        exactly = spec.HasField("version")
        return self.models.find(spec.name, spec.version.value if exactly else None), exactly


class _Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, calls: _Calls) -> None:
        self._calls = calls

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return self._calls.answer(context, lambda: self._predict(request, context))

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return self._calls.answer(context, lambda: self._metadata(request))

    def _predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        calls = self._calls
        version, exactly = calls.version(request.model_spec)
        signature = _signature(version, request.model_spec.signature_name or CONTENTS)
        rows, weight = _rows(request.inputs, signature, calls.limits, version.shipping)
        wanted = _filter(request.output_filter)
        left = context.time_remaining()
        timeout_s = calls.limits.answer_timeout_s if left is None else min(calls.limits.answer_timeout_s, left)
        asked: dict[str, Any] = {"signature": signature.name, "weight": weight, "exactly": exactly}
        future = calls.models.submit(rows, version=version, deadline=time.monotonic() + timeout_s, **asked)
        context.add_callback(future.cancel)  # when the client has gone, it is not run
        try:
            outputs = future.result(timeout_s)
        except TimeoutError:
            future.cancel()
            raise RefusedError("DEADLINE_EXCEEDED", "The answer took too long. Try again in a moment.") from None
        except futures.CancelledError:
            raise RefusedError("DEADLINE_EXCEEDED", "The client has gone, or its deadline has passed.") from None
        outputs = {**outputs, **{old: outputs[OLD_NAMES[old]] for old in wanted if OLD_NAMES.get(old) in outputs}}
        if missing := wanted - set(outputs):
            raise RefusedError("INVALID_ARGUMENT", f"output tensor alias not found in signature: {sorted(missing)[0][:200]}")
        return _response(outputs, version, request.model_spec.name, signature.name, wanted)

    def _metadata(self, request: Any) -> Any:
        if list(request.metadata_field) != ["signature_def"]:
            raise RefusedError("INVALID_ARGUMENT", "The metadata_field that there is: signature_def")
        version, _ = self._calls.version(request.model_spec)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version.number
        definitions = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in version.definitions.items():
            definitions.signature_def[name].CopyFrom(definition)
        response.metadata["signature_def"].Pack(definitions)
        return response


class _Model(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, calls: _Calls) -> None:
        self._calls = calls

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return self._calls.answer(context, lambda: self._status(request.model_spec))

    def _status(self, spec: Any) -> Any:
        models = self._calls.models
        if spec.name != models.name:
            raise RefusedError("NOT_FOUND", f"Could not find any versions of model {spec.name[:200]}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for state in models.states():
            if not spec.HasField("version") or state["version"] == str(spec.version.value):
                entry = response.model_version_status.add(version=int(state["version"]), state=state["state"])
                entry.status.error_message = state["status"]["error_message"]
                entry.status.error_code = 0 if state["status"]["error_code"] == "OK" else 3
        if not response.model_version_status:
            raise RefusedError("NOT_FOUND", f"Could not find version {spec.version.value} of model {spec.name}")
        return response


def _signature(version: ServedVersion, name: str) -> Signature:
    """As TensorFlow Serving, which has another code for this over gRPC than over REST."""
    if (found := version.signatures.get(name)) is None:
        raise RefusedError("FAILED_PRECONDITION", f'Serving signature key "{name[:200]}" not found.')
    return found


def _rows(inputs: Any, signature: Signature, limits: Limits, shipping: Shipping) -> tuple[Any, int]:
    """The rows of a request. Its shapes are believed only as far as there are values for them."""
    if set(inputs) != set(signature.inputs):
        sent, expected = ",".join(sorted(inputs))[:200], ",".join(sorted(signature.inputs))
        message = f"input size does not match signature: sent {{{sent}}}, expected {{{expected}}}"
        raise RefusedError("INVALID_ARGUMENT", message)
    counts = {name: _count(inputs[name], taken) for name, taken in signature.inputs.items()}
    count = next(iter(counts.values()))
    if len(set(counts.values())) > 1:
        raise RefusedError("INVALID_ARGUMENT", f"The inputs do not have the same number of rows: {counts}")
    check_count(count, limits, shipping)
    if signature.of_strings:
        contents = list(inputs[signature.input_name].string_val)
        if len(contents) != count:
            raise RefusedError("INVALID_ARGUMENT", f"The tensor has {len(contents)} values for shape {[count]}")
        weight = check_contents(contents, limits, shipping)
        return decodable_contents(contents, shipping), weight
    with _as_refusal():
        return rows_of_inputs({name: np.array(tf.make_ndarray(inputs[name])) for name in signature.inputs}), 0


def _count(tensor: Any, taken: Input) -> int:
    """How many rows a tensor promises, once its dtype and shape fit."""
    wanted = tf.as_dtype(taken.dtype)
    if tensor.dtype != wanted.as_datatype_enum:
        raise RefusedError("INVALID_ARGUMENT", f"Expected dtype {wanted.name}")
    shape = tuple(dimension.size for dimension in tensor.tensor_shape.dim)
    if len(shape) != 1 + len(taken.row_shape) or shape[1:] != taken.row_shape:
        raise RefusedError("INVALID_ARGUMENT", f"Expecting shape {['?', *taken.row_shape]} but got: {list(shape)[:10]}")
    return int(shape[0])


@contextlib.contextmanager
def _as_refusal() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError) as error:
        raise RefusedError("INVALID_ARGUMENT", "The tensor's values do not fit its shape") from error


def _filter(names: Any) -> set[str]:
    if len(set(names)) < len(names):
        raise RefusedError("INVALID_ARGUMENT", "duplicate output tensor alias")
    return set(names)


def _response(outputs: Any, version: ServedVersion, name: str, signature: str, wanted: set[str]) -> Any:
    response = predict_pb2.PredictResponse()
    response.model_spec.name = name
    response.model_spec.signature_name = signature
    response.model_spec.version.value = version.number
    for output, values in outputs.items():
        if not wanted or output in wanted:
            response.outputs[output].CopyFrom(tf.make_tensor_proto(values))
    return response
