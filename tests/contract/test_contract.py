"""TensorFlow Serving's contract, asked of a running server: tfl's own, or any other (see conftest.py).

Contract: https://www.tensorflow.org/tfx/serving/api_rest and tensorflow_serving/apis/*.proto. Only what both servers promise is
asked: statuses, the form of answers and errors, and of messages the part that a client could rely on.
"""

import base64
import io
import json

import httpx
import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow


def encoded(kind="JPEG", *, seed=0, size=(40, 30)):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype="uint8")
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((5, 4)).resize(size).save(buffer, kind)
    return buffer.getvalue()


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


PHOTOS = [encoded(seed=1), encoded("PNG", seed=2, size=(17, 90)), encoded("BMP", seed=3)]


@pytest.fixture(scope="module")
def client(serving):
    with httpx.Client(base_url=serving.address, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def model(serving):
    return f"/v1/models/{serving.model}"


@pytest.fixture(scope="module")
def signatures(client, model):
    return client.get(f"{model}/metadata").json()["metadata"]["signature_def"]["signature_def"]


@pytest.fixture(scope="module")
def version(client, model):
    return client.get(model).json()["model_version_status"][0]["version"]


@pytest.fixture(scope="module")
def by_rows(client, model):
    """The answer to all photos in row format."""
    answer = client.post(f"{model}:predict", json={"instances": [b64(photo) for photo in PHOTOS]})
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def post(client, path, document):
    body = document if isinstance(document, bytes | str) else json.dumps(document)
    return client.post(path, content=body)


# status and metadata


def test_the_status_names_the_version_that_is_served(client, model):
    answer = client.get(model)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("application/json")
    (state,) = answer.json()["model_version_status"]
    assert state["state"] == "AVAILABLE" and state["version"].isdigit()
    assert state["status"] == {"error_code": "OK", "error_message": ""}


def test_the_status_of_one_version(client, model, version):
    assert client.get(f"{model}/versions/{version}").json() == client.get(model).json()


@pytest.mark.parametrize("path", ["", "/versions/1"])
def test_the_status_of_an_unknown_model_is_404(client, path):
    answer = client.get(f"/v1/models/nothing{path}")
    assert answer.status_code == 404 and "of model nothing" in answer.json()["error"]


def test_the_status_of_an_unknown_version_is_404(client, model):
    answer = client.get(f"{model}/versions/987654")
    assert answer.status_code == 404 and "Could not find version 987654" in answer.json()["error"]


def test_the_metadata_has_the_signatures(client, model, serving, version, signatures):
    spec = client.get(f"{model}/metadata").json()["model_spec"]
    assert spec["name"] == serving.model and spec["version"] == version
    taken = signatures["serving_default"]
    assert taken["method_name"] == "tensorflow/serving/predict"
    ((name, tensor),) = taken["inputs"].items()
    assert name == "image_bytes" and tensor["dtype"] == "DT_STRING"
    assert tensor["tensor_shape"]["dim"][0]["size"] == "-1"
    assert taken["outputs"]["probabilities"]["dtype"] == "DT_FLOAT"
    assert signatures["pixels"]["inputs"]["pixels"]["dtype"] == "DT_FLOAT"


def test_the_metadata_of_one_version(client, model, version):
    assert client.get(f"{model}/versions/{version}/metadata").json() == client.get(f"{model}/metadata").json()
    assert client.get(f"{model}/versions/987654/metadata").status_code == 404


# predict


def test_rows_give_rows(by_rows, signatures):
    assert len(by_rows) == len(PHOTOS)
    for row in by_rows:
        assert set(row) == set(signatures["serving_default"]["outputs"])
        assert row["label"] == row["labels"][int(np.argmax(row["probabilities"]))]
        assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert all(isinstance(value, float) for value in row["probabilities"])


def test_named_rows_give_the_same(client, model, by_rows):
    answer = post(client, f"{model}:predict", {"instances": [{"image_bytes": b64(photo)} for photo in PHOTOS]})
    assert_same(answer.json()["predictions"], by_rows)


def test_one_at_a_time_gives_the_same(client, model, by_rows):
    for photo, row in zip(PHOTOS, by_rows, strict=True):
        assert_same(post(client, f"{model}:predict", {"instances": [b64(photo)]}).json()["predictions"], [row])


@pytest.mark.parametrize("named", [True, False])
def test_columns_give_columns(client, model, by_rows, named):
    column = [b64(photo) for photo in PHOTOS]
    answer = post(client, f"{model}:predict", {"inputs": {"image_bytes": column} if named else column})
    assert answer.status_code == 200, answer.text
    columns = answer.json()["outputs"]
    assert_same([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)], by_rows)


