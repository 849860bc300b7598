"""A language model in the style of one author: general texts first, then the author's books.

Data      a sample that ships with tfl (written by templates, by no author); a folder with a folder of .txt files for each author
          with --data, and the name of the author's folder
Run       tfl run recipes/author_style.py --out runs/captain
          tfl run recipes/author_style.py --data books/ --set data.labels=dostoevsky
Then      tfl write runs/captain "Once"
Reached   perplexity for each byte 1.37 on a held-out book, 17.9 before the captain's books were read (seed 0)
"""

import tfl

recipe = tfl.Recipe(
    name="author_style",
    data=tfl.Sample("authors", input=tfl.Passages(length=192), labels=("captain",)),
    backbone=tfl.Backbone("bytes", weights=None, arguments={"width": 96, "blocks": 2}),
    head=tfl.Head(dropout=0.0),
    stages=(
        tfl.Stage("general", on="others", train="all", epochs=8, batch_size=8, learning_rate=3e-3, schedule="cosine"),
        tfl.Stage("author", train=tfl.top_blocks(4), epochs=10, batch_size=8, learning_rate=3e-3, schedule="cosine"),
    ),
    monitor=tfl.Monitor("val_perplexity", patience=4),
    confidence=None,
    export=(),
)
