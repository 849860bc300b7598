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

from tfl.errors import BadContentError
from tfl.modalities.shipping import Shipping
from tfl.serve.batching import Outputs, Rows
from tfl.serve.limits import Limits
from tfl.serve.models import CONTENTS, Input, Signature
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
        weight: Cost of decoding the rows.
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
    name = document.get("signature_name", CONTENTS)
    if not isinstance(name, str):
        raise _refused(f"JSON Value: {_shown(document)} not formatted correctly. 'signature_name' key must be a string value.")
    return name or CONTENTS


def parse_predict(document: Mapping[str, Any], signature: Signature, limits: Limits, shipping: Shipping) -> Asked:
    """The rows of a predict request.

    Args:
        document: The JSON of its body.
        signature: Of the model, which it asks for.
        limits: Of requests.
        shipping: How contents are checked and converted.

    Raises:
        RefusedError: They do not fit the signature or the limits, or a content cannot be used.
    """
    layout, columns = _columns_of(document, signature)
    count = len(next(iter(columns.values())))
    check_count(count, limits, shipping)
    if signature.of_strings:
        contents = [_content(value, at) for at, value in enumerate(columns[signature.input_name])]
        weight = check_contents(contents, limits, shipping)
        return Asked(signature.name, decodable_contents(contents, shipping), weight, layout)
    arrays = {name: _numbers(columns[name], taken) for name, taken in signature.inputs.items()}
    return Asked(signature.name, rows_of_inputs(arrays), 0, layout)


def rows_of_inputs(arrays: Mapping[str, np.ndarray]) -> Rows:
    """Arrays by input as rows of a request: the array where there is one input, else a dictionary for each row."""
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    return [dict(zip(arrays, row, strict=True)) for row in zip(*arrays.values(), strict=True)]


def check_count(count: int, limits: Limits, shipping: Shipping) -> None:
    """Raises `RefusedError` where a request has no row, or too many."""
    if not 1 <= count <= limits.max_instances:
        nouns = shipping.modality.nouns
        raise _refused(f"The request has {count} {nouns}; from 1 to {limits.max_instances} are allowed")


def check_contents(contents: list[bytes], limits: Limits, shipping: Shipping) -> int:
    """The cost of decoding all contents.

    Raises:
        RefusedError: One cannot be used, or they would take too much.
    """
    weight, modality = 0, shipping.modality
    for at, content in enumerate(contents):
        try:
            weight += shipping.cost(content, most=limits.max_cost)
        except BadContentError as error:
            raise _refused(f"{modality.noun.capitalize()} {at} of the request: {error}") from error
    if weight > 2 * limits.max_cost:
        raise _refused(
            f"The {modality.nouns} of the request have {weight:,} {shipping.unit}; {2 * limits.max_cost:,} are allowed"
        )
    return weight


def decodable_contents(contents: list[bytes], shipping: Shipping) -> list[bytes]:
    """The contents, those converted whose format the model's graph does not read. Check them first.

    Raises:
        RefusedError: One cannot be converted.
    """
    found = []
    for at, content in enumerate(contents):
        try:
            found.append(shipping.modality.readable(content))
        except BadContentError as error:
            raise _refused(f"{shipping.modality.noun.capitalize()} {at} of the request: {error}") from error
    return found


def _columns_of(document: Mapping[str, Any], signature: Signature) -> tuple[Literal["instances", "inputs"], dict[str, list[Any]]]:
    if "instances" in document and "inputs" in document:
        what = "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"
        raise _refused(f"JSON Value: {_shown(document)} {what}")
    if "instances" in document:
        return "instances", _instances(document, signature)
    if "inputs" in document:
        return "inputs", _inputs(document["inputs"], signature)
    raise _refused("Missing 'inputs' or 'instances' key")


def _instances(document: Mapping[str, Any], signature: Signature) -> dict[str, list[Any]]:
    values = document["instances"]
    if not isinstance(values, list):
        raise _refused(f"JSON Value: {_shown(document)} Expecting 'instances' to be an list/array")
    if not values:
        raise _refused(f"JSON Value: {_shown(document)} No values in 'instances' array")
    named, names = _is_named(values[0]), list(signature.inputs)
    if not named and len(names) > 1:
        raise _refused(f"Expecting object with keys: {','.join(names)} at item 0 of input list")
    for at, value in enumerate(values):
        if _is_named(value) != named:
            what = "Expecting object but got list at item" if named else "Expecting value/list but got object at item"
            raise _refused(f"{what} {at} of input list")
        if named and set(value) != set(names):
            what = f"JSON object: {_shown(value)} keys must be equal to: {','.join(names)}"
            raise _refused(f"Failed to process element: {at} of 'instances' list. {what}")
    if not named:
        return {names[0]: values}
    return {name: [value[name] for value in values] for name in names}


def _inputs(value: Any, signature: Signature) -> dict[str, list[Any]]:
    names = list(signature.inputs)
    columns = value if _is_named(value) else {names[0]: value}
    for name in names:
        if name not in columns:
            raise _refused(f"Missing named input: {name} in 'inputs' object.")
        if not isinstance(columns[name], list):
            raise _refused(f"JSON Value: {_shown(columns[name])} is a single value, but '{name}' is a list of them")
    if len({len(columns[name]) for name in names}) > 1:
        raise _refused("The inputs do not have the same number of rows")
    return {name: columns[name] for name in names}


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


def _numbers(values: list[Any], taken: Input) -> np.ndarray:
    """Rows of numbers, by way of objects: NumPy would take "1" and true for numbers, and make room for the longest string."""
    import numpy as np

    try:
        array = np.array(values, dtype=object)
    except ValueError as error:
        raise _refused("Encountered list at unexpected size: the rows do not have one shape") from error
    if array.shape[1:] != taken.row_shape:
        raise _refused(f"Expecting shape {list(taken.row_shape)} but got: {list(array.shape[1:])}")
    flat = array.ravel().tolist()
    whole = np.dtype(taken.dtype).kind in "iu"
    allowed = {int} if whole else {int, float}
    if not set(map(type, flat)) <= allowed:
        odd = next(value for value in flat if type(value) not in allowed)
        raise _refused(_type_error(odd, taken.dtype if whole else "float"))
    if whole and flat and not np.iinfo(taken.dtype).min <= min(flat) <= max(flat) <= np.iinfo(taken.dtype).max:
        raise _refused(f"A number is out of the range of {taken.dtype}")
    try:
        return array.astype(taken.dtype)
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