def test_a_version_and_a_signature_can_be_named(client, model, version, by_rows):
    document = {"signature_name": "serving_default", "instances": [b64(photo) for photo in PHOTOS]}
    assert_same(post(client, f"{model}/versions/{version}:predict", document).json()["predictions"], by_rows)


def test_the_content_type_does_not_matter(client, model):
    """The contract's own examples use curl, which announces a form."""
    body = json.dumps({"instances": [b64(PHOTOS[0])]})
    answer = client.post(f"{model}:predict", content=body, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 200


def test_pixels_are_numbers(client, model, signatures):
    sides = [int(dim["size"]) for dim in signatures["pixels"]["inputs"]["pixels"]["tensor_shape"]["dim"][1:]]
    pixels = np.random.default_rng(0).integers(0, 256, (2, *sides)).tolist()
    row = post(client, f"{model}:predict", {"signature_name": "pixels", "instances": pixels})
    named = post(client, f"{model}:predict", {"signature_name": "pixels", "inputs": {"pixels": pixels}})
    assert row.status_code == named.status_code == 200, row.text
    shares = [one["probabilities"] for one in row.json()["predictions"]]
    np.testing.assert_allclose(shares, named.json()["outputs"]["probabilities"], atol=1e-6)


def assert_same(given, expected):
    for row, other in zip(given, expected, strict=True):
        assert set(row) == set(other) and row["label"] == other["label"] and row["labels"] == other["labels"]
        np.testing.assert_allclose(row["probabilities"], other["probabilities"], atol=1e-5)


# what is refused

GOOD = {"instances": [b64(PHOTOS[0])]}
REFUSED = {
    "no JSON": (b"photo", "JSON Parse error"),
    "cut short": (b'{"instances": [', "JSON Parse error"),
    "empty": (b"", "JSON Parse error"),
    "an array": (b"[1, 2]", "Is not object"),
    "no rows key": ({"pictures": []}, "Missing 'inputs' or 'instances' key"),
    "both": ({**GOOD, "inputs": GOOD["instances"]}, "expecting only one of 'inputs' or 'instances'"),
    "not a list": ({"instances": "photo"}, "Expecting 'instances' to be an list"),
    "no row": ({"instances": []}, "No values in 'instances' array"),
    "a number": ({"instances": [5]}, "is not of expected type: string"),
    "null": ({"instances": [None]}, "is not of expected type: string"),
    "true": ({"instances": [True]}, "is not of expected type: string"),
    "base64": ({"instances": [{"b64": "###"}]}, "base64"),
    "another input": ({"instances": [{"photo": b64(PHOTOS[0])}]}, "photo"),
    "a named row among plain ones": ({"instances": [b64(PHOTOS[0]), {"image_bytes": b64(PHOTOS[0])}]}, "item 1"),
    "no such column": ({"inputs": {"photo": [b64(PHOTOS[0])]}}, "Missing named input: image_bytes"),
    "signature": ({**GOOD, "signature_name": "nothing"}, "not found in signature def"),
    "signature's type": ({**GOOD, "signature_name": 5}, "'signature_name' key must be a string value"),
    "no image": ({"instances": [b64(b"once upon a time")]}, ""),
    "half an image": ({"instances": [b64(PHOTOS[0]), b64(PHOTOS[0][:300])]}, ""),
    "text for pixels": ({"signature_name": "pixels", "instances": [[["1", "2", "3"]]]}, ""),
    "ragged pixels": ({"signature_name": "pixels", "instances": [[[[1, 2, 3]]], [[[1, 2]]]]}, ""),
    "pixels of another size": ({"signature_name": "pixels", "instances": [[[[1, 2, 3]]]]}, ""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_answered_is_400_and_says_why(client, model, name):
    document, words = REFUSED[name]
    answer = post(client, f"{model}:predict", document)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    assert set(answer.json()) == {"error"} and words in answer.json()["error"]


def test_the_server_goes_on_after_refusals(client, model, by_rows):
    assert_same(post(client, f"{model}:predict", GOOD).json()["predictions"], by_rows[:1])


@pytest.mark.parametrize("path", ["nothing:predict", "nothing/versions/1:predict"])
def test_an_unknown_model_is_404(client, path):
    answer = post(client, f"/v1/models/{path}", GOOD)
    assert answer.status_code == 404 and "Servable not found for request: " in answer.json()["error"]


def test_an_unknown_version_is_404(client, model, serving):
    answer = post(client, f"{model}/versions/987654:predict", GOOD)
    assert answer.status_code == 404
    assert answer.json()["error"] == f"Servable not found for request: Specific({serving.model}, 987654)"


def test_an_unassigned_label_is_refused(client, model):
    answer = post(client, f"{model}/labels/stable:predict", GOOD)
    assert answer.status_code in (400, 503) and "label" in answer.json()["error"]


@pytest.mark.parametrize("path", ["versions/latest:predict", ":forecast", "/versions/:predict"])
def test_other_calls_are_malformed(client, model, path):
    answer = post(client, f"{model}{path if path[0] in ':/' else '/' + path}", GOOD)
    assert answer.status_code == 400 and answer.json()["error"].startswith("Malformed request: POST /v1/models/")


def test_a_version_beyond_64_bits_is_400(client, model):
    answer = post(client, f"{model}/versions/99999999999999999999:predict", GOOD)
    assert answer.status_code == 400 and "Failed to convert version" in answer.json()["error"]


@pytest.mark.parametrize("verb", ["classify", "regress"])
def test_verbs_that_need_other_signatures_are_400(client, model, verb):
    answer = post(client, f"{model}:{verb}", {"examples": [{"image_bytes": b64(PHOTOS[0])}]})
    assert answer.status_code == 400 and f"tensorflow/serving/{verb}" in answer.json()["error"]


def test_reading_with_predict_and_writing_without_are_malformed(client, model):
    assert client.get(f"{model}/metadata/more").status_code == 400
    assert client.put(model).status_code == 400
    assert client.get("/v1/nothing").status_code == 400


# gRPC


@pytest.fixture(scope="module")
def stubs(serving):
    if not serving.grpc:
        pytest.skip("no gRPC address: set TFL_SERVING_GRPC")
    import grpc
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

    with grpc.insecure_channel(serving.grpc) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel), model_service_pb2_grpc.ModelServiceStub(channel)


def asked(model, inputs=None, **spec):
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    for name, value in spec.items():
        if name == "version":
            request.model_spec.version.value = value
        else:
            setattr(request.model_spec, name, value)
    for name, value in ({"image_bytes": PHOTOS} if inputs is None else inputs).items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def code_of(call):
    import grpc

    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name


def test_grpc_gives_the_same(stubs, serving, version, by_rows):
    import tensorflow as tf

    response = stubs[0].Predict(asked(serving.model, version=int(version)), timeout=30)
    assert response.model_spec.name == serving.model and response.model_spec.version.value == int(version)
    assert response.model_spec.signature_name == "serving_default"
    outputs = {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}
    np.testing.assert_allclose(outputs["probabilities"], [row["probabilities"] for row in by_rows], atol=1e-5)
    assert [label.decode() for label in outputs["label"]] == [row["label"] for row in by_rows]


def test_grpc_takes_pixels_and_filters_outputs(stubs, serving, signatures):
    sides = [int(dim["size"]) for dim in signatures["pixels"]["inputs"]["pixels"]["tensor_shape"]["dim"][1:]]
    request = asked(serving.model, {"pixels": np.full((1, *sides), 99, "float32")}, signature_name="pixels")
    request.output_filter.append("label")
    assert list(stubs[0].Predict(request, timeout=30).outputs) == ["label"]
    request.output_filter.append("nothing")
    assert code_of(lambda: stubs[0].Predict(request, timeout=30)) == "INVALID_ARGUMENT"


def test_grpc_metadata_and_status(stubs, serving, version, signatures):
    from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = serving.model
    response = stubs[0].GetModelMetadata(request, timeout=30)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    assert set(found.signature_def) == set(signatures) and response.model_spec.version.value == int(version)

    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = serving.model
    (state,) = stubs[1].GetModelStatus(request, timeout=30).model_version_status
    assert state.version == int(version) and state.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE


def test_grpc_refuses_with_the_codes_of_the_contract(stubs, serving):
    predict = stubs[0].Predict
    refused = {
        "unknown model": (asked("nothing"), "NOT_FOUND"),
        "unknown version": (asked(serving.model, version=987654), "NOT_FOUND"),
        "unknown signature": (asked(serving.model, signature_name="nothing"), "FAILED_PRECONDITION"),
        "another input": (asked(serving.model, {"photo": PHOTOS}), "INVALID_ARGUMENT"),
        "another type": (asked(serving.model, {"image_bytes": [1.0]}), "INVALID_ARGUMENT"),
        "no image": (asked(serving.model, {"image_bytes": [b"once"]}), "INVALID_ARGUMENT"),
        "half an image": (asked(serving.model, {"image_bytes": [PHOTOS[0][:300]]}), "INVALID_ARGUMENT"),
    }
    codes = {name: code_of(lambda request=request: predict(request, timeout=30)) for name, (request, _) in refused.items()}
    assert codes == {name: code for name, (_, code) in refused.items()}


def test_grpc_does_not_believe_a_shape_without_values(stubs, serving):
    request = asked(serving.model)
    request.inputs["image_bytes"].tensor_shape.dim[0].size = 10**12
    assert code_of(lambda: stubs[0].Predict(request, timeout=30)) == "INVALID_ARGUMENT"
