"""How old someone is: a face → a number of years.

Data      a sample that ships with tfl: faces drawn, no person in two splits; a table of your own with a path and an age in each
          row (.csv, .parquet) with --data, and a column `group` with the person where several photos show one
Run       tfl run recipes/age.py
          tfl run recipes/age.py --data faces.csv --set backbone=MobileNetV2
Reached   off by 7.0, 5.9 and 8.0 years in the mean on persons who did not train (seeds 0 to 2), of ages from 4 to 85;
          by 7.0, 6.3 and 6.1 with --strategy auto (seeds 2 to 4)
"""

import tfl

recipe = tfl.Recipe(
    name="age",
    task="regress",
    data=tfl.Sample("people", image_size=(96, 96), label_column="age"),
    backbone=tfl.Backbone("mini"),
    head=tfl.Head(dropout=0.2),
    stages=(
        tfl.Stage("head", train="head", epochs=30, learning_rate=3e-3),
        tfl.Stage(
            "finetune",
            train=tfl.top_blocks(4),
            epochs=20,
            learning_rate=5e-4,
            layer_decay=0.8,
            schedule="cosine",
            warmup_epochs=1,
            augment=tfl.Augment(flip="horizontal"),
        ),
    ),
    monitor=tfl.Monitor("val_mae", patience=6),
    export=("saved_model",),
)
