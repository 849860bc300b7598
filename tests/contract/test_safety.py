"""`tfl serve` itself, as a person starts it: hostile images, a new version under load, tokens, and how it ends."""

import base64
import os
import shutil
import signal
import threading

import httpx
import pytest
from serving_process import CLASSES, Serving, picture, write_export

pytestmark = pytest.mark.slow
PREDICT = "/v1/models/leaves:predict"
BEARER = {"authorization": "Bearer s3cret"}


def asked(*contents):
    return {"instances": [{"b64": base64.b64encode(content).decode()} for content in contents]}


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Two exports with the same classes and other weights."""
    folder = tmp_path_factory.mktemp("exports")
    return [write_export(folder / str(seed), seed=seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def serving(exports, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving")
    shutil.copytree(exports[0], folder / "1")
    serving = Serving(
        folder, folder, "--name", "leaves", "--grpc-port", "0", "--max-body-mb", "0.2", environment={"TFL_SERVE_TOKEN": "s3cret"}
    )
    serving.folder = folder
    yield serving
    assert serving.end(signal.SIGINT) == 130, serving.log
    assert "Traceback" not in serving.log and "s3cret" not in serving.log


@pytest.fixture
def client(serving):
    with httpx.Client(base_url=serving.address, headers=BEARER, timeout=30) as client:
        yield client


def probabilities(client, content, path=PREDICT):
    answer = client.post(path, json=asked(content))
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"][0]["probabilities"]


def test_the_document_it_prints_says_where_it_is(serving):
    assert serving.document["address"].startswith("http://127.0.0.1:") and serving.document["token"] is True
    assert serving.document["model"] == "leaves" and serving.document["version"] == 1
    assert os.path.samefile(serving.document["folder"], serving.folder)


def test_damaged_images_among_good_ones_spoil_nobody_elses_answer(client, serving):
    good = [picture(seed=seed) for seed in range(4)]
    alone = [probabilities(client, one) for one in good]
    wrong = []

    def ask(number):
        with httpx.Client(base_url=serving.address, headers=BEARER, timeout=30) as own:
            for turn in range(8):
                if (number + turn) % 3 == 0:
                    answer = own.post(PREDICT, json=asked(good[turn % 4][: 200 + 10 * turn]))
                    fine = answer.status_code == 400 and "damaged" in answer.json()["error"]
                else:
                    fine = probabilities(own, good[turn % 4]) == pytest.approx(alone[turn % 4], abs=1e-5)
                if not fine:
                    wrong.append((number, turn))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_without_the_token_nothing_is_answered(serving):
    import grpc
    from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

    assert httpx.post(f"{serving.address}{PREDICT}", json=asked(picture())).status_code == 401
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "leaves"
    with grpc.insecure_channel(serving.grpc) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetModelStatus(request, timeout=20)
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert stub.GetModelStatus(request, timeout=20, metadata=[("authorization", "Bearer s3cret")]).model_version_status


def test_a_body_over_the_limit_is_413(client):
    answer = client.post(PREDICT, content=b"x" * 300_000)
    assert answer.status_code == 413 and "209,715 bytes" in answer.json()["error"]


def test_a_new_version_takes_over_under_load_without_a_failed_request(client, serving, exports):
    content = picture(seed=7)
    before = probabilities(client, content)
    seen, stop = [], threading.Event()

    def ask():
        with httpx.Client(base_url=serving.address, headers=BEARER, timeout=30) as own:
            while not stop.is_set():
                answer = own.post(PREDICT, json=asked(content))
                seen.append((answer.status_code, tuple(answer.json()["predictions"][0]["probabilities"])))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    arriving = serving.folder / "arriving"
    shutil.copytree(exports[1], arriving)
    arriving.rename(serving.folder / "2")
    for _ in range(400):
        if client.get("/v1/models/leaves").json()["model_version_status"][0]["version"] == "2":
            break
        threading.Event().wait(0.05)
    stop.set()
    for thread in threads:
        thread.join(30)
    after = probabilities(client, content)
    assert after != pytest.approx(before, abs=1e-3) and len(after) == len(CLASSES)
    assert {status for status, _ in seen} == {200}
    for _, row in seen:
        assert row == pytest.approx(before, abs=1e-5) or row == pytest.approx(after, abs=1e-5)
    assert client.post("/v1/models/leaves/versions/1:predict", json=asked(content)).status_code == 404
    assert probabilities(client, content, "/v1/models/leaves/versions/2:predict") == pytest.approx(after, abs=1e-5)
