"""Lets these tests import the helper `scenes` of the audit's tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "audit"))
