"""The HTTP application before a stub: tokens, limits, headers, errors, metrics, and whatever its OpenAPI document promises."""

import asyncio
import base64
import logging

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from image_of import jpeg, png_bomb
from starlette.testclient import TestClient
from stub import stub_models

from tfl.serve.app import create_app
from tfl.serve.limits import Limits
from tfl.serve.metrics import Metrics

PREDICT = "/v1/models/leaves:predict"
GOOD = {"instances": [{"b64": base64.b64encode(jpeg()).decode()}]}
SMALL = Limits(max_body_bytes=20_000, max_pending_bytes=50_000, max_instances=4)


def client_of(**arguments):
    models = stub_models(limits=SMALL)
    return TestClient(create_app(models, **arguments), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client():
    return client_of()


def test_a_photo_is_answered_and_counted(client):
    answer = client.post(PREDICT, json=GOOD)
    assert answer.status_code == 200 and len(answer.json()["predictions"][0]["probabilities"]) == 2
    for path in ("/metrics", "/monitoring/prometheus/metrics"):
        page = client.get(path)
        assert page.headers["content-type"].startswith("text/plain") and "# TYPE" in page.text
        assert 'tfl_serving_requests_total{code="200",entrypoint="REST"}' in page.text
        assert "tfl_serving_batch_images_bucket" in page.text and "tfl_serving_version 1.0" in page.text


def test_alive_and_ready_are_two_things(client):
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
    models = stub_models()
    models._current = None
    without = TestClient(create_app(models, metrics=Metrics(stub_models())))
    assert without.get("/healthz").status_code == 200 and without.get("/readyz").status_code == 503


@pytest.mark.parametrize("path", ["/healthz", "/v1/models/leaves", "/v1/nothing", "/nothing"])
def test_every_answer_has_safe_headers(client, path):
    headers = client.get(path, headers={"origin": "http://elsewhere.example"}).headers
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "server" not in headers and "access-control-allow-origin" not in headers


def test_a_token_is_asked_for_everywhere_but_at_the_health_checks():
    client = client_of(token="s3cret")
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
    for method, path in (("POST", PREDICT), ("GET", "/v1/models/leaves"), ("GET", "/metrics"), ("GET", "/openapi.json")):
        for given in (None, "s3cret", "Bearer", "Bearer s3cre", "Bearer s3cretx", "bearer s3cret", "Bearer läuse"):
            headers = {} if given is None else {"authorization": given.encode()}
            answer = client.request(method, path, headers=headers)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer", given
    assert client.post(PREDICT, json=GOOD, headers={"authorization": "Bearer s3cret"}).status_code == 200


def test_another_host_is_refused_where_hosts_are_named():
    """A page elsewhere whose name leads to this machine must not reach the server."""
    client = client_of(hosts=("localhost", "127.0.0.1", "[::1]"))
    for host, status in (("localhost:8501", 200), ("127.0.0.1", 200), ("[::1]:8501", 200), ("evil.example:8501", 400)):
        assert client.get("/healthz", headers={"host": host}).status_code == status, host


def test_a_long_body_is_refused_by_its_announcement_and_while_it_comes(client):
    assert client.post(PREDICT, content=b"x" * 20_001).status_code == 413
    assert client.post(PREDICT, content=b"x", headers={"content-length": "99999999999999999999999"}).status_code == 413

    def chunks():
        for _ in range(30):
            yield b"x" * 1000

    answer = client.post(PREDICT, content=chunks())
    assert answer.status_code == 413 and "20,000 bytes" in answer.json()["error"]
    assert client.post(PREDICT, content=b"x" * 20_000).status_code == 400


def call(app, messages, **scope):
    """The messages that an application sends to one request whose body comes as `messages` (or never)."""
    sent = []

    async def receive():
        if messages:
            return messages.pop(0)
        return await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    request = {"type": "http", "method": "POST", "path": PREDICT, "headers": [], "query_string": b"", **scope}
    asyncio.run(app(request, receive, send))
    return sent


def test_a_body_that_does_not_come_is_timed_out():
    app = create_app(stub_models(limits=Limits(body_timeout_s=0.2)))
    headers = [(b"transfer-encoding", b"chunked")]
    sent = call(app, [{"type": "http.request", "body": b'{"in', "more_body": True}], headers=headers)
    assert sent[0]["status"] == 408 and (b"connection", b"close") in sent[0]["headers"]


def test_all_bodies_together_have_a_limit():
    app = create_app(stub_models(limits=SMALL))

    async def many():
        async def one(client):
            async def slowly():
                for _ in range(10):
                    yield b"x" * 1500
                    await asyncio.sleep(0.01)

            return (await client.post(PREDICT, content=slowly())).status_code

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
            crowd = await asyncio.gather(*(one(client) for _ in range(8)))
            return crowd, await one(client)

    crowd, alone = asyncio.run(many())
    assert set(crowd) == {400, 503} and alone == 400


def test_a_defect_is_logged_and_not_told(caplog):
    def broken(signature, rows):
        raise ValueError("a secret path")

    client = TestClient(create_app(stub_models(run=broken)), raise_server_exceptions=False)
    with caplog.at_level(logging.ERROR, "tfl.serve"):
        answer = client.post(PREDICT, json=GOOD)
    assert answer.status_code == 500 and "secret" not in answer.text and "Traceback" not in answer.text
    assert "a secret path" in caplog.text


def test_an_answer_that_takes_too_long_is_504():
    import time

    limits = Limits(answer_timeout_s=0.1)
    slow = stub_models(limits=limits, run=lambda signature, rows: time.sleep(0.5))
    assert TestClient(create_app(slow)).post(PREDICT, json=GOOD).status_code == 504


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/v1/models/..%2f..%2fetc%2fpasswd",
        "/v1/models/leaves/versions/..%2f1",
        "/%00",
        "/page/static/..%2fpage.py",
    ],
)
def test_no_path_leads_to_a_file(client, path):
    answer = client.get(path)
    assert answer.status_code in (400, 404) and "root:" not in answer.text and "import" not in answer.text


def test_a_bomb_is_refused_before_it_is_decoded(client):
    bomb = {"instances": [{"b64": base64.b64encode(png_bomb()).decode()}]}
    answer = client.post(PREDICT, json=bomb)
    assert answer.status_code == 400 and "million pixels" in answer.json()["error"]


def test_a_version_named_before_it_was_exchanged_is_404_and_an_unnamed_one_goes_to_the_new():
    models = stub_models()
    old = models.latest
    old.close()
    models._current = type(old)(2)
    assert models.submit([jpeg()], version=old).result(5)["version"].tolist() == [2]
    from tfl.serve.refusal import RefusedError

    with pytest.raises(RefusedError, match="being unloaded"):
        models.submit([jpeg()], version=old, exactly=True)


SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", create_app(stub_models(limits=SMALL)))


@SCHEMA.parametrize()
@settings(
    max_examples=8,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_openapi_document_keeps_its_promises(case):
    checks = schemathesis.checks
    kept = [
        checks.not_a_server_error,
        checks.CHECKS.get_one("status_code_conformance"),
        checks.CHECKS.get_one("content_type_conformance"),
        checks.CHECKS.get_one("response_schema_conformance"),
    ]
    answer = case.call()
    case.validate_response(answer, checks=kept)
    assert "Traceback" not in answer.text
