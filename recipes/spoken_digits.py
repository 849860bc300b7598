"""Spoken digits: one second of sound → which of several kinds.

Data      synthesised sounds that come with tfl (tones, glides, clicks, bursts); a folder of class folders of WAV, FLAC, MP3 or
          OGG files with --data, such as the Free Spoken Digit Dataset (8 kHz)
Run       tfl run recipes/spoken_digits.py
          tfl run recipes/spoken_digits.py --data FOLDER --set data.input.sample_rate=8000
Reached   test accuracy 0.906 on the synthesised sounds with --strategy auto (mean of seeds 2, 3 and 4)
"""

import tfl

recipe = tfl.Recipe(
    name="spoken_digits",
    data=tfl.Sample("sounds", image_size=(96, 96), input=tfl.Audio()),
    backbone=tfl.Backbone("mini"),
    head=tfl.Head(dropout=0.2),
    stages=(
        tfl.Stage("head", train="head", epochs=15, learning_rate=3e-3),
        tfl.Stage(
            "finetune",
            train="all",
            epochs=20,
            batch_size=32,
            learning_rate=2e-3,
            layer_decay=0.9,
            schedule="cosine",
            batchnorm="train",
            augment=tfl.AudioAugment(shift=0.1, time_masks=1, frequency_masks=1),
        ),
    ),
    monitor=tfl.Monitor("val_accuracy", patience=10),
    export=("saved_model",),
)
