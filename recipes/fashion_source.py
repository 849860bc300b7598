"""A large source task, so that its network can serve a small one: Fashion-MNIST, trained from nothing.

Data      a folder with Fashion-MNIST's four IDX files (zalandoresearch/fashion-mnist)
Run       tfl run recipes/fashion_source.py --data FASHION_FOLDER --out runs/fashion
Reached   test accuracy 0.897 (seed 2, 191 s); with --strategy auto, which ends after two minutes, 0.830
Then      tfl run recipes/handwritten_digits.py --set backbone=runs/fashion/model.keras --set data.image_size=32,32
"""

import tfl

recipe = tfl.Recipe(
    name="fashion_source",
    data=tfl.Data("fashion_mnist", image_size=(32, 32), per_class=2000),
    backbone=tfl.Backbone("mini", weights=None),
    stages=(tfl.Stage("all", train="all", epochs=8, batch_size=128, learning_rate=2e-3, schedule="cosine", batchnorm="train"),),
    monitor=tfl.Monitor("val_accuracy", patience=None),
    export=(),
)
