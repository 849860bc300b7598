"""Ten labelled leaves of each kind, and hundreds without labels: the network learns from those first.

Data      a sample that ships with tfl (drawn, not photographed); its other leaves, but for those that validate and test, are
          taken without their labels. A folder of class folders with --data, and one of any images with --set unlabelled
Run       tfl run recipes/unlabelled_first.py
          tfl run recipes/unlabelled_first.py --data leaves/ --set unlabelled=more_photos/ --set pretrain.minutes=10
Compare   tfl run recipes/unlabelled_first.py --set pretrain=none
Reached   on 120 test leaves 0.325, seed 0, where chance is 0.25: what was learned without labels was not used, since probes on
          the 40 labelled leaves do not show it to be better (0.25 before, 0.35 after, p = 0.23)
"""

import tfl

recipe = tfl.Recipe(
    name="unlabelled_first",
    data=tfl.Sample("strawberry", image_size=(48, 48), train_per_class=10),
    unlabelled=tfl.Unlabelled("sample:strawberry"),
    backbone=tfl.Backbone("mini", weights=None),
    pretrain=tfl.Pretrain(method="simclr", epochs=40, batch_size=64),
    head=tfl.Head(start="probe"),
    stages=(
        tfl.Stage("probe", epochs=0),
        tfl.Stage(
            "finetune",
            train=tfl.top_blocks(4),
            epochs=20,
            batch_size=16,
            learning_rate=3e-4,
            schedule="cosine",
            augment=tfl.Augment(flip="both", crop=0.7),
        ),
    ),
    monitor=tfl.Monitor("val_accuracy", patience=10),
    export=("saved_model",),
)
