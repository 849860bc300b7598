"""`tfl serve` against a loop over the bare SavedModel: requests per second, latency, a soak, malformed requests, a new version.

Run       python benchmarks/serving.py --json     (ten minutes of soak, or --soak-seconds; --only rate latency … picks parts)
Network   MobileNetV2, alpha 0.35, 224 px, with ImageNet weights where KERAS_HOME has them, else random ones; five classes
Images    32 drawn JPEGs of 224 px
Processes the bare loop, the server and the clients each have one of their own. They share the machine's cores: while the bare
          loop runs, the server and the clients wait, and the other way round. The clients' share of the machine is not taken
          off: the server is measured with what they leave. `cpu_ms` in the rounds is processor time a request, of each
rate      requests per second of 32 clients in a closed loop, against images per second of the bare signature (decoding inside) at
          its best batch size; alternating rounds, the median of their ratios
latency   one client on a kept connection against one call of the signature with one image; alternating rounds, medians
soak      Poisson arrivals at 80% of what the server can answer, which is measured again each minute: the minute begins with three
          bursts of three seconds of 32 clients in a closed loop, whose median sets the load of its rest. Latency counts from when
          a request was due; the bursts and what is due in the seconds after them count as requests and as failures, but not as
          latencies. Memory is the server's resident memory, its end against its value after a tenth of the time. The rounds have
          each minute's saturation before and after, load and latencies, with the server's processor time a request (`cpu_ms`),
          and how late the clients sent (`late`)
malformed 10,000 bad requests of 20 kinds in a drawn order with 2,500 good ones, over 32 connections
swap      two new versions put in the folder under 32 clients in a closed loop
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zlib
from pathlib import Path
from typing import Any

from harness import document, figure, print_document
from serving_clients import predict_request, request_of

CLIENTS = 32
SIDE = 224
PARTS = ("rate", "latency", "soak", "malformed", "swap")
BATCHES = (1, 4, 8, 16, 32, 64)
NAME = "bench"
PATH = f"/v1/models/{NAME}:predict"


def images() -> list[bytes]:
    """Drawn JPEGs of about 15 kB: waves and a little noise."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    at = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE))).reshape(2, -1)
    contents = []
    for _ in range(CLIENTS):
        waves = np.sin(rng.uniform(0, 0.2, (3, 2)) @ at).T.reshape(SIDE, SIDE, 3)
        pixels = np.clip(127 + 90 * waves + rng.normal(0, 6, waves.shape), 0, 255).astype("uint8")
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
        contents.append(buffer.getvalue())
    return contents


