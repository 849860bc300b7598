"""`tfl doctor`: what this machine can do, and what stands in the way."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich_click as click

from tfl import __version__
from tfl.backbones.weight_files import weights_folders
from tfl.cli.command import EXIT_WRONG_INPUT, Answer, command
from tfl.errors import TflError
from tfl.quiet import load_tensorflow

PACKAGES = ("tensorflow", "keras", "keras-tuner", "tensorboard", "tensorflow-datasets", "numpy", "scikit-learn", "pillow")
EXTRAS = ("openvino",)
_ENOUGH_MEMORY_GB, _ENOUGH_DISK_GB = 2.0, 2.0
_BATCH = 32
Problems = list[dict[str, str]]


@command
def doctor() -> Answer:
    """Check this machine: versions, cores, memory, devices, cache, weights, and the speed of a small network.

    Exits with 2 when something stands in the way, and says what to do about it.
    """
    problems: Problems = []
    document: dict[str, Any] = {
        "versions": _versions(problems),
        "machine": _machine(problems),
        "cache": _cache(problems),
        "weights": _weights(),
        "tensorflow": _tensorflow(problems),
    }
    document["problems"] = problems
    return Answer(document, lambda: _show(document), exit_code=EXIT_WRONG_INPUT if problems else 0)


def _versions(problems: Problems) -> dict[str, str | None]:
    found: dict[str, str | None] = {"tfl": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
            problems.append({"problem": f"{package} is not installed.", "fix": f"pip install {package}"})
    for package in EXTRAS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
        found.setdefault(package, None)
    return found


def _machine(problems: Problems) -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = _memory_gb()
    if memory is not None and memory < _ENOUGH_MEMORY_GB:
        problems.append(
            {
                "problem": f"Only {memory:.1f} GB of memory are there.",
                "fix": "Use the mini backbone and small batches, or a machine with more.",
            }
        )
    flags = _cpu_flags()
    return {
        "platform": platform.platform(),
        "cores": cores,
        "memory_gb": memory,
        "bfloat16": "amx_bf16" in flags or "avx512_bf16" in flags,
        "instructions": [name for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if name in flags],
    }


def _memory_gb() -> float | None:
    """What this process may use: the machine's memory, or a container's smaller share of it."""
    limits = []
    with contextlib.suppress(AttributeError, OSError, ValueError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limits.append(int(Path(file).read_text()))
        except (OSError, ValueError):
            continue
    return round(min(limits) / 1e9, 1) if limits else None


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith(("flags", "Features"))), set())


def _cache(problems: Problems) -> dict[str, Any]:
    from tfl.storage import cache_home

    folder = cache_home()
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    writable = there.is_dir() and os.access(there, os.W_OK)
    free = shutil.disk_usage(there).free / 1e9
    if not writable:
        problems.append({"problem": f"The cache {folder} cannot be written.", "fix": "Set TFL_CACHE to a folder that can be."})
    if free < _ENOUGH_DISK_GB:
        problems.append(
            {"problem": f"Only {free:.1f} GB are free at {there}.", "fix": "Free some space, or set TFL_CACHE to another disk."}
        )
    size = _size_below(folder) if folder.is_dir() else 0
    return {"folder": str(folder), "bytes": size, "free_gb": round(free, 1), "writable": writable}


def _size_below(folder: Path) -> int:
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(base, name)).st_size
            except OSError:
                continue
    return total


def _weights() -> dict[str, Any]:
    folder = weights_folders()[0]
    files = [file.name for file in sorted(folder.glob("*")) if file.suffix in (".h5", ".keras")]
    return {"keras_home": os.environ.get("KERAS_HOME"), "folder": str(folder), "files": files}


def _tensorflow(problems: Problems) -> dict[str, Any] | None:
    try:
        load_tensorflow()
    except TflError as error:
        problems.append({"problem": error.what, "fix": error.fix or ""})
        return None
    import keras
    import tensorflow as tf

    devices, backend = [device.name for device in tf.config.list_physical_devices()], keras.backend.backend()
    if backend != "tensorflow":
        problems.append({"problem": f"Keras runs on {backend}.", "fix": "Set KERAS_BACKEND=tensorflow."})
        return {"devices": devices, "keras_backend": backend, "mini_images_per_second": None}
    return {"devices": devices, "keras_backend": backend, "mini_images_per_second": _try(_time_mini, problems)}


def _try(measure: Callable[[], float], problems: Problems) -> float | None:
    try:
        return measure()
    except Exception as error:  # whatever fails is what is to be reported
        fix = "Install tfl again: its files may be damaged."
        problems.append({"problem": f"The mini backbone does not run: {type(error).__name__}: {error}", "fix": fix})
        return None


def _time_mini() -> float:
    """Images a second of the mini backbone's forward pass at 96 px, the best of three batches after one to warm up."""
    import tensorflow as tf

    from tfl.modalities.image.backbones.mini import build_mini

    model = build_mini((96, 96, 3))
    forward = tf.function(lambda images: model(images, training=False), autograph=False)
    images = tf.zeros((_BATCH, 96, 96, 3))
    forward(images)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        forward(images).numpy()
        seconds.append(time.perf_counter() - start)
    return round(_BATCH / min(seconds), 1)


def _show(document: dict[str, Any]) -> None:
    from tfl.cli.tables import readable_bytes

    machine, cache, weights, engine = (document[key] for key in ("machine", "cache", "weights", "tensorflow"))
    rows = [("versions", ", ".join(f"{name} {version or 'absent'}" for name, version in document["versions"].items()))]
    rows.append(("machine", f"{machine['platform']}, {machine['cores']} cores, {machine['memory_gb'] or '?'} GB of memory"))
    rows.append(("bfloat16", "in hardware" if machine["bfloat16"] else "not in this processor"))
    openvino = document["versions"]["openvino"]
    extra = f"OpenVINO {openvino}" if openvino else "OpenVINO is absent (pip install 'tfl[openvino]'; often faster on a CPU)"
    rows.append(("engines", f"Keras, {extra}"))
    if engine:
        rows.append(("devices", ", ".join(engine["devices"])))
        rows.append(("speed", f"{engine['mini_images_per_second'] or '?'} images per second, mini at 96 px, forward"))
    rows.append(("cache", f"{cache['folder']}: {readable_bytes(cache['bytes'])}, {cache['free_gb']} GB free"))
    rows.append(("weights", f"{weights['folder']}: {', '.join(weights['files']) or 'none yet'}"))
    for name, fact in rows:
        click.echo(f"{name:10s} {fact}")
    for entry in document["problems"]:
        click.echo(f"problem    {entry['problem']} {entry['fix']}")
    if not document["problems"]:
        click.echo("No problems found.")
