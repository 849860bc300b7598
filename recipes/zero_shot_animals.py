"""Animals that no training image shows: named by their attributes, striped, spotted, with horns, with wings and so on.

Data      a sample that ships with tfl (drawn, not photographed): ten kinds are trained on, four others are only described.
          Folders of your own, with a table of attributes (.csv: one class per row, one column per attribute, values 0 to 1)
Run       tfl run recipes/zero_shot_animals.py
          tfl run recipes/zero_shot_animals.py --data seen/ --set unseen_data=unseen/ --set zero_shot=attributes.csv
Then      tfl predict RUN photo.png --classes attributes.csv
"""

import tfl

SEEN = {
    "horse": ("orange", "long_legs", "long_tail"),
    "tiger": ("striped", "orange", "long_tail"),
    "leopard": ("spotted", "orange", "long_tail"),
    "giraffe": ("spotted", "orange", "long_neck", "long_legs", "horns"),
    "goat": ("horns",),
    "bat": ("dark", "wings"),
    "bee": ("striped", "orange", "wings"),
    "ostrich": ("dark", "long_neck", "long_legs", "wings"),
    "cat": ("dark", "long_tail"),
    "cow": ("spotted", "horns"),
}
UNSEEN = {
    "zebra": ("striped", "long_legs", "long_tail"),
    "swan": ("long_neck", "wings"),
    "bull": ("dark", "horns"),
    "butterfly": ("spotted", "orange", "wings"),
}

recipe = tfl.Recipe(
    name="zero_shot_animals",
    data=tfl.Sample("animals", image_size=(96, 96), labels=tuple(SEEN)),
    unseen_data=tfl.Sample("animals", labels=tuple(UNSEEN)),
    zero_shot=tfl.ZeroShot({**SEEN, **UNSEEN}),
    backbone=tfl.Backbone("mini"),
    head=tfl.Head(start="probe"),
    stages=(tfl.Stage("probe", epochs=0),),
    monitor=tfl.Monitor("val_accuracy", patience=5),
    export=("saved_model",),
)
