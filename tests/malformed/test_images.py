"""Damaged image files, through the audit, the decode graph and prediction: an image, or an error that names the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus import JPEG_XL, cuts, formats, gif, hostile, jpeg, jpeg_xl, odd
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import class_folders, encoded, noise

import tfl
from tfl.data.source import load_source
from tfl.errors import BadImageError
from tfl.modalities.image import headers
from tfl.modalities.image.convert import readable_by_graph
from tfl.modalities.image.headers import jpeg_scans, read_header
from tfl.serve.files import expand


def audit(examples: Any, *, on_bad: Any = "error", bits: int | None = None, data: Any = None, keep: bool = False) -> Any:
    """The audit of images at 32 pixels, or at the size of `data`."""
    from tfl.data.audit import audit as audit_examples
    from tfl.modalities.image.modality import ImageModality

    modality = ImageModality(data or tfl.Data("x", image_size=(32, 32), bits=bits))
    return audit_examples(examples, modality=modality, on_bad=on_bad, keep=keep)


WHOLE = formats()
few, many = (
    settings(settings.get_profile("malformed"), max_examples=60),
    settings(settings.get_profile("malformed"), max_examples=700),
)


@pytest.fixture(scope="module")
def decode() -> Any:
    """The pixels by the decode graph, or None where it refuses."""
    import tensorflow as tf

    from tfl.modalities.image.decode import decode_image

    graph = tf.function(decode_image, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)

    def run(content: bytes) -> np.ndarray | None:
        try:
            pixels: np.ndarray = graph(tf.constant(readable_by_graph(content))).numpy()
        except (tf.errors.OpError, BadImageError):
            return None
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
        return pixels

    return run


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Predicts by brightness, from files to probabilities as a run or an export does."""
    import tensorflow as tf

    from tfl.modalities.image.resize import preprocess_batch
    from tfl.serve.predictor import Predictor

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def bright(contents: tf.Tensor) -> tf.Tensor:
        share = tf.reduce_mean(preprocess_batch(contents, (16, 16)), (1, 2, 3)) / 255
        return tf.stack([1 - share, share], 1)

    place = tmp_path_factory.mktemp("model")
    return Predictor(path=place, class_names=("dark", "bright"), outputs=lambda c: bright(tf.constant(c)).numpy())


