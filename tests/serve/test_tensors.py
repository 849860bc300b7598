"""The JSON of predict calls: what is read as what, what is refused, and how answers are written."""

import base64
import io
import json
import tracemalloc

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_of import jpeg
from PIL import Image

from tfl.modalities.shipping import shipping_of_about
from tfl.serve.limits import Limits
from tfl.serve.refusal import RefusedError
from tfl.serve.tensors import parse_json, signature_name, write_predict
from tfl.serve.tensors import parse_predict as parse_for
from tfl.serve.version import Input, Signature

LIMITS = Limits(max_instances=8, max_values=10_000)
IMAGES = Signature("serving_default", {"image_bytes": Input("string")}, lambda rows: {})
PIXELS = Signature("pixels", {"pixels": Input("float32", (1, 2, 3))}, lambda rows: {})
PHOTO = jpeg()
SHIPPING = shipping_of_about({})


def parse_predict(document, signature, limits):
    return parse_for(document, signature, limits, SHIPPING)


def b64(content=PHOTO):
    return {"b64": base64.b64encode(content).decode()}


@pytest.mark.parametrize(
    "document",
    [
        {"instances": [b64(), b64()]},
        {"instances": [{"image_bytes": b64()}, {"image_bytes": b64()}]},
        {"inputs": [b64(), b64()]},
        {"inputs": {"image_bytes": [b64(), b64()]}},
    ],
)
def test_rows_and_columns_named_or_not_are_the_same(document):
    asked = parse_predict(document, IMAGES, LIMITS)
    assert asked.rows == [PHOTO, PHOTO] and asked.layout == next(iter(document))
    assert asked.weight == 2 * 40 * 30


def test_base64_without_padding_is_read():
    text = base64.b64encode(PHOTO + b"x" * (-len(PHOTO) % 3 + 1)).decode().rstrip("=")
    assert parse_predict({"instances": [{"b64": text}]}, IMAGES, LIMITS).rows[0].startswith(PHOTO)


def test_pixels_become_float32():
    rows = parse_predict({"instances": [[[[0, 1.5, 255], [1, 2, 3]]]]}, PIXELS, LIMITS).rows
    assert rows.dtype == np.float32 and rows.tolist() == [[[[0, 1.5, 255], [1, 2, 3]]]]


@pytest.mark.parametrize("value", ["1", None, True, {"b64": "AAAA"}, [1]])
def test_what_is_no_number_is_no_pixel(value):
    with pytest.raises(RefusedError):
        parse_predict({"instances": [[[[0, 1, value], [1, 2, 3]]]]}, PIXELS, LIMITS)


def test_one_long_string_among_many_takes_no_memory():
    values = [[[["x" * 1_000_000, *[""] * 2], [""] * 3]]] + [[[[""] * 3] * 2]] * 7
    tracemalloc.start()
    with pytest.raises(RefusedError):
        parse_predict({"instances": values}, PIXELS, LIMITS)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_nan_and_infinity_are_numbers_both_ways():
    document = parse_json(b'{"instances": [[[[NaN, Infinity, -Infinity], [1, 2, 3]]]]}', LIMITS)
    assert np.isnan(parse_predict(document, PIXELS, LIMITS).rows[0, 0, 0, 0])
    text = write_predict({"a": np.array([[np.nan, 1.5]], "float32"), "b": np.array([b"x"], object)}, "instances")
    assert b"NaN" in text and json.loads(text)["predictions"][0]["b"] == "x"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "document is empty"),
        (b"[1]", "Is not object"),
        (b"{", "JSON Parse error"),
        (b"{NaN", "JSON Parse error"),
        (b"[" * 100_000, "values"),
        (b"[" * 9_000, "JSON Parse error"),
        (b'{"a":' * 9_000 + b"NaN", "JSON Parse error"),
        (b'{"a": [' + b"0," * 10_001 + b"0]}", "more than 10,000 values"),
        (b'{"a": "\xff"}', "JSON Parse error"),
    ],
)
def test_what_is_no_json_or_too_much_is_refused(body, words):
    with pytest.raises(RefusedError, match=words) as caught:
        parse_json(body, LIMITS)
    assert caught.value.http_status == 400 and len(caught.value.message) < 300


def test_as_many_images_as_are_allowed():
    assert len(parse_predict({"instances": [b64()] * 8}, IMAGES, LIMITS).rows) == 8
    with pytest.raises(RefusedError, match="from 1 to 8"):
        parse_predict({"instances": [b64()] * 9}, IMAGES, LIMITS)
    with pytest.raises(RefusedError, match="pixels"):
        parse_predict({"instances": [b64()] * 4}, IMAGES, Limits(max_cost=1500))


def test_the_image_at_fault_is_named():
    with pytest.raises(RefusedError, match="Image 1 of the request: not an image"):
        parse_predict({"instances": [b64(), b64(b"once upon a time")]}, IMAGES, LIMITS)


def test_an_empty_signature_name_is_the_default():
    assert signature_name({}) == signature_name({"signature_name": ""}) == "serving_default"
    with pytest.raises(RefusedError, match="must be a string"):
        signature_name({"signature_name": ["pixels"]})


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_json_is_answered_or_refused(value):
    for document in ({"instances": value}, {"inputs": value}, {"instances": [value]}, {"inputs": {"pixels": value}}):
        for signature in (IMAGES, PIXELS):
            try:
                parse_predict(document, signature, LIMITS)
            except RefusedError as error:
                assert error.http_status == 400 and len(error.message) < 1000


def test_answers_are_written_by_row_or_by_column_and_float32_by_its_shortest_digits():
    outputs = {"p": np.array([[0.1, 1.0], [0.25, 3e-8]], "float32"), "label": np.array([b"a", "ä".encode()], object)}
    assert write_predict(outputs, "inputs") == '{"outputs":{"p":[[0.1,1.0],[0.25,3e-8]],"label":["a","ä"]}}'.encode()
    rows = orjson.loads(write_predict(outputs, "instances"))["predictions"]
    assert rows == [{"p": [0.1, 1.0], "label": "a"}, {"p": [0.25, 3e-8], "label": "ä"}]


def test_a_single_output_goes_without_its_name():
    for values, text in ((np.array([True, False]), b"[true,false]"), (np.array([0.1, 2], "float32"), b"[0.1,2.0]")):
        assert write_predict({"one": values}, "instances") == b'{"predictions":' + text + b"}"
        assert write_predict({"one": values}, "inputs") == b'{"outputs":' + text + b"}"


def converted(kind, mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, (40, 30), 9 if mode == "F" else (200, 0, 0)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "JPEG2000", "PPM"])
def test_a_format_that_graphs_do_not_read_is_converted(kind):
    asked = parse_predict({"instances": [b64(), b64(converted(kind))]}, IMAGES, LIMITS)
    assert asked.rows[0] == PHOTO and asked.rows[1].startswith(b"\x89PNG") and asked.weight == 2 * 40 * 30
    assert np.abs(np.asarray(Image.open(io.BytesIO(asked.rows[1])), int) - (200, 0, 0)).max() < 4


def test_what_cannot_be_converted_is_refused_with_the_reason():
    with pytest.raises(RefusedError, match=r"Image 1 of the request: .*floating-point"):
        parse_predict({"instances": [b64(), b64(converted("TIFF", "F"))]}, IMAGES, LIMITS)
