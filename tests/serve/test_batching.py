"""Requests that come together are answered together, and none for another."""

import threading
from concurrent.futures import wait

import numpy as np
import pytest

from tfl.serve.batching import Batcher, BatcherClosedError
from tfl.serve.limits import Limits
from tfl.serve.refusal import RefusedError


class Model:
    """Answers each row with its length; holds the first batch until `go`; refuses rows that say so."""

    def __init__(self):
        self.batches, self.go = [], threading.Event()

    def __call__(self, signature, rows):
        self.batches.append(list(rows))
        assert self.go.wait(10)
        if b"bad" in rows:
            raise RefusedError("INVALID_ARGUMENT", "bad row")
        if b"defect" in rows:
            raise KeyError("defect")
        if b"nothing" in rows:
            return None
        return {"length": np.array([len(row) for row in rows]), "signature": np.array([signature] * len(rows))}


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def make(model):
    made = []

    def make(**limits):
        joined = lambda parts: [row for part in parts for row in part]  # noqa: E731
        made.append(Batcher(model, limits=Limits(max_wait_s=0.0, **limits), join=joined))
        return made[-1]

    yield make
    model.go.set()
    for batcher in made:
        batcher.close()


def held(batcher, model):
    """The first request runs; what is submitted now waits."""
    first = batcher.submit("s", [b"first"])
    while not model.batches:
        pass
    return first


def test_a_request_alone_runs_at_once_and_alone(make, model):
    model.go.set()
    assert make().submit("s", [b"four"]).result(5)["length"].tolist() == [4]
    assert model.batches == [[b"four"]]


def test_what_waits_is_answered_together_each_with_its_own(make, model):
    batcher = make()
    futures = [held(batcher, model), *(batcher.submit("s", [b"x" * size, b""]) for size in (1, 2, 3))]
    model.go.set()
    assert [future.result(5)["length"].tolist() for future in futures] == [[5], [1, 0], [2, 0], [3, 0]]
    assert len(model.batches) == 2


def test_batches_end_at_their_size_their_pixels_and_another_signature(make, model):
    batcher = make(max_batch_size=3, max_pixels=50)
    held(batcher, model)
    for signature, rows, weight in (("s", 2, 0), ("s", 2, 0), ("t", 1, 0), ("t", 1, 70), ("t", 1, 70)):
        last = batcher.submit(signature, [b"x"] * rows, weight=weight)
    model.go.set()
    last.result(5)
    assert [len(batch) for batch in model.batches] == [1, 2, 2, 2, 1]


def test_more_rows_than_a_batch_are_taken_in_parts(make, model):
    model.go.set()
    future = make(max_batch_size=2).submit("s", [b"", b"1", b"22", b"333", b"4444"])
    assert future.result(5)["length"].tolist() == [0, 1, 2, 3, 4]
    assert [len(batch) for batch in model.batches] == [2, 2, 1]


@pytest.mark.parametrize("bad_at", [0, 3, 6])
def test_a_bad_row_spoils_nobody_elses_answer(make, model, bad_at):
    batcher = make()
    held(batcher, model)
    futures = [batcher.submit("s", [b"bad" if at == bad_at else b"x" * at]) for at in range(7)]
    model.go.set()
    wait(futures, 5)
    for at, future in enumerate(futures):
        if at == bad_at:
            with pytest.raises(RefusedError, match="bad row"):
                future.result()
        else:
            assert future.result()["length"].tolist() == [at]


def test_a_defect_is_told_to_all_and_the_thread_lives(make, model):
    model.go.set()
    batcher = make()
    with pytest.raises(KeyError):
        batcher.submit("s", [b"defect"]).result(5)
    with pytest.raises(AttributeError):
        batcher.submit("s", [b"nothing"]).result(5)
    assert batcher.submit("s", [b"good"]).result(5)["length"].tolist() == [4]


def test_a_full_queue_refuses(make, model):
    batcher = make(max_waiting=3)
    held(batcher, model)
    batcher.submit("s", [b""] * 3)
    with pytest.raises(RefusedError) as caught:
        batcher.submit("s", [b""])
    assert caught.value.http_status == 503 and batcher.waiting == 3


def test_a_cancelled_request_is_left_out(make, model):
    batcher = make()
    held(batcher, model)
    gone, kept = batcher.submit("s", [b"gone"]), batcher.submit("s", [b"kept"])
    assert gone.cancel()
    model.go.set()
    kept.result(5)
    assert model.batches[1:] == [[b"kept"]]


def test_closing_answers_what_waits_and_takes_nothing_new(make, model):
    batcher = make()
    held(batcher, model)
    waiting = batcher.submit("s", [b"late"])
    closing = threading.Thread(target=batcher.close)
    closing.start()
    model.go.set()
    closing.join(5)
    assert waiting.result(0)["length"].tolist() == [4]
    with pytest.raises(BatcherClosedError):
        batcher.submit("s", [b""])
