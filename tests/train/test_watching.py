"""What is best, when patience ends, what overfitting looks like, and which rate a step has."""

import numpy as np
import pytest

import tfl
from tfl.modalities.base import modality_of
from tfl.recipe import Monitor, Stage
from tfl.train.callbacks.overfitting import OverfittingWatch, overfits_since
from tfl.train.precision import choose_precision, supported_precisions
from tfl.train.schedules import schedule_of
from tfl.train.state import StageState


def taken(monitor, *epochs):
    state = StageState()
    for number, (value, loss) in enumerate(epochs, 1):
        state.epoch = number
        state.take(number, {monitor.metric: value, "val_loss": loss}, monitor)
    return state


def test_a_higher_accuracy_is_better_and_ties_go_to_the_lower_loss():
    monitor = Monitor("val_accuracy")
    assert taken(monitor, (0.8, 1.0), (0.9, 1.2), (0.85, 0.1)).best_epoch == 2
    assert taken(monitor, (0.9, 1.0), (0.9, 0.5), (0.9, 0.7)).best_epoch == 2


def test_a_lower_loss_is_better():
    assert taken(Monitor("val_loss"), (0.8, 0.8), (0.5, 0.5), (0.6, 0.6)).best_epoch == 2


def test_patience_counts_from_the_last_gain_of_the_metric():
    monitor = Monitor("val_accuracy", patience=2)
    state = taken(monitor, (0.9, 1.0), (0.9, 0.5))
    assert not state.out_of_patience(monitor)
    state = taken(monitor, (0.9, 1.0), (0.9, 0.5), (0.9, 0.4))
    assert state.out_of_patience(monitor) and state.best_epoch == 3
    assert not taken(Monitor(patience=None), *[(0.5, 1.0)] * 50).out_of_patience(Monitor(patience=None))


def test_min_delta_is_needed_for_a_gain():
    assert taken(Monitor("val_accuracy", min_delta=0.05), (0.80, 1.0), (0.84, 1.0), (0.86, 1.0)).best_epoch == 3


def test_the_start_of_a_stage_can_be_best_but_costs_no_patience():
    monitor, state = Monitor("val_accuracy", patience=2), StageState()
    state.take(0, {"val_accuracy": 0.95, "val_loss": 0.1}, monitor)
    for state.epoch, value in enumerate((0.7, 0.8, 0.9), 1):
        state.take(state.epoch, {"val_accuracy": value, "val_loss": 0.5}, monitor)
    assert state.best_epoch == 0 and not state.out_of_patience(monitor)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([(1.0, 1.0), (0.5, 0.6), (0.3, 0.7), (0.2, 0.8)], 2),
        ([(1.0, 1.0), (0.5, 0.6), (0.3, 0.5), (0.2, 0.4)], None),  # both fall
        ([(1.0, 1.0), (0.5, 0.6), (0.6, 0.7), (0.7, 0.8)], None),  # both rise: not overfitting
        ([(1.0, 1.0), (0.5, 0.6), (0.3, 0.7)], None),  # one epoch is no trend
        ([(1.0, 1.0), (0.5, 0.6), (0.3, 0.6), (0.2, 0.602)], None),  # hardly rose
        ([], None),
    ],
)
def test_overfitting_is_training_loss_down_and_validation_loss_up(losses, expected):
    assert overfits_since([{"epoch": e, "loss": a, "val_loss": b} for e, (a, b) in enumerate(losses, 1)]) == expected


def test_the_overfitting_notice_names_both_epochs():
    rows = [{"epoch": e, "loss": 1.0 / e, "val_loss": v} for e, v in enumerate((0.9, 0.5, 0.7, 0.9), 1)]
    state = StageState(history=rows, best_epoch=3)
    OverfittingWatch(state).on_train_end()
    assert "since epoch 2" in state.notices[0] and "went back to epoch 3" in state.notices[0]


def test_a_constant_rate_is_a_number():
    assert schedule_of(Stage("a", learning_rate=0.1), steps_per_epoch=10) == 0.1


def test_warmup_rises_from_near_zero_and_cosine_falls_to_zero():
    stage = Stage("a", learning_rate=0.1, epochs=10, warmup_epochs=2.0, schedule="cosine")
    rates = np.array([float(schedule_of(stage, steps_per_epoch=5)(step)) for step in range(51)])
    assert rates[0] == pytest.approx(0.01) and rates[9] == pytest.approx(0.1)
    assert (np.diff(rates[:10]) > 0).all() and (np.diff(rates[10:]) < 0).all()
    assert rates[50] == pytest.approx(0.0, abs=1e-8)


def test_warmup_then_constant():
    stage = Stage("a", learning_rate=0.1, epochs=4, warmup_epochs=1.0)
    assert [round(float(schedule_of(stage, steps_per_epoch=2)(step)), 3) for step in range(4)] == [0.05, 0.1, 0.1, 0.1]


def test_precision_is_measured_only_for_auto():
    recipe = tfl.Recipe(name="x", data=tfl.Data("x"), backbone=tfl.Backbone("mini"), precision="mixed_bfloat16")
    assert choose_precision(recipe, lambda: pytest.fail("measured"), modality=modality_of(recipe)) == "mixed_bfloat16"


def test_auto_measures_each_precision_under_its_policy_and_restores_it():
    import keras

    seen = []

    def build():
        seen.append(keras.config.dtype_policy().name)
        inputs = keras.Input((32, 32, 3))
        return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))

    data = tfl.Data("x", image_size=(32, 32))
    recipe = tfl.Recipe(name="x", data=data, backbone=tfl.Backbone("mini"), precision="auto")
    assert choose_precision(recipe, build, modality=modality_of(recipe)) in supported_precisions()
    assert seen == list(supported_precisions())
    assert keras.config.dtype_policy().name == "float32"
