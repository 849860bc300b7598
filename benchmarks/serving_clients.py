"""The clients of benchmarks/serving.py: connections that are kept, in a process of their own, on raw sockets to cost little.

A plan (JSON on standard input) says what to send; what came back (JSON) goes to standard output.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import resource
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

TOLERANCE = 1e-4
STEADY = 0.1
"""A minute of the soak is steady where what the server can answer after it differs from that before by at most this share."""


def request_of(method: str, path: str, body: bytes, *, headers: Sequence[str] = ()) -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def predict_request(path: str, content: bytes) -> bytes:
    """A predict call with one image."""
    return request_of("POST", path, json.dumps({"instances": [{"b64": base64.b64encode(content).decode()}]}).encode())


class Connection(asyncio.Protocol):
    """One request at a time over one connection, opened again where the server has closed it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[tuple[int, bytes]] | None = None
        self.received = bytearray()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.answer is not None and not self.answer.done():
            self.answer.set_result((0, b"the connection was closed"))

    def data_received(self, data: bytes) -> None:
        self.received += data
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self.received[:end]).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(self.received) < end + 4 + length:
            return
        body = bytes(self.received[end + 4 : end + 4 + length])
        self.received.clear()
        if self.answer is not None and not self.answer.done():
            self.answer.set_result((int(head[9:12]), body))
        if b"connection: close" in head and self.transport is not None:
            self.transport.abort()
            self.transport = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body; status 0 where the connection broke."""
        loop = asyncio.get_running_loop()
        if self.transport is None or self.transport.is_closing():
            self.received.clear()
            await loop.create_connection(lambda: self, "127.0.0.1", self.port)
        self.answer = loop.create_future()
        self.transport.write(request)  # type: ignore[union-attr]
        return await self.answer


def right(body: bytes, expected: Sequence[Sequence[float]]) -> bool:
    """Whether an answer is one of the expected ones (a version each)."""
    given = json.loads(body)["predictions"][0]["probabilities"]
    return any(max(abs(a - b) for a, b in zip(given, row, strict=True)) <= TOLERANCE for row in expected)


async def closed_loop(plan: dict[str, Any]) -> dict[str, Any]:
    """Each client sends its own image, waits for the answer, and sends it again."""
    seconds: list[float] = []
    failed: list[str] = []
    requests = [predict_request(plan["path"], base64.b64decode(image)) for image in plan["images"]]
    warm, until = plan.get("warm_s", 1.0), [0.0]

    async def client(number: int) -> None:
        connection = Connection(plan["port"])
        expected = plan["expected"][number] if plan.get("expected") else None
        while (now := time.perf_counter()) < until[0]:
            status, body = await connection.ask(requests[number % len(requests)])
            if status != 200 or (expected and not right(body, expected)):
                failed.append(f"{status} {body[:100]!r}")
            if now > began and (done := time.perf_counter()) <= until[0]:  # no answer counts that came too late
                seconds.append(done - now)
        if connection.transport is not None:
            connection.transport.close()

    began = time.perf_counter() + warm
    until[0] = began + plan["seconds"]
    used = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.gather(*(client(number) for number in range(plan["connections"])))
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return {
        "count": len(seconds),
        "seconds": plan["seconds"],
        "cpu_s": cpu,
        "failed": failed[:10],
        "failures": len(failed),
    } | spread(seconds)


class OpenLoop:
    """Requests begin at times drawn beforehand (exponential gaps), whether or not the ones before are answered.

    Latency counts from when a request was due, so that one that could not be sent in time counts in full.

    Args:
        plan: With `port`, `path`, `images` and `connections`; `expected` answers are compared for every twentieth request.
        seed: Of the gaps.
    """

    def __init__(self, plan: dict[str, Any], *, seed: int = 0) -> None:
        self.plan, self.rng = plan, random.Random(seed)
        self.requests = [predict_request(plan["path"], base64.b64decode(image)) for image in plan["images"]]
        self.free = [Connection(plan["port"]) for _ in range(plan["connections"])]
        self.failed: list[str] = []
        self.number = 0

    async def run(self, *, seconds: float, rate: float, settle_s: float = 0.0) -> tuple[list[float], list[float]]:
        """Sends at a rate for so long and waits for all answers.

        Returns:
            Of the requests that were due after `settle_s`: their latencies, and how late each was sent.
        """
        latencies: list[float] = []
        late: list[float] = []
        running: set[asyncio.Task[None]] = set()
        due = began = time.perf_counter()

        async def one(due: float, number: int) -> None:
            connection = self.free.pop() if self.free else Connection(self.plan["port"])
            sent = time.perf_counter()
            await self._ask(connection, number)
            if due >= began + settle_s:
                latencies.append(time.perf_counter() - due)
                late.append(sent - due)
            self.free.append(connection)

        while (due := due + self.rng.expovariate(rate)) < began + seconds:
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(one(due, self.number))
            running.add(task)
            task.add_done_callback(running.discard)
            self.number += 1
        await asyncio.gather(*running)
        return latencies, late

    async def _ask(self, connection: Connection, number: int) -> None:
        status, body = await connection.ask(self.requests[number % len(self.requests)])
        expected = self.plan["expected"][number % len(self.requests)] if self.plan.get("expected") else None
        if status != 200 or (expected and number % 20 == 0 and not right(body, expected)):
            self.failed.append(f"{status} {body[:100]!r}")


async def soak(plan: dict[str, Any]) -> dict[str, Any]:
    """Each minute begins with bursts of a closed loop, which say what the machine can do now; the open loop gets a share of that.

    The bursts, and what was due within `settle_s` after them, count as requests and as failures but not as latencies.
    """
    loop = OpenLoop(plan)
    minutes: list[dict[str, Any]] = []
    latencies: list[list[float]] = []
    late: list[float] = []
    count = failures = 0
    failed: list[str] = []

    async def bursts() -> float:
        nonlocal count, failures
        burst = {**plan, "seconds": plan["burst_s"], "connections": plan["burst_connections"], "warm_s": 0.5}
        rows = [await closed_loop(burst) for _ in range(plan["bursts"])]
        count += sum(row["count"] for row in rows)
        failures += sum(row["failures"] for row in rows)
        failed.extend(text for row in rows for text in row["failed"])
        return statistics.median(row["count"] / row["seconds"] for row in rows)

    began = time.perf_counter()
    while (left := began + plan["seconds"] - time.perf_counter()) > plan["minute_s"] / 2:
        from_s = time.perf_counter() - began
        most = await bursts()
        rate = plan["load"] * most
        seconds = min(left, plan["minute_s"]) - (time.perf_counter() - began - from_s)
        found, sent_late = await loop.run(seconds=seconds, rate=rate, settle_s=plan["settle_s"])
        latencies.append(found)
        late += sent_late
        minutes.append({"from_s": round(from_s, 1), "most": round(most, 1), "rate": round(rate, 1), **spread(found)})
    ends = [*(minute["most"] for minute in minutes[1:]), round(await bursts(), 1)]
    steady: list[float] = []
    for minute, end, found in zip(minutes, ends, latencies, strict=True):
        minute["most_after"], minute["steady"] = end, abs(end / minute["most"] - 1) <= STEADY
        steady += found if minute["steady"] else []
    everything = [seconds for found in latencies for seconds in found]
    failures, failed = failures + len(loop.failed), failed + loop.failed
    result = {
        "count": count + loop.number,
        "counted": len(everything),
        "seconds": time.perf_counter() - began,
        "minutes": minutes,
    }
    return {**result, "failed": failed[:10], "failures": failures, "late": spread(late), "steady": spread(steady)} | spread(
        everything
    )


async def mixed(plan: dict[str, Any]) -> dict[str, Any]:
    """Good and bad requests in one drawn order, shared by all connections: every good one is compared, every bad one refused."""
    good = [predict_request(plan["path"], base64.b64decode(image)) for image in plan["images"]]
    bad = [(name, base64.b64decode(request)) for name, request in plan["bad"]]
    rng = random.Random(1)
    order = [("good", number) for number in range(plan["good_count"])] + [("bad", number) for number in range(plan["bad_count"])]
    rng.shuffle(order)
    wrong: list[str] = []
    statuses: dict[str, dict[str, int]] = {}
    todo = iter(order)

    async def client() -> None:
        connection = Connection(plan["port"])
        for kind, number in todo:
            if kind == "good":
                at = number % len(good)
                status, body = await connection.ask(good[at])
                fine = status == 200 and right(body, plan["expected"][at])
                name = "good"
            else:
                name, request = bad[number % len(bad)]
                status, body = await connection.ask(request)
                fine = 400 <= status < 500 and b"Traceback" not in body
            counts = statuses.setdefault(name, {})
            counts[str(status)] = counts.get(str(status), 0) + 1
            if not fine:
                wrong.append(f"{name}: {status} {body[:100]!r}")

    await asyncio.gather(*(client() for _ in range(plan["connections"])))
    return {"wrong": wrong[:10], "wrongs": len(wrong), "statuses": statuses}


def one_by_one(plan: dict[str, Any]) -> dict[str, Any]:
    """One client with a blocking socket: the shortest way a request can go."""
    request = predict_request(plan["path"], base64.b64decode(plan["images"][0]))
    seconds = []
    with socket.create_connection(("127.0.0.1", plan["port"])) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(plan["count"] + 20):
            began = time.perf_counter()
            connection.sendall(request)
            received = b""
            while b'"predictions"' not in received or not received.endswith(b"}"):
                received += connection.recv(65536)
            if number >= 20:
                seconds.append(time.perf_counter() - began)
    return {"count": len(seconds)} | spread(seconds)


def spread(seconds: list[float]) -> dict[str, float]:
    """Median and tails in milliseconds."""
    if len(seconds) < 2:
        return {}
    cuts = statistics.quantiles(seconds, n=1000)
    names = {"median_ms": 500, "p95_ms": 950, "p99_ms": 990, "p999_ms": 999}
    return {name: round(1000 * cuts[at - 1], 3) for name, at in names.items()} | {"max_ms": round(1000 * max(seconds), 3)}


def main() -> None:
    plan = json.load(sys.stdin)
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    kinds = {"closed": closed_loop, "soak": soak, "mixed": mixed}
    result = one_by_one(plan) if plan["kind"] == "single" else asyncio.run(kinds[plan["kind"]](plan))
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
