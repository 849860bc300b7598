"""What the tests share: a cache of their own, seeds, and the marks for tests that need what may not be there."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import types
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfl.tuning.memory import resident_mb

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


SLOW_DOCTESTS = {
    *(f"tfl.api.{name}" for name in ("run", "probe", "advise", "tune", "study")),
    *("tfl.job.run.run_recipe", "tfl.trained_run.TrainedRun", "tfl.tuning.search.search"),
    *(f"tfl.advice.{name}" for name in ("advise.advise", "networks.compare_networks", "probe.probe_recipe")),
    *(f"tfl.embeddings.{name}" for name in ("api.embed", "embed.embed_source", "index.VectorIndex")),
    *("tfl.cli.mirror.mirror_test", "tfl.styling.api.style"),
}

gc.set_threshold(50_000, 20, 50)  # networks are many objects: looking through all of them took a sixth of the time


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_weights: needs ImageNet weights in KERAS_HOME")
    config.addinivalue_line("markers", "real_photos: needs photos in TFL_TEST_DATA")
    config.addinivalue_line("markers", "real_text: needs a KerasHub preset of a sentence encoder in TFL_TEST_TEXT")
    config.addinivalue_line("markers", "slow: takes about a second or more; `-m 'not slow'` is the fast tier")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    weights = Path(os.environ.get("KERAS_HOME", "/nonexistent")) / "models" / "mobilenet_7_5_224_tf_no_top.h5"
    photos = Path(os.environ.get("TFL_TEST_DATA", "/nonexistent")) / "flowers"
    encoder = Path(os.environ.get("TFL_TEST_TEXT", "/nonexistent")) / "config.json"
    for item in items:
        if item.name in SLOW_DOCTESTS:
            item.add_marker(pytest.mark.slow)
        if "real_text" in item.keywords and not encoder.is_file():
            item.add_marker(pytest.mark.skip(reason=f"no text encoder: {encoder} is missing (set TFL_TEST_TEXT)"))
        if "real_weights" in item.keywords and not weights.is_file():
            item.add_marker(pytest.mark.skip(reason=f"no ImageNet weights: {weights} is missing (set KERAS_HOME)"))
        if "real_photos" in item.keywords and not photos.is_dir():
            item.add_marker(pytest.mark.skip(reason=f"no photos: {photos} is missing (set TFL_TEST_DATA)"))
    _longest_files_first(items)


def pytest_collection_finish() -> None:
    """What was imported stays: no look through all objects, of which TensorFlow has a million, has to see it again."""
    gc.collect()
    gc.freeze()


_resident = [0.0]
GROWTH_MB = 300


def pytest_runtest_logfinish() -> None:
    """Networks are cycles of objects, and Python, which counts objects, would look for those that are done after gigabytes."""
    if resident_mb() > _resident[0] + GROWTH_MB:
        gc.collect()
        _resident[0] = resident_mb()


def _longest_files_first(items: list[pytest.Item]) -> None:
    """Workers that take file after file end together only if no long one comes last; the number of tests says little."""
    slow, all_ = Counter[Path](), Counter[Path]()
    for item in items:
        all_[item.path] += 1
        slow[item.path] += "slow" in item.keywords
    items.sort(key=lambda item: (-slow[item.path], -all_[item.path], item.path))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A cache for each worker. Samples are drawn once for all of them: their files are named by the code that draws them."""
    cache, base = tmp_path_factory.mktemp("cache"), tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "samples"
    shared.mkdir(exist_ok=True)
    (cache / "samples").symlink_to(shared)
    os.environ["TFL_CACHE"] = str(cache)


