"""What the benchmarks share: figures whose `holds` is computed, intervals over seeds, and the one document they print."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def figure(
    name: str,
    value: float,
    unit: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    between: Sequence[float] | None = None,
) -> dict[str, Any]:
    """One measured figure. With a reach, `holds` says whether it was reached; `between` is a 95% interval to show."""
    reach = f">= {at_least:g}" if at_least is not None else f"<= {at_most:g}" if at_most is not None else None
    holds = value >= at_least if at_least is not None else value <= at_most if at_most is not None else None
    row: dict[str, Any] = {"name": name, "value": round(float(value), 4), "unit": unit, "reach": reach}
    row["holds"] = None if holds is None else bool(holds)  # a NumPy one is no JSON
    return row if between is None else {**row, "interval": [round(float(edge), 4) for edge in between]}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95% interval of the mean by Student's t, which is what a handful of seeds allows."""
    from scipy.stats import t

    mean, count = statistics.mean(values), len(values)
    half = t.ppf(0.975, count - 1) * statistics.stdev(values) / math.sqrt(count)
    return mean - half, mean + half


def kept_rows(file: Path | None) -> list[dict[str, Any]]:
    """The results that were kept in a file, one JSON document per line; none where there is no file."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file and file.exists() else []


def keep(file: Path | None, row: dict[str, Any]) -> None:
    """Shows a result on standard error, and adds it to the file where there is one."""
    print(row, file=sys.stderr, flush=True)
    if file:
        with open(file, "a") as handle:
            handle.write(json.dumps(row, default=float) + "\n")


def document(benchmark: str, figures: list[dict[str, Any]], rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The document that every benchmark prints."""
    from importlib.metadata import version

    machine = {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "tensorflow": version("tensorflow"),
        "keras": version("keras"),
    }
    command = "python benchmarks/" + os.path.basename(sys.argv[0]) + "".join(f" {word}" for word in sys.argv[1:])
    return {"benchmark": benchmark, "command": command, "machine": machine, "figures": figures, "rounds": rounds}


def print_document(document_: dict[str, Any], *, as_json: bool) -> None:
    """JSON, or the same as a table."""
    if as_json:
        json.dump(document_, sys.stdout, indent=2)
        print()
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", "interval", "unit", "reach", "holds", title=document_["benchmark"])
    for row in document_["figures"]:
        span = " – ".join(f"{edge:.4g}" for edge in row.get("interval", ()))
        holds = {True: "yes", False: "NO", None: ""}[row["holds"]]
        table.add_row(row["name"], f"{row['value']:.4g}", span, row["unit"], row["reach"] or "", holds)
    Console(width=140).print(table)
