"""The style of a picture: `tfl style` next to the photo and to matching its colours, evaluated by another network; and its speed.

Run       KERAS_HOME=<folder with ImageNet weights> [TFL_TEST_DATA=<folder with flowers/>] python benchmarks/style.py --json
              [--backbone TITLE] [--evaluator TITLE] [--steps 300] [--size 192] [--limit PAIRS] [--kept FILE]
Pairs     photos (`sample:leaf`, `sample:scene`, the first flower of each class) with paintings (`sample:waves`, `sample:mosaic`)
Sides     photo       as it is
          colours     mean and deviation of each colour those of the painting
          histogram   each colour with the histogram of the painting, as scikit-image's match_histograms
          tfl         `tfl style`, with its own choice of blocks
Counted   content and style loss of docs/style.md at blocks of `--evaluator`, which the optimisation did not see, chosen by the
          same measurement: style is 1 for the photo and 0 for the painting, content is 0 for the photo and 1 for a map without
          layout
Speed     seconds of a step at the same size with the same network and blocks, the better of rounds that take turns:
          example     as the Keras example does: photo, painting and picture through the network in every step, gradient and
                      loss in one tf.function, Adam outside
          eager       the same without tf.function
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

PAINTINGS = ("sample:waves", "sample:mosaic")
ROUNDS, TIMED = 3, 8


def photos() -> list[str]:
    """Two drawn ones, and a flower of each class where there are some."""
    root = os.environ.get("TFL_TEST_DATA")
    flowers = Path(root) / "flowers" if root else Path("none")
    found = [str(min(folder.glob("*.jpg"))) for folder in sorted(flowers.glob("*")) if any(folder.glob("*.jpg"))]
    return ["sample:leaf", "sample:scene", *found]


def with_histogram_of(photo: Any, painting: Any) -> Any:
    """Each colour of the photo mapped so that its distribution is that of the painting."""
    result = np.empty_like(photo)
    for channel in range(3):
        own = photo[..., channel].ravel()
        ranks = (np.argsort(np.argsort(own, kind="stable"), kind="stable") + 0.5) / own.size
        result[..., channel] = np.quantile(painting[..., channel], ranks).reshape(photo.shape[:2])
    return result


def measure_pair(photo_name: str, painting_name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The evaluated losses of every side on one pair."""
    import tfl
    from tfl.backbones.titles import parse_backbone
    from tfl.quiet import load_tensorflow

    load_tensorflow()
    from PIL import Image

    from tfl.styling.choose import chosen_content, chosen_style, measure_blocks, with_colours_of
    from tfl.styling.losses import Targets, mean_of
    from tfl.styling.network import block_network
    from tfl.styling.pictures import decoded, read_picture

    photo, painting = (decoded(read_picture(name), options.size) for name in (photo_name, painting_name))
    began = time.perf_counter()
    with quietly(), tempfile.TemporaryDirectory() as folder:
        done = tfl.style(
            photo_name, painting_name, Path(folder) / "out", backbone=options.backbone, size=options.size, steps=options.steps
        )
        result = np.asarray(Image.open(done.result), np.float32)
    seconds = time.perf_counter() - began
    evaluator = block_network(parse_backbone(options.evaluator), photo.shape[:2])
    measured = measure_blocks(evaluator, photo, painting)
    content, style = chosen_content(measured), chosen_style(measured)
    names = list(dict.fromkeys([*content, *style]))
    maps, of_painting = evaluator.up_to(names), evaluator.up_to(names, painting.shape[:2])
    targets = Targets.of(photo[None], maps(photo[None]), of_painting(painting[None]), content=list(content), style=list(style))
    sides = {
        "photo": photo,
        "colours": with_colours_of(photo, painting),
        "histogram": with_histogram_of(photo, painting),
        "tfl": result,
    }
    row: dict[str, Any] = {"pair": [Path(photo_name).name, painting_name], "seconds": seconds}
    for side, pixels in sides.items():
        losses = targets.losses(pixels[None], maps(pixels[None]))
        row[side] = {part: float(mean_of(losses, part)) for part in ("content", "style")}
    return row