@pytest.fixture(scope="session", autouse=True)
def _no_power_cut() -> Iterator[None]:
    """Writes are not brought to the disk: killed processes lose nothing by that, and each of thousands would wait for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def with_pictures() -> Iterator[Callable[[], contextlib.AbstractContextManager[None]]]:
    """Runs keep no album and no map of the examples, which is a third of a small run, but within what this makes."""
    patch = pytest.MonkeyPatch()

    def leave_out() -> None:
        for step in ("keep_album", "keep_projection"):
            patch.setattr(f"tfl.job.keep.{step}", lambda *arguments: None)

    @contextlib.contextmanager
    def made() -> Iterator[None]:
        patch.undo()
        yield
        leave_out()

    leave_out()
    yield made
    patch.undo()


@pytest.fixture(scope="module")
def pictures(with_pictures: Callable[[], contextlib.AbstractContextManager[None]]) -> Iterator[None]:
    """The runs of this module have all that a report shows. For where it is looked at, and for one run of each kind of data."""
    with with_pictures():
        yield


@pytest.fixture
def zero_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are built of zeros, for what their layers alone decide: random numbers are most of the time of the large ones."""
    import keras
    from keras.src.initializers import random_initializers

    def zeros(shape: tuple[int, ...], *_: Any, dtype: Any = None, **__: Any) -> Any:
        return keras.ops.zeros(shape, dtype)

    drawn = ("normal", "truncated_normal", "uniform")
    made = {**vars(random_initializers.random), **dict.fromkeys(drawn, zeros)}
    monkeypatch.setattr(random_initializers, "random", types.SimpleNamespace(**made))


@pytest.fixture
def short_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strategies train for three epochs, `Auto` tries one fine-tuning of three: for what comes of it, not for how good it is."""
    for name in ("SCRATCH_EPOCHS", "HEAD_EPOCHS", "EPOCHS", "STEP_EPOCHS"):
        monkeypatch.setattr(f"tfl.strategies.{name}", 3)
    monkeypatch.setattr("tfl.advice.candidate_stages.MOST_EPOCHS", 3)
    monkeypatch.setattr("tfl.advice.candidate_stages.CANDIDATES", ((0.3, 0.3),))


@pytest.fixture(scope="session")
def folder_of_a_kill() -> Callable[..., contextlib.AbstractContextManager[None]]:
    """Makes a block in which a run that comes to an epoch of a stage is copied to `folder` first, as a kill would leave it."""
    from tfl.train.fit import Fit

    @contextlib.contextmanager
    def copied(folder: Path, stage: str, epoch: int = 2) -> Iterator[None]:
        run_epoch = Fit._run_epoch

        def copy_before(self: Fit, at: int) -> None:
            if (self.stage.name, at) == (stage, epoch):
                shutil.copytree(self.run.folder, folder)
            run_epoch(self, at)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Fit, "_run_epoch", copy_before)
            yield

    return copied


@pytest.fixture
def shallow_mini(monkeypatch: pytest.MonkeyPatch) -> None:
    """`mini` has one convolution in each unit, with its weights: blocks, widths and strides as ever, a third of the layers.

    For code that names `mini` and shows something else: most of the time of a small run is the building and tracing of layers.
    """
    import keras

    from tfl.modalities.image.backbones import mini

    def unit(x: Any, channels: int, name: str, *, stride: int) -> Any:
        x = mini._convolve(x, channels, f"{name}_conv1", size=3, stride=stride)
        return keras.layers.ReLU(name=f"{name}_out")(x)

    def load(model: keras.Model, file: Path) -> None:
        with np.load(file, allow_pickle=False) as arrays:
            for key, variable in mini.named_variables(model).items():
                variable.assign(arrays[key].astype("float32"))

    monkeypatch.setattr(mini, "_residual_unit", unit)
    monkeypatch.setattr(mini, "load_weights", load)


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals come of a hundred resamples where a run draws a thousand of figures that are slow, and texts are short."""
    monkeypatch.setattr("tfl.evaluate.alone._DRAWS", 100)
    monkeypatch.setattr("tfl.language.measure.LENGTH", 40)


@pytest.fixture
def photos() -> Path:
    """The folder that holds `strawberry/`, `flowers/` and `fashion_mnist/`."""
    return Path(os.environ["TFL_TEST_DATA"])


@pytest.fixture(scope="session")
def text_encoder() -> Path:
    """The folder of the sentence encoder all-MiniLM-L6-v2 as a KerasHub preset, for tests that are marked `real_text`."""
    return Path(os.environ["TFL_TEST_TEXT"])


@pytest.fixture(scope="session")
def whole_file() -> Callable[..., Path]:
    """Writes what begins as HDF5 and is as long as it says, as a weights file does that was fetched whole."""

    def write(path: Path, length: int = 96) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        start = b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + bytes(24) + length.to_bytes(8, "little")
        path.write_bytes(start.ljust(length, b"\0"))
        return path

    return write


