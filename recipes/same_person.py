"""The same person or not: a network learns to tell some people apart, and its vectors then compare people it has never seen.

Data      a sample that ships with tfl (drawn, not photographed): thirty persons, and ten others to compare; a folder for each
          person, or for each object, with --data
Run       tfl run recipes/same_person.py --out runs/people
Then      tfl embed runs/people sample:other_people --out others.npy   # people who did not train
          tfl verify others.npy --far 0.01                             # the threshold, and how often it is wrong
          tfl verify others.npy door.jpg badge.jpg
Reached   equal error rate on the ten others 5.3%, 7.0% and 6.5% (seeds 0 to 2); of `mini` as it is 20.1%
"""

import tfl

recipe = tfl.Recipe(
    name="same_person",
    data=tfl.Sample("people", image_size=(96, 96)),
    backbone=tfl.Backbone("mini"),
    head=tfl.Head(dropout=0.2),
    stages=(
        tfl.Stage("head", train="head", epochs=20, learning_rate=3e-3),
        tfl.Stage("finetune", train=tfl.top_blocks(4), epochs=25, learning_rate=1e-3, layer_decay=0.8, schedule="cosine"),
    ),
    monitor=tfl.Monitor("val_accuracy", patience=8),
    export=(),
)
