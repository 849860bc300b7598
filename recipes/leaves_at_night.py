"""Strawberry leaves by day with labels, by night without: a network that is right at night.

Data      samples that ship with tfl: leaves drawn, and others darkened, blurred and noisy; folders of your own with
          --data day/ --set target_data=night/
Run       tfl run recipes/leaves_at_night.py
          tfl run recipes/leaves_at_night.py --data day/ --set target_data=night/ --set adapt=coral
Reached   on 240 dark leaves 0.517, and without adaptation 0.429 (seed 0; all methods, with --set adapt.minutes=60 on a busy
          machine): a gain of 8.8 points, 95% interval 1.2 to 16.7
"""

import tfl

recipe = tfl.Recipe(
    name="leaves_at_night",
    data=tfl.Sample("strawberry", image_size=(96, 96)),
    target_data=tfl.Sample("strawberry_night"),
    backbone=tfl.Backbone("mini"),
    head=tfl.Head(start="probe"),
    stages=(tfl.Stage("probe", epochs=0),),
    adapt=tfl.Adapt(minutes=4),
)
