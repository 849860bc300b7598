"""The contents of a new run's `manifest.json`: code, versions, machine and seeds that decide its result.

Standard library only. What is learned later (data, weights, precision, status) is added by those who learn it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tfl
from tfl.recipe import Recipe

FORMAT = 1
PACKAGES = (
    *("tensorflow", "keras", "numpy", "ml-dtypes", "h5py", "scipy", "scikit-learn", "scikit-image", "pillow"),
    *("tensorflow-datasets", "keras-tuner", "openvino"),
)
"""Those whose code has a part in tensors, weights or figures."""
ENVIRONMENT = (
    *("KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "XLA_FLAGS", "TF_XLA_FLAGS"),
    *("TF_DETERMINISTIC_OPS", "TF_CUDNN_DETERMINISTIC", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"),
    *("CUDA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE"),
)
"""Variables by which libraries choose how they compute."""
_INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "asimd", "bf16", "sve")


def first_manifest(recipe: Recipe, command: Sequence[str]) -> dict[str, Any]:
    """The manifest of a run that is about to start.

    Args:
        recipe: What is run.
        command: How it was started; the first word that names a `.py` or `.json` file is taken for the recipe's file.
    """
    recipe_file = _recipe_file(command)
    versions = package_versions()
    return {
        "format": FORMAT,
        "tfl": tfl.__version__,
        "python": platform.python_version(),
        "tensorflow": versions.get("tensorflow"),
        "keras": versions.get("keras"),
        "versions": versions,
        "platform": platform.platform(),
        "machine": describe_machine(),
        "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        "seed": recipe.seed,
        "seeds": seeds_of(recipe),
        "command": list(command),
        "started_in": str(Path.cwd()),
        "recipe_file": _file_facts(recipe_file),
        "git": git_state(recipe_file.parent if recipe_file else Path.cwd()),
        "source": source_hash(),
        "status": "running",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {},
        "weights": {},
    }


def package_versions() -> dict[str, str]:
    """The versions of `PACKAGES`; one that is not installed is left out."""
    found = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def describe_machine() -> dict[str, Any]:
    """`cpu`, `cores` that may be used, `instructions`, `memory_gb`, and `accelerators`: None before TensorFlow was loaded."""
    return {
        "cpu": _cpu_name(),
        "cores": cores(),
        "instructions": _instructions(),
        "memory_gb": _memory_gb(),
        "accelerators": _accelerators(),
    }


def seeds_of(recipe: Recipe) -> dict[str, int]:
    """The number that each kind of chance starts from. What is drawn also depends on stage, epoch and example, never on the time.

    Example:

    >>> import tfl
    >>> recipe = tfl.Recipe(name="a", data=tfl.Sample("digits", split_seed=1), backbone=tfl.Backbone("mini"), seed=7)
    >>> seeds_of(recipe)["split"], seeds_of(recipe)["dropout"]
    (1, 7)
    """
    kinds = ("order", "augmentation", "head", "dropout", "trials")
    return {"split": recipe.split_seed, **{kind: recipe.seed for kind in kinds}}


@functools.cache
def source_hash() -> str:
    """SHA-256 of tfl's own Python files: an edited checkout differs from the release of the same version."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).as_posix()):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(package).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def git_state(folder: Path) -> dict[str, Any] | None:
    """`commit`, `changed_files` (a count) and `dirty` of the work tree around `folder`, or None outside of one."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changed = len((_git(folder, "status", "--porcelain") or "").splitlines())
    return {"commit": commit, "changed_files": changed, "dirty": changed > 0}


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _recipe_file(command: Sequence[str]) -> Path | None:
    named = (Path(word) for word in command if word.endswith((".py", ".json")))
    return next((path.absolute() for path in named if path.is_file()), None)


def _file_facts(file: Path | None) -> dict[str, str] | None:
    if file is None:
        return None
    with contextlib.suppress(OSError):
        return {"path": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    return None


def _cpu_name() -> str:
    return _cpu_line("model name") or platform.processor() or platform.machine()


def _instructions() -> list[str]:
    """The instruction sets that decide which kernels run, and so how sums are rounded."""
    there = set((_cpu_line("flags") or _cpu_line("Features")).split())
    return [name for name in _INSTRUCTIONS if name in there]


@functools.cache
def _cpu_line(field: str) -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == field:
                return value.strip()
    return ""


def _memory_gb() -> float | None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    return None


def _accelerators() -> list[str] | None:
    tensorflow = sys.modules.get("tensorflow")  # asked only where it is there: reading a run must not load it
    if tensorflow is None:
        return None
    found = []
    for device in tensorflow.config.list_physical_devices():
        if device.device_type != "CPU":
            details = tensorflow.config.experimental.get_device_details(device)
            found.append(f"{device.device_type} {details.get('device_name', device.name)}")
    return found


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
