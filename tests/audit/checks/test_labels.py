"""Planted label errors come first, with what they cost."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import examples_of, scene

from tfl.audit.checks.labels import accuracy_without, label_finding, opinions, rank_labels, suspects


@pytest.fixture(scope="module")
def planted():
    """Two clouds of points, and 12 of 240 labels wrong."""
    rng = np.random.default_rng(0)
    truth = np.arange(240) % 2
    features = rng.normal(size=(240, 8)) + 2.2 * truth[:, None] * np.array([1, 1, 0, 0, 0, 0, 0, 0])
    wrong = rng.permutation(240)[:12]
    labels = truth.copy()
    labels[wrong] = 1 - labels[wrong]
    return features, labels, set(wrong.tolist())


def test_wrong_labels_come_first(planted):
    features, labels, wrong = planted
    said = opinions(features, labels, np.arange(240), seed=0)
    ranked = rank_labels(said)
    assert sorted(ranked.tolist()) == list(range(240))
    assert len(wrong & set(ranked[:24].tolist())) >= 10
    named = suspects(said)
    assert len(wrong & set(named.tolist())) >= 9 and len(named) < 30
    assert named.tolist() == [index for index in ranked.tolist() if index in set(named.tolist())]


def test_what_they_cost(planted):
    features, labels, _ = planted
    said = opinions(features, labels, np.arange(240), seed=0)
    named = suspects(said)
    cost = accuracy_without(features, said, named, seed=0)
    assert cost.count == 240 - len(named) and cost.interval[0] <= cost.difference <= cost.interval[1]
    assert cost.difference > -0.02
    assert accuracy_without(features, said, named[:0], seed=0) is None


def test_the_finding_names_both_labels(planted):
    features, labels, _ = planted
    said = opinions(features, labels, np.arange(240), seed=0)
    examples = examples_of([scene(0)] * 240, labels)
    finding = label_finding(examples, said, suspects(said), cost=None)
    assert finding.kind == "likely_wrong_labels" and len(finding.captions) == len(finding.files) == len(finding.scores)
    first = int(finding.files[0][1:])
    given, other = examples.class_names[labels[first]], examples.class_names[1 - labels[first]]
    assert finding.captions[0].startswith(f"labelled {given}, looks like {other}")
    assert finding.scores[0] < 0.5
    assert label_finding(examples, said, np.empty(0, np.int64), cost=None) is None


def test_classes_without_two_pieces_are_not_asked_about():
    rng = np.random.default_rng(1)
    labels = np.array([0] * 20 + [2] * 20 + [1])
    features = rng.normal(size=(41, 4)) + labels[:, None]
    said = opinions(features, labels, np.arange(41), seed=0)
    assert said.classes.tolist() == [0, 2] and 40 not in said.indices
    assert opinions(features[:20], labels[:20], np.arange(20), seed=0) is None
    assert opinions(features[:40], labels[:40], labels[:40], seed=0) is None


def test_copies_do_not_vouch_for_each_other():
    rng = np.random.default_rng(2)
    truth = np.arange(100) % 2
    features = rng.normal(size=(100, 3)) + 3 * truth[:, None]
    features, labels = np.concatenate([features] * 2), np.concatenate([truth] * 2)
    labels[[4, 104]] = 1
    said = opinions(features, labels, np.tile(np.arange(100), 2), seed=0)
    assert {4, 104} <= set(rank_labels(said)[:20].tolist())
