"""Strawberry leaves by day with labels, by night without: a network that is right at night.

Data      samples that ship with tfl: leaves drawn, and others darkened, blurred and noisy; folders of your own with
          --data day/ --set target_data=night/
Run       tfl run recipes/leaves_at_night.py
          tfl run recipes/leaves_at_night.py --data day/ --set target_data=night/ --set adapt=coral
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
