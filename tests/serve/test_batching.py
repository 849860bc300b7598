"""Requests that come together are answered together, and none for another."""

import threading
import time
from concurrent.futures import wait

import numpy as np
import pytest

from tfl.serve.batching import Batcher, BatcherClosedError
from tfl.serve.limits import Limits
from tfl.serve.pace import Pace, work_of
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
        limits = {"parallel_batches": 1, **limits}
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
    batcher = make(max_batch_size=3, max_cost=50)
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


def until(condition):
    """Waits for what another thread does."""
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_second_batch_begins_beside_the_first_once_as_many_wait(make, model):
    batcher = make(parallel_batches=2)
    held(batcher, model)
    futures = [batcher.submit("s", [b"beside"])]
    until(lambda: len(model.batches) == 2)
    futures += [batcher.submit("s", [b"x"]) for _ in range(3)]
    model.go.set()
    wait(futures, 5)
    assert model.batches[:2] == [[b"first"], [b"beside"]] and sum(map(len, model.batches)) == 5


def test_fewer_requests_than_the_running_batch_holds_are_collected():
    batches, gates = [], {row: threading.Event() for row in (b"a", b"b", b"c", b"e")}

    def run(signature, rows):
        batches.append(b"".join(rows))
        assert gates[rows[0]].wait(10)
        return {"length": np.array([len(row) for row in rows])}

    batcher = Batcher(
        run, limits=Limits(max_wait_s=0.0, parallel_batches=2), join=lambda parts: [row for part in parts for row in part]
    )
    for row in (b"a", b"b"):
        batcher.submit("s", [row])
        until(lambda row=row: batches[-1:] == [row])
    last = [batcher.submit("s", [b"c"]), batcher.submit("s", [b"d"])]
    gates[b"a"].set()
    until(lambda: batches[-1] == b"cd")
    gates[b"b"].set()
    last.append(batcher.submit("s", [b"e"]))
    time.sleep(0.05)
    assert batches[-1] == b"cd", "one waits while two run"
    last.append(batcher.submit("s", [b"f"]))
    until(lambda: batches[-1] == b"ef")
    gates[b"c"].set(), gates[b"e"].set()
    wait(last, 5)
    batcher.close()


def test_two_batches_share_the_pixels_of_one(make, model):
    batcher = make(parallel_batches=2, max_cost=50)
    first = batcher.submit("s", [b"first"], weight=70)
    until(lambda: model.batches)
    second = batcher.submit("s", [b"second"], weight=70)
    time.sleep(0.05)
    assert len(model.batches) == 1 and not first.done()
    model.go.set()
    assert second.result(5)["length"].tolist() == [6]


def paced(batcher, seconds):
    """As if a batch of one image had just taken so long."""
    batcher._pace = Pace()
    batcher._pace.batch_ended(work_of(1, 0), began=0.0, ended=seconds)


def test_a_request_that_would_wait_too_long_is_refused_with_the_time_to_try_again(make, model):
    batcher = make(max_expected_wait_s=25)
    held(batcher, model)
    paced(batcher, 10)
    batcher.submit("s", [b""]), batcher.submit("s", [b""])
    with pytest.raises(RefusedError, match=r"The expected wait is 30\.0 s, and the limit is 25 s. Try again in 5 s") as caught:
        batcher.submit("s", [b""])
    assert caught.value.code == "UNAVAILABLE" and caught.value.retry_after_s == 5
    paced(batcher, 1)  # the length of the queue does not decide
    for _ in range(20):
        batcher.submit("s", [b""])
    with pytest.raises(RefusedError, match="expected wait"):
        for _ in range(10):
            batcher.submit("s", [b""])


def test_the_pace_is_that_of_the_latest_batches(make, model):
    model.go.set()
    batcher = make()
    paced(batcher, 1000)
    for _ in range(200):
        batcher.submit("s", [b""]).result(5)
    assert batcher._pace.seconds(work_of(1, 0)) < 1


def test_whatever_was_measured_an_idle_server_takes_everything(make, model):
    batcher = make()
    paced(batcher, 1000)
    model.go.set()
    assert batcher.submit("s", [b"four"] * 5).result(5)["length"].tolist() == [4] * 5


def test_a_large_photo_counts_as_more_work_than_a_small_one(make, model):
    batcher = make()
    model.go.set()
    batcher.submit("s", [b""]).result(5)
    model.go.clear()
    batcher.submit("s", [b""])
    until(lambda: len(model.batches) == 2)
    batcher.submit("s", [b""])
    small = batcher.expected_wait_s
    batcher.submit("s", [b""], weight=10_000_000)
    assert batcher.expected_wait_s > 10 * small > 0


def test_what_cannot_be_answered_before_its_deadline_is_refused_at_once(make, model):
    batcher = make(max_expected_wait_s=60)
    held(batcher, model)
    paced(batcher, 10)
    batcher.submit("s", [b""], deadline=time.monotonic() + 100)
    with pytest.raises(RefusedError, match=r"The expected wait is 20.0 s, and the request's deadline is in 1\d.\d s"):
        batcher.submit("s", [b""], deadline=time.monotonic() + 15)
    with pytest.raises(RefusedError, match=r"deadline is in 0\.0 s"):
        batcher.submit("s", [b""], deadline=time.monotonic() - 1)


def test_what_waits_past_its_deadline_is_not_run(make, model):
    batcher = make()
    first = held(batcher, model)
    late = batcher.submit("s", [b"late"], deadline=time.monotonic() + 0.5)
    time.sleep(0.6)
    kept = batcher.submit("s", [b"kept"])
    model.go.set()
    with pytest.raises(RefusedError) as caught:
        late.result(5)
    kept.result(5), first.result(5)
    assert caught.value.code == "DEADLINE_EXCEEDED" and model.batches[1:] == [[b"kept"]]


def test_a_cancelled_request_makes_nobody_wait(make, model):
    batcher = make(max_waiting=3)
    held(batcher, model)
    gone = batcher.submit("s", [b""] * 3)
    assert gone.cancel() and batcher.waiting == 0
    kept = batcher.submit("s", [b"kept"] * 3)
    model.go.set()
    assert len(kept.result(5)["length"]) == 3
