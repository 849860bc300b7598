"""Film reviews: one sentence → liked or not.

Data      templated sentences that come with tfl, in which negation and contrast decide more than single words; a table with
          a text and a label in each row, or a folder of class folders of .txt files, with --data
Run       tfl run recipes/reviews.py
          tfl run recipes/reviews.py --data reviews.csv --set backbone=bert_tiny_en_uncased --set stages.train.learning_rate=1e-4
Notes     `tiny` is a BERT of two layers without weights: with nothing downloaded it learns from nothing, and nothing is
          transferred: --strategy auto comes to 0.553 (seeds 2 to 4). A KerasHub preset, by name or as a folder, brings what it
          read before.
"""

import tfl

recipe = tfl.Recipe(
    name="reviews",
    data=tfl.Sample("reviews", input=tfl.Text()),
    backbone=tfl.Backbone("tiny", weights=None),
    head=tfl.Head(dropout=0.1),
    stages=(
        tfl.Stage(
            "train",
            train="all",
            epochs=30,
            learning_rate=1e-3,
            optimizer="adamw",
            weight_decay=0.01,
            schedule="cosine",
            warmup_epochs=1.0,
        ),
    ),
    monitor=tfl.Monitor("val_accuracy", patience=10),
)