def make(folder: Path) -> None:
    """In a child: exports of three versions, `folder/0`, `folder/1`, `folder/2`, that differ in their heads."""
    import keras

    import tfl
    from tfl.export.saved_model import export_saved_model
    from tfl.modalities.base import modality_of_data

    weights = (
        Path(os.environ.get("KERAS_HOME", "/nonexistent"))
        / "models"
        / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
    )
    inputs = keras.Input((SIDE, SIDE, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, -1.0)(inputs)
    keras.utils.set_random_seed(0)
    base = keras.applications.MobileNetV2(
        input_shape=(SIDE, SIDE, 3), alpha=0.35, include_top=False, weights=str(weights) if weights.is_file() else None
    )
    pooled = keras.layers.GlobalAveragePooling2D(name="head_pool")(base(scaled))
    for version in range(3):
        logits = keras.layers.Dense(5, name="logits", dtype="float32")(pooled)
        model = keras.Model(inputs, keras.layers.Softmax(dtype="float32")(logits))
        target = folder / str(version)
        data = tfl.Data("unused", image_size=(SIDE, SIDE))
        export_saved_model(
            model, class_names=list("abcde"), modality=modality_of_data(data), folder=target, metadata={"recipe": NAME}
        )
    print(json.dumps({"weights": "imagenet" if weights.is_file() else "random"}))


def bare() -> None:
    """In a child: answers lines of JSON about the bare SavedModel, one line each."""
    import tensorflow as tf

    contents = images()
    signatures: dict[str, Any] = {}
    kept = []
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["folder"] not in signatures:
            kept.append(tf.saved_model.load(asked["folder"]))
            signatures[asked["folder"]] = kept[-1].signatures["serving_default"]
        call = signatures[asked["folder"]]
        print(json.dumps(_bare_answer(tf, call, contents, asked)), flush=True)


def _bare_answer(tf: Any, call: Any, contents: list[bytes], asked: dict[str, Any]) -> Any:
    if asked["kind"] == "answers":
        return [call(image_bytes=tf.constant([one]))["probabilities"].numpy()[0].tolist() for one in contents]
    size = asked["batch"]
    batches = [[contents[(start + at) % len(contents)] for at in range(size)] for start in range(len(contents))]
    for batch in batches[:3]:
        call(image_bytes=tf.constant(batch))["probabilities"].numpy()
    seconds: list[float] = []
    began, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < asked["seconds"] and len(seconds) < asked.get("count", 10**9):
        before = time.perf_counter()
        call(image_bytes=tf.constant(batches[len(seconds) % len(batches)]))["probabilities"].numpy()
        seconds.append(time.perf_counter() - before)
    spent, cpu = time.perf_counter() - began, time.process_time() - used
    count = len(seconds) * size
    return {"images_s": count / spent, "cpu_ms": 1000 * cpu / count, "median_ms": 1000 * statistics.median(seconds)}


class Bare:
    """The child with the bare SavedModel."""

    def __init__(self) -> None:
        words = [sys.executable, __file__, "--role", "bare"]
        self.child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def ask(self, folder: Path, kind: str, **more: Any) -> Any:
        assert self.child.stdin is not None and self.child.stdout is not None  # noqa: S101
        self.child.stdin.write(json.dumps({"folder": str(folder), "kind": kind, **more}) + "\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def close(self) -> None:
        self.child.kill()
        self.child.wait()


class Served:
    """`tfl serve` on a folder of versions."""

    def __init__(self, folder: Path, log: Path) -> None:
        words = [sys.executable, "-m", "tfl.cli.main", "serve", str(folder), "--port", "0", "--name", NAME, "--json"]
        self.log = log.open("w")
        self.child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=self.log, text=True)
        assert self.child.stdout is not None  # noqa: S101
        text = ""
        while not text.endswith("}\n"):
            line = self.child.stdout.readline()
            if not line:
                raise SystemExit(f"The server did not start: {log.read_text()[-2000:]}")
            text += line
        self.port = int(json.loads(text)["address"].rpartition(":")[2])

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def version(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/models/{NAME}") as answer:
            return int(json.load(answer)["model_version_status"][0]["version"])

    def resident_mb(self) -> float:
        lines = Path(f"/proc/{self.child.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024

    def close(self) -> int:
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(60)


def cpu_ms(spent: list[tuple[float, float]], start: float, stop: float, rate: float) -> float | None:
    """Processor time a request between two times, from (time, seconds so far), at so many requests per second."""
    rows = [row for row in spent if start <= row[0] <= stop]
    if len(rows) < 2:
        return None
    (began, before), (ended, after) = rows[0], rows[-1]
    return round(1000 * (after - before) / (rate * (ended - began)), 3)


def tail(row: dict[str, Any]) -> float:
    """The 99th percentile over the median."""
    return float(row["p99_ms"] / row["median_ms"])


class Bench:
    """What the parts share: three versions, the bare loop, the clients and a server for each part."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        self.options, self.scratch = options, scratch
        made = subprocess.run(
            [sys.executable, __file__, "--role", "make", "--folder", str(scratch)], capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise SystemExit(made.stderr[-3000:])
        self.weights = json.loads(made.stdout.splitlines()[-1])["weights"]
        self.images = images()
        self.encoded = [base64.b64encode(one).decode() for one in self.images]
        self.bare = Bare()
        self.expected = [self.bare.ask(self.version(number), "answers") for number in range(3)]
        self.base = scratch / "served"
        (self.base / "1").parent.mkdir()
        shutil.copytree(self.version(0), self.base / "1")
        self.rounds: list[dict[str, Any]] = []
        self.figures: list[dict[str, Any]] = []

    def version(self, number: int) -> Path:
        return self.scratch / str(number) / "saved_model" / "1"

    def serve(self) -> Served:
        return Served(self.base, self.scratch / "server.log")

    def clients(self, served: Served, kind: str, **plan: Any) -> Any:
        plan = {"kind": kind, "port": served.port, "path": PATH, "images": self.encoded, "connections": CLIENTS, **plan}
        script = str(Path(__file__).with_name("serving_clients.py"))
        done = subprocess.run([sys.executable, script], input=json.dumps(plan), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"The clients failed: {done.stderr[-2000:]}")
        return json.loads(done.stdout)

    def versions_of(self, *numbers: int) -> list[list[list[float]]]:
        return [[self.expected[number][at] for number in numbers] for at in range(CLIENTS)]

    # the parts

    def rate(self) -> None:
        options, ratios, rates = self.options, [], []
        tried = {
            size: self.bare.ask(self.version(0), "rate", batch=size, seconds=options.seconds / 2)["images_s"] for size in BATCHES
        }
        best = max(tried, key=lambda size: tried[size])
        served = self.serve()
        self.clients(served, "closed", seconds=min(2.0, options.seconds))
        for number in range(options.rounds):
            alone = self.bare.ask(self.version(0), "rate", batch=best, seconds=options.seconds)
            before = served.cpu_s()
            row = self.clients(served, "closed", seconds=options.seconds, warm_s=0.0)
            cpu = served.cpu_s() - before
            rates.append(row["count"] / row["seconds"])
            ratios.append(rates[-1] / alone["images_s"])
            self.rounds.append(
                {
                    "part": "rate",
                    "round": number,
                    "bare_images_s": round(alone["images_s"], 1),
                    "bare_batch": best,
                    "bare_cpu_ms": round(alone["cpu_ms"], 3),
                    "requests_s": round(rates[-1], 1),
                    "server_cpu_ms": round(1000 * cpu / row["count"], 3),
                    "clients_cpu_ms": round(1000 * row["cpu_s"] / row["count"], 3),
                    "failures": row["failures"],
                    **{key: row[key] for key in ("median_ms", "p99_ms")},
                }
            )
        served.close()
        bare_rate = statistics.median(row["bare_images_s"] for row in self.rounds if row["part"] == "rate")
        self.figures += [
            figure("requests per second, 32 clients", statistics.median(rates), "1/s"),
            figure(f"images per second, bare signature, batches of {best}", bare_rate, "1/s"),
            figure("server against the bare signature", statistics.median(ratios), "ratio", at_least=0.8),
        ]

    def latency(self) -> None:
        count, added = (50 if self.options.smoke else 300), []
        served = self.serve()
        for number in range(self.options.rounds):
            alone = self.bare.ask(self.version(0), "rate", batch=1, seconds=60, count=count)["median_ms"]
            asked = self.clients(served, "single", count=count)["median_ms"]
            added.append(asked - alone)
            row = {"part": "latency", "round": number, "bare_ms": round(alone, 3), "request_ms": round(asked, 3)}
            self.rounds.append(row)
        served.close()
        self.figures.append(figure("added latency of one request, median", statistics.median(added), "ms", at_most=3))

    def soak(self) -> None:
        served = self.serve()
        seconds = self.options.soak_seconds
        memory: list[tuple[float, float]] = []
        spent: list[tuple[float, float]] = []
        ended = threading.Event()
        began = time.monotonic()

        def look() -> None:
            while not ended.wait(min(5.0, seconds / 20)):
                memory.append((time.monotonic() - began, served.resident_mb()))
                spent.append((time.monotonic() - began, served.cpu_s()))

        watcher = threading.Thread(target=look)
        watcher.start()
        shape = {
            "minute_s": min(60.0, seconds / 2),
            "bursts": 3,
            "burst_s": min(3.0, seconds / 30),
            "settle_s": min(3.0, seconds / 30),
        }
        right = self.versions_of(0)
        row = self.clients(
            served, "soak", seconds=seconds, load=0.8, connections=2 * CLIENTS, burst_connections=CLIENTS, expected=right, **shape
        )
        ended.set()
        watcher.join()
        for minute in row["minutes"]:
            start = minute["from_s"] + 3 * (shape["burst_s"] + 0.5)
            minute["cpu_ms"] = cpu_ms(spent, start, minute["from_s"] + shape["minute_s"], minute["rate"])
        served.close()
        settled = [size for at, size in memory if at >= seconds / 10][:3]
        growth = statistics.median(size for _, size in memory[-3:]) / statistics.median(settled) - 1
        ratios = [tail(minute) for minute in row["minutes"] if "p99_ms" in minute]
        shown = [round(size, 1) for _, size in memory[:: max(1, len(memory) // 20)]]
        self.rounds.append({"part": "soak", **row, "resident_mb": shown})
        steady = sum(minute["steady"] for minute in row["minutes"])
        name = f"errors in {seconds / 60:g} minutes at 80% load ({row['count']} requests)"
        self.figures += [
            figure(name, row["failures"], "", at_most=0),
            figure("growth of the server's memory", growth, "ratio", at_most=0.05),
            figure("requests per second at saturation, median", statistics.median(m["most"] for m in row["minutes"]), "1/s"),
            figure("median latency at 80% load", row["median_ms"], "ms"),
            figure("p99 against the median at 80% load", tail(row), "ratio", at_most=5),
            figure("the same of the median minute", statistics.median(ratios), "ratio"),
            figure("minutes after which saturation was within 10% of that before", steady, f"of {len(ratios)}"),
            *([figure("p99 against the median over those minutes", tail(row["steady"]), "ratio")] if steady else []),
        ]

    def malformed(self) -> None:
        count = 400 if self.options.smoke else 10_000
        served = self.serve()
        bad = [(name, base64.b64encode(request).decode()) for name, request in bad_requests(self.images[0])]
        row = self.clients(
            served, "mixed", bad=bad, bad_count=count, good_count=count // 4, expected=self.versions_of(0), connections=CLIENTS
        )
        alive = served.child.poll() is None
        served.close()
        self.rounds.append({"part": "malformed", **row})
        name = f"of {count} malformed and {count // 4} good requests, answered otherwise than they should be"
        self.figures += [
            figure(name, row["wrongs"], "", at_most=0),
            figure("server alive after them", int(alive), "", at_least=1),
        ]

    def swap(self) -> None:
        served = self.serve()
        result: dict[str, Any] = {}

        def load() -> None:
            result.update(self.clients(served, "closed", seconds=self.options.swap_s, expected=self.versions_of(0, 1, 2)))

        thread = threading.Thread(target=load)
        thread.start()
        time.sleep(2)
        taken_over = []
        for number in (1, 2):
            scratch = self.scratch / f"arriving-{number}"
            shutil.copytree(self.version(number), scratch)
            began = time.monotonic()
            os.rename(scratch, self.base / str(number + 1))
            while served.version() != number + 1 and time.monotonic() < began + 60:
                time.sleep(0.1)
            taken_over.append(round(time.monotonic() - began, 1) if thread.is_alive() else None)
        thread.join()
        last = self.clients(served, "closed", seconds=0.5, expected=self.versions_of(2))
        served.close()
        for number in (2, 3):
            shutil.rmtree(self.base / str(number))
        self.rounds.append({"part": "swap", "seconds_to_take_over": taken_over, **result})
        under_load = sum(one is not None for one in taken_over)
        self.figures += [
            figure("versions that took over under load", under_load, "", at_least=2),
            figure(f"failed of {result['count']} requests meanwhile", result["failures"], "", at_most=0),
            figure("answers not of the newest version afterwards", last["failures"], "", at_most=0),
        ]


def bad_requests(photo: bytes) -> list[tuple[str, bytes]]:
    """Twenty kinds of requests that must get a 4xx."""

    def asked(body: object, path: str = PATH) -> bytes:
        return request_of("POST", path, json.dumps(body).encode())

    def raw(body: bytes) -> bytes:
        return request_of("POST", PATH, body)

    header = struct.pack(">II5B", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    good = base64.b64encode(photo).decode()
    huge = b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n"
    return [
        ("no JSON", raw(b"instances: photo")),
        ("JSON cut short", raw(b'{"instances": [{"b64": "')),
        ("empty body", raw(b"")),
        ("an array", asked([1, 2, 3])),
        ("200,000 brackets", raw(b"[" * 200_000)),
        ("no instances", asked({"pictures": [{"b64": good}]})),
        ("instances and inputs", asked({"instances": [{"b64": good}], "inputs": [{"b64": good}]})),
        ("no rows", asked({"instances": []})),
        ("a number", asked({"instances": [5]})),
        ("null", asked({"instances": [None]})),
        ("bad base64", asked({"instances": [{"b64": "###"}]})),
        ("text for an image", asked({"instances": [{"b64": base64.b64encode(b"once upon a time").decode()}]})),
        ("a photo cut short", predict_request(PATH, photo[: len(photo) // 2])),
        ("a bomb", predict_request(PATH, bomb)),
        ("ragged pixels", asked({"signature_name": "pixels", "instances": [[[1, 2, 3]], [[1, 2]]]})),
        ("unknown signature", asked({"signature_name": "nothing", "instances": [{"b64": good}]})),
        ("unknown model", asked({"instances": [{"b64": good}]}, "/v1/models/nothing:predict")),
        ("unknown version", asked({"instances": [{"b64": good}]}, f"/v1/models/{NAME}/versions/77:predict")),
        ("a path upwards", asked({"instances": [{"b64": good}]}, "/v1/models/..%2f..%2fetc%2fpasswd:predict")),
        ("a body announced too long", huge),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts alone")
    parser.add_argument("--rounds", type=int, default=7, help="of rate and latency (default 7)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each round (default 8)")
    parser.add_argument("--soak-seconds", type=float, default=600.0, help="of the soak (default 600)")
    parser.add_argument("--smoke", action="store_true", help="seconds of each part: shows that it works, measures nothing")
    parser.add_argument("--role", choices=["make", "bare"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--swap-s", type=float, default=45.0, help="seconds of load while versions are put in (default 45)")
    options = parser.parse_args()
    if options.role:
        make(options.folder) if options.role == "make" else bare()
        return
    if options.smoke:
        options.rounds, options.seconds, options.soak_seconds, options.swap_s = 1, 1.5, 30.0, 30.0
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(options, Path(scratch))
        try:
            for part in options.only:
                getattr(bench, part)()
                print(f"{part}: {json.dumps(bench.rounds[-1])}", file=sys.stderr, flush=True)
        finally:
            bench.bare.close()
    found = document("serving", bench.figures, bench.rounds)
    found["weights"] = bench.weights
    print_document(found, as_json=options.json)


if __name__ == "__main__":
    main()
