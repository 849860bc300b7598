"""Wavelet transforms beside log-mel spectrograms: a linear probe on what a frozen network makes of spoken digits.

Run       TFL_TEST_DATA=<folder with spoken_digits/> KERAS_HOME=<folder with ImageNet weights> python benchmarks/wavelets.py
              --json [--backbones mini MobileNet] [--seeds 3] [--limit N] [--kept FILE]
Data      Free Spoken Digit Dataset, WAV at 8 kHz, cut or padded to one second: test/ (300 clips), and of train/ 20 clips of each
          digit, drawn by the seed; --limit takes the first N of each digit of both alone
Networks  mini, and MobileNet alpha 0.75 with ImageNet weights; frozen, on pictures of 96 px
Pictures  mel, wavelet  64 bands or wavelets from 20 Hz to 4 kHz, the defaults of `tfl.Audio`; and both from 80 Hz, as most of a
          voice lies above
Probe     logistic regression on standardised features, its penalty by five folds of the training clips
Counted   accuracy on the test clips; the gain of wavelets over mel by network, with the 95% interval over seeds by Student's t
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import document, figure, interval, keep, kept_rows, print_document
from stage_times import quietly

EACH, RATE, SIZE = 20, 8000, (96, 96)
LOWEST = (20.0, 80.0)
ARGUMENTS: dict[str, dict[str, Any]] = {"mini": {}, "MobileNet": {"backbone.arguments": {"alpha": 0.75}}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the document, not a table")
    parser.add_argument("--data", type=Path, default=os.environ.get("TFL_TEST_DATA"), help="the folder with spoken_digits/")
    parser.add_argument("--backbones", nargs="+", choices=list(ARGUMENTS), default=list(ARGUMENTS), help="the frozen networks")
    parser.add_argument("--seeds", type=int, default=3, help="how many draws of training clips (default 3)")
    parser.add_argument("--limit", type=int, help="clips of each digit and split (default all)")
    parser.add_argument("--kept", type=Path, help="a file that keeps results, from which a killed benchmark goes on")
    options = parser.parse_args()
    if options.data is None or not (options.data / "spoken_digits").is_dir():
        parser.error("set TFL_TEST_DATA to the folder that holds spoken_digits/, or name it with --data")
    rows = kept_rows(options.kept)
    with quietly(), tempfile.TemporaryDirectory() as scratch:
        for backbone in options.backbones:
            for low in LOWEST:
                for transform in ("mel", "wavelet"):
                    about = {"backbone": backbone, "transform": transform, "low": low}
                    done = {row["seed"] for row in rows if about.items() <= row.items()}
                    if wanted := [seed for seed in range(options.seeds) if seed not in done]:
                        found, seconds = embedded(options.data / "spoken_digits", Path(scratch), options.limit, **about)
                        for seed in wanted:
                            rows.append({**about, "seed": seed, "seconds": seconds, "accuracy": probed(*found, seed)})
                            keep(options.kept, rows[-1])
    print_document(document("wavelets", figures_of(rows), rows), as_json=options.json)


def embedded(
    clips: Path, scratch: Path, limit: int | None, *, backbone: str, transform: str, low: float
) -> tuple[tuple[Any, Any, Any, Any], float]:
    """Features and digits of the training clips, and of the test clips; and the seconds that both took."""
    import tfl

    audio = tfl.Audio(transform=transform, sample_rate=RATE, seconds=1.0, low=low)
    settings = {"data.input": audio, "data.image_size": SIZE, **ARGUMENTS[backbone]}
    found: list[Any] = []
    began = time.perf_counter()
    for split in ("train", "test"):
        table = scratch / f"{split}.csv"
        files = [file for digit in sorted((clips / split).iterdir()) for file in sorted(digit.iterdir())[:limit]]
        table.write_text("path,label\n" + "".join(f"{file},{file.parent.name}\n" for file in files))
        index = tfl.embed(backbone, table, scratch / f"{backbone}-{transform}-{low:g}-{split}.npy", settings=settings)
        found += [np.asarray(index.vectors(), np.float64), np.array(index.rows.labels)]
    return (found[0], found[1], found[2], found[3]), round(time.perf_counter() - began, 1)


def probed(train: Any, labels: Any, test: Any, truth: Any, seed: int) -> float:
    """Test accuracy of a probe on some clips of each digit."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    draw = np.random.default_rng(seed)
    some = np.concatenate([draw.permutation(np.flatnonzero(labels == digit))[:EACH] for digit in np.unique(labels)])
    probe = make_pipeline(StandardScaler(), GridSearchCV(LogisticRegression(max_iter=500), {"C": np.logspace(-4, 0, 9)}, cv=5))
    return float(probe.fit(train[some], labels[some]).score(test, truth))


def figures_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds, and the gain of wavelets by network and lowest frequency."""
    found = []
    for backbone in dict.fromkeys(row["backbone"] for row in rows):
        scores: dict[tuple[str, float], dict[int, float]] = {}
        for row in rows:
            if row["backbone"] == backbone:
                scores.setdefault((row["transform"], row["low"]), {})[row["seed"]] = row["accuracy"]
        for (transform, low), by_seed in scores.items():
            name = f"{backbone}, {transform} from {low:g} Hz: test accuracy"
            found.append(_mean(name, list(by_seed.values())))
        for low in LOWEST:
            mel, wavelet = scores.get(("mel", low), {}), scores.get(("wavelet", low), {})
            if gains := [wavelet[seed] - mel[seed] for seed in mel if seed in wavelet]:
                name = f"{backbone}, from {low:g} Hz: gain of wavelets over mel"
                found.append(_mean(name, gains))
    return found


def _mean(name: str, values: list[float]) -> dict[str, Any]:
    return figure(name, statistics.mean(values), "share", between=interval(values) if len(values) > 1 else None)


if __name__ == "__main__":
    main()
