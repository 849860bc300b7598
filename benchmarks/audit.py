"""What `tfl audit` finds of what was planted: precision and recall of each kind of defect.

Run       TFL_TEST_DATA=<folder of flowers/ and strawberry/> KERAS_HOME=<folder of weights> python benchmarks/audit.py --json
Sets      photos of flowers (five classes, 128 px) and of strawberry leaves (two classes, 256 px), some of each class, copied into
          train/, val/ and test/; photos that are already copies of each other (all pairs laid over each other at 64 px) are not
          taken. The seed decides everything else; see planted.py
Labels    in copies of more of these photos, where nothing else is wrong: 5% of each class are put into another class
Planted   of single files: unreadable (empty, text, cut short, broken header), mistyped, odd modes (CMYK, palette, alpha,
          16 bits), odd sizes, odd aspect ratios, EXIF rotation, dark, blank, blurred.
          Copies: exact within a class, into train (leak), into another class; encoded again or resized, within a class, into
          train, into another class; cropped by up to a fifth or mirrored. Groups torn between splits, by a CSV; a class folder
          with another spelling in test
Figures   recall: the share of what was planted that a finding of its kind names. Precision: the share of what such a finding
          names that was planted, as that kind or as another kind of copy; for copies both are of pairs. A photo that was dark
          from the start, or wrongly labelled, counts as a mistake. Labels: the share of the planted errors in the first tenth
          of the ranking of all images, over both sets and for each. Over all seeds
Scale     --scale N also audits N small drawn files (quick), and says how long it took and how much memory the process held
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from harness import document, figure, print_document
from planted import COPIERS, SPOILERS, Planted, plant, plant_wrong_labels, write_grouped

SETS = {"flowers": 160, "strawberry": 300}
LABEL_SETS = {"flowers": 500, "strawberry": 450}
EACH, WRONG = 12, 0.05
POOR = ("dark", "blank", "blurred")
REACH = {
    ("unreadable", "recall"): 1.0,
    ("unreadable", "precision"): 1.0,
    ("exact_duplicates", "recall"): 1.0,
    ("exact_duplicates", "precision"): 1.0,
    ("exact_leaks", "recall"): 1.0,
    ("exact_leaks", "precision"): 1.0,
    ("reencoded_or_resized", "recall"): 0.98,
    ("reencoded_or_resized", "precision"): 0.95,
    ("wrong_labels", "in the first tenth"): 0.6,
}
BACKBONES = {"mini": ("mini", {}, 96), "MobileNet": ("MobileNet", {"alpha": 0.75}, 224)}
Counts = dict[tuple[str, str], list[tuple[float, float]]]


def main() -> None:
    options = parse()
    rows, counts = [], {name: defaultdict(list) for name in options.backbones}
    for seed, (name, per_class) in itertools.product(range(options.seeds), options.sets.items()):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            planted = plant(options.photos / name, folder / "photos", per_class=per_class, each=options.each, seed=seed)
            labelled = plant_wrong_labels(
                options.photos / name, folder / "labels", per_class=options.label_sets[name], share=WRONG, seed=seed
            )
            for backbone in options.backbones:
                row = measure(planted, folder, backbone, seed, counts[backbone])
                row |= score_labels(labelled, name, backbone, seed, counts[backbone])
                rows.append({"set": name, "seed": seed, "backbone": backbone, **row})
                print(rows[-1], file=sys.stderr, flush=True)
    found = [one for backbone in options.backbones for one in figures_of(backbone, counts[backbone])]
    if options.scale:
        found += scale(options.scale)
    print_document(document("audit", found, rows), as_json=options.json)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the document, not a table")
    parser.add_argument("--photos", type=Path, default=os.environ.get("TFL_TEST_DATA"), help="the folder of the sets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--backbones", nargs="+", choices=list(BACKBONES), default=list(BACKBONES))
    parser.add_argument("--scale", type=int, default=0, metavar="N", help="also audit so many drawn files")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="only plant the first set of seed 0 there, to look at")
    parser.add_argument("--smoke", action="store_true", help="few photos and mini alone: shows that it works, measures nothing")
    options = parser.parse_args()
    if options.photos is None:
        parser.error("name the folder of the photos: --photos, or TFL_TEST_DATA")
    options.photos, options.sets, options.label_sets, options.each = Path(options.photos), SETS, LABEL_SETS, EACH
    if options.smoke:
        options.sets, options.label_sets, options.each, options.seeds = {"flowers": 60}, {"flowers": 60}, 3, 1
        options.backbones = ["mini"]
    if options.keep is not None:
        name, per_class = next(iter(options.sets.items()))
        plant(options.photos / name, options.keep, per_class=per_class, each=options.each, seed=0)
        raise SystemExit(0)
    return options


def measure(planted: Planted, scratch: Path, backbone: str, seed: int, counts: Counts) -> dict[str, Any]:
    """One audit; adds (right, of how many) to the counts of each kind and measure."""
    from tfl.audit.audit import audit_source

    recipe = recipe_of(planted, backbone, seed)
    began = time.perf_counter()
    found = audit_source(recipe, deep=True)
    seconds = time.perf_counter() - began
    score_files(planted, found, counts)
    score_copies(planted, found, counts)
    score_groups(planted, scratch, recipe, seed, counts)
    score_names(planted, scratch, recipe, counts)
    return {"files": planted.count, "seconds": round(seconds, 1), "steps": found.seconds}


def recipe_of(planted: Planted, backbone: str, seed: int) -> Any:
    import tfl

    name, arguments, side = BACKBONES[backbone]
    return tfl.Recipe(
        name="planted",
        data=tfl.Data(str(planted.folder), image_size=(side, side), on_bad="skip"),
        backbone=tfl.Backbone(name, arguments=arguments),
        seed=seed,
    )


def add(counts: Counts, kind: str, found: set[Any], planted: set[Any], *, right: set[Any] | None = None) -> None:
    """`right` is what a finding of the kind may name; the planted ones unless given."""
    counts[kind, "recall"].append((len(found & planted), len(planted)))
    counts[kind, "precision"].append((len(found & (planted if right is None else right)), len(found)))


def files_of(planted: Planted, found: Any, *kinds: str) -> set[str]:
    """The files of the findings of these kinds, below the folder."""
    names = {file for finding in found.findings if finding.kind in kinds for file in finding.files}
    return {os.path.relpath(name, planted.folder) for name in names}


def score_files(planted: Planted, found: Any, counts: Counts) -> None:
    from tfl.modalities.image.check import TROUBLES

    poor = {file for kind in POOR for file in planted.files[kind]}
    for kind in SPOILERS:
        named = files_of(planted, found, *(TROUBLES if kind == "unreadable" else (kind,)))
        add(counts, kind, named, set(planted.files[kind]), right=poor if kind in POOR else None)


def score_copies(planted: Planted, found: Any, counts: Counts) -> None:
    """By pairs: whatever else is wrong with a copy, a finding may name it beside its original."""
    all_pairs = {frozenset(pair) for pairs in planted.copies.values() for pair in pairs}
    kinds = {
        **{kind: kind for kind in COPIERS},
        "reencoded_or_resized": "near_duplicates",
        "cropped_or_mirrored": "near_duplicates",
    }
    for kind, finding_kind in kinds.items():
        named = pairs_of(planted, found, finding_kind)
        add(counts, kind, named, {frozenset(pair) for pair in planted.copies[kind]}, right=all_pairs)


def pairs_of(planted: Planted, found: Any, kind: str) -> set[frozenset[str]]:
    """Every two files of one set of a finding."""
    pairs = set()
    for finding in found.findings:
        if finding.kind == kind:
            for group in finding.groups:
                names = [os.path.relpath(finding.files[at], planted.folder) for at in group]
                pairs |= {frozenset(pair) for pair in itertools.combinations(names, 2)}
    return pairs


def score_labels(planted: Planted, name: str, backbone: str, seed: int, counts: Counts) -> dict[str, Any]:
    """The finding, and the whole ranking that it is the top of."""
    from tfl.audit.audit import audit_source

    found = audit_source(recipe_of(planted, backbone, seed), deep=True)
    wrong = set(planted.files["wrong_labels"])
    add(counts, "wrong_labels", files_of(planted, found, "likely_wrong_labels"), wrong)
    ranked = [os.path.relpath(file, planted.folder) for file in found.doubtful]
    first = set(ranked[: planted.count // 10])
    for kind in ("wrong_labels", f"wrong_labels of {name}"):
        counts[kind, "in the first tenth"].append((len(first & wrong), len(wrong)))
    costs = [finding.to_json()["cost"] for finding in found.findings if finding.cost is not None]
    return {"label_files": planted.count, "label_seconds": sum(found.seconds.values()), "label_cost": costs}


def score_groups(planted: Planted, scratch: Path, recipe: Any, seed: int, counts: Counts) -> None:
    table = scratch / "groups.csv"
    torn = write_grouped(planted, table, groups=20, torn=5, seed=seed)
    add(counts, "straddling_groups", _quick(recipe, table, "straddling_groups"), torn)


def score_names(planted: Planted, scratch: Path, recipe: Any, counts: Counts) -> None:
    """A class folder of the test split under another spelling."""
    other = scratch / "spelled"
    shutil.copytree(planted.folder / "train", other / "train")
    shutil.copytree(planted.folder / "test", other / "test")
    name = sorted(path.name for path in (other / "test").iterdir())[0]
    spelled = name.upper().replace("_", " ") + "_"
    (other / "test" / name).rename(other / "test" / spelled)
    files = {str(path) for path in (other / "test" / spelled).iterdir()}
    add(counts, "class_names_differ", _quick(recipe, other, "class_names_differ"), files)
    shutil.rmtree(other)


def _quick(recipe: Any, source: Path, kind: str) -> set[str]:
    import dataclasses

    from tfl.audit.audit import audit_source

    found = audit_source(dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, source=str(source))), deep=False)
    return {file for finding in found.findings if finding.kind == kind for file in finding.files}


def figures_of(backbone: str, counts: Counts) -> list[dict[str, Any]]:
    """Of each kind the share over all sets and seeds."""
    made = []
    for (kind, measure_), pairs in counts.items():
        right, of = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
        reach = REACH.get((kind, measure_))
        made.append(figure(f"{backbone}: {kind}, {measure_}", right / max(of, 1), "share", at_least=reach))
    return made


def scale(count: int) -> list[dict[str, Any]]:
    """Time and memory of a quick audit of many small files, in this process, which has done the other audits before."""
    import resource

    from PIL import Image

    import tfl
    from tfl.audit.audit import audit_source

    with tempfile.TemporaryDirectory() as scratch:
        rng = np.random.default_rng(0)
        for number in range(count):
            file = Path(scratch) / f"{number % 10}" / f"{number // 1000}" / f"{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            drawn = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
            Image.fromarray(drawn).resize((48, 48), Image.Resampling.BICUBIC).save(file, quality=80)
        recipe = tfl.Recipe(name="many", data=tfl.Data(scratch, image_size=(48, 48)), backbone=tfl.Backbone("mini"))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        found = audit_source(recipe, deep=False)
        seconds = time.perf_counter() - began
    print(found.seconds, file=sys.stderr)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return [
        figure(f"quick audit of {count:,} files", seconds, "s"),
        figure(f"memory at most, {count:,} files", peak / 2**20, "GB"),
        figure("memory before", before / 2**20, "GB"),
    ]


if __name__ == "__main__":
    main()
