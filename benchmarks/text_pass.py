"""One pass of a text encoder over all sentences: rows grouped by length beside rows padded to 64 tokens, by each engine.

Run       TFL_TEST_DATA=<folder with sst2/> python benchmarks/text_pass.py --encoder <preset folder> --json
Network   a KerasHub encoder in float32 up to its last layer; the vectors of all tokens, and their mean over the mask
Sides     padded   every batch of 32 rows has 64 tokens, in the order of the files
          grouped  batches of 32 rows of similar length, the longest first, cut to a multiple of 8 tokens
          exact    the same, cut to the longest row of each batch
Engines   keras     the Keras network in one `tf.function`
          constant  the same graph with its weights as constants, folded (`tfl.model.forward`)
          openvino  OpenVINO in float32 with a free length, and in bfloat16 where the processor has it
Counted   tokenising, grouping, the pass, putting the rows in order again. Not counted: importing, loading, tracing or compiling,
          which each side does in a pass over a few batches of every length before the clock starts
Order     every side once in each round; the median over the rounds of each side's ratio to the padded Keras pass of its round,
          in seconds and in processor time, which other processes on the machine do not lengthen
Equal     the largest difference of any token's vector (padding counts as zeros) and of any mean vector to the padded Keras pass
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import document, figure, print_document

LENGTH, BATCH = 64, 32
REACH, BOUND = 2.5, 1e-4
LAYOUTS = ("padded", "grouped", "exact")


def main() -> None:
    options = options_of()
    measured = Measured(options)
    for number in range(options.rounds):
        measured.run(number)
    print_document(document("text_pass", measured.figures(), measured.rounds), as_json=options.json)


def options_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", help="preset folder or name; defaults to text/minilm_l6 next to the folder of the data")
    parser.add_argument("--limit", type=int, help="at most so many sentences")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.data = Path(os.environ.get("TFL_TEST_DATA", "."))
    options.encoder = options.encoder or str(options.data.parent / "text" / "minilm_l6")
    return options


class Measured:
    """The rounds of all sides."""

    def __init__(self, options: argparse.Namespace) -> None:
        import tfl
        from tfl.modalities.text.network import build_backbone
        from tfl.modalities.text.tokenise import tokenise_of

        self.texts = sentences(options.data / "sst2", options.limit)
        self.tokenise = tokenise_of(options.encoder)
        self.network = build_backbone(tfl.Backbone(options.encoder))
        self.names = [one.name for one in self.network.inputs]
        self.sides = {f"{engine} {layout}": (forward, layout) for engine, forward, layout in self._engines()}
        self.rounds: list[dict[str, Any]] = []
        self.reference: Any = None
        self.differences: dict[str, list[float]] = {}
        for forward, layout in self.sides.values():
            self.warm_up(forward, layout)

    def _engines(self) -> list[tuple[str, Callable[[Any], Any], str]]:
        from tfl.features.openvino_engine import Converted, openvino_version
        from tfl.model.forward import constant_forward

        own, constant = graph_of(self.network), constant_forward(self.network)
        folded: Callable[[Any], Any] = lambda tensors: constant(tensors)[0].numpy()  # noqa: E731
        found = [(name, run, layout) for name, run in (("keras", own), ("constant", folded)) for layout in LAYOUTS]
        if openvino_version() is not None:
            converted = Converted(self.network)
            for precision in converted.precisions:
                run = first_of(converted.engine(precision))
                found += [(f"openvino {precision}", run, layout) for layout in ("grouped", "exact")]
        return found

    def warm_up(self, forward: Callable[[Any], Any], layout: str) -> None:
        """A batch of every length that the pass has."""
        import numpy as np

        for length in {"padded": (LENGTH,), "grouped": range(8, LENGTH + 1, 8), "exact": range(3, LENGTH + 1)}[layout]:
            tensors = {name: np.ones((BATCH, length), np.int32) for name in self.names}
            tensors["segment_ids" if "segment_ids" in self.names else "padding_mask"][:] = "segment_ids" not in self.names
            forward(tensors)

    def run(self, number: int) -> None:
        """Every side once."""
        row: dict[str, Any] = {"round": number, "seconds": {}, "processor": {}}
        for name, (forward, layout) in self.sides.items():
            began, worked = time.perf_counter(), time.process_time()
            tokens, means = self.one_pass(forward, layout)
            row["seconds"][name] = round(time.perf_counter() - began, 3)
            row["processor"][name] = round(time.process_time() - worked, 3)
            if self.reference is None:
                self.reference = tokens, means
            if number == 0:
                pairs = zip((tokens, means), self.reference, strict=True)
                self.differences[name] = [float(abs(found - expected).max()) for found, expected in pairs]
        self.rounds.append(row)

    def one_pass(self, forward: Callable[[Any], Any], layout: str) -> tuple[Any, Any]:
        """The vectors of all tokens, `(texts, 64, width)` with zeros at padding, and their means, `(texts, width)`."""
        import numpy as np
        import tensorflow as tf

        from tfl.modalities.text.length import length_groups, padded_length

        parts = [self.tokenise(tf.constant(self.texts[at : at + 1024]), LENGTH) for at in range(0, len(self.texts), 1024)]
        tensors = {name: np.concatenate([part[name].numpy() for part in parts]) for name in self.names}
        used = tensors["padding_mask"].sum(1)
        order = np.arange(len(self.texts))
        groups = (
            length_groups(used, BATCH) if layout != "padded" else [order[at : at + BATCH] for at in range(0, len(order), BATCH)]
        )
        tokens = np.zeros((len(self.texts), LENGTH, self.network.output_shape[-1]), np.float32)
        means = np.zeros((len(self.texts), tokens.shape[-1]), np.float32)
        for rows in groups:
            exact = int(used[rows].max())
            length = {"padded": LENGTH, "grouped": padded_length(used[rows], most=LENGTH), "exact": exact}[layout]
            batch = {name: values[rows, :length] for name, values in tensors.items()}
            mask = batch["padding_mask"][..., None].astype(np.float32)
            found = np.asarray(forward(batch)) * mask
            tokens[rows, :length] = found
            means[rows] = found.sum(1) / mask.sum(1)
        return tokens, means

    def figures(self) -> list[dict[str, Any]]:
        """Seconds and ratios of each side, and how equal it is."""
        found = []
        for name in self.sides:
            bound = None if "bfloat16" in name else 1e6 * BOUND
            token, mean = self.differences[name]
            found += [
                figure(name, statistics.median(row["seconds"][name] for row in self.rounds), "s"),
                figure(f"{name}, over the padded Keras pass", self._ratio(name, "seconds"), "ratio"),
                figure(f"{name}, over the padded Keras pass, processor time", self._ratio(name, "processor"), "ratio"),
                figure(f"{name}, largest difference of a token's vector", 1e6 * token, "millionths", at_most=bound),
                figure(f"{name}, largest difference of a mean vector", 1e6 * mean, "millionths", at_most=bound),
            ]
        float32 = [name for name in self.sides if "bfloat16" not in name]
        for kind, words in (("seconds", ""), ("processor", ", processor time")):
            fastest = min(float32, key=lambda name: self._ratio(name, kind))
            title = f"padded Keras pass over the fastest in float32{words} ({fastest})"
            found.append(figure(title, 1 / self._ratio(fastest, kind), "times", at_least=REACH))
        return found

    def _ratio(self, name: str, kind: str) -> float:
        return statistics.median(row[kind][name] / row[kind]["keras padded"] for row in self.rounds)


def sentences(folder: Path, limit: int | None) -> list[bytes]:
    """All sentences of the three splits, in the order of the files."""
    lines = [line for name in ("train", "dev", "test") for line in (folder / f"{name}.tsv").read_text("utf-8").splitlines()]
    return [line.rsplit("\t", 1)[0].encode() for line in lines][:limit]


def graph_of(network: Any) -> Callable[[Any], Any]:
    """The network as a function of a batch of arrays by name, traced once for every length."""
    import tensorflow as tf

    specs = {one.name: tf.TensorSpec((None, None), "int32") for one in network.inputs}
    traced = tf.function(lambda given: network(given, training=False), input_signature=[specs], autograph=False)
    return lambda tensors: traced({name: tf.constant(value) for name, value in tensors.items()}).numpy()


def first_of(engine: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The first output of an engine."""
    return lambda tensors: engine(tensors)[0]


if __name__ == "__main__":
    main()
