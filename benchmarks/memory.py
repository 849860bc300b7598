"""Peak memory and disk of a stage at 5,000 and at 50,000 images.

Run       python benchmarks/memory.py --json
Images    JPEG of 96 px, drawn from noise by a seed; MobileNetV2 alpha 0.35 with random weights: nothing has to be there
Cases     head      a head, with tfl's limit as it is: features up to 64 MB stay in memory
          streamed  the same with a limit of 8 MB, so that both sizes are far above it
          maps      from block 6 up, with a limit of 8 MB: the maps are read from the disk while it trains
Method    each case and size in a process of its own: listing, audit, network, features, two epochs. Peak resident memory is the
          kernel's (`ru_maxrss`); how much of it was anonymous and how much were mapped files is sampled every 20 ms from
          /proc/self/status. Disk is the feature store
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from harness import document, figure, print_document

CASES = {"head": ("head", None), "streamed": ("head", 8), "maps": ("top:12", 8)}
"""What trains, and the limit in megabytes."""
SIZES, SMOKE_SIZES = (5_000, 50_000), (200, 2_000)
SIDE, CLASSES = 96, 5


def draw_images(folder: Path, count: int) -> Path:
    """`count` different JPEGs in class folders, each a coarse pattern in a colour of its class."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / f"class{label}").mkdir(parents=True)
    for number in range(count):
        label = number % CLASSES
        coarse = rng.integers(0, 128, (6, 6, 3), np.uint8)
        coarse[..., label % 3] += 40 * (1 + label // 3)
        Image.fromarray(coarse).resize((SIDE, SIDE)).save(folder / f"class{label}" / f"{number:06}.jpg", quality=80)
    return folder


class Sampler(threading.Thread):
    """The peaks of resident memory by kind, in kilobytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peaks: dict[str, int] = {}

    def run(self) -> None:
        while True:
            for line in Path("/proc/self/status").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name in ("VmRSS", "RssAnon", "RssFile", "RssShmem"):
                    self.peaks[name] = max(self.peaks.get(name, 0), int(rest.split()[0]))
            time.sleep(0.02)


def child(case: str, photos: Path, scratch: Path) -> dict[str, Any]:
    """One stage in this process, and what it took."""
    import resource

    sampler = Sampler()
    sampler.start()
    import tensorflow  # noqa: F401  (its share is reported on its own)
    from stage_times import run_stage

    import tfl

    imported = dict(sampler.peaks)
    train, limit_mb = CASES[case]
    if limit_mb is not None:
        lower_limits(limit_mb * 2**20)
    recipe = tfl.Recipe(
        name="memory",
        data=tfl.Data(str(photos), image_size=(SIDE, SIDE), validation=0.1, test=0.01),
        backbone=tfl.Backbone("MobileNetV2", weights=None, arguments={"alpha": 0.35}),
        stages=(tfl.Stage("stage", train=train, epochs=2),),
        monitor=tfl.Monitor("val_accuracy", patience=None),
        features=tfl.Features(store="always"),
        export=(),
    )
    times = run_stage(recipe, scratch / "run")
    stored = sum(file.stat().st_size for file in Path(os.environ["TFL_CACHE"]).rglob("*") if file.is_file())
    return {
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "after_import_mb": round(imported.get("VmRSS", 0) / 1024, 1),
        **{f"{name}_mb": round(value / 1024, 1) for name, value in sampler.peaks.items()},
        "disk_mb": round(stored / 2**20, 1),
        "seconds": round(times.total, 1),
        "notices": times.notices,
    }


def lower_limits(limit_bytes: int) -> None:
    """Sets tfl's limit for the features that it holds in memory, for this process."""
    import tfl.train.batches

    tfl.train.batches.HOLD_BYTES = limit_bytes


def measure(case: str, count: int, photos: Path) -> dict[str, Any]:
    """A case at a size, in a process of its own with a store of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, __file__, "--child", case, str(photos), scratch]
        environment = {**os.environ, "TFL_CACHE": f"{scratch}/store", "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return {"case": case, "images": count, **json.loads(done.stdout.splitlines()[-1])}


def figures_of(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every peak, and how much the largest size is above the smallest."""
    found = []
    for case in dict.fromkeys(row["case"] for row in rounds):
        rows = sorted((row for row in rounds if row["case"] == case), key=lambda row: row["images"])
        for row in rows:
            label = f"{case}, {row['images']:,} images"
            found.append(figure(f"{label}: peak resident", row["peak_mb"], "MB"))
            found.append(figure(f"{label}: of that anonymous", row["RssAnon_mb"], "MB"))
            found.append(figure(f"{label}: of that mapped files", row["RssFile_mb"], "MB"))
            found.append(figure(f"{label}: store on disk", row["disk_mb"], "MB"))
        if len(rows) > 1:
            growth = rows[-1]["peak_mb"] / rows[0]["peak_mb"]
            times = rows[-1]["images"] / rows[0]["images"]
            found.append(
                figure(f"{case}: peak at {times:g} times the images, over the peak at once", growth, "ratio", at_most=1.1)
            )
    return found


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        case, photos, scratch = sys.argv[2:]
        print(json.dumps(child(case, Path(photos), Path(scratch))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--sizes", type=int, nargs="+", help=f"numbers of images (default {' '.join(map(str, SIZES))})")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--smoke", action="store_true", help="small sizes that show that it works, and measure nothing")
    options = parser.parse_args()
    sizes = options.sizes or (SMOKE_SIZES if options.smoke else SIZES)
    rounds = []
    for count in sizes:
        with tempfile.TemporaryDirectory() as folder:
            photos = draw_images(Path(folder) / "photos", count)
            for case in options.cases:
                rounds.append(measure(case, count, photos))
                print(rounds[-1], file=sys.stderr, flush=True)
    print_document(document("memory", figures_of(rounds), rounds), as_json=options.json)


if __name__ == "__main__":
    main()
