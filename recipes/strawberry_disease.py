"""Strawberry leaves: one photo → healthy or which disease.

Data      the sample that ships with tfl (drawn, not photographed); PlantVillage or your own folder with --data
Run       tfl run recipes/strawberry_disease.py
          tfl run recipes/strawberry_disease.py --data tfds:plant_village --set 'data.labels=Strawberry*' \
              --set backbone=MobileNetV2 --set data.image_size=224,224
"""

import tfl

recipe = tfl.Recipe(
    name="strawberry_disease",
    data=tfl.Sample("strawberry", image_size=(96, 96)),
    backbone=tfl.Backbone("mini"),
    head=tfl.Head(dropout=0.2),
    stages=(
        tfl.Stage("head", train="head", epochs=30, learning_rate=3e-3),
        tfl.Stage(
            "finetune",
            train=tfl.top_blocks(4),
            epochs=20,
            learning_rate=1e-3,
            layer_decay=0.8,
            schedule="cosine",
            augment=tfl.Augment(flip="both", rotate_deg=20.0, brightness=0.1),
            views=4,
        ),
    ),
    monitor=tfl.Monitor("val_accuracy", patience=6),
    export=("saved_model",),
)
