"""The format of contents is TensorFlow's own, read and written without it."""

import numpy as np
import pytest
import tensorflow as tf

from tfl.errors import BadContentError
from tfl.modalities.several.packed import Packed, as_sources, pack, unpack

PARTS = {"note": "naß".encode(), "photo": bytes(range(256)) * 300, "empty": b""}


def test_tensorflow_reads_what_is_packed():
    found = tf.train.Example.FromString(pack(PARTS)).features.feature
    assert {name: found[name].bytes_list.value[0] for name in found} == PARTS


def test_what_tensorflow_writes_is_unpacked_and_empty_parts_are_missing():
    features = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[part])) for name, part in PARTS.items()}
    features["number"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[3]))
    content = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    assert unpack(content) == {name: PARTS[name] for name in ("note", "photo")}


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0 a photo", pack(PARTS)[:-1], b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff"])
def test_what_is_no_example_is_refused(content):
    with pytest.raises(BadContentError, match=r"tf\.train\.Example"):
        unpack(content)


def test_files_are_read_when_asked_for_and_fingerprints_follow_their_content(tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"one")
    packed = Packed({"photo": as_sources([str(file), None]), "note": as_sources([b"x", b"y"])})
    assert unpack(packed[0]) == {"photo": b"one", "note": b"x"}
    assert packed.has("photo").tolist() == [True, False]
    assert packed[np.array([1, 0])].fingerprints("note", [0]) == packed.fingerprints("note", [1])
