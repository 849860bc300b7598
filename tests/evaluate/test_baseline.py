"""A report on texts compares the network with a model that has none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tfl
from tfl.data.bundle import Bundle
from tfl.data.examples import Examples
from tfl.data.split import Split
from tfl.evaluate.baseline import baseline_metrics
from tfl.evaluate.report.facts import result_facts
from tfl.modalities.base import modality_of


def bundle_of(texts: list[str]) -> Bundle:
    labels = np.arange(len(texts)) % 2
    contents = np.array([text.encode() for text in texts], object)
    at = np.arange(len(texts))
    recipe = tfl.Recipe(name="x", data=tfl.Data("x", input=tfl.Text(length=8)), backbone=tfl.Backbone("tiny", weights=None))
    options: dict[str, Any] = {"data": recipe.data, "seed": 0, "fingerprints": [""] * len(texts), "modality": modality_of(recipe)}
    examples = Examples(class_names=("dull", "fine"), labels=labels, contents=contents)
    return Bundle(examples=examples, split=Split(train=at[:20], val=at[20:30], test=at[30:]), **options)


def test_its_metrics_are_those_of_the_task_and_the_report_says_them() -> None:
    pytest.importorskip("keras_hub")
    found = baseline_metrics(bundle_of([f"a {word} film {number}" for number in range(20) for word in ("dull", "fine")]))
    assert found is not None and found["test"]["accuracy"] == 1.0 and found["test"]["count"] == 10
    facts = result_facts({"test": found["test"], "baseline": found}, {}, kind="text")
    assert facts["sentence"].startswith("Named 10 of 10 test texts correctly")
    assert facts["comparison"].startswith("Without a network, for comparison (TF-IDF")
    assert "10 of 10 test texts" in facts["comparison"]


def test_texts_without_a_word_are_said_to_have_no_baseline() -> None:
    pytest.importorskip("keras_hub")
    found = baseline_metrics(bundle_of(["..."] * 40))
    assert found is not None and "test" not in found and "empty vocabulary" in found["refused"]


def test_images_have_none() -> None:
    images = Examples(class_names=("a", "b"), labels=np.array([0, 1]), arrays=np.zeros((2, 8, 8), np.uint8))
    none = np.empty(0, np.int64)
    split = Split(train=np.arange(2), val=none, test=none)
    bundle = Bundle(examples=images, split=split, data=tfl.Data("x", image_size=(8, 8)), seed=0, fingerprints=["", ""])
    assert baseline_metrics(bundle) is None