def laid_out(folder: Path, contents: list[bytes]) -> list[Path]:
    """Class `bad` with these files, beside a class of whole ones."""
    class_folders(folder, {"good": 2, "bad": 1})
    files = [folder / "bad" / f"case{number}.jpg" for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    return files


def audited(folder: Path, *, pixels: bool) -> tuple[set[str], dict[str, str]]:
    """The files that the audit keeps, and the kind of trouble of the others."""
    data = tfl.Data(str(folder), image_size=(16, 16))
    result = audit(load_source(data), on_bad="skip", data=data, keep=pixels)
    assert result.examples.paths is not None
    bad = {file: found["kind"] for found in result.findings if found["severity"] == "error" for file in found["files"]}
    return set(result.examples.paths.tolist()), bad


def told(folder: Path, predictor: Any) -> tuple[set[str], set[str]]:
    found = predictor.look_at([folder / "bad"], on_bad="skip")
    assert all(entry["why"] for entry in found.unreadable)
    return {row["file"] for row in found.predictions}, {entry["file"] for entry in found.unreadable}


@pytest.mark.slow
@pytest.mark.parametrize("kind", WHOLE)
def test_every_cut_of_every_format_is_an_image_or_named(tmp_path: Path, decode: Any, predictor: Any, kind: str) -> None:
    contents = cuts(WHOLE[kind])
    files = laid_out(tmp_path, contents)
    kept, bad = audited(tmp_path, pixels=kind == "jpeg")
    assert {*kept, *bad} >= set(map(str, files)) and not kept & set(bad)
    decodable = {str(file) for file, content in zip(files, contents, strict=True) if decode(content) is not None}
    assert kept & set(map(str, files)) <= decodable
    readable, unreadable = told(tmp_path, predictor)
    assert unreadable == set(bad), "the audit and prediction must refuse the same files"
    assert readable >= kept & set(map(str, files))
    assert len(bad) >= len(contents) // 2, "most of a cut file is no image"


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_files_of_every_format_decode(decode: Any, kind: str) -> None:
    assert not read_header(WHOLE[kind]).trouble
    pixels = decode(WHOLE[kind])
    assert pixels is not None and pixels.shape == (20, 20, 3)


@pytest.mark.slow
def test_hostile_files_are_refused_by_their_first_bytes(tmp_path: Path, predictor: Any, small_memory: None) -> None:
    cases = hostile()
    files = dict(zip(cases, laid_out(tmp_path, list(cases.values())), strict=True))
    kept, bad = audited(tmp_path, pixels=True)
    assert not {name for name, file in files.items() if str(file) in kept}
    large = {name for name in files if " pixels a side" in name or "large" in name}
    assert {name: bad[str(files[name])] for name in large} == dict.fromkeys(large, "too_large")
    with pytest.raises(BadImageError) as caught:
        audit(load_source(tfl.Data(str(tmp_path))))
    assert f"{len(cases)} of the {len(cases) + 3} files" in str(caught.value)
    readable, unreadable = told(tmp_path, predictor)
    assert unreadable == set(map(str, files.values())) and len(readable) == 1


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_odd_sizes_decode(tmp_path: Path, fit: str, small_memory: None) -> None:
    import tensorflow as tf

    from tfl.modalities.image.resize import preprocess_bytes

    for name, content in odd().items():
        assert not read_header(content).trouble, name
        assert preprocess_bytes(tf.constant(content), (16, 16), fit).shape == (16, 16, 3), name  # type: ignore[arg-type]


def test_too_thin_images_are_named_by_the_audit(tmp_path: Path) -> None:
    files = laid_out(tmp_path, list(odd().values())[:3])
    _, bad = audited(tmp_path, pixels=False)
    assert bad == dict.fromkeys(map(str, files), "too_small")


def test_the_size_of_a_jpeg_xl_is_read() -> None:
    assert (read_header(JPEG_XL).kind, read_header(JPEG_XL).width, read_header(JPEG_XL).height) == ("JPEG XL", 2, 2)
    for boxed in (False, True):
        found = read_header(jpeg_xl(300, 200, boxed=boxed))
        assert (found.width, found.height, found.trouble) == (300, 200, "")


def test_scans_are_counted_and_not_what_looks_like_them() -> None:
    assert jpeg_scans(WHOLE["jpeg"]) == 1 and jpeg_scans(WHOLE["progressive jpeg"]) == 10
    assert jpeg_scans(jpeg(20, 20, more_scans=7)) == 17
    assert jpeg_scans(WHOLE["jpeg"] + b"\xff\xda\0\2" * 50) == 1


def test_animations_are_measured_over_all_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not read_header(gif(60, 40, frames=3)).trouble
    monkeypatch.setattr(headers, "MOST_ALL_FRAMES", 1000)
    for kind in ("gif of three frames", "webp of three frames"):
        assert read_header(WHOLE[kind]).trouble == "too_large"
    assert not read_header(WHOLE["gif"]).trouble


def test_a_file_of_gigabytes_is_not_read(tmp_path: Path, predictor: Any, small_memory: None) -> None:
    (file,) = laid_out(tmp_path, [b""])
    os.truncate(file, 3 * 2**30)  # a hole: it takes no room on the disk
    assert audited(tmp_path, pixels=False)[1] == {str(file): "too_large"}
    assert str(file) in told(tmp_path, predictor)[1]


def test_a_pipe_that_nobody_writes_to_does_not_hang(tmp_path: Path, predictor: Any) -> None:
    class_folders(tmp_path, {"bad": 1, "good": 1})
    pipe = tmp_path / "bad" / "pipe.jpg"
    os.mkfifo(pipe)
    skipped: list[str] = []
    assert str(pipe) not in map(str, expand([tmp_path / "bad"], skipped)) and skipped == [str(pipe)]
    examples = load_source(tfl.Data(str(tmp_path)))
    assert len(examples) == 2 and "bad/pipe.jpg" in {one["kind"]: one["note"] for one in examples.findings}["skipped_links"]
    for endless in (pipe, Path("/dev/zero")):
        with pytest.raises(BadImageError, match="not a regular file"):
            predictor.predict([endless])


def check_any_bytes(decode: Any, content: bytes) -> None:
    header = read_header(content)
    if not header.trouble:
        decode(content)


CHANGES = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=8)


def changed(kind: str, changes: list[tuple[int, int]]) -> bytes:
    content = bytearray(WHOLE[kind])
    for at, value in changes:
        content[at % len(content)] = value
    return bytes(content)


@few
@given(kind=st.sampled_from(sorted(WHOLE)), changes=CHANGES)
def test_changed_bytes_never_crash_the_decoder(decode: Any, kind: str, changes: list[tuple[int, int]]) -> None:
    check_any_bytes(decode, changed(kind, changes))


@pytest.mark.slow
@many
@given(kind=st.sampled_from(sorted(WHOLE)), changes=CHANGES)
def test_many_changed_bytes_never_crash_the_decoder(decode: Any, kind: str, changes: list[tuple[int, int]]) -> None:
    check_any_bytes(decode, changed(kind, changes))


@few
@given(start=st.sampled_from([content[:12] for content in [*WHOLE.values(), JPEG_XL]] + [b""]), rest=st.binary(max_size=300))
def test_any_bytes_behind_a_known_start_never_crash(decode: Any, start: bytes, rest: bytes) -> None:
    check_any_bytes(decode, start + rest)


def test_pillow_and_the_graph_agree_on_the_size(decode: Any) -> None:
    for kind in WHOLE:
        header, pixels = read_header(WHOLE[kind]), decode(WHOLE[kind])
        assert (header.height, header.width) == pixels.shape[:2], kind
    assert decode(encoded(noise(1, 9), "PNG")).shape == (9, 9, 3)
