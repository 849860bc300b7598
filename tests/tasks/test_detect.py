"""Boxes from maps and back: the loss, the detections, and what a recipe for boxes may ask for."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfl
from tfl.errors import DataError, RecipeError, TflError
from tfl.tasks.box_grid import CELLS, MOST, SUPPRESSED, assigned, detection_loss, detections_of
from tfl.tasks.box_metrics import overlap
from tfl.tasks.detect import TASK, detections, true_boxes

GRID, CLASSES = 16, 2


def targets(*images, room=4):
    rows = np.full((len(images), room, 5), np.nan, np.float32)
    for row, boxes in zip(rows, images, strict=True):
        row[: len(boxes)] = boxes or np.zeros((0, 5))
    return rows.reshape(len(images), -1)


TRUE = targets([(0, 0.1, 0.1, 0.5, 0.4), (1, 0.6, 0.55, 0.9, 0.95)], [(1, 0.3, 0.3, 0.34, 0.33)], [])


def perfect(rows):
    """Logits that give every box where it is learnt, and nothing elsewhere."""
    names, boxes, learns = (np.asarray(one) for one in assigned(tf.constant(rows), GRID, GRID))
    x, y = np.meshgrid(np.arange(GRID) + 0.5, np.arange(GRID) + 0.5)
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0.01)
    middle = (boxes[..., 2:] + boxes[..., :2]) / 2 - np.stack([x.ravel(), y.ravel()], -1)
    score = np.where((np.eye(CLASSES)[names] * learns[..., None]) > 0, 6.0, -9.0)
    logits = np.concatenate([score, middle, np.log(sides / CELLS)], axis=-1)
    return logits.reshape(len(rows), GRID, GRID, CLASSES + 4).astype(np.float32)


def test_perfect_maps_find_every_box_once_and_cost_next_to_nothing():
    logits = perfect(TRUE)
    loss, shared = detection_loss(tf.constant(TRUE), tf.constant(logits))
    assert loss.numpy().max() < 0.4 < detection_loss(tf.constant(TRUE), tf.zeros_like(logits))[0].numpy().min()
    assert shared.numpy()[0] == pytest.approx(1, abs=1e-3) and shared.numpy()[2] == 0
    outputs = np.asarray(detections_of(logits))
    found = detections(outputs, least=0.5)
    assert [len(one.classes) for one in found] == [2, 1, 0]
    figures = TASK.evaluate(outputs, TRUE, ["a", "b"])
    assert figures["map_50"] == 1.0 and figures["per_kind"]["b"]["count"] == 2 and figures["boxes"] == 3
    assert TASK.validate(logits, TRUE)["val_map_50"] == 1.0


@pytest.mark.slow
def test_gradients_bring_the_maps_to_the_boxes():
    logits = keras.Variable(tf.random.stateless_normal((3, GRID, GRID, CLASSES + 4), (1, 2)) - 2.0)
    optimizer = keras.optimizers.Adam(0.1)
    for _ in range(80):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(detection_loss(tf.constant(TRUE), logits.value)[0])
        optimizer.apply([tape.gradient(loss, logits.value)], [logits])
    assert TASK.evaluate(np.asarray(detections_of(logits.value)), TRUE, ["a", "b"])["map_50"] == 1.0


def test_suppression_is_that_of_a_greedy_search():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (1, 8, 8, CLASSES + 4)).astype(np.float32)
    logits[..., -4:] = rng.normal(-0.5, 0.3, (1, 8, 8, 4))
    found = np.asarray(detections_of(logits))[0]
    every = vars(detections(_unsuppressed(logits))[0])
    kept = []
    for at in np.argsort(-every["scores"], kind="stable"):
        same = [one for one in kept if every["classes"][one] == every["classes"][at]]
        if not same or overlap(every["corners"][[at]], every["corners"][same]).max() <= SUPPRESSED:
            kept.append(at)
    shown = found[found[:, 0] > 0]
    assert len(shown) == min(len(kept), MOST)
    assert shown[:, 0] == pytest.approx(every["scores"][kept[:MOST]], abs=1e-6)


def _unsuppressed(logits):
    """Every box of the maps with its score, clipped to the picture."""
    height, width = logits.shape[1:3]
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    middle, half = np.stack([x, y], -1) + logits[0, ..., -4:-2], np.exp(logits[0, ..., -2:]) * CELLS / 2
    edges = np.concatenate([middle - half, middle + half], -1)
    corners = np.clip(edges / [width, height, width, height], 0, 1).reshape(-1, 4)
    scores = 1 / (1 + np.exp(-logits[0, ..., :CLASSES].reshape(-1, CLASSES)))
    rows = [np.concatenate([scores[:, [name]], np.full((len(corners), 1), name), corners], axis=1) for name in range(CLASSES)]
    return np.concatenate(rows)[None]


def test_targets_counts_and_strata():
    found = TASK.fitted(TRUE, ["a", "b"])
    assert found.boxes == 4 and found.target_width(6) == 20 and TASK.counts(TRUE, ["a", "b"]) == {"a": 1, "b": 2}
    assert [one.classes.tolist() for one in true_boxes(TRUE)] == [[0, 1], [1], []]
    with pytest.raises(DataError, match="no box in the training images"):
        TASK.fitted(TRUE, ["a", "b", "c"])
    for refused in (lambda: TASK.scaled(TRUE), lambda: TASK.fit_confidence(tfl.Calibration(), TRUE, TRUE)):
        with pytest.raises(TflError, match="A detector has no"):
            refused()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stages": (tfl.Stage("head", augment=tfl.Augment(crop=0.5)),)}, "moves or mixes"),
        ({"stages": (tfl.Stage("head", label_smoothing=0.1),)}, "label_smoothing"),
        ({"stages": tfl.Auto()}, "stages=tfl.Auto"),
        ({"class_weight": "balanced"}, "class_weight"),
        ({"confidence": tfl.Calibration(coverage=0.8)}, "confidence"),
        ({"data": tfl.Sample("cells", fit="pad")}, "data.fit"),
        ({"data": tfl.Data("x", input=tfl.Text())}, "Boxes lie on images"),
    ],
)
def test_a_recipe_says_what_boxes_do_not_have(options, words):
    with pytest.raises(RecipeError, match=words):
        tfl.Recipe(**{"name": "x", "task": "detect", "data": tfl.Sample("cells"), "backbone": tfl.Backbone("mini"), **options})
