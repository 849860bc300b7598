"""Average precision of boxes by the rules of COCO."""

import numpy as np
import pytest

from tfl.errors import DataError
from tfl.tasks.box_metrics import Boxes, Detections, average_precision, overlap


def boxes(corners, classes, scores=None):
    arrays = np.array(corners, float).reshape(-1, 4), np.array(classes, int)
    return Boxes(*arrays) if scores is None else Detections(*arrays, np.array(scores, float))


def test_overlap_of_apart_same_and_empty_boxes():
    values = overlap(np.array([[0.0, 0, 4, 4], [1, 1, 1, 1]]), np.array([[0.0, 0, 4, 4], [5, 5, 6, 6], [1, 1, 1, 1]]))
    assert values.tolist() == [[1, 0, 0], [0, 0, 0]]


def test_a_true_box_counts_once_and_recall_has_101_steps():
    true = boxes([[0, 0, 10, 10], [20, 20, 30, 30]], [0, 0])
    found = boxes([[0, 0, 10, 10], [0, 0, 10, 10]], [0, 0], [0.9, 0.8])
    assert average_precision([true], [found], 1)["map_50"] == pytest.approx(51 / 101)  # recalls 0 … 0.5


def test_a_false_detection_ahead_costs_and_a_class_without_true_boxes_does_not():
    true = boxes([[0, 0, 10, 10]], [0])
    found = boxes([[50, 50, 60, 60], [0, 0, 10, 10], [0, 0, 5, 5]], [0, 0, 1], [0.9, 0.8, 0.99])
    assert average_precision([true], [found], 2)["map_50"] == pytest.approx(0.5)


def test_nothing_found_is_zero_and_nothing_true_is_nan():
    none = boxes([], [], [])
    figures = average_precision([boxes([[0, 0, 1, 1]], [0])], [none], 1)
    assert (figures["map_50"], figures["map_50_95"]) == (0.0, 0.0)
    assert average_precision([boxes([], [])], [none], 1, samples=3)["map_50"] is None


def test_intervals_hold_the_estimate_and_repeat():
    true = boxes([[0, 0, 10, 10]], [0])
    found = [boxes([[0, 0, 10, 10 - image % 6]], [0], [0.5 + image / 100]) for image in range(20)]
    first = average_precision([true] * 20, found, 1, samples=50, seed=3)
    for name in ("map_50", "map_50_95"):
        low, high = first[f"{name}_interval"]
        assert low <= first[name] <= high
    assert first == average_precision([true] * 20, found, 1, samples=50, seed=3)


def test_the_figures_are_those_of_pycocotools():
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is in the extra `dev`")
    from pycocotools.cocoeval import COCOeval

    rng, true, found, rows, said = np.random.default_rng(0), [], [], [], []
    for image in range(12):
        starts = rng.uniform(0, 60, (8, 2))
        corners = np.concatenate([starts, starts + rng.uniform(8, 30, (8, 2))], axis=1)
        moved = np.concatenate([corners + rng.normal(0, 2, corners.shape), corners[:4] + 20])
        names, scores = rng.integers(0, 3, 8), rng.uniform(0.1, 1, 12)
        given = np.concatenate([names, names[:4]])
        true.append(boxes(corners, names))
        found.append(boxes(moved, given, scores))
        sides = [np.concatenate([one[:, :2], one[:, 2:] - one[:, :2]], axis=1).tolist() for one in (corners, moved)]
        rows += [
            {
                "id": len(rows) + at + 1,
                "image_id": image,
                "category_id": int(name),
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            for at, (name, box) in enumerate(zip(names, sides[0], strict=True))
        ]
        said += [
            {"image_id": image, "category_id": int(name), "bbox": box, "score": float(score)}
            for name, box, score in zip(given, sides[1], scores, strict=True)
        ]
    truth = coco.COCO()
    truth.dataset = {"info": {}, "images": [{"id": image} for image in range(12)], "annotations": rows}
    truth.dataset["categories"] = [{"id": name, "name": str(name)} for name in range(3)]
    truth.createIndex()
    judged = COCOeval(truth, truth.loadRes(said), "bbox")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    figures = average_precision(true, found, 3)
    assert figures["map_50_95"] == pytest.approx(judged.stats[0], abs=1e-6)
    assert figures["map_50"] == pytest.approx(judged.stats[1], abs=1e-6)


def test_bad_input_is_refused():
    with pytest.raises(DataError, match="do not fit together"):
        Boxes(np.zeros((2, 3)), np.zeros(2, int))
    with pytest.raises(DataError, match="scores of detections"):
        boxes([[0, 0, 1, 1]], [0], [0.5, 0.6])
    with pytest.raises(DataError, match="cannot be compared"):
        average_precision([boxes([], [])], [], 1)
