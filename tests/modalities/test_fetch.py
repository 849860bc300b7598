"""Fetching weights: where they go, and one message that says all where there is no network."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import pytest

import tfl
from tfl.backbones.weight_files import is_whole
from tfl.errors import BackboneError, WeightsNotFoundError
from tfl.modalities import fetch as fetching
from tfl.modalities import hub_cache
from tfl.modalities.fetch import fetch

NO_NETWORK = "http://127.0.0.1:9"
"""A proxy at the port of the discard service, where nobody listens: no address can be reached, on any machine."""
SMALLEST = tfl.Backbone("MobileNet", arguments={"alpha": 0.25})
FILE = "mobilenet_2_5_224_tf_no_top.h5"
ADDRESS = f"https://storage.googleapis.com/tensorflow/keras-applications/mobilenet/{FILE}"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    monkeypatch.setenv("https_proxy", NO_NETWORK)
    return tmp_path / "keras" / "models"


@pytest.fixture
def served(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights that Keras fetches, without a network."""
    source = tmp_path / "served.h5"
    keras.applications.MobileNet(include_top=False, weights=None, alpha=0.25, input_shape=(224, 224, 3)).save_weights(
        tmp_path / "served.weights.h5"
    )
    (tmp_path / "served.weights.h5").rename(source)

    def get_file(fname: str, origin: str, **kwargs: Any) -> str:
        assert origin == ADDRESS and kwargs["cache_subdir"] == "models"
        shutil.copy(source, models / "whole.weights.h5")
        shutil.copy(source, models / fname)
        return str(models / "whole.weights.h5")  # Keras reads a format by its ending

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    monkeypatch.setattr(fetching, "_ask", lambda address: None)
    return source


def test_weights_are_fetched_where_keras_looks(models: Path, served: Path) -> None:
    found = fetch(SMALLEST)
    assert found.fetched and (found.folder, found.files, found.address) == (models, (FILE,), ADDRESS)
    assert found.bytes == served.stat().st_size and found.sha256 == hashlib.sha256(served.read_bytes()).hexdigest()
    again = fetch(SMALLEST)
    assert not again.fetched and again.sha256 == found.sha256


def test_what_was_cut_off_is_fetched_again(models: Path, served: Path) -> None:
    models.mkdir(parents=True)
    (models / FILE).write_bytes(served.read_bytes()[:-1])
    assert fetch(SMALLEST).fetched and is_whole(models / FILE)


def test_without_a_network_one_message_says_what_to_do(models: Path) -> None:
    started = time.perf_counter()
    with pytest.raises(WeightsNotFoundError) as caught:
        fetch(SMALLEST)
    assert time.perf_counter() - started < 5
    message = str(caught.value)
    for part in (ADDRESS, FILE, str(models), "no connection", "KERAS_HOME", "docs/weights.md"):
        assert part in message
    assert not models.exists()


def test_a_cut_off_file_stays_where_nothing_can_be_fetched(models: Path) -> None:
    models.mkdir(parents=True)
    (models / FILE).write_bytes(b"half")
    with pytest.raises(WeightsNotFoundError):
        fetch(SMALLEST)
    assert (models / FILE).read_bytes() == b"half"


def test_the_local_name_of_a_file_is_said_where_the_address_has_another(models: Path) -> None:
    with pytest.raises(
        WeightsNotFoundError, match=r"NASNet-mobile-no-top\.h5: .* as nasnet_mobile_no_top\.h5, or set KERAS_HOME"
    ):
        fetch(tfl.Backbone("NASNetMobile"))


def test_a_size_with_weights_of_its_own_is_asked_for(models: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"mobilenet_2_5_160_tf_no_top\.h5"):
        fetch(SMALLEST, image_size=(160, 160))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(models: Path, served: Path) -> None:
    models.mkdir(parents=True)
    models.chmod(0o500)
    with pytest.raises(WeightsNotFoundError, match=r"cannot be written: set KERAS_HOME"):
        fetch(SMALLEST)


def test_a_preset_that_cannot_be_fetched(models: Path) -> None:
    if hub_cache.address_of("bert_tiny_en_uncased") is None:
        pytest.skip("KerasHub is not installed: pip install 'tfl[text]'")
    started = time.perf_counter()
    with pytest.raises(WeightsNotFoundError) as caught:
        fetch(tfl.Backbone("bert_tiny_en_uncased"))
    assert time.perf_counter() - started < 5
    for part in (
        "https://www.kaggle.com/models/keras/bert/keras/bert_tiny_en_uncased",
        "config.json",
        "save_to_preset",
        "weights.md",
    ):
        assert part in str(caught.value)


@pytest.mark.real_text
def test_a_preset_in_the_cache_is_there(models: Path, tmp_path: Path, text_encoder: Path) -> None:
    """As kagglehub lays it out; KerasHub then loads it by its name without a network."""
    folder = tmp_path / "kaggle" / "models" / "keras" / "sentence-transformers" / "keras" / "all_minilm_l6_v2_en" / "1"
    shutil.copytree(text_encoder, folder)
    for file in folder.rglob("*"):
        mark = folder.parent / ".complete" / "1" / f"{file.relative_to(folder)}.complete"
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    found = fetch(tfl.Backbone("all_minilm_l6_v2_en"))
    assert not found.fetched and found.folder == folder and found.files == ("model.weights.h5",)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (tfl.Backbone("ResNet18"), "no pretrained weights of ResNet18"),
        (tfl.Backbone("MobileNet", arguments={"alpha": 0.6}), r"0\.25, 0\.5, 0\.75, 1\.0"),
        (tfl.Backbone("MobileNet", arguments={"alfa": 0.5}), "Did you mean `alpha`"),
        (tfl.Backbone("MobilNet"), "Did you mean `MobileNet`"),
        (tfl.Backbone("."), "nothing to fetch"),
    ],
)
def test_what_cannot_be_fetched_is_said_before_anything_is_asked(backbone: tfl.Backbone, message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        fetch(backbone)


def test_the_command_answers_fast_and_with_exit_code_2(models: Path) -> None:
    """A process of its own, as a user starts it; TensorFlow is not imported, so nothing takes long."""
    words = ["backbones", "MobileNet", "--set", "arguments.alpha=0.25", "--fetch"]
    done = subprocess.run(
        [sys.executable, "-m", "tfl.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
        timeout=60,
    )
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert ADDRESS in done.stderr and str(models) in done.stderr


def test_the_command_reports_file_size_and_hash() -> None:
    words = [sys.executable, "-m", "tfl.cli.main", "backbones", "mini", "--fetch", "--json"]
    document = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    card = json.loads(Path("tfl/modalities/image/backbones/weights/mini.json").read_text())
    assert (document["bytes"], document["sha256"], document["fetched"]) == (card["bytes"], card["sha256"], False)
    assert document["files"] == ["mini.npz"] and document["address"] is None
