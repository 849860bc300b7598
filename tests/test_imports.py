"""The order of the design: a module imports only from modules above it, and reading files imports no TensorFlow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ORDER = (
    *(
        "errors",
        "quiet",
        "progress",
        "page",
        "storage",
        "fields",
        "recipe",
        "manifest",
        "runs",
        "finding",
        "vectors",
        "clock",
        "copy_sets",
        "extras",
        "backbones",
        "modalities",
        "strategies",
        "tasks",
        "probes",
        "data",
        "prepare",
        "model",
        "features",
    ),
    *(
        "train",
        "tuning",
        "advice",
        "audit",
        "evaluate",
        "export",
        "serve",
        "language",
        "embeddings",
        "adapt",
        "styling",
        "warm_start",
        "zero_shot",
        "labelling",
        "resume",
        "job",
        "repeat",
        "studies",
        "measure",
        "trained_run",
        "api",
        "cli",
    ),
)
MODULES = sorted(Path("tfl").rglob("*.py"))


def part_of(path):
    parts = path.relative_to("tfl").with_suffix("").parts
    return parts[0]


def imported_parts(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" if node.module == "tfl" else node.module for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("tfl.") and name.split(".")[1] in ORDER:
                yield name.split(".")[1], node.lineno


@pytest.mark.parametrize("path", [p for p in MODULES if p != Path("tfl/__init__.py")], ids=str)
def test_a_module_imports_only_from_above(path):
    own = ORDER.index(part_of(path))
    below = [(name, line) for name, line in imported_parts(path) if ORDER.index(name) > own]
    assert not below, f"{path} imports from below: {below}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_assert_in_the_package(path):
    asserts = [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]
    assert not asserts


def test_nothing_at_import_needs_tensorflow():
    code = (
        "import sys, tfl, tfl.cli.main, tfl.runs, tfl.data.source, tfl.modalities.image.backbones.catalog;"
        "import tfl.tasks.class_metrics, tfl.tasks.classify, tfl.modalities.image.modality;"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
