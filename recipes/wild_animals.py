"""Wild animals: ten classes, few photos of each.

Data      a folder of class folders, one per species (the ten-monkeys set is laid out so, in training/ and validation/)
Run       tfl run recipes/wild_animals.py --data animals
          Without ImageNet weights at hand: --set backbone=mini --set data.image_size=96,96
Reached   not measured: the photos do not come with tfl
Notes     With few photos the lower blocks stay as they are, and unfreezing goes step by step from the top.
"""

import tfl

gentle = tfl.Augment(flip="horizontal", crop=0.7, rotate_deg=10.0, brightness=0.15, saturation=0.15)

recipe = tfl.Recipe(
    name="wild_animals",
    data=tfl.Data("animals", image_size=(224, 224), fit="crop"),
    backbone=tfl.Backbone("EfficientNetV2B0"),
    head=tfl.Head(dropout=0.3),
    stages=(
        tfl.Stage("head", train="head", epochs=30, learning_rate=1e-3, label_smoothing=0.1),
        tfl.Stage("top", train=tfl.top_blocks(2), epochs=10, learning_rate=3e-4, augment=gentle, views=4),
        tfl.Stage("more", train=tfl.top_blocks(6), epochs=10, learning_rate=1e-4, layer_decay=0.7, augment=gentle, views=4),
    ),
    monitor=tfl.Monitor("val_accuracy", patience=4),
)
