"""How much one request, and all of them together, may ask of the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is refused before it costs anything.

    Attributes:
        max_batch_size: Examples that the model takes at once.
        max_wait_s: How long a batch waits for more, where requests come in faster than one at a time.
        parallel_batches: Batches that run at the same time: one is decoded while another is computed.
        max_instances: Examples in a request.
        max_expected_wait_s: Longest time that a new request is expected to wait for the model; else it is refused. After ten
            seconds people turn to something else (Nielsen, Usability Engineering, 1993), and programs mostly give up.
        max_waiting: Examples that wait for the model; a bound on memory alone.
        max_cost: Of decoding one example, in what `Shipping.cost` counts; examples that are decoded at once share twice as much.
        max_body_bytes: Of a request.
        max_pending_bytes: Of all requests that are being received or answered.
        max_values: Numbers, strings, lists and objects in a request's JSON.
        max_header_bytes: Of a request's head.
        max_connections: At a time.
        header_timeout_s, body_timeout_s: How long a client may take to send either.
        answer_timeout_s: How long a request may take from head to answer.
        idle_timeout_s: How long a connection is kept between requests.
    """

    max_batch_size: int = 32
    max_wait_s: float = 0.002
    parallel_batches: int = 2
    max_instances: int = 256
    max_expected_wait_s: float = 10.0
    max_waiting: int = 8192
    max_cost: int = 50_000_000
    max_body_bytes: int = 16 * 2**20
    max_pending_bytes: int = 256 * 2**20
    max_values: int = 4_000_000
    max_header_bytes: int = 32 * 2**10
    max_connections: int = 4096
    header_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    answer_timeout_s: float = 60.0
    idle_timeout_s: float = 60.0
