"""Chest X-rays: normal or pneumonia. Grey, imbalanced, two classes.

Data      a folder with train/, val/ and test/, each with one folder per class (Kermany et al. 2018 is laid out so)
Run       tfl run recipes/chest_xray.py --data chest_xray
          Without ImageNet weights at hand: --set backbone=mini --set data.image_size=96,96
Reached   not measured: the photos do not come with tfl
Notes     Class weights stand in for balance, macro-F1 decides what is best, and no image is flipped: hearts are on the left.
"""

import tfl

recipe = tfl.Recipe(
    name="chest_xray",
    data=tfl.Data("chest_xray", image_size=(224, 224), fit="pad"),
    backbone=tfl.Backbone("DenseNet121"),
    head=tfl.Head(dropout=0.3),
    stages=(
        tfl.Stage("head", train="head", epochs=20, learning_rate=1e-3),
        tfl.Stage(
            "finetune",
            train=tfl.top_blocks(3),
            epochs=10,
            learning_rate=1e-4,
            layer_decay=0.7,
            schedule="cosine",
            augment=tfl.Augment(crop=0.9, rotate_deg=5.0, brightness=0.1, contrast=0.1),
            views=4,
        ),
    ),
    monitor=tfl.Monitor("val_macro_f1", patience=5),
    class_weight="balanced",
)
