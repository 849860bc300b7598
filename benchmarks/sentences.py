"""What the benchmarks on film reviews share: their options, the sentences, a table for tfl, and KerasHub's own classifier."""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tfl

CLASSES = ("negative", "positive")
LAYERS = 6
"""Transformer layers of the encoder."""
BATCH = 32
SMOKE_SENTENCES = 128

Sentences = list[tuple[str, int]]
"""Each with 0 for a negative and 1 for a positive review."""


def options_of(description: str | None, *, add: Callable[[Any], None] = lambda parser: None) -> argparse.Namespace:
    """The command line that these benchmarks have in common; `options.sst2` and `options.encoder` are folders."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--limit", type=int, help="train on so many sentences; default all")
    parser.add_argument("--smoke", action="store_true", help="a run of a minute that shows that it works, and measures nothing")
    add(parser)
    options = parser.parse_args()
    if options.smoke:
        options.limit = options.limit or SMOKE_SENTENCES
    options.sst2 = Path(os.environ.get("TFL_TEST_DATA", "")) / "sst2"
    options.encoder = Path(os.environ.get("TFL_TEST_TEXT", "/nonexistent"))
    if not options.sst2.is_dir():
        parser.error("set TFL_TEST_DATA to the folder that holds sst2/ (train.tsv, dev.tsv, test.tsv)")
    if not (options.encoder / "config.json").is_file():
        parser.error("set TFL_TEST_TEXT to the folder of a KerasHub preset: BERT architecture, six layers")
    return options


def read(file: Path, limit: int | None = None) -> Sentences:
    """The sentences of a table without a header; the first `limit` of each class in equal parts."""
    with open(file, newline="", encoding="utf-8") as handle:
        rows = [(text, int(label)) for text, label in csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)]
    if limit is None:
        return rows
    kept = [[row for row in rows if row[1] == label][: limit // len(CLASSES)] for label in range(len(CLASSES))]
    return [row for pair in zip(*kept, strict=False) for row in pair]


def write_table(table: Path, *, train: Sentences, val: Sentences, test: Sentences) -> Path:
    """A CSV source for tfl with these splits."""
    with open(table, "w", newline="", encoding="utf-8") as handle:
        rows = csv.writer(handle)
        rows.writerow(("text", "label", "split"))
        for split, sentences in (("train", train), ("val", val), ("test", test)):
            rows.writerows((text, CLASSES[label], split) for text, label in sentences)
    return table


def spared(held_out: Sentences) -> tuple[Sentences, Sentences]:
    """Held out sentences as a validation and a test split: tfl wants both, one sentence of each class tests."""
    first = [next(row for row in held_out if row[1] == label) for label in range(len(CLASSES))]
    return [row for row in held_out if row not in first], first


def recipe_of(
    table: Path,
    encoder: Path,
    *stages: tfl.Stage,
    head: tfl.Head | None = None,
    seed: int = 0,
    patience: int | None = None,
    engine: str = "keras",
) -> tfl.Recipe:
    """tfl's side: the encoder, a head on the mean over its tokens, every epoch run, nothing exported."""
    return tfl.Recipe(
        name="sentences",
        data=tfl.Data(str(table), input=tfl.Text()),
        backbone=tfl.Backbone(str(encoder)),
        head=head or tfl.Head(dropout=0.2),
        stages=stages,
        monitor=tfl.Monitor("val_accuracy", patience=patience),
        features=tfl.Features(engine=engine),  # type: ignore[arg-type]
        seed=seed,
        export=(),
    )


@dataclass
class Hub:
    """KerasHub's `BertTextClassifier` as its guide uses it: strings in, tokenised in the dataset, `fit`.

    Args:
        encoder: Folder of the preset.
        train, held_out: The sentences.
        length: Tokens that each text is padded or cut to.
        top: How many of the upper transformer layers train with the head; zero freezes the encoder.
        rate: Adam's.
        seconds, accuracies: Of every epoch so far, validation included; the first one holds the tracing.
    """

    encoder: Path
    train: Sentences
    held_out: Sentences
    length: int
    top: int = 0
    rate: float = 1e-3
    seconds: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        import keras
        import keras_hub

        keras.utils.set_random_seed(1)
        models = keras_hub.models
        preprocessor = models.BertTextClassifierPreprocessor.from_preset(str(self.encoder), sequence_length=self.length)
        backbone = models.BertBackbone.from_preset(str(self.encoder), dtype="float32")
        self.model = models.BertTextClassifier(backbone, num_classes=len(CLASSES), preprocessor=preprocessor)
        thaw(backbone, self.top)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(optimizer=keras.optimizers.Adam(self.rate), loss=loss, metrics=["accuracy"])

    def fit(self, epochs: int) -> None:
        """Goes on for so many epochs."""
        from keras_guide import epoch_clock

        done = len(self.seconds)
        fitted = self.model.fit(
            dataset_of(self.train, shuffle=True),
            validation_data=dataset_of(self.held_out),
            initial_epoch=done,
            epochs=done + epochs,
            callbacks=[epoch_clock(self.seconds)],
            verbose=0,
        )
        self.accuracies += fitted.history["val_accuracy"]


def thaw(backbone: Any, top: int) -> None:
    """The upper `top` transformer layers of a BertBackbone train, and the layers below do not."""
    backbone.trainable = top > 0
    names = [f"transformer_layer_{number}" for number in range(LAYERS - top, LAYERS)]
    for layer in backbone.layers:
        layer.trainable = layer.name in names or (top > 0 and layer.name == "pooled_dense")


def dataset_of(sentences: Sentences, *, shuffle: bool = False) -> Any:
    """Batches of (strings, labels)."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(([text for text, _ in sentences], [label for _, label in sentences]))
    if shuffle:
        dataset = dataset.shuffle(len(sentences), seed=1)
    return dataset.batch(BATCH)


def forward_pass(encoder: Path, sentences: Sequence[str], *, length: int) -> tuple[float, float]:
    """One plain pass to the last layer's tokens, as KerasHub does it: build, load, trace, tokenise, pad and compute.

    Returns:
        Seconds by the clock, and of the processor in all threads, which other jobs disturb less.
    """
    import keras_hub

    began, processor = time.perf_counter(), time.process_time()
    backbone = keras_hub.models.BertBackbone.from_preset(str(encoder), dtype="float32")
    preprocessor = keras_hub.models.BertTextClassifierPreprocessor.from_preset(str(encoder), sequence_length=length)
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(list(sentences)).batch(BATCH).map(preprocessor, num_parallel_calls=2)
    backbone.predict(dataset.prefetch(2), verbose=0)
    return time.perf_counter() - began, time.process_time() - processor


def tfidf_accuracy(train: Sentences, test: Sentences) -> float:
    """Accuracy on `test` of scikit-learn's logistic regression on TF-IDF of words, its penalty by cross-validation on `train`."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))
    model = GridSearchCV(pipeline, {"logisticregression__C": [0.3, 1, 3, 10, 30]})
    model.fit([text for text, _ in train], [label for _, label in train])
    return float(model.score([text for text, _ in test], [label for _, label in test]))
