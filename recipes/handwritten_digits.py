"""Handwritten digits: ten labels per class, a backbone that saw another task.

Data      scanned digits (8×8 pixels, grey) that come with scikit-learn; ten training images per class
Run       tfl run recipes/handwritten_digits.py
          From a run of your own as the backbone, such as one on Fashion-MNIST (a folder with its four IDX files):
          tfl run recipes/fashion_source.py --data FASHION_FOLDER --out runs/fashion
          tfl run recipes/handwritten_digits.py --set backbone=runs/fashion/model.keras --set data.image_size=32,32
Reached   test accuracy 0.971 with --strategy auto (mean of seeds 2, 3 and 4)
"""

import tfl

recipe = tfl.Recipe(
    name="handwritten_digits",
    data=tfl.Sample("digits", image_size=(48, 48), train_per_class=10),
    backbone=tfl.Backbone("mini"),
    head=tfl.Head(dropout=0.2),
    stages=(
        tfl.Stage("head", train="head", epochs=40, learning_rate=3e-3),
        tfl.Stage(
            "finetune",
            train="all",
            epochs=40,
            batch_size=20,
            learning_rate=1e-3,
            layer_decay=0.9,
            schedule="cosine",
            augment=tfl.Augment(crop=0.8, rotate_deg=10.0),
        ),
    ),
    monitor=tfl.Monitor("val_accuracy", patience=10),
)
