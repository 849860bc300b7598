"""Clients on raw sockets that are slow, many, or no clients at all, before a stub; and how the server ends."""

import base64
import contextlib
import functools
import json
import resource
import socket
import threading
import time

import pytest
import uvicorn
from image_of import jpeg
from stub import Held, stub_models, until

from tfl.serve.app import create_app
from tfl.serve.connections import GuardedConnection
from tfl.serve.limits import Limits
from tfl.serve.pace import work_of
from tfl.serve.server import bind

PATIENT = Limits(max_header_bytes=4096, max_connections=400)
HASTY = Limits(header_timeout_s=1.5, body_timeout_s=0.5, idle_timeout_s=2.0)
BODY = json.dumps({"instances": [{"b64": base64.b64encode(jpeg()).decode()}]}).encode()
HEAD = f"POST /v1/models/leaves:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()


@contextlib.contextmanager
def served(limits, models=None):
    listener = bind("127.0.0.1", 0)
    config = uvicorn.Config(
        create_app(models or stub_models(limits=limits)),
        http=functools.partial(GuardedConnection, limits=limits),
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_keep_alive=int(limits.idle_timeout_s),
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def port():
    with served(PATIENT) as port:
        yield port


@pytest.fixture(scope="module")
def hasty_port():
    """Of a server that waits for nobody."""
    with served(HASTY) as port:
        yield port


@contextlib.contextmanager
def connected(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        yield connection


def everything(connection):
    """What the server sends until it closes."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            received += piece
    return received


def one_answer(connection):
    received = connection.recv(65536)
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head[9:12]), body


def is_served(port):
    with connected(port) as connection:
        connection.sendall(HEAD + BODY)
        return one_answer(connection)[0] == 200


@pytest.mark.parametrize("sent", [b"", b"POST /v1/mod", HEAD[:-10]])
def test_a_head_that_does_not_come_is_not_waited_for(hasty_port, sent):
    with connected(hasty_port) as connection:
        connection.sendall(sent)
        assert everything(connection) == b""


def test_a_head_a_byte_at_a_time_is_not_waited_for(hasty_port):
    with connected(hasty_port) as connection, pytest.raises(OSError):
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(500):
            connection.sendall(b"x")
            time.sleep(0.02)


@pytest.mark.parametrize("head", [HEAD, HEAD.replace(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked")])
def test_a_body_that_does_not_come_is_408_and_the_connection_ends(hasty_port, head):
    with connected(hasty_port) as connection:
        connection.sendall(head)
        assert everything(connection).startswith(b"HTTP/1.1 408")


def test_an_idle_connection_is_dropped_after_its_answers(hasty_port):
    with connected(hasty_port) as connection:
        connection.sendall(HEAD + BODY)
        assert one_answer(connection)[0] == 200
        assert everything(connection) == b""


def test_a_head_without_an_end_is_431(port):
    with connected(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 6000)
        assert everything(connection).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00\x01", b"once upon a time\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_no_http_is_400_in_the_form_of_errors(port, sent):
    with connected(port) as connection:
        connection.sendall(sent)
        received = everything(connection)
        assert received.startswith(b"HTTP/1.1 400") and b'{"error":' in received


def test_a_connection_is_kept(port):
    with connected(port) as connection:
        for _ in range(3):
            connection.sendall(HEAD + BODY)
            assert one_answer(connection)[0] == 200


def test_two_requests_at_once_on_a_connection_are_answered_in_order(port):
    with connected(port) as connection:
        connection.sendall(HEAD + BODY + b"GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = everything(connection)
        assert received.startswith(b"HTTP/1.1 200") and b"HTTP/1.1 400" in received


def test_an_answer_is_read_although_the_rest_of_the_body_was_not(port):
    with connected(port) as connection:
        connection.sendall(HEAD.replace(b":predict", b":forecast") + BODY)
        assert one_answer(connection)[0] == 400


def test_more_connections_than_are_taken_get_503_and_those_before_are_served(port):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 1000:
        pytest.skip("this process may not open 500 connections")
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(port)) for _ in range(500)]
        refused = 0
        for connection in held[400:]:
            received = connection.recv(12)
            refused += received == b"HTTP/1.1 503"
        assert refused == 100
        held[0].sendall(HEAD + BODY)
        assert one_answer(held[0])[0] == 200
    while not is_served(port):  # until those that left are noticed
        time.sleep(0.05)


@pytest.mark.slow
def test_2000_requests_at_once_are_all_answered(port):
    """Over 200 connections that each send ten."""
    statuses = []

    def client():
        with connected(port) as connection:
            for _ in range(10):
                connection.sendall(HEAD + BODY)
                statuses.append(one_answer(connection)[0])

    threads = [threading.Thread(target=client) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(statuses) == 2000 and set(statuses) <= {200, 503} and statuses.count(200) > 1000


@contextlib.contextmanager
def held(**limits):
    """A port, the model and its queue; the first request runs."""
    limits, model = Limits(parallel_batches=1, **limits), Held()
    models = stub_models(limits=limits, run=model)
    with served(limits, models) as port, connected(port) as first:
        first.sendall(HEAD + BODY)
        until(lambda: model.sizes)
        yield port, model, models.latest
        model.go.set()
        assert one_answer(first)[0] == 200


def test_what_a_client_asked_for_that_has_gone_is_not_run():
    with held() as (port, model, version), connected(port) as gone, connected(port) as stays:
        gone.sendall(HEAD + BODY)
        until(lambda: version.waiting == 1)
        stays.sendall(HEAD + BODY)
        until(lambda: version.waiting == 2)
        gone.close()
        until(lambda: version.waiting == 1)
        model.go.set()
        assert one_answer(stays)[0] == 200
    assert model.sizes == [1, 1]


def test_a_client_that_goes_while_its_photo_is_looked_at_disturbs_nobody():
    with held() as (port, model, _):
        with connected(port) as gone:
            gone.sendall(HEAD + BODY)
        model.go.set()
        assert is_served(port)


def test_an_expected_wait_that_is_too_long_is_503_with_the_time_to_try_again():
    with held(max_expected_wait_s=25) as (port, _, version), connected(port) as waiting:
        version.batcher._pace.batch_ended(work_of(1, 0), began=0.0, ended=20.0)
        waiting.sendall(HEAD + BODY)
        until(lambda: version.waiting == 1)
        with connected(port) as refused:
            refused.sendall(HEAD + BODY)
            received = refused.recv(65536)
    assert received.startswith(b"HTTP/1.1 503") and b"expected wait" in received
    assert int(received.partition(b"retry-after: ")[2].partition(b"\r\n")[0]) > 1
