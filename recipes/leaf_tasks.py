"""Strawberry leaves: one photo, three answers: which disease, which other signs, and how much of the leaf is diseased.

Data      a sample that ships with tfl: leaves drawn; some targets of some leaves are missing.
          A table of your own (.csv, .parquet) with a column for each target with --data
Run       tfl run recipes/leaf_tasks.py
          tfl run recipes/leaf_tasks.py --data leaves.csv --set backbone=MobileNetV2 --set data.targets.severity.column=percent
Expected  on 63 test leaves, seed 0: disease 87.7% right together, 91.2% alone; signs 0.400 and 0.359 mean average precision;
          severity off by 7.7 and 7.8 points. No difference is shown (see `alone` in metrics.json)
"""

import tfl

recipe = tfl.Recipe(
    name="leaf_tasks",
    data=tfl.Sample(
        "leaf_tasks",
        image_size=(96, 96),
        targets={"disease": "class", "signs": "labels", "severity": "number"},
    ),
    backbone=tfl.Backbone("mini"),
    head=tfl.Head(loss_weights="uncertainty"),
    stages=(
        tfl.Stage("head", epochs=30, learning_rate=3e-3, multipliers={"loss_weights": 10.0}),
        tfl.Stage("finetune", train="top:2", epochs=15, learning_rate=5e-4, layer_decay=0.7, schedule="cosine", warmup_epochs=1),
    ),
    monitor=tfl.Monitor("val_loss", patience=5),
    each_alone=True,
)
