"""Does a run that was killed end as one that was not? `kill -9` at random moments, `--resume`, and the hashes compared.

Run       python benchmarks/kill_resume.py --json
Job       400 scanned digits at 32 px on `mini`: audit, features, a head stage, a fine-tuning stage on augmented views, patience,
          checkpoints, SavedModel, report; one process of `tfl run`, in a new run folder with an empty feature store each time
Kills     at one random moment in each of 50 equal parts of the time that the whole job takes, in random order (seed 0); then
          `tfl run --resume` until it ends
Compared  every weight tensor of model.keras (SHA-256), metrics.json, history.csv, ledger.json and predictions.csv; times left out
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from harness import document, figure, print_document

MOST_RESUMES = 3


def recipe(*, smoke: bool) -> Any:
    """The job: every part of a run, in about ten seconds."""
    import tfl

    augment = tfl.Augment(flip="horizontal", rotate_deg=10.0, brightness=0.2)
    return tfl.Recipe(
        name="killed",
        data=tfl.Sample("digits", image_size=(32, 32), per_class=10 if smoke else 40),
        backbone=tfl.Backbone("mini"),
        head=tfl.Head(hidden=(32,), dropout=0.2),
        stages=(
            tfl.Stage("head", epochs=2 if smoke else 4, batch_size=16, learning_rate=3e-3, schedule="cosine"),
            tfl.Stage(
                "finetune",
                train=tfl.top_blocks(2),
                epochs=2 if smoke else 6,
                batch_size=16,
                learning_rate=1e-3,
                layer_decay=0.7,
                warmup_epochs=1.0,
                augment=augment,
                views=2,
                batchnorm="train",
            ),
        ),
        monitor=tfl.Monitor("val_accuracy", patience=3),
        features=tfl.Features(store="always"),  # not by a measurement, which could come out otherwise in another process
    )


class Job:
    """One run folder with a feature store of its own."""

    def __init__(self, base: Path, recipe_file: Path) -> None:
        self.run, self.recipe_file = base / "run", recipe_file
        self.environment = {**os.environ, "TFL_CACHE": str(base / "cache"), "TF_CPP_MIN_LOG_LEVEL": "3"}
        self.words = [sys.executable, "-m", "tfl.cli.main", "run", str(recipe_file), "--out", str(self.run)]

    def whole(self, *more: str) -> float:
        """Runs it to its end; the seconds that took."""
        began = time.perf_counter()
        done = subprocess.run([*self.words, *more], env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"The job failed with {done.returncode}: {done.stderr[-3000:]}")
        return time.perf_counter() - began

    def killed(self, after_s: float) -> bool:
        """Starts it and kills it after so many seconds; False where it ended before."""
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(self.words, env=self.environment, **quiet) as process:
            try:
                process.wait(after_s)
            except subprocess.TimeoutExpired:
                process.kill()
                return True
        return False

    def resumed(self) -> int:
        """Goes on until it ends; how often that took."""
        for times in range(1, MOST_RESUMES + 1):
            done = subprocess.run([*self.words, "--resume"], env=self.environment, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return times
            print(done.stderr[-2000:], file=sys.stderr, flush=True)
        return -1


def result_of(run: Path) -> dict[str, str]:
    """Hashes of what a run came to."""
    from tfl.evaluate.compare.identical import weight_hashes

    metrics = {key: value for key, value in json.loads((run / "metrics.json").read_text()).items() if key != "seconds"}
    rows = [
        {key: cell for key, cell in row.items() if key != "seconds"}
        for row in csv.DictReader(io.StringIO((run / "history.csv").read_text()))
    ]
    found = {
        "weights": weight_hashes(run / "model.keras"),
        "metrics": metrics,
        "history": rows,
        "ledger": json.loads((run / "ledger.json").read_text()),
        "predictions": (run / "predictions.csv").read_text(),
    }
    return {name: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest() for name, value in found.items()}


def phase_of(run: Path) -> str:
    """How far a run had come when it was killed."""
    if not (run / "manifest.json").is_file():
        return "data, or before"
    if json.loads((run / "manifest.json").read_text())["status"] == "done":
        return "report"
    done = json.loads((run / "seconds.json").read_text()) if (run / "seconds.json").is_file() else {}
    return next((step for step in ("features", "head", "finetune", "evaluate", "export", "report") if step not in done), "end")


def moments(kills: int, seconds: float, seed: int) -> list[float]:
    """A random moment in each of `kills` equal parts of the run, in random order."""
    draw = random.Random(seed)
    found = [(part + draw.random()) * seconds / kills for part in range(kills)]
    draw.shuffle(found)
    return found


def measure(kills: int, seed: int, *, smoke: bool, kept: Path | None, limit_s: float) -> list[dict[str, Any]]:
    """The reference twice, then a round a kill; rounds in the file `kept` are not measured again."""
    began = time.perf_counter()
    rounds: list[dict[str, Any]] = [json.loads(line) for line in kept.read_text().splitlines()] if kept and kept.exists() else []

    def add(row: dict[str, Any]) -> None:
        rounds.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
        if kept is not None:
            with kept.open("a") as file:
                file.write(json.dumps(row) + "\n")

    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        recipe_file = base / "killed.json"
        recipe_file.write_text(recipe(smoke=smoke).to_json())
        for number in range(sum(row["round"] == "reference" for row in rounds), 1 if smoke else 2):  # the job itself repeats
            job = Job(base / f"reference{number}", recipe_file)
            seconds, found = job.whole(), result_of(job.run)
            add(
                {
                    "round": "reference",
                    "seconds": round(seconds, 2),
                    "hashes": found,
                    **same(found, (rounds or [{}])[0].get("hashes", found)),
                }
            )
        references = [row for row in rounds if row["round"] == "reference"]
        for number, moment in enumerate(moments(kills, min(row["seconds"] for row in references), seed)):
            if all(row["round"] != number for row in rounds) and time.perf_counter() - began < limit_s:
                place = base / f"kill{number}"
                add({"round": number, **one_kill(place, recipe_file, moment, references[0]["hashes"])})
                shutil.rmtree(place)
    return rounds


def one_kill(base: Path, recipe_file: Path, moment: float, reference: dict[str, str]) -> dict[str, Any]:
    """Kills a job at a moment, goes on with it, and compares."""
    for attempt in range(5):  # a machine that is quicker than it was may be done before
        job = Job(base / str(attempt), recipe_file)
        if job.killed(moment * 0.9**attempt):
            break
    phase, left = phase_of(job.run), scratch_files(job.run)
    began = time.perf_counter()
    resumes = job.resumed()
    row = {"moment_s": round(moment * 0.9**attempt, 2), "phase": phase, "scratch_files_left": left, "resumes": resumes}
    row["seconds_to_go_on"] = round(time.perf_counter() - began, 2)
    return {
        **row,
        **same(result_of(job.run) if resumes > 0 else {}, reference),
        "scratch_files_at_the_end": scratch_files(job.run),
    }


def same(found: dict[str, str], reference: dict[str, str]) -> dict[str, bool]:
    """Which parts of a result are those of the reference."""
    return {f"same_{name}": found.get(name) == value for name, value in reference.items()}


def scratch_files(run: Path) -> int:
    """Half-written files that lie in a run folder, under names that nothing reads."""
    return sum(1 for path in run.rglob(".*") if ".tmp" in path.name or path.name.endswith(".old")) if run.is_dir() else 0


def figures_of(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How many of the killed runs ended the same."""
    references = [row for row in rounds if row["round"] == "reference"]
    kills = [row for row in rounds if row["round"] != "reference"]
    reach = len(kills)
    figures = [
        figure("kills", reach, "runs"),
        figure("ended with the same weights", sum(row["same_weights"] for row in kills), "runs", at_least=reach),
        figure("ended with the same metrics", sum(row["same_metrics"] for row in kills), "runs", at_least=reach),
    ]
    for name in ("history", "ledger", "predictions"):
        figures.append(figure(f"ended with the same {name}", sum(row[f"same_{name}"] for row in kills), "runs", at_least=reach))
    clean = sum(row["scratch_files_at_the_end"] == 0 for row in kills)
    figures.append(figure("left no half-written file", clean, "runs", at_least=reach))
    figures.append(figure("resumed at the first attempt", sum(row["resumes"] == 1 for row in kills), "runs", at_least=reach))
    figures.append(figure("the job, not killed", statistics.median(row["seconds"] for row in references), "s"))
    figures += [figure(f"killed in: {phase}", count, "runs") for phase, count in Counter(row["phase"] for row in kills).items()]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Killed runs that go on, compared with one that was not killed.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--smoke", action="store_true", help="two kills of a smaller job: does everything work?")
    parser.add_argument("--kept", type=Path, help="a file to keep measured rounds in: a stopped benchmark goes on from it")
    parser.add_argument("--limit", type=float, default=float("inf"), help="begin no round after so many seconds")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    arguments = parser.parse_args()
    kills = 2 if arguments.smoke else arguments.kills
    rounds = measure(kills, arguments.seed, smoke=arguments.smoke, kept=arguments.kept, limit_s=arguments.limit)
    print_document(document("kill_resume", figures_of(rounds), rounds), as_json=arguments.json)


if __name__ == "__main__":
    main()