def measure_speed(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a step of each side, in rounds that take turns."""
    from tfl.backbones.titles import parse_backbone
    from tfl.quiet import load_tensorflow

    load_tensorflow()
    import keras
    import tensorflow as tf

    from tfl.styling.choose import chosen_content, chosen_style, measure_blocks
    from tfl.styling.losses import Targets, total
    from tfl.styling.network import block_network
    from tfl.styling.optimise import Optimisation
    from tfl.styling.options import StyleOptions
    from tfl.styling.pictures import decoded, read_picture

    photo, painting = (decoded(read_picture(name), options.size) for name in ("sample:leaf", "sample:waves"))
    chosen = StyleOptions(backbone=parse_backbone(options.backbone))
    network = block_network(chosen.backbone, photo.shape[:2])
    measured = measure_blocks(network, photo, painting)
    content, style = list(chosen_content(measured)), list(chosen_style(measured))
    maps = network.up_to(list(dict.fromkeys([*content, *style])))
    targets = Targets.of(photo[None], maps(photo[None]), maps(painting[None]), content=content, style=style)
    job = Optimisation(maps, targets, photo[None], chosen)
    every = keras.Model(network.model.input, network.up_to([block.name for block in network.blocks]).outputs)
    names = sorted(block.name for block in network.blocks)  # Keras sorts a dictionary of outputs
    weights = {name: getattr(chosen, name) for name in ("content_weight", "style_weight", "variation_weight")}
    picture, optimizer = tf.Variable(photo[None]), keras.optimizers.Adam(chosen.learning_rate)

    def gradients() -> Any:
        with tf.GradientTape() as tape:
            found = dict(zip(names, every(tf.concat([photo[None], painting[None], picture], 0)), strict=True))
            own, other, now = ({name: value[at : at + 1] for name, value in found.items()} for at in range(3))
            losses = Targets.of(tf.constant(photo[None]), own, other, content=content, style=style).losses(picture, now)
            loss = total(losses, **weights)
        return tape.gradient(loss, picture)

    compiled = tf.function(gradients)

    def loop(function: Any) -> None:
        optimizer.apply_gradients([(function(), picture)])

    steps = {"tfl": job.step, "example": lambda: loop(compiled), "eager": lambda: loop(gradients)}
    best: dict[str, float] = {}
    for number in range(ROUNDS + 1):
        for side, step in steps.items():
            began = time.perf_counter()
            for _ in range(TIMED):
                step()
            seconds = (time.perf_counter() - began) / TIMED
            best[side] = min(best.get(side, np.inf), seconds) if number else np.inf  # the first round compiles
    return {"speed": best}


def figures_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the pairs, and ratios."""
    pairs, figures = [row for row in rows if "tfl" in row], []
    for side in ("photo", "colours", "histogram", "tfl") if pairs else ():
        for part in ("style", "content"):
            values = [row[side][part] for row in pairs]
            span = interval(values) if len(values) > 1 else None
            figures.append(
                figure(f"{part} loss by the other network: {side}", statistics.mean(values), "of the photo's", between=span)
            )
    if pairs:
        rivals = [min(row[side]["style"] for side in ("photo", "colours", "histogram")) for row in pairs]
        ratio = statistics.mean(row["tfl"]["style"] / rival for row, rival in zip(pairs, rivals, strict=True))
        figures.append(figure("style loss over that of the best rival of each pair", ratio, "ratio", at_most=0.75))
        figures.append(
            figure("content loss of tfl", statistics.mean(row["tfl"]["content"] for row in pairs), "relative", at_most=1)
        )
    for row in rows:
        for side, seconds in row.get("speed", {}).items():
            figures.append(figure(f"a step: {side}", seconds, "s"))
        if "speed" in row:
            best = row["speed"]
            figures.append(figure("example over tfl", best["example"] / best["tfl"], "ratio", at_least=1.5))
            figures.append(figure("eager over tfl", best["eager"] / best["tfl"], "ratio", at_least=2))
    return figures


def main() -> None:
    """Measures the pairs, then the speed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--backbone", default="MobileNet alpha=0.75", help="the network that is optimised against")
    parser.add_argument("--evaluator", default="MobileNetV2 alpha=0.35", help="the network that evaluates")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--limit", type=int, help="at most so many pairs")
    parser.add_argument("--kept", type=Path, help="keeps each result as a line of JSON, and goes on from there")
    options = parser.parse_args()
    rows = kept_rows(options.kept)
    done = {tuple(row.get("pair", ())) for row in rows}
    pairs = [(photo, painting) for photo in photos() for painting in PAINTINGS][: options.limit]
    for photo, painting in pairs:
        if (Path(photo).name, painting) not in done:
            rows.append(measure_pair(photo, painting, options))
            keep(options.kept, rows[-1])
    if not any("speed" in row for row in rows):
        rows.append(measure_speed(options))
        keep(options.kept, rows[-1])
    print_document(document("style", figures_of(rows), rows), as_json=options.json)


if __name__ == "__main__":
    main()
