"""Groups that splits tear apart."""

from __future__ import annotations

import dataclasses

import numpy as np
from scenes import examples_of, scene

from tfl.audit.checks.groups import group_findings


def examples():
    of = examples_of([scene(seed) for seed in range(6)])
    return dataclasses.replace(of, groups=np.array(["group 1", "group 1", "group 2", "group 2", "line 6", "line 7"]))


def test_a_group_in_two_splits():
    splits = np.array(["train", "test", "train", "train", "test", "train"])
    (finding,) = group_findings(examples(), splits)
    assert finding.kind == "straddling_groups" and finding.severity == "error"
    assert finding.files == ("#0", "#1") and finding.captions == ("group 1: test, train",)


def test_no_finding():
    splits = np.array(["train", "train", "test", "test", "test", ""])
    assert group_findings(examples(), splits) == []
    assert group_findings(examples(), None) == []
    assert group_findings(dataclasses.replace(examples(), groups=None), splits) == []
    left_out = np.array(["train", "", "test", "", "test", ""])
    assert group_findings(examples(), left_out) == []
