"""Addresses on the network are told how they are downloaded, and misspelt paths what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

import tfl
from tfl.data.source import load_source
from tfl.errors import DataError


@pytest.mark.parametrize(
    ("source", "part"),
    [
        (
            "https://example.org/a/leaves.zip?dl=1",
            "curl -L -o leaves.zip 'https://example.org/a/leaves.zip?dl=1', then --data leaves.zip",
        ),
        (
            "https://huggingface.co/datasets/someone/beans/tree/main",
            "hf download someone/beans --repo-type dataset --local-dir beans",
        ),
        ("hf://datasets/someone/beans", "hf download someone/beans --repo-type dataset"),
        ("kaggle:someone/beans", "kaggle datasets download -d someone/beans, then --data beans.zip"),
        (
            "https://www.kaggle.com/competitions/dog-breed-identification/data",
            "kaggle competitions download -c dog-breed-identification",
        ),
        ("s3://bucket/photos", "aws s3 cp --recursive s3://bucket/photos"),
        ("gs://bucket/photos", "gcloud storage cp --recursive gs://bucket/photos"),
    ],
)
def test_a_source_on_the_network_is_to_be_downloaded_first(source: str, part: str) -> None:
    with pytest.raises(DataError, match="Download it first") as caught:
        load_source(tfl.Data(source))
    assert part in str(caught.value)


def test_a_file_address_is_a_path() -> None:
    with pytest.raises(DataError, match="Use --data /tmp/photos"):
        load_source(tfl.Data("file:///tmp/photos"))


def test_a_misspelt_path_gets_the_name_beside_it(tmp_path: Path) -> None:
    (tmp_path / "flowers").mkdir()
    with pytest.raises(DataError, match=r"nothing at this source.*Did you mean `flowers`"):
        load_source(tfl.Data(str(tmp_path / "flwoers")))


@pytest.mark.parametrize(("name", "advice"), [("labels.xlsx", "Save the sheet as CSV"), ("coco.json", "Write a CSV file")])
def test_a_table_of_another_kind_is_to_be_saved_as_csv(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(DataError, match=advice):
        load_source(tfl.Data(str(tmp_path / name)))


@pytest.mark.parametrize("name", ["set.rar", "set.7z", "set.tar.zst"])
def test_an_archive_that_is_not_read_is_to_be_unpacked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"Rar!")
    with pytest.raises(DataError, match="Unpack it with another program"):
        load_source(tfl.Data(str(tmp_path / name)))
