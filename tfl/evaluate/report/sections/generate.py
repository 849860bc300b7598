"""The report's section on a language model: what it writes before and after, what is copied, and whose style it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfl.evaluate.predictions import Predictions
from tfl.evaluate.report.sections import Section
from tfl.evaluate.report.style import style_facts


def section(metrics: Mapping[str, Any], test: Predictions) -> Section:
    """What the report says of a language model; the continuations are in `style.json`, which `tfl.evaluate.report.page` reads.

    Args:
        metrics: `metrics.json`.
        test: The predictions on the test split.
    """
    return Section(facts={"style": style_facts(metrics.get("style_document") or {})})
