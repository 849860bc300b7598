"""Which networks are at hand: by the names of files, whole ones only, in milliseconds and without TensorFlow."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import tfl
from tfl.backbones.weight_files import is_whole
from tfl.errors import DataError
from tfl.modalities import hub_cache
from tfl.modalities.at_hand import AtHand, at_hand, best_at_hand
from tfl.modalities.image.at_hand import variants
from tfl.modalities.image.backbones import catalog

MOBILENET = "mobilenet_7_5_224_tf_no_top.h5"
MOBILENET_V2 = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_160_no_top.h5"
RESNET = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
WholeFile = Callable[..., Path]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder where Keras looks, and caches without presets."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for name in ("KAGGLEHUB_CACHE", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    folder = tmp_path / "keras" / "models"
    folder.mkdir(parents=True)
    return folder


def preset(folder: Path, whole_file: WholeFile, class_name: str = "BertBackbone") -> Path:
    config = {"vocabulary_size": 100, "num_layers": 2, "hidden_dim": 8, "intermediate_dim": 16, "max_sequence_length": 64}
    if class_name == "ViTBackbone":
        config = {"image_shape": [32, 48, 3]}  # type: ignore[dict-item]
    whole_file(folder / "model.weights.h5")
    (folder / "config.json").write_text(json.dumps({"class_name": class_name, "config": config}))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def fetched_by_kaggle(folder: Path) -> None:
    for name in ("config.json", "model.weights.h5"):
        mark = folder.parent / ".complete" / folder.name / f"{name}.complete"
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def titles(found: tuple[AtHand, ...]) -> list[str]:
    return [each.title for each in found]


def test_mini_is_always_at_hand(models: Path) -> None:
    (found,) = at_hand("image")
    assert found.backbone == tfl.Backbone("mini") and found.input_size == (96, 96) and found.accuracy is None
    assert at_hand("audio") == (found,) and at_hand("text") == ()


def test_files_are_known_by_their_names(models: Path, whole_file: WholeFile) -> None:
    for name in (MOBILENET, MOBILENET_V2, "unknown.h5"):
        whole_file(models / name)
    found = {each.backbone.name: each for each in at_hand("image")}
    one, other = found["MobileNet"], found["MobileNetV2"]
    assert one.backbone == tfl.Backbone("MobileNet", arguments={"alpha": 0.75}) and one.file == models / MOBILENET
    assert (one.input_size, one.native, one.accuracy, one.benchmark) == ((224, 224), True, 68.4, "ImageNet top-1")
    assert one.parameters == 1_832_976 and one.flops == pytest.approx(0.649e9)
    assert (other.input_size, other.native, other.accuracy) == ((160, 160), False, 55.7)
    assert set(found) == {"mini", "MobileNet", "MobileNetV2"}


def test_every_published_file_is_found(models: Path, whole_file: WholeFile) -> None:
    files = [file for name in catalog.names() if name != "mini" for _, _, file in variants(catalog.entry(name))]
    assert len(files) == len(set(files)) == 4 * 4 + 6 * 5 + 2 * 3 + 36  # MobileNet, V2, V3, and one of each other network
    for file in files:
        whole_file(models / file)
    found = at_hand("image")
    assert len(found) == len(files) + 1 and all(each.parameters and each.flops for each in found)
    assert {each.backbone.name for each in found if each.native and each.accuracy is None} == {"mini"}


def test_what_was_cut_off_is_not_at_hand(models: Path, whole_file: WholeFile) -> None:
    whole = whole_file(models / MOBILENET, 5000).read_bytes()
    assert is_whole(models / MOBILENET)
    for content in (whole[:-1], whole[:40], b"", b"<html>not found</html>" * 9):
        (models / MOBILENET).write_bytes(content)
        assert not is_whole(models / MOBILENET) and titles(at_hand("image")) == ["mini"]


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
def test_every_version_of_hdf5_says_its_length(tmp_path: Path, libver: str) -> None:
    import h5py  # type: ignore[import-untyped,unused-ignore]

    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        file["x"] = list(range(1000))
    assert is_whole(tmp_path / "a.h5")
    (tmp_path / "b.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:-1])
    assert not is_whole(tmp_path / "b.h5")


def test_files_of_another_folder_are_named_by_path(models: Path, tmp_path: Path, whole_file: WholeFile) -> None:
    carried = tmp_path / "carried"
    whole_file(carried / MOBILENET)
    found = at_hand("image", folders=[carried])[1]
    assert found.backbone == tfl.Backbone("MobileNet", arguments={"alpha": 0.75}, weights=str(carried / MOBILENET))
    assert titles(at_hand("image", folders=[models, tmp_path / "none"])) == ["mini"]


def test_the_order_is_by_accuracy_within_what_a_cpu_can_do(models: Path, whole_file: WholeFile) -> None:
    for name in (
        MOBILENET,
        MOBILENET_V2,
        RESNET,
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "convnext_xlarge_notop.h5",
    ):
        whole_file(models / name)
    expected = ["ResNet50", "MobileNet alpha=0.75", "MobileNetV2 alpha=0.35", "VGG16", "mini", "ConvNeXtXLarge"]
    assert titles(best_at_hand("image")) == expected
    assert titles(best_at_hand("image", most_flops=1e9)) == [*expected[1:3], "mini", "ResNet50", "VGG16", "ConvNeXtXLarge"]
    assert titles(best_at_hand("image", most_flops=float("inf")))[:2] == ["ConvNeXtXLarge", "ResNet50"]


def test_presets_in_the_cache_of_kagglehub(tmp_path: Path, models: Path, whole_file: WholeFile) -> None:
    own = hub_cache.address_of("bert_tiny_en_uncased")
    if own is None:
        pytest.skip("KerasHub is not installed: pip install 'tfl[text]'")
    version = int(own.rsplit("/", 1)[1])
    variation = tmp_path / "KAGGLEHUB_CACHE" / "models" / "keras" / "bert" / "keras" / "bert_tiny_en_uncased"
    preset(variation / str(version), whole_file)
    assert at_hand("text") == ()  # kagglehub did not note that it is complete
    fetched_by_kaggle(variation / str(version))
    (found,) = at_hand("text")
    assert found.backbone == tfl.Backbone("bert_tiny_en_uncased") and found.input_size == (64,)
    assert (found.accuracy, found.benchmark) == (70.2, "MNLI, fine-tuned")
    older = preset(variation / str(version - 1), whole_file)
    fetched_by_kaggle(older)
    assert at_hand("text") == (found,)
    foreign = preset(tmp_path / "KAGGLEHUB_CACHE" / "models" / "someone" / "bert" / "keras" / "mine" / "1", whole_file)
    fetched_by_kaggle(foreign)
    assert "kaggle://someone/bert/keras/mine/1" in titles(at_hand("text"))
    (variation / str(version) / "model.weights.h5").write_bytes(b"\x89HDF")
    assert "bert_tiny_en_uncased" not in titles(at_hand("text"))


def test_presets_in_the_cache_of_hugging_face_and_in_folders(tmp_path: Path, models: Path, whole_file: WholeFile) -> None:
    base = tmp_path / "HF_HUB_CACHE" / "models--keras--bert_x"
    preset(base / "snapshots" / "abc", whole_file)
    (base / "refs").mkdir()
    (base / "refs" / "main").write_text("abc")
    carried = preset(tmp_path / "carried" / "mine", whole_file)
    assert titles(at_hand("text", folders=[tmp_path / "carried"])) == ["hf://keras/bert_x", str(carried)]
    assert titles(at_hand("text", folders=[carried])) == ["hf://keras/bert_x", str(carried)]


def test_image_transformers_are_for_images_only(tmp_path: Path, models: Path, whole_file: WholeFile) -> None:
    folder = preset(tmp_path / "vit", whole_file, "ViTBackbone")
    assert at_hand("text", folders=[folder]) == ()
    found = {each.title: each for each in at_hand("image", folders=[folder])}
    assert found[str(folder)].input_size == (32, 48)


def test_another_kind_is_refused() -> None:
    with pytest.raises(DataError, match=r"no kind of example `video`.*image, text, audio"):
        at_hand("video")


def test_it_is_plain_data(models: Path, whole_file: WholeFile) -> None:
    whole_file(models / MOBILENET)
    documents = [json.loads(json.dumps(each.to_json())) for each in best_at_hand("image")]
    assert documents[0]["arguments"] == {"alpha": 0.75} and documents[0]["input_size"] == [224, 224]
    assert documents[1]["name"] == "mini" and documents[1]["accuracy"] is None


def test_it_takes_milliseconds(models: Path, whole_file: WholeFile) -> None:
    for name in catalog.names():
        for _, _, file in variants(catalog.entry(name)):
            whole_file(models / file)
    at_hand("image")
    times = []
    for _, kind in itertools.product(range(5), ("image", "text")):
        started = time.perf_counter()
        at_hand(kind)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.1


def test_no_tensorflow_is_imported() -> None:
    code = (
        "import sys; from tfl.modalities.at_hand import best_at_hand;"
        "[best_at_hand(kind) for kind in ('image', 'text', 'audio')];"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'keras_hub')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
