"""Networks of several families, built once, and brought back to their first weights before each example."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))

settings.register_profile(
    "ledger", derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), max_examples=10
)


@pytest.fixture(scope="session")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., object]:
    """A network by the name of its family and its precision."""
    from families import Subject, build

    known: dict[tuple[str, str], Subject] = {}

    def of(family: str, precision: str = "float32") -> Subject:
        key = family, precision
        if key not in known:
            known[key] = build(family, precision, tmp_path_factory.mktemp(family))
        known[key].restore()
        return known[key]

    return of
