"""The precision: asked for, or the fastest by what was measured, with float32 where nothing is gained."""

import io

import keras
import pytest
from rich.console import Console

import tfl
from tfl.modalities.image.modality import ImageModality
from tfl.train import precision
from tfl.train.precision import choose_precision, measure_precisions

MODALITY = ImageModality(tfl.Data("x", image_size=(32, 32)))


def make_recipe(**options):
    data = tfl.Data("x", image_size=(32, 32))
    return tfl.Recipe(name="x", data=data, backbone=tfl.Backbone("mini"), precision="auto", **options)


def build():
    inputs = keras.Input((32, 32, 3))
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))


@pytest.mark.parametrize(("seconds", "chosen"), [(0.5, "mixed_bfloat16"), (0.95, "float32"), (2.0, "float32")])
def test_less_precision_has_to_be_clearly_faster(monkeypatch, seconds, chosen):
    monkeypatch.setattr(precision, "supported_precisions", lambda: ("float32", "mixed_bfloat16"))
    monkeypatch.setattr(precision, "best_seconds", lambda runs: dict(zip(runs, (1.0, seconds), strict=True)))
    text = io.StringIO()
    assert choose_precision(make_recipe(), build, modality=MODALITY, console=Console(file=text, width=1000)) == chosen
    assert text.getvalue().startswith(
        f"precision {chosen}: measured float32 16 images/s, mixed_bfloat16 {16 / seconds:.0f} images/s"
    )


@pytest.mark.parametrize(("train", "gradients"), [("head", False), ("top:1", True), ("all", True)])
def test_gradients_are_timed_where_more_than_the_head_trains(monkeypatch, train, gradients):
    seen = []
    run_of = precision._run_of

    def look(model, images, *, gradients):
        seen.append(gradients)
        return run_of(model, images, gradients=gradients)

    monkeypatch.setattr(precision, "_run_of", look)
    found = measure_precisions(make_recipe(stages=(tfl.Stage("a", train=train),)), build, modality=MODALITY)
    assert all(value > 0 for value in found.values()) and set(seen) == {gradients}


def test_the_policy_is_restored_when_building_fails():
    def fail():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        measure_precisions(make_recipe(), fail, modality=MODALITY)
    assert keras.config.dtype_policy().name == "float32"
