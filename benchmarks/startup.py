"""What a person waits for: `tfl --help`, `tfl backbones`, and the first training step of a recipe.

Run       python benchmarks/startup.py --json
Commands  each in a process of its own, by the wall clock, from start to exit; the median of the rounds, in which they take turns
          python         an interpreter that does nothing, for comparison
          tensorflow     an interpreter that imports TensorFlow and Keras, for comparison
First step  `tfl run recipes/strawberry_disease.py` (the sample and the network ship with tfl), from the start of the process
          until the first steps of the head are done: import, data, audit, network, features from an empty store, tracing. Once
          more with the store of the run before
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import document, figure, print_document

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {
    "python": [sys.executable, "-c", "pass"],
    "tfl --help": [sys.executable, "-m", "tfl.cli.main", "--help"],
    "tfl backbones": [sys.executable, "-m", "tfl.cli.main", "backbones"],
    "tensorflow": [sys.executable, "-c", "import tensorflow, keras"],
}
REACH = {"tfl --help": 0.4}
STEP = "FIRST STEP DONE"


def installed() -> dict[str, list[str]]:
    """The commands, with `tfl` itself where it is installed beside the interpreter, as a person starts it."""
    script = Path(sys.executable).with_name("tfl")
    if not script.is_file():
        return COMMANDS
    return {name: [str(script), *words[3:]] if name.startswith("tfl") else words for name, words in COMMANDS.items()}


def seconds_of(command: list[str]) -> float:
    """From start to exit."""
    began = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - began


def seconds_to_first_step(recipe: Path, cache: Path, *, smoke: bool) -> float:
    """From the start of a process that runs the recipe until its first training steps are done; then it is ended."""
    with tempfile.TemporaryDirectory() as out:
        words = [sys.executable, __file__, "--until-first-step", str(recipe), "--out", f"{out}/run"] + ["--smoke"] * smoke
        began = time.perf_counter()
        environment = {**os.environ, "TFL_CACHE": str(cache)}
        with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
            assert child.stdout is not None  # noqa: S101
            for line in child.stdout:
                if line.strip() == STEP:
                    return time.perf_counter() - began
    raise SystemExit(f"The process ended before its first step: {' '.join(words)}")


def run_until_first_step(recipe: str, out: str, *, smoke: bool) -> None:
    """In the child: `run_recipe` as `tfl run` calls it, ended after the first steps."""
    from tfl.job import run_recipe
    from tfl.recipe import load_recipe
    from tfl.train.loop import Loop

    passes = Loop._passes

    def first(self: Loop, epoch: Any) -> Any:
        for sums in passes(self, epoch):
            print(STEP, flush=True)
            os._exit(0)
            yield sums

    Loop._passes = first  # type: ignore[method-assign]
    loaded = load_recipe(recipe)
    run_recipe(loaded.smoke() if smoke else loaded, out=out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--rounds", type=int, default=11, help="how often each command is started (default 11)")
    parser.add_argument("--smoke", action="store_true", help="one round, few images: shows that it works, measures nothing")
    parser.add_argument("--until-first-step", metavar="RECIPE", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.until_first_step:
        run_until_first_step(options.until_first_step, options.out, smoke=options.smoke)
        return
    rounds: list[dict[str, Any]] = []
    recipe = ROOT / "recipes" / "strawberry_disease.py"
    count = 1 if options.smoke else options.rounds
    for number in range(count):
        row: dict[str, Any] = {"round": number, **{name: round(seconds_of(words), 4) for name, words in installed().items()}}
        if number < max(1, count // 3):  # a longer one: a third as often
            with tempfile.TemporaryDirectory() as cache:
                for name in ("first step, empty store", "first step, filled store"):
                    row[name] = round(seconds_to_first_step(recipe, Path(cache), smoke=options.smoke), 3)
        rounds.append(row)
    names = dict.fromkeys(name for row in rounds for name in row if name != "round")
    medians = {name: statistics.median(row[name] for row in rounds if name in row) for name in names}
    figures = [figure(name, value, "s", at_most=REACH.get(name)) for name, value in medians.items()]
    print_document(document("startup", figures, rounds), as_json=options.json)


if __name__ == "__main__":
    main()
