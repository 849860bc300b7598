"""Film reviews in a rare language: few labels in Esperanto, many in English, and an encoder that has read both.

Data      templated sentences that come with tfl, of which 20 of each class train; a table with a text and a label in each row
          with --data. Labelled texts in another language with --set extra_data=SOURCE: those that help train too
Run       tfl run recipes/rare_language.py
          tfl run recipes/rare_language.py --data esperanto.csv --set backbone=FOLDER --set extra_data=english.csv \\
              --set stages.train.learning_rate=2e-5
Reached   with --strategy auto 0.489, which is chance (mean of seeds 2, 3 and 4): `tiny` has read nothing
Notes     FOLDER is a KerasHub preset of a multilingual encoder, such as xlm_roberta_base_multi. With nothing downloaded the
          recipe takes `tiny`, a BERT of two layers without weights that has read nothing, so nothing is transferred.
"""

import tfl

recipe = tfl.Recipe(
    name="rare_language",
    data=tfl.Sample("reviews_esperanto", input=tfl.Text(), train_per_class=20),
    backbone=tfl.Backbone("tiny", weights=None),
    head=tfl.Head(dropout=0.1),
    stages=(
        tfl.Stage(
            "train",
            train="all",
            epochs=30,
            batch_size=16,
            learning_rate=1e-3,
            optimizer="adamw",
            weight_decay=0.01,
            schedule="cosine",
            warmup_epochs=1.0,
        ),
    ),
    monitor=tfl.Monitor("val_accuracy", patience=10),
    export=(),
)
