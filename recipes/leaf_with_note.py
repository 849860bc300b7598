"""What to do about a sick strawberry plant: a photo of a leaf, a note, and two columns of a table, joined.

Data      a sample that ships with tfl: leaves drawn, notes templated; the photo shows what the leaf has, the note or the column
          `days_to_harvest` how near the harvest is, and neither decides alone. A table of your own (.csv, .parquet) with --data
Run       tfl run recipes/leaf_with_note.py
          tfl run recipes/leaf_with_note.py --data plants.csv --set backbone.photo=MobileNetV2 \
              --set backbone.note=bert_tiny_en_uncased --set data.inputs.plot.columns=age,bed
Reached   test accuracy 0.872 on 60 drawn leaves (mean of seeds 2, 3 and 4: 0.883, 0.883, 0.850); --strategy auto takes one input
"""

import tfl

recipe = tfl.Recipe(
    name="leaf_with_note",
    data=tfl.Sample(
        "leaves_with_notes",
        inputs={
            "photo": tfl.Image(size=(96, 96)),
            "note": tfl.Text(),
            "plot": tfl.Table(columns=("days_to_harvest", "bed")),
        },
    ),
    backbone={"photo": tfl.Backbone("mini"), "note": tfl.Backbone("tiny", weights=None)},
    head=tfl.Head(start="probe"),
    stages=(
        tfl.Stage("head", train="head", epochs=20, learning_rate=1e-3),
        tfl.Stage("finetune", train="photo.top:2,note.all", epochs=30, learning_rate=1e-3, schedule="cosine", warmup_epochs=2),
    ),
    monitor=tfl.Monitor("val_accuracy", patience=10),
)
