"""The figures of benchmarks' JSON documents as Markdown tables, for docs/performance.md.

Run       python benchmarks/as_markdown.py FILE.json ...
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

HOLDS = {True: "yes", False: "**no**", None: ""}


def table_of(document: dict[str, Any]) -> str:
    """The command, the machine, and a row a figure."""
    machine = document["machine"]
    about = ", ".join(f"{name} {value}" for name, value in machine.items()) if isinstance(machine, dict) else machine
    lines = [f"`{document['command']}` ({about})", "", "| figure | measured | reach | holds |", "|---|---|---|---|"]
    for row in document["figures"]:
        span = " [" + ", ".join(f"{edge:.3g}" for edge in row["interval"]) + "]" if "interval" in row else ""
        value = f"{row['value']:.4g} {row['unit']}{span}"
        lines.append(f"| {row['name']} | {value} | {row['reach'] or ''} | {HOLDS[row['holds']]} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    for file in parser.parse_args().files:
        print(table_of(json.loads(file.read_text(encoding="utf-8"))), end="\n\n")


if __name__ == "__main__":
    main()
