"""What a stage trains on: derived seeds."""

from tfl.data.bundle import derived_seed


def test_derived_seeds_differ_and_repeat():
    seeds = {derived_seed(0, stage, epoch) for stage in ("head", "finetune") for epoch in range(100)}
    assert len(seeds) == 200
