"""What the store serves is what the network makes, for every family and dtype, and nothing else once anything changed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import tfl
from tfl.backbones.blocks import find_blocks
from tfl.data.bundle import Bundle
from tfl.data.examples import Examples
from tfl.data.pipeline import cache_tensors, make_dataset
from tfl.data.split import Split
from tfl.features.cut import tensor_at
from tfl.features.engines import Chosen, KerasEngine
from tfl.features.extract import Extractor, extract, joint_model
from tfl.features.identity import graph_hash
from tfl.modalities.image.backbones import catalog
from tfl.modalities.image.backbones.build import build_backbone
from tfl.modalities.image.modality import ImageModality

BOUNDS = {"float16": (1 / 2048, 3e-8), "bfloat16": (1 / 256, 1e-38), "float32": (0.0, 0.0)}
FAMILIES = {"MobileNetV3Small": 1.0, "DenseNet121": 0.2, "ConvNeXtTiny": 0.3}
"""Networks of every kind of layer, and up to which of their blocks, as those above repeat the ones below.

The other families repeat them too, and `benchmarks/engines.py` has them.
"""


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFL_CACHE", str(tmp_path_factory.mktemp("cache")))


def make_bundle(
    images: np.ndarray | None = None, *, size: int = 32, seed: int = 0, fit: Any = "stretch", bits: int | None = None
) -> Bundle:
    if images is None:
        images = np.random.default_rng(0).integers(0, 256, (50, size, size, 3)).astype(np.uint8)
    labels = np.arange(len(images), dtype=np.int32) % 3
    examples = Examples(class_names=("a", "b", "c"), labels=labels, arrays=images, source="test")
    at = np.arange(len(images))
    split = Split(train=at[:40], val=at[40:46], test=at[46:])
    data = tfl.Data("test", image_size=(size, size), fit=fit, bits=bits)
    prints = tuple(examples.fingerprint_of(index) for index in range(len(examples)))
    return Bundle(examples=examples, split=split, data=data, seed=seed, fingerprints=prints)


def make_models(*, seed: int = 0, activation: str = "relu", size: int = 32) -> list[keras.Model]:
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((size, size, 3))
    low = keras.layers.Conv2D(4, 3, strides=4, activation=activation)(keras.layers.Rescaling(1 / 255)(inputs))
    return [keras.Model(inputs, low), keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(low))]


def within(found: np.ndarray, exact: np.ndarray, dtype: str, slack: float = 1e-5) -> None:
    relative, absolute = BOUNDS[dtype]
    error = np.abs(found.astype(np.float64) - exact)
    assert (error <= relative * np.abs(exact) + absolute + slack * np.abs(exact).max()).all(), error.max()


def direct(model: keras.Model, bundle: Bundle, part: str) -> np.ndarray:
    dataset = make_dataset(bundle.examples, bundle.indices(part), modality=ImageModality(bundle.data), batch_size=32)
    return np.asarray(model.predict(dataset, verbose=0))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_features_are_the_direct_forward_pass_within_the_stated_bound(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    size = max(32, catalog.entry(name).minimum_size)
    backbone = build_backbone(tfl.Backbone(name, weights=None), image_size=(size, size))
    bundle = make_bundle(np.random.default_rng(0).integers(0, 256, (50, size, size, 3)).astype(np.uint8), size=size)
    blocks = find_blocks(backbone)
    last = round(FAMILIES[name] * (len(blocks) - 1))
    models = [keras.Model(backbone.inputs[0], tensor_at(backbone, blocks[at].name)) for at in (0, last // 2, last)]
    assert bundle.examples.arrays is not None
    pixels = bundle.examples.arrays[bundle.indices("val")].astype("float32")
    exact = [np.asarray(tensor) for tensor in joint_model(models)(pixels, training=False)]
    engine = Extractor(models, bundle, features=tfl.Features()).engine()
    monkeypatch.setattr(Extractor, "engine", lambda _: engine)
    for dtype in BOUNDS:
        for found, right in zip(extract(models, bundle, "val", features=tfl.Features(dtype=dtype)), exact, strict=True):  # type: ignore[arg-type]
            assert found.shape == right.shape and str(found.dtype) == dtype
            within(found.read_all(), right, dtype)


def test_one_pass_serves_several_cuts_and_every_split() -> None:
    models, bundle = make_models(), make_bundle()
    both = extract(models, bundle, "train", features=tfl.Features(dtype="float32"))
    for model, found in zip(models, both, strict=True):
        within(found.read_all(), direct(model, bundle, "train"), "float32")
    for number, model in enumerate(models):
        other = Extractor([model], bundle, features=tfl.Features(dtype="float32"))
        assert other.missing("train") == 0, "the same rows, whoever asks"
        assert other.missing(np.array([3, 45, 44])) == 2, "another subset lacks what no split had"
        found = other.run(np.array([3, 2]))[0][0]
        np.testing.assert_array_equal(found.read_all(), both[number][[3, 2]])


def test_names_and_what_trains_do_not_count() -> None:
    one, other = make_models()[1], make_models()[1]
    other.trainable = False
    assert graph_hash(one) == graph_hash(other)


def test_a_network_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, bundle = make_models()[0], make_bundle()
    first = Extractor([model], bundle, features=tfl.Features()).identity
    monkeypatch.setattr(keras.Model, "get_config", lambda self: pytest.fail("described again"))
    assert Extractor([model], bundle, features=tfl.Features()).identity == first


def test_pixels_at_hand_and_pixels_decoded_are_the_same_features() -> None:
    models, bundle = make_models(), make_bundle()
    extract(models, bundle, "train", features=tfl.Features())
    with_pixels = dataclasses.replace(bundle, cached=cache_tensors(bundle.examples, modality=ImageModality(bundle.data)))
    assert with_pixels.cached is not None
    assert Extractor(models, with_pixels, features=tfl.Features()).missing("train") == 0
    apart = dataclasses.replace(with_pixels, fingerprints=[print_ + "x" for print_ in bundle.fingerprints])
    one, other = (extract(models, some, "train", features=tfl.Features())[0].read_all() for some in (bundle, apart))
    np.testing.assert_array_equal(one, other)


def changed_byte() -> tuple[list[keras.Model], Bundle, Any]:
    images = make_bundle().examples.arrays
    assert images is not None
    images = images.copy()
    images[7, 3, 3, 0] ^= 64
    return make_models(), make_bundle(images), None


CHANGES: dict[str, Callable[[], tuple[list[keras.Model], Bundle, Any]]] = {
    "a byte of one image": changed_byte,
    "a weight": lambda: (make_models(seed=1), make_bundle(), None),
    "a layer's setting": lambda: (make_models(activation="tanh"), make_bundle(), None),
    "the image size": lambda: (make_models(size=48), make_bundle(make_bundle().examples.arrays, size=48), None),
    "the bits of 16-bit images": lambda: (make_models(), make_bundle(bits=12), None),
    "the augmentation": lambda: (make_models(), make_bundle(), tfl.Augment(brightness=0.3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_no_old_feature_is_served(change: str) -> None:
    extract(make_models(), make_bundle(), "train", features=tfl.Features(dtype="float32"))
    models, bundle, augment = CHANGES[change]()
    extractor = Extractor(models, bundle, features=tfl.Features(dtype="float32"))
    assert extractor.missing("train", augment=augment) == (1 if change == "a byte of one image" else 40)
    found, _ = extractor.run("train", augment=augment)
    dataset = make_dataset(
        bundle.examples, bundle.indices("train"), modality=ImageModality(bundle.data), batch_size=32, augment=augment
    )
    for model, served in zip(models, found, strict=True):
        within(served.read_all(), np.asarray(model.predict(dataset, verbose=0)), "float32")


@pytest.mark.slow
def test_fit_decides_where_the_shape_is_another() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 40, 60, 3)).astype(np.uint8)
    found = [
        extract(make_models(), make_bundle(images, fit=fit), "val", features=tfl.Features(dtype="float32"))[0].read_all()
        for fit in ("stretch", "crop", "pad")
    ]
    assert not np.allclose(found[0], found[1]) and not np.allclose(found[0], found[2])


STAGE = tfl.Stage("head", augment=tfl.Augment(brightness=0.4, flip="horizontal"))
MIXING = tfl.Stage("head", augment=tfl.Augment(mixup=0.5))


@pytest.mark.slow
def test_seed_view_and_augmentation_decide() -> None:
    def made(seed: int = 0, view: int = 0, stage: tfl.Stage = STAGE) -> bytes:
        features = tfl.Features(dtype="float32")
        return (
            extract(make_models()[1:], make_bundle(seed=seed), "train", features=features, stage=stage, view=view)[0]
            .read_all()
            .tobytes()
        )

    other = dataclasses.replace(STAGE, augment=tfl.Augment(brightness=0.4))
    assert len({made(), made(seed=1), made(view=1), made(stage=other)}) == 4
    assert made() == made()


@pytest.mark.slow
@pytest.mark.parametrize("stage", [STAGE, MIXING], ids=["augmented", "mixed"])
def test_augmented_features_are_those_of_the_augmented_pixels(stage: tfl.Stage) -> None:
    models, bundle = make_models(), make_bundle()
    found, labels = Extractor(models, bundle, features=tfl.Features(dtype="float32")).run("train", augment=stage.augment, view=2)
    dataset = make_dataset(
        bundle.examples,
        bundle.indices("train"),
        modality=ImageModality(bundle.data),
        batch_size=32,
        augment=stage.augment,
        augment_seed=bundle.seed,
        view=2,
    )
    within(found[0].read_all(), np.asarray(models[0].predict(dataset, verbose=0)), "float32")
    np.testing.assert_allclose(labels, np.concatenate([np.asarray(batch) for _, batch in dataset]), atol=1e-6)


@pytest.mark.slow
def test_a_pass_over_mixed_images_goes_on_with_the_same_partners(monkeypatch: pytest.MonkeyPatch) -> None:
    models, bundle = make_models()[1:], make_bundle()
    whole, labels = Extractor(models, bundle, features=tfl.Features(dtype="float32")).run("train", augment=MIXING.augment)
    expected = whole[0].read_all()
    chunks = sorted((whole[0]._files[0].parent).glob("*"))
    assert chunks
    for path in chunks:
        path.unlink()
    again = Extractor(models, bundle, features=tfl.Features(dtype="float32"))
    real = again.engine()
    calls: list[int] = []

    class Dies:
        name = real.name

        def __call__(self, images: np.ndarray) -> list[np.ndarray]:
            calls.append(len(images))
            if len(calls) > 1:
                raise KeyboardInterrupt
            return real(images)

    monkeypatch.setattr("tfl.features.chunks.CHUNK_ROWS", 32)
    monkeypatch.setattr(again, "engine", Dies)
    with pytest.raises(KeyboardInterrupt):
        again.run("train", augment=MIXING.augment)
    assert len(calls) == 2
    rest, mixed = Extractor(models, bundle, features=tfl.Features(dtype="float32")).run("train", augment=MIXING.augment)
    np.testing.assert_allclose(rest[0].read_all(), expected, rtol=1e-5)
    np.testing.assert_array_equal(mixed, labels)


def test_another_image_to_mix_with_is_another_space() -> None:
    models, bundle = make_models(), make_bundle()
    images = bundle.examples.arrays
    assert images is not None
    other = images.copy()
    other[7] = 0
    extract(models, bundle, "train", features=tfl.Features(), stage=MIXING)
    changed = Extractor(models, make_bundle(other), features=tfl.Features())
    assert changed.missing("train", augment=MIXING.augment) == 40, "any image may have image 7 as its partner"


def test_a_space_tells_a_person_what_it_is() -> None:
    found = extract(make_models()[1:], make_bundle(), "val", features=tfl.Features(), stage=None)
    words = json.loads((found[0]._files[0].parent.parent / "space.json").read_text())
    assert words["about"]["engine"] == "keras float32" and words["about"]["source"] == "test"
    assert words["about"]["cut"].startswith("global_average") and words["row_shape"] == [4]


def test_an_engine_is_part_of_the_space_and_the_one_that_computed_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    models, bundle = make_models(), make_bundle()
    extract(models, bundle, "train", features=tfl.Features())
    engine = KerasEngine(joint_model(models), name="keras other")
    asked: list[str] = []

    def choose(requested: str, prefix: keras.Model, images: np.ndarray, **_: Any) -> Chosen:
        asked.append(requested)
        return Chosen(engine=engine, said="")

    monkeypatch.setattr("tfl.features.extract.choose_engine", choose)
    monkeypatch.setattr("tfl.features.extract.earlier_engine", lambda *_: "keras that was faster earlier")
    extractor = Extractor(models, bundle, features=tfl.Features(engine="auto"))
    assert extractor.engine_name == "keras that was faster earlier" and extractor.missing("train") == 40 and not asked
    found, _ = extractor.run("train")
    assert asked == ["auto"] and extractor.engine_name == "keras other" and extractor.missing("train") == 0
    words = json.loads((found[0]._files[0].parent.parent / "space.json").read_text())
    assert words["about"]["engine"] == "keras other"
