"""KerasTuner's chief and workers on one machine: this process serves the oracle, the workers are `tfl tune` again.

What they share is the folder of the search; what the chief and a worker say to each other goes over KerasTuner's gRPC service.
"""

from __future__ import annotations

import enum
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO

from tfl.errors import RunError
from tfl.manifest import cores
from tfl.tuning.folder import SearchFolder

ID, ADDRESS, PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
_LOOK_SECONDS = 0.3
_LAST_LINES = 15


class Role(enum.Enum):
    """The role of this process in a search, from KerasTuner's environment variables."""

    ALONE = "alone"
    CHIEF = "chief"
    WORKER = "worker"

    @classmethod
    def of_this_process(cls) -> Role:
        """The role that the environment gives to this process."""
        if ADDRESS not in os.environ:
            return cls.ALONE
        missing = [name for name in (ID, PORT) if name not in os.environ]
        if missing:
            raise RunError(f"{ADDRESS} is set, but {' and '.join(missing)} not.", fix="KerasTuner needs all three, or none.")
        return cls.CHIEF if "chief" in os.environ[ID] else cls.WORKER


def run_workers(folder: SearchFolder, count: int, *, chief: Callable[[], object], tick: Callable[[], None]) -> None:
    """Serves the oracle in this process and runs trials in `count` other processes, until all of them have ended.

    Args:
        folder: `SearchFolder` of the search.
        count: Int, the number of workers; the cores are divided among them.
        chief: Callable that serves the oracle; it runs in a thread of its own with KerasTuner's environment variables set.
        tick: Callable without arguments, called a few times a second.

    Raises:
        RunError: A worker ended otherwise than by the end of the search; what the others did is kept.
    """
    shared = {ADDRESS: "127.0.0.1", PORT: str(_free_port())}
    workers = [_spawn(folder, number, count, shared) for number in range(1, count + 1)]
    before = {name: os.environ.get(name) for name in (ID, ADDRESS, PORT)}
    os.environ |= {**shared, ID: "chief"}
    try:
        chiefs_error: list[Exception] = []
        threading.Thread(target=_serve, args=(chief, chiefs_error), daemon=True).start()
        _wait(folder, workers, tick, chiefs_error)
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.terminate()
                worker.wait()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    tick()


def serve(chief: Callable[[], object], tick: Callable[[], None], *, over: Callable[[], bool]) -> None:
    """Serves workers on other machines until the search or its time is over.

    KerasTuner's own server waits for the end of every trial, and a worker whose time is over leaves its trial open. So the
    server has a thread of its own, which answers to the end of this process.

    Raises:
        Exception: Whatever ended the server.
    """
    errors: list[Exception] = []
    server = threading.Thread(target=_serve, args=(chief, errors), daemon=True)
    server.start()
    while server.is_alive() and not over():
        tick()
        server.join(_LOOK_SECONDS)
    if errors:
        raise errors[0]
    tick()


def _serve(chief: Callable[[], object], errors: list[Exception]) -> None:
    try:
        chief()
    except Exception as error:  # a thread has no one else to tell
        errors.append(error)


def _wait(
    folder: SearchFolder, workers: list[subprocess.Popen[bytes]], tick: Callable[[], None], chiefs_error: list[Exception]
) -> None:
    while any(worker.poll() is None for worker in workers):
        if chiefs_error:
            raise chiefs_error[0]
        _refuse_if_dead(folder, workers)
        tick()
        time.sleep(_LOOK_SECONDS)
    _refuse_if_dead(folder, workers)


def _refuse_if_dead(folder: SearchFolder, workers: list[subprocess.Popen[bytes]]) -> None:
    for number, worker in enumerate(workers, start=1):
        if worker.poll() in (None, 0):
            continue
        log = folder.path("workers", f"worker{number}.log")
        last = "\n".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
        raise RunError(
            f"Worker {number} ended with code {worker.returncode}.",
            received=last or "it said nothing",
            fix=f"What was done is kept: resume it with --out {folder.folder} --resume.",
        )


def _spawn(folder: SearchFolder, number: int, count: int, shared: dict[str, str]) -> subprocess.Popen[bytes]:
    log = folder.path("workers", f"worker{number}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, cores() // count))
    limits = {name: os.environ.get(name, threads) for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")}
    words = [sys.executable, "-m", "tfl.cli.main", "tune", str(folder.path("recipe.json")), "--out", str(folder.folder)]
    handle: IO[bytes]
    with log.open("ab") as handle:
        environment = {**os.environ, **limits, **shared, ID: f"worker{number}"}
        return subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=handle, stderr=handle)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
