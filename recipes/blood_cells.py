"""Blood cells in a picture: a box around each, and which of three kinds it is.

Data      a sample that ships with tfl: cells drawn; pictures of your own with boxes with --data: a folder in the form of Pascal
          VOC, a COCO file, or a table with the columns image, xmin, ymin, xmax, ymax, class
Run       tfl run recipes/blood_cells.py
          tfl run recipes/blood_cells.py --data blood_cells --set data.image_size=288,384 --set backbone=MobileNet
              --set backbone.arguments.alpha=0.75
          tfl evaluate runs/blood_cells/TIME --data sample:cells_dark    (the same cells with little light, told apart)
Reached   on 40 test pictures of the sample (seed 0) mAP@50 0.911 (95% interval 0.878 to 0.944), mAP@50:95 0.647; with little
          light 0.335. On 72 test photos of the second command 0.881 and 0.497; see docs/detection.md
"""

import tfl

recipe = tfl.Recipe(
    name="blood_cells",
    task="detect",
    data=tfl.Sample("cells", image_size=(128, 128)),
    backbone=tfl.Backbone("mini"),
    head=tfl.Head(hidden=(128, 128), dropout=0.1),
    stages=(
        tfl.Stage(
            "head",
            train="head",
            epochs=20,
            batch_size=8,
            learning_rate=2e-3,
            schedule="cosine",
            warmup_epochs=1,
            augment=tfl.Augment(flip="both", brightness=0.2, contrast=0.2, saturation=0.2),
        ),
        tfl.Stage(
            "finetune",
            train=tfl.top_blocks(6),
            epochs=15,
            batch_size=8,
            learning_rate=3e-4,
            schedule="cosine",
            warmup_epochs=1,
            augment=tfl.Augment(flip="both", brightness=0.2, contrast=0.2, saturation=0.2),
        ),
    ),
    monitor=tfl.Monitor("val_map_50", patience=10),
)
