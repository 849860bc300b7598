"""Engines for frozen blocks: each agrees with Keras in float32, one that does not is refused, and the choice follows rates."""

import importlib.util
import io
import sys

import keras
import numpy as np
import pytest
from rich.console import Console

import tfl
from tfl.backbones.blocks import find_blocks
from tfl.errors import BackboneError, MissingExtraError
from tfl.features import engines
from tfl.features.choices import forget_choices, stored_choices
from tfl.features.chunks import BATCH
from tfl.features.cut import tensor_at
from tfl.features.engines import KerasEngine, choose_engine, earlier_engine, relative_error, tolerance_of
from tfl.features.openvino_engine import Converted
from tfl.modalities.image.backbones.build import build_backbone
from tfl.model.policies import policy_of, under_policy

NEEDS_OPENVINO = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed")
SIDE = 32
FAMILIES = {"mini": 1.0, "MobileNet": 0.4, "EfficientNetB0": 0.3, "MobileNetV3Small": 0.6}
"""Up to which of their blocks: those above repeat the layers below, and converting all of more families takes minutes.

`benchmarks/engines.py` has them whole, at their real sizes.
"""


def photos(count=4, side=SIDE):
    """Squares of colour with some noise: unlike plain noise, one image differs from another as much as photos do."""
    rng = np.random.default_rng(0)
    squares = np.kron(rng.uniform(0, 255, (count, 4, 4, 3)), np.ones((1, side // 4 + 1, side // 4 + 1, 1)))[:, :side, :side]
    return np.clip(squares + rng.normal(0, 10, squares.shape), 0, 255).astype("float32")


def lively(model):
    """Gives BatchNorm layers statistics as of a network that was trained."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.moving_mean.shape
            layer.moving_mean.assign(rng.normal(0, 0.3, shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, shape))
            layer.beta.assign(rng.normal(0, 0.3, shape))
    return model


def with_outputs(model, middle, end, name):
    """A network with three outputs: a map in the middle, the last map pooled, and the last map."""
    return keras.Model(model.input, [middle, keras.layers.GlobalAveragePooling2D()(end), end], name=name)


def network(name, side=64, share=1.0, **options):
    """The blocks of a family up to this share of them."""
    model = build_backbone(tfl.Backbone(name, **options), image_size=(side, side))
    if options.get("weights", "pretrained") is None:
        lively(model)
    found = find_blocks(model)
    last = round(share * (len(found) - 1))
    return with_outputs(model, tensor_at(model, found[last // 2].name), tensor_at(model, found[last].name), name)


def small_network(side=SIDE, seed=0):
    """Three convolutions, for how an engine is chosen, whatever the network is."""
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((side, side, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale_pixels")(pixels)
    for number in (1, 2, 3):
        x = keras.layers.Conv2D(8, 3, strides=2, use_bias=False, name=f"conv{number}")(x)
        x = keras.layers.ReLU(name=f"out{number}")(keras.layers.BatchNormalization(name=f"bn{number}")(x))
    model = lively(keras.Model(pixels, x))
    return with_outputs(model, model.get_layer("out2").output, x, "small")


@pytest.fixture(scope="module")
def small():
    return small_network()


@pytest.fixture(autouse=True)
def _nothing_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("TFL_CACHE", str(tmp_path))


@pytest.fixture
def rates(monkeypatch):
    """Decides what is measured: seconds by name."""

    def decide(**seconds):
        named = {name.replace("_", " ", 1): value for name, value in seconds.items()}
        monkeypatch.setattr(engines, "best_seconds", lambda runs: {name: named.get(name, 1.0) for name in runs})

    return decide


@pytest.fixture
def biased(monkeypatch):
    """Makes OpenVINO's engine of one precision answer wrongly."""

    def bias(precision, by):
        right = Converted.engine

        def engine(self, asked):
            made = right(self, asked)
            if asked != precision:
                return made
            wrong = lambda images: [output * (1 + by) for output in made(images)]  # noqa: E731
            wrong.name = made.name
            return wrong

        monkeypatch.setattr(Converted, "engine", engine)

    return bias


def check_every_engine(name, share):
    prefix, images = network(name, share=share, weights=None), photos(side=64)
    truth = prefix.predict_on_batch(images)
    converted = Converted(prefix)
    made = [KerasEngine(prefix), KerasEngine(under_policy(prefix, "mixed_bfloat16"))]
    made += [converted.engine(precision) for precision in converted.precisions]
    for engine in made:
        found = engine(images)
        assert [array.shape for array in found] == [array.shape for array in truth]
        assert all(array.dtype == np.float32 for array in found)
        assert relative_error(found, truth) < tolerance_of(engine.name), engine.name


@pytest.mark.slow
@NEEDS_OPENVINO
@pytest.mark.parametrize("name", FAMILIES)
def test_every_engine_agrees_with_keras(name):
    check_every_engine(name, FAMILIES[name])


@pytest.mark.slow
@NEEDS_OPENVINO
def test_any_number_of_images_gives_the_same_rows(small):
    images = photos(BATCH + 5)
    engine = Converted(small).engine("float32")
    whole = engine(images)
    assert len(whole[0]) == BATCH + 5
    for start, stop in ((0, 1), (3, 8), (BATCH, BATCH + 5)):
        for one, other in zip(engine(images[start:stop]), whole, strict=True):
            np.testing.assert_array_equal(one, other[start:stop])


@NEEDS_OPENVINO
def test_the_callers_arithmetic_stays_as_it_was(small):
    Converted(small).engine("float32")(photos())
    assert sys.float_info.min / 2 > 0  # OpenVINO rounds such numbers to zero, in the thread that it runs in


@NEEDS_OPENVINO
def test_results_are_not_overwritten_by_the_next_batch(small):
    images, engine = photos(), Converted(small).engine("float32")
    first = engine(images)
    kept = [array.copy() for array in first]
    engine(255 - images)
    for one, other in zip(first, kept, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_copy_under_another_policy_has_the_weights_and_keeps_pixels_exact():
    model = network("MobileNetV2", SIDE, weights=None)
    copy = under_policy(model, "mixed_bfloat16")
    assert policy_of(model) == "float32" and policy_of(copy) == "mixed_bfloat16"
    assert copy.get_layer("scale_pixels").compute_dtype == "float32"
    for one, other in zip(model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    back = under_policy(copy, "float32")
    for one, other in zip(back.predict_on_batch(photos()), model.predict_on_batch(photos()), strict=True):
        np.testing.assert_array_equal(one, other)


def test_keras_is_the_network_as_it_is_and_measures_nothing(small, monkeypatch):
    monkeypatch.setattr(engines, "best_seconds", lambda runs: pytest.fail("measured"))
    chosen = choose_engine("keras", under_policy(small, "mixed_bfloat16"), photos())
    assert chosen.engine.name == "keras mixed_bfloat16" and not chosen.rates and not chosen.errors


@pytest.mark.slow
@NEEDS_OPENVINO
@pytest.mark.parametrize("fastest", ["keras float32", "keras mixed_bfloat16", "openvino float32", "openvino bfloat16"])
def test_auto_takes_the_fastest_and_says_what_was_measured(small, rates, fastest):
    if fastest == "openvino bfloat16" and "bfloat16" not in Converted(small).precisions:
        pytest.skip("this processor does not compute in bfloat16")
    rates(**{fastest.replace(" ", "_"): 0.1})
    text = io.StringIO()
    chosen = choose_engine("auto", small, photos(), console=Console(file=text, width=1000))
    assert chosen.engine.name == fastest
    assert chosen.rates[fastest] == pytest.approx(BATCH / 0.1)
    assert set(chosen.errors) == set(chosen.rates) >= {"keras float32", "keras mixed_bfloat16", "openvino float32"}
    assert text.getvalue().strip() == chosen.said
    for name, rate in chosen.rates.items():
        assert f"{name} {rate:.0f} examples/s" in chosen.said


@pytest.mark.slow
@NEEDS_OPENVINO
def test_auto_passes_over_what_disagrees_and_says_so(small, rates, biased):
    rates(openvino_float32=0.1)
    biased("float32", 0.01)
    chosen = choose_engine("auto", small, photos())
    assert chosen.engine.name != "openvino float32"
    assert "openvino float32" not in chosen.rates and chosen.errors["openvino float32"] > 1e-3
    assert "passed over openvino float32 (error" in chosen.said


@pytest.mark.slow
@NEEDS_OPENVINO
def test_openvino_takes_the_precision_that_agrees(small, rates, biased):
    rates(openvino_bfloat16=0.1)
    biased("bfloat16", 0.5)
    chosen = choose_engine("openvino", small, photos())
    assert chosen.engine.name == "openvino float32"
    assert all(name.startswith("openvino") for name in chosen.errors)


@pytest.mark.slow
@NEEDS_OPENVINO
def test_openvino_that_disagrees_in_every_precision_is_refused(small, biased, monkeypatch):
    monkeypatch.setattr(Converted, "precisions", ("float32",))
    biased("float32", 0.01)
    with pytest.raises(BackboneError, match=r"openvino float32: error .*features\.engine=keras"):
        choose_engine("openvino", small, photos())


@pytest.mark.slow
@NEEDS_OPENVINO
def test_a_network_that_openvino_cannot_run(small, monkeypatch):
    monkeypatch.setattr("tfl.features.openvino_engine._graph_of", lambda prefix: b"not a graph")
    with pytest.raises(BackboneError, match=r"OpenVINO cannot.*features\.engine=keras"):
        choose_engine("openvino", small, photos())
    chosen = choose_engine("auto", small, photos())
    assert chosen.engine.name.startswith("keras") and "passed over openvino (" in chosen.said


@pytest.mark.slow
def test_without_the_package(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tfl\[openvino\]'"):
        choose_engine("openvino", small, photos())
    assert choose_engine("auto", small, photos()).engine.name.startswith("keras")


@pytest.mark.slow
@NEEDS_OPENVINO
def test_a_choice_holds_for_every_cut_of_the_network_while_it_agrees(small, rates, biased):
    assert earlier_engine("auto", small) is None
    rates(openvino_float32=0.1)
    choose_engine("auto", small, photos())
    rates(keras_float32=0.01)
    lower = keras.Model(small.input, small.outputs[0])
    assert earlier_engine("auto", lower) == "openvino float32"
    assert earlier_engine("openvino", lower) is None
    chosen = choose_engine("auto", lower, photos())
    assert chosen.engine.name == "openvino float32" and not chosen.rates
    assert relative_error(chosen.engine(photos()), [lower.predict_on_batch(photos())]) < 1e-4
    biased("float32", 0.01)
    assert choose_engine("auto", lower, photos()).engine.name == "keras float32"
    assert earlier_engine("auto", lower) == "keras float32"


@pytest.mark.slow
@NEEDS_OPENVINO
def test_what_a_run_began_with_goes_before_what_is_fastest_now(small, rates, biased):
    rates(openvino_float32=0.1)
    assert choose_engine("auto", small, photos(), known="keras float32").engine.name == "keras float32"
    assert choose_engine("auto", small, photos()).engine.name == "openvino float32"
    assert choose_engine("auto", small, photos(), known="openvino float16").engine.name == "openvino float32"
    biased("float32", by=0.5)
    assert choose_engine("auto", small, photos(), known="openvino float32").engine.name != "openvino float32"


@pytest.mark.slow
@NEEDS_OPENVINO
def test_an_earlier_choice_is_told_once(small, rates, monkeypatch):
    monkeypatch.setattr(engines, "_said", set())
    rates(openvino_float32=0.1)
    choose_engine("auto", small, photos())
    text = io.StringIO()
    for _ in range(2):
        choose_engine("auto", small, photos(), console=Console(file=text, width=1000))
    assert text.getvalue().count("The frozen blocks run on openvino float32, chosen earlier") == 1


@pytest.mark.slow
def test_a_choice_that_was_forgotten_is_measured_anew(small, rates):
    rates(keras_float32=0.01)  # as on a machine that was busy with something else
    assert choose_engine("auto", small, photos()).engine.name == "keras float32"
    (kept,) = stored_choices()
    assert kept["network"] == small.name and kept["engine"] == "keras float32" and kept["examples_per_second"]
    rates(keras_float32=1.0)
    assert not choose_engine("auto", small, photos()).rates, "not measured"
    assert forget_choices() == 1 and earlier_engine("auto", small) is None
    assert choose_engine("auto", small, photos()).rates, "measured"


@pytest.mark.slow
def test_a_network_with_other_weights_is_measured_anew(small, rates):
    rates()
    choose_engine("auto", small, photos())
    assert earlier_engine("auto", small) is not None
    assert earlier_engine("auto", small_network(seed=1)) is None
    assert earlier_engine("auto", small_network(side=48)) is None


@pytest.mark.parametrize(
    ("found", "error"),
    [([[1.0], [3.0]], 0.0), ([[1.0], [3.1]], 0.1 / 2**0.5), ([[1.0], [np.nan]], np.inf), ([[1.0], [np.inf]], np.inf)],
)
def test_an_error_is_compared_with_what_tells_images_apart(found, error):
    assert relative_error([np.array(found)], [np.array([[1.0], [3.0]])]) == pytest.approx(error)


def test_the_worst_output_counts_and_equal_images_do_not_divide_by_zero():
    truth = np.array([[5.0], [5.0]])
    assert relative_error([truth, truth + 0.05], [truth, truth]) == pytest.approx(0.01 / engines.LEAST_SPREAD)
    assert relative_error([np.zeros((2, 1))], [np.zeros((2, 1))]) == 0.0
    assert relative_error([np.ones((2, 1))], [np.zeros((2, 1))]) == np.inf


@NEEDS_OPENVINO
@pytest.mark.slow
@pytest.mark.real_weights
def test_a_trained_network_agrees_in_float32():
    prefix, images = network("MobileNetV2", 96, arguments={"alpha": 0.35}), photos(8, 96)
    chosen = choose_engine("openvino", prefix, images)
    assert chosen.errors["openvino float32"] < engines.FLOAT32_TOLERANCE / 10
    assert chosen.errors[chosen.engine.name] < tolerance_of(chosen.engine.name)
