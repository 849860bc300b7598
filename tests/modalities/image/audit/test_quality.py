"""Dark, overexposed, blank and blurred pictures are told from usual ones."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scenes import examples_of, pixels, scene

from tfl.errors import MissingExtraError
from tfl.modalities.image.audit.quality import quality_findings


def poor(kind: str, seed: int) -> Image.Image:
    image = scene(seed)
    if kind == "dark":
        return image.point(lambda value: value * 0.1)
    if kind == "overexposed":
        return image.point(lambda value: 250 + value * 0.02)
    if kind == "blank":
        return Image.new("RGB", image.size, (130, 130, 130))
    return image.filter(ImageFilter.GaussianBlur(6))


def found(images, **options):
    examples = examples_of(images)
    return {finding.kind: finding for finding in quality_findings(examples, [(0, pixels(images))], **options)}


def test_usual_pictures_pass():
    assert found([scene(seed) for seed in range(8)]) == {}


@pytest.mark.parametrize("kind", ["dark", "overexposed", "blank", "blurred"])
def test_poor_pictures_are_found(kind: str):
    images = [scene(seed) for seed in range(4)] + [poor(kind, seed) for seed in (5, 6)]
    finding = found(images)[kind]
    assert sorted(finding.files) == ["#4", "#5"] and finding.severity == "warning"
    assert list(finding.scores) == sorted(finding.scores)


def test_small_pictures_are_not_judged():
    assert found([poor("blank", 0)], checked=np.array([False])) == {}


def test_nothing_to_judge():
    assert quality_findings(examples_of([scene(0)]), []) == []


def test_an_absent_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    from tfl.audit.extra import check_extra
    from tfl.modalities.image.modality import ImageModality

    monkeypatch.setitem(__import__("sys").modules, "cleanvision", None)
    monkeypatch.setitem(__import__("sys").modules, "cleanvision.issue_managers.image_property_issue_manager", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tfl\[audit\]'.*--quick"):
        check_extra(ImageModality.audit_libraries)
