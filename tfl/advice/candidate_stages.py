"""What fine-tuning `tfl.Auto` tries."""

from __future__ import annotations

import math

import numpy as np

from tfl.data.bundle import Bundle
from tfl.modalities.base import FINE_TUNING_EXAMPLES, FINE_TUNING_RATES
from tfl.model.assemble import Assembled
from tfl.recipe import Auto, Stage

CANDIDATES = ((0.7, 0.3), (0.7, 1.0), (1.0, 1.0), (0.3, 1.0))
"""What fine-tuning is tried, the safest first: the share of the computation that trains, and the learning rate as a share of the
modality's."""
LEAST_EPOCHS, MOST_EPOCHS = 3, 20
LAYER_DECAY, WARMUP, VIEWS = 0.8, 0.1, 2
FEW = 500
"""With fewer examples, batches are half as large."""


def candidate_stages(assembled: Assembled, bundle: Bundle, *, auto: Auto, count: int) -> list[Stage]:
    """The stages that are tried, in their order: `CANDIDATES`, at rates that suit the kind of the examples.

    At least one block stays frozen, whose outputs are computed once.

    Args:
        assembled: The network.
        bundle: The data.
        auto: Of the recipe.
        count: Int, how many examples the final network trains on.
    """
    shares = [block.flops_share for block in assembled.blocks]
    blocks = len(shares)
    found: list[tuple[int, float]] = []
    for share, rate in CANDIDATES if blocks > 1 else ():
        tops = [top for top in range(1, blocks) if sum(shares[-top:]) <= share + 1e-6] or [1]
        if (tops[-1], rate) not in found:
            found.append((tops[-1], rate))
    epochs = int(np.clip(math.ceil(FINE_TUNING_EXAMPLES[bundle.modality.kind] / count), LEAST_EPOCHS, MOST_EPOCHS))
    return [
        Stage(
            "finetune",
            train=f"top:{depth}",
            epochs=epochs,
            batch_size=16 if count < FEW else 32,
            learning_rate=rate * FINE_TUNING_RATES[bundle.modality.kind],
            layer_decay=LAYER_DECAY,
            schedule="cosine",
            warmup_epochs=WARMUP * epochs,
            augment=auto.augment,
            views=VIEWS,
        )
        for depth, rate in found
    ]
