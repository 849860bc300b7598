"""The clients of the soak (`benchmarks/serving_clients.py`) before a stub: their load follows what the server can do."""

import asyncio
import base64
import importlib
import time
from pathlib import Path

import numpy as np
import pytest
from image_of import jpeg
from stub import stub_models
from test_connections import served

from tfl.serve.limits import Limits

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def clients(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("serving_clients")


def soaked(clients, run, **plan):
    limits = Limits(max_expected_wait_s=plan.pop("max_expected_wait_s", 10.0))
    shape = {"seconds": 2.6, "minute_s": 1.3, "bursts": 1, "burst_s": 0.25, "settle_s": 0.05, "load": 0.5}
    images = [base64.b64encode(jpeg()).decode()] * 4
    with served(limits, stub_models(limits=limits, run=run)) as port:
        plan = {"port": port, "path": "/v1/models/leaves:predict", "images": images, "connections": 8, **shape, **plan}
        return asyncio.run(clients.soak({"burst_connections": 4, **plan}))


def answers(count):
    return {"probabilities": np.full((count, 2), 0.5, "float32"), "version": np.ones(count)}


@pytest.mark.slow
def test_each_minutes_load_is_a_share_of_what_was_measured_at_its_beginning(clients):
    def run(signature, rows):
        time.sleep(0.005)
        return answers(len(rows))

    found = soaked(clients, run, expected=[[[0.5, 0.5]]] * 4)
    assert found["failures"] == 0 and len(found["minutes"]) == 2 and found["counted"] > 20
    for minute in found["minutes"]:
        assert minute["rate"] == pytest.approx(0.5 * minute["most"], rel=0.01) and minute["most"] > 0
    assert found["minutes"][0]["most_after"] == found["minutes"][1]["most"]
    assert found["late"]["median_ms"] >= 0 and found["p99_ms"] >= found["median_ms"] >= 5


@pytest.mark.slow
def test_wrong_answers_and_refusals_in_bursts_and_between_are_failures(clients):
    found = soaked(clients, lambda signature, rows: answers(len(rows)), expected=[[[0.9, 0.1]]] * 4)
    assert found["failures"] > found["minutes"][0]["most"] * 0.25 / 2
    assert found["failed"][0].startswith("200 ")


@pytest.mark.slow
def test_latency_counts_from_when_a_request_was_due(clients):
    """A server that stands still for a while delays what was due meanwhile, also what the clients could not send."""
    first: list[float] = []

    def run(signature, rows):
        first.append(time.monotonic())
        since = first[-1] - first[0]
        if 0.95 < since < 1.25:
            time.sleep(1.25 - since)
        return answers(len(rows))

    found = soaked(clients, run, connections=1, seconds=1.6, minute_s=1.6)
    assert found["max_ms"] > 200