@pytest.fixture(scope="session")
def small_network(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of a network with random weights: four convolutions for 32 px, blocks `unit1_out` to `unit4_out`.

    For what is shown of training, whatever the network is; it is built and traced in half of the time of mini.
    """
    import keras

    keras.utils.set_random_seed(0)
    pixels = keras.Input((32, 32, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale_pixels")(pixels)
    for number, channels in enumerate((8, 16, 16, 24), 1):
        options = {"strides": 2 if number < 4 else 1, "use_bias": False, "kernel_initializer": "he_normal"}
        x = keras.layers.Conv2D(channels, 3, padding="same", name=f"unit{number}_conv1", **options)(x)
        x = keras.layers.BatchNormalization(name=f"unit{number}_conv1_bn")(x)
        x = keras.layers.ReLU(name=f"unit{number}_out")(x)
    file = tmp_path_factory.mktemp("network") / "small.keras"
    keras.Model(pixels, x, name="small").save(file)
    return str(file)


@pytest.fixture(scope="session")
def draw_bars() -> Callable[[int, int], tuple[np.ndarray, np.ndarray]]:
    """Makes `(images, labels)`: noise with a bright bar that lies (0), stands (1) or is not there (2)."""

    def draw(count: int, side: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        labels = np.arange(count, dtype=np.int32) % 3
        images = rng.integers(0, 120, (count, side, side, 3)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            at = int(rng.integers(4, side - 8))
            if label == 0:
                image[at : at + 4, :] = 255
            elif label == 1:
                image[:, at : at + 4] = 255
        return images, labels

    return draw


@pytest.fixture(scope="session")
def bars_with_notes(draw_bars: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 120 photos of lying or standing bars with notes, near or far; the class is both. Two have no photo."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("bars")
    images, labels = draw_bars(180, 32)
    rows = ["photo,note,age,label"]
    for number, at in enumerate(np.flatnonzero(labels < 2)):
        Image.fromarray(images[at]).save(folder / f"{number}.png")
        word = "near" if number // 2 % 2 else "far off"
        photo = "" if number in (5, 90) else f"{number}.png"
        rows.append(f"{photo},it is {word} . plant {number // 4},{number // 4 % 7},c{labels[at]}{word[0]}")
    (folder / "bars.csv").write_text("\n".join(rows) + "\n")
    return folder / "bars.csv"


@pytest.fixture(scope="session")
def joint(bars_with_notes: Path) -> Any:
    """A recipe that joins photo and note, and a column that says nothing."""
    import tfl

    inputs = {"photo": tfl.Image(size=(32, 32)), "note": tfl.Text(length=24), "plant": tfl.Table(columns=("age",))}
    return tfl.Recipe(
        name="bars",
        data=tfl.Data(str(bars_with_notes), inputs=inputs),
        backbone={"photo": tfl.Backbone("mini"), "note": tfl.Backbone("tiny", weights=None)},
        head=tfl.Head(start="probe"),
        stages=(tfl.Stage("head", epochs=2),),
        export=(),
    )


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a CLIP preset with one block each and random weights, which knows single letters."""
    hub = pytest.importorskip("keras_hub", reason="KerasHub (the extra `text`) is not installed")
    import keras

    letters = [letter + end for letter in "abcdefghijklmnopqrstuvwxyz.-" for end in ("", "</w>")]
    words = {token: at for at, token in enumerate(["<|startoftext|>", "<|endoftext|>", *letters])}
    small = {"hidden_dim": 16, "num_layers": 1, "num_heads": 2, "intermediate_dim": 16}
    keras.utils.set_random_seed(0)
    backbone = hub.models.CLIPBackbone(
        hub.models.CLIPVisionEncoder(patch_size=8, image_shape=(32, 32, 3), **small),
        hub.models.CLIPTextEncoder(vocabulary_size=len(words), embedding_dim=16, max_sequence_length=24, **small),
        projection_dim=12,
    )
    tokenizer = hub.models.CLIPTokenizer(vocabulary=words, merges=["#version: 0.2"])
    converter = hub.layers.CLIPImageConverter(image_size=(32, 32), scale=1 / 255.0)
    folder = tmp_path_factory.mktemp("clip")
    backbone.save_to_preset(str(folder))
    hub.models.CLIPPreprocessor(tokenizer, converter, sequence_length=24).save_to_preset(str(folder))
    return folder
