"""The JSON of TensorFlow Serving's predict calls: from a body to the rows of a signature, and from outputs to a body.

Format: https://www.tensorflow.org/tfx/serving/api_rest. What is refused, and the words for it, follow TensorFlow Serving's
util/json_tensor.cc.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import orjson

from tfl.errors import BadImageError
from tfl.modalities.image.convert import readable_by_graph
from tfl.serve.batching import Outputs, Rows
from tfl.serve.limits import Limits, check_image
from tfl.serve.models import BYTES, Signature
from tfl.serve.refusal import RefusedError

if TYPE_CHECKING:
    import numpy as np

_SHOWN = 60
_JSON_TYPES = {type(None): "Null", dict: "Object", list: "Array", str: "String"}


@dataclass(frozen=True)
class Asked:
    """A predict request.

    Attributes:
        signature: Its name.
        rows: For the signature.
        weight: Pixels that decoding the rows takes.
        layout: `instances` (a row an instance) or `inputs` (a column an input); the answer has the same.
    """

    signature: str
    rows: Rows
    weight: int
    layout: Literal["instances", "inputs"]


def parse_json(body: bytes, limits: Limits) -> dict[str, Any]:
    """The JSON object in a body; NaN and Infinity are numbers, as TensorFlow Serving takes them.

    Raises:
        RefusedError: It is no JSON, no object, or has too many values.
    """
    if not body:
        raise _refused("JSON Parse error: The document is empty")
    if len(body) > limits.max_values and _values(body) > limits.max_values:
        raise _refused(f"The request has more than {limits.max_values:,} values")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        document = _with_nan(body, error)
    if not isinstance(document, dict):
        raise _refused(f"JSON Value: {_shown(document)} Is not object")
    return document


def _values(body: bytes) -> int:
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _with_nan(body: bytes, error: orjson.JSONDecodeError) -> Any:
    if b"NaN" in body or b"Infinity" in body:
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            pass
    raise _refused(f"JSON Parse error: {error.msg.split(':')[0]} at offset: {error.pos}") from error


def signature_name(document: Mapping[str, Any]) -> str:
    """The signature that a request asks for.

    Raises:
        RefusedError: Its name is no string.
    """
    name = document.get("signature_name", BYTES)
    if not isinstance(name, str):
        raise _refused(f"JSON Value: {_shown(document)} not formatted correctly. 'signature_name' key must be a string value.")
    return name or BYTES


def parse_predict(document: Mapping[str, Any], signature: Signature, limits: Limits) -> Asked:
    """The rows of a predict request.

    Raises:
        RefusedError: They do not fit the signature or the limits, or an image is none.
    """
    layout, values = _values_of(document, signature)
    check_count(len(values), limits)
    if signature.of_strings:
        contents = [_content(value, at) for at, value in enumerate(values)]
        weight = check_contents(contents, limits)
        return Asked(signature.name, decodable_contents(contents), weight, layout)
    return Asked(signature.name, _pixels(values, signature), 0, layout)


def check_count(count: int, limits: Limits) -> None:
    """Raises `RefusedError` where a request has no row, or too many."""
    if not 1 <= count <= limits.max_instances:
        raise _refused(f"The request has {count} images; from 1 to {limits.max_instances} are allowed")


def check_contents(contents: list[bytes], limits: Limits) -> int:
    """The pixels that decoding all contents takes.

    Raises:
        RefusedError: One is no image, or they would take too much.
    """
    weight = 0
    for at, content in enumerate(contents):
        try:
            weight += check_image(content, limits)
        except BadImageError as error:
            raise _refused(f"Image {at} of the request: {error}") from error
    if weight > 2 * limits.max_pixels:
        raise _refused(f"The images of the request have {weight:,} pixels; {2 * limits.max_pixels:,} are allowed")
    return weight


def decodable_contents(contents: list[bytes]) -> list[bytes]:
    """The contents of image files, those converted whose format the model's graph does not read. Check them first.

    Raises:
        RefusedError: One cannot be converted.
    """
    found = []
    for at, content in enumerate(contents):
        try:
            found.append(readable_by_graph(content))
        except BadImageError as error:
            raise _refused(f"Image {at} of the request: {error}") from error
    return found


def _values_of(document: Mapping[str, Any], signature: Signature) -> tuple[Literal["instances", "inputs"], list[Any]]:
    if "instances" in document and "inputs" in document:
        what = "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"
        raise _refused(f"JSON Value: {_shown(document)} {what}")
    if "instances" in document:
        return "instances", _instances(document, signature)
    if "inputs" in document:
        return "inputs", _inputs(document["inputs"], signature)
    raise _refused("Missing 'inputs' or 'instances' key")


def _instances(document: Mapping[str, Any], signature: Signature) -> list[Any]:
    values = document["instances"]
    if not isinstance(values, list):
        raise _refused(f"JSON Value: {_shown(document)} Expecting 'instances' to be an list/array")
    if not values:
        raise _refused(f"JSON Value: {_shown(document)} No values in 'instances' array")
    named = _is_named(values[0])
    rows = []
    for at, value in enumerate(values):
        if _is_named(value) != named:
            what = "Expecting object but got list at item" if named else "Expecting value/list but got object at item"
            raise _refused(f"{what} {at} of input list")
        if named and set(value) != {signature.input_name}:
            what = f"JSON object: {_shown(value)} keys must be equal to: {signature.input_name}"
            raise _refused(f"Failed to process element: {at} of 'instances' list. {what}")
        rows.append(value[signature.input_name] if named else value)
    return rows


def _inputs(value: Any, signature: Signature) -> list[Any]:
    if _is_named(value):
        if signature.input_name not in value:
            raise _refused(f"Missing named input: {signature.input_name} in 'inputs' object.")
        value = value[signature.input_name]
    if not isinstance(value, list):
        raise _refused(f"JSON Value: {_shown(value)} is a single value, but '{signature.input_name}' is a list of them")
    return value


def _is_named(value: Any) -> bool:
    """Whether an object gives inputs by name; `{"b64": …}` is a value."""
    return isinstance(value, dict) and not (len(value) == 1 and isinstance(value.get("b64"), str))


def _content(value: Any, at: int) -> bytes:
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str):
        try:
            return base64.b64decode(value["b64"] + "=" * (-len(value["b64"]) % 4), validate=True)
        except (binascii.Error, ValueError) as error:
            raise _refused(f"Failed to process element: {at}. Error: Unable to base64 decode") from error
    if isinstance(value, str):
        return value.encode()
    raise _refused(f"Failed to process element: {at}. Error: {_type_error(value, 'string')}")


def _pixels(values: list[Any], signature: Signature) -> np.ndarray:
    """float32 rows. By way of objects, since NumPy would take "1" and true for numbers, and make room for the longest string."""
    import numpy as np

    try:
        array = np.array(values, dtype=object)
    except ValueError as error:
        raise _refused("Encountered list at unexpected size: the rows do not have one shape") from error
    if array.shape[1:] != signature.row_shape:
        raise _refused(f"Expecting shape {list(signature.row_shape)} but got: {list(array.shape[1:])}")
    flat = array.ravel().tolist()
    if not set(map(type, flat)) <= {int, float}:
        odd = next(value for value in flat if type(value) not in (int, float))
        raise _refused(_type_error(odd, "float"))
    try:
        return array.astype(np.float32)
    except OverflowError as error:
        raise _refused("A number is out of the range of float") from error


def _type_error(value: Any, expected: str) -> str:
    kind = ("True" if value else "False") if isinstance(value, bool) else _JSON_TYPES.get(type(value), "Number")
    return f"JSON Value: {_shown(value)} Type: {kind} is not of expected type: {expected}"


def _shown(value: Any) -> str:
    """The beginning of a JSON value, without writing out all of it."""
    if isinstance(value, dict):
        inside = ", ".join(f"{json.dumps(key[:_SHOWN])}: …" for key in list(value)[:5])
        return f"{{{inside}}}"
    if isinstance(value, list):
        return f"[… {len(value)} values]"
    text = json.dumps(value[:_SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]}…"


def _refused(message: str) -> RefusedError:
    return RefusedError("INVALID_ARGUMENT", message)


def write_predict(outputs: Outputs, layout: Literal["instances", "inputs"]) -> bytes:
    """The body of an answer, in the layout of the request. A single output goes without its name."""
    columns = {name: _plain(values) for name, values in outputs.items()}
    single = len(columns) == 1
    if layout == "inputs":
        document: dict[str, Any] = {"outputs": next(iter(columns.values())) if single else columns}
    elif single:
        document = {"predictions": next(iter(columns.values()))}
    else:
        rows = zip(*columns.values(), strict=True)
        document = {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}
    return _with_nan_written(document) if _has_nan(outputs) else orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _plain(values: np.ndarray) -> list[Any]:
    """A list with a JSON value, or an array that orjson writes as one, for each row.

    A float32 is written with as many digits as tell it from its neighbours.
    """
    if values.dtype == object:
        rows: list[Any] = _decoded(values.tolist())
        return rows
    return list(values) if values.dtype.kind == "f" else list(values.tolist())


def _decoded(value: Any) -> Any:
    return [_decoded(one) for one in value] if isinstance(value, list) else value.decode("utf-8", "replace")


def _has_nan(outputs: Outputs) -> bool:
    import numpy as np

    return any(values.dtype.kind == "f" and not np.isfinite(values).all() for values in outputs.values())


def _with_nan_written(document: dict[str, Any]) -> bytes:
    """As TensorFlow Serving writes them: `NaN` and `Infinity`, which strict JSON does not have."""
    return json.dumps(document, default=lambda value: value.tolist()).encode()


def dump_json(document: Any) -> bytes:
    """Any JSON document as a body."""
    return orjson.dumps(document)
