"""Over random plans, networks and stages: frozen blocks are the same to the bit, live blocks moved, BatchNorm by the rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from families import CLASSES, SIDE, Subject, bits, check_moves, check_plan, expected_shares, stages
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tfl
from tfl.errors import FrozenMovedError, RecipeError
from tfl.features.cut import cut
from tfl.model.freeze import Ledger, Plan, make_plan
from tfl.model.multipliers import make_optimizer
from tfl.train.batches import MemoryEpoch
from tfl.train.loop import Loop

plans, many, few, some = (settings(settings.get_profile("ledger"), max_examples=count) for count in (60, 6, 8, 3))
BATCH = 6


@pytest.fixture(scope="module")
def eagerly() -> Iterator[None]:
    """A step as it is written: to trace it for every plan would take most of the time."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def planned(found: Subject, stage: tfl.Stage) -> Plan | None:
    """The plan; None for a stage in which every multiplier is zero, which is refused."""
    if any(expected_shares(found.blocks, stage).values()):
        return make_plan(found.assembled, stage)
    with pytest.raises(RecipeError, match="Nothing trains"):
        make_plan(found.assembled, stage)
    return None


def train(found: Subject, stage: tfl.Stage, plan: Plan) -> None:
    """Two batches, as a stage trains: on the outputs of what is frozen below, or on pixels."""
    plan.apply(found.assembled)
    rng = np.random.default_rng(stage.epochs)
    inputs: Any = tf.constant(rng.uniform(0, 255, (2 * BATCH, SIDE, SIDE, 3)), tf.float32)
    model = found.assembled.model
    if plan.first_trainable_block:
        prefix, model = cut(found.assembled, plan.first_trainable_block)
        inputs = tf.cast(prefix(inputs, training=False), tf.float32)
    labels = tf.one_hot(np.arange(2 * BATCH) % len(CLASSES), len(CLASSES))
    optimizer = make_optimizer(stage, plan.multipliers(found.assembled), stage.learning_rate)
    loop = Loop(model, optimizer, batch_size=BATCH, label_smoothing=stage.label_smoothing)
    loop.seed(0, stage.name)
    loop.train(MemoryEpoch(inputs, labels, np.arange(2 * BATCH, dtype=np.int32)))


def check_sequence(found: Subject, data: st.DataObject) -> None:
    """One to three stages, one after the other on the same network, each with a plan of its own."""
    ran = 0
    for number in range(data.draw(st.integers(1, 3))):
        stage = data.draw(stages(found.blocks, number))
        plan = planned(found, stage)
        if plan is None:
            continue
        before, snapshot = bits(found.assembled), Ledger.snapshot(found.assembled)
        train(found, stage, plan)
        moved = check_moves(found.assembled, stage, before, bits(found.assembled))
        rows = Ledger.compare(snapshot, Ledger.snapshot(found.assembled), plan)
        assert {row["block"]: row["moved"] for row in rows} == moved
        assert all(
            row["moved"] == row["was_to_move"] for row in rows if found.assembled.layers_of(row["block"]) and moved[row["block"]]
        )
        ran += 1
    assume(ran)


@pytest.mark.slow
@plans
@given(data=st.data())
def test_a_plan_means_what_its_stage_says(subject: Callable[..., Subject], data: st.DataObject) -> None:
    found = subject("mini")
    stage = data.draw(stages(found.blocks))
    plan = planned(found, stage)
    if plan is not None:
        check_plan(plan, found.blocks, stage)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("family", ["residual", "dense"])
@many
@given(data=st.data())
def test_frozen_stays_and_live_moves(
    subject: Callable[..., Subject], eagerly: None, family: str, precision: str, data: st.DataObject
) -> None:
    check_sequence(subject(family, precision), data)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "precision"), [("mini", "float32"), ("MobileNetV2", "mixed_bfloat16")])
@some
@given(data=st.data())
def test_frozen_stays_and_live_moves_in_deeper_networks(
    subject: Callable[..., Subject], eagerly: None, family: str, precision: str, data: st.DataObject
) -> None:
    check_sequence(subject(family, precision), data)


@few
@given(data=st.data())
def test_the_ledger_finds_one_bit_in_any_frozen_weight(subject: Callable[..., Subject], data: st.DataObject) -> None:
    found = subject("dense")
    stage = data.draw(stages(found.blocks))
    plan = planned(found, stage)
    frozen = [] if plan is None else [row.block for row in plan.rows if not row.trainable]
    layers = [(block, layer) for block in frozen for layer in found.assembled.layers_of(block) if layer.weights]
    assume(plan is not None and layers)
    snapshot = Ledger.snapshot(found.assembled)
    block, layer = data.draw(st.sampled_from(layers))
    variable = data.draw(st.sampled_from(layer.weights))
    changed = np.array(variable)
    at = data.draw(st.integers(0, changed.size - 1))
    changed.view(np.uint32).ravel()[at] ^= 1
    variable.assign(changed)
    with pytest.raises(FrozenMovedError, match=block):
        Ledger.compare(snapshot, Ledger.snapshot(found.assembled), plan)  # type: ignore[arg-type]


@pytest.mark.slow
def test_what_a_stage_unfroze_the_next_one_freezes_again(subject: Callable[..., Subject], eagerly: None) -> None:
    found = subject("residual")
    for number, words in enumerate(("all", "head", "top:1", "head")):
        stage = tfl.Stage(f"s{number}", train=words, learning_rate=0.05, batchnorm="train")
        plan, before = make_plan(found.assembled, stage), bits(found.assembled)
        train(found, stage, plan)
        check_moves(found.assembled, stage, before, bits(found.assembled))
