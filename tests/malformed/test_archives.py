"""Archives and model files that are not what they say: nothing in them runs, and none of them fills the memory."""

from __future__ import annotations

import ast
import gzip
import io
import json
import pickle
import shutil
import stat
import struct
import tarfile
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import tfl_says, untouched
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import class_folders

import tfl
from tfl.data import archives
from tfl.data.source import load_source
from tfl.errors import BackboneError, DataError, ExportError, RunError
from tfl.modalities.image import arrays
from tfl.storage import cache_home

KINDS = ("zip", "tar", "tar.gz", "tar.xz")
few = settings(settings.get_profile("malformed"), max_examples=150)


def refused(source: Path, *parts: str) -> None:
    with pytest.raises(DataError) as caught:
        load_source(tfl.Data(str(source)))
    assert all(part in str(caught.value) for part in (*parts, source.name)), caught.value


def packed(folder: Path) -> bytes:
    folder.mkdir(exist_ok=True)
    np.savez_compressed(folder / "set.npz", x=np.arange(3 * 25, dtype=np.uint8).reshape(3, 5, 5), y=np.arange(3))
    return (folder / "set.npz").read_bytes()


# Arrays


class Touches:
    """Unpickled, makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def test_a_pickle_in_an_npz_is_not_opened(tmp_path: Path) -> None:
    objects = np.empty(1, object)
    objects[0] = Touches(tmp_path / "touched")
    np.savez(tmp_path / "set.npz", x=objects, y=np.arange(1))
    refused(tmp_path / "set.npz", "not a readable .npz")
    (tmp_path / "set.npz").write_bytes(pickle.dumps(Touches(tmp_path / "touched")))
    refused(tmp_path / "set.npz", "not a readable .npz")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("end", range(0, 600, 37))
def test_an_npz_that_is_cut_short_is_refused(tmp_path: Path, end: int) -> None:
    content = packed(tmp_path)
    (tmp_path / "set.npz").write_bytes(content[: min(end, len(content) - 1)])
    refused(tmp_path / "set.npz")


@few
@given(changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4))
def test_an_npz_with_changed_bytes_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "changed_npz"
    content = bytearray(packed(folder))
    for at, value in changes:
        content[at % len(content)] = value
    (folder / "set.npz").write_bytes(content)
    try:
        assert len(load_source(tfl.Data(str(folder / "set.npz")))) == 3
    except DataError as error:
        assert "set.npz" in str(error)


def test_arrays_that_unpack_to_more_than_the_memory_are_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_memory: None
) -> None:
    monkeypatch.setattr(arrays, "_memory_bytes", lambda: 1_000_000)
    np.savez_compressed(tmp_path / "set.npz", x=np.zeros((50, 200, 200), np.uint8), y=np.arange(50) % 2)
    assert (tmp_path / "set.npz").stat().st_size < 10_000
    refused(tmp_path / "set.npz", "more than fits into memory")
    idx = tmp_path / "idx"
    idx.mkdir()
    (idx / "train-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(struct.pack(">HBBIII", 0, 8, 3, 50, 200, 200) + bytes(2_000_000))
    )
    (idx / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(struct.pack(">HBBI", 0, 8, 1, 50) + bytes(50)))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz holds more than fits into memory"):
        load_source(tfl.Data(str(idx)))


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (struct.pack(">HBBIII", 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "memory"),
        (struct.pack(">HBBIIII", 0, 8, 4, 2**31, 2**31, 2, 2), "memory"),  # whose product is 0 in 64 bits
        (struct.pack(">HBB", 0, 8, 255), "not an IDX file"),
        (struct.pack(">HBBI", 0, 8, 3, 5), "cut short"),
        (struct.pack(">HBBIII", 0, 8, 3, 1, 2, 2) + bytes(5), "not whole"),
        (b"", "not an IDX file"),
    ],
)
def test_idx_headers_that_promise_what_is_not_there(tmp_path: Path, header: bytes, part: str) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(header)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, 0))
    with pytest.raises(DataError, match=part):
        load_source(tfl.Data(str(tmp_path)))


def test_labels_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(struct.pack(">HBBIII", 0, 8, 3, 2, 4, 4) + bytes(32))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, 2) + b"\0\1")
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfea\0")
    with pytest.raises(DataError, match=r"labels\.txt cannot be read"):
        load_source(tfl.Data(str(tmp_path)))


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"x": np.uint8(3), "y": np.uint8(1)}, "does not hold pixels"),
        ({"x": np.zeros((2, 5, 5), np.uint8), "y": np.arange(2), "class_names": np.array(["a", "a"])}, "are the same"),
        ({"x": np.zeros((2, 5, 5), np.uint8), "y": np.arange(2), "class_names": np.array(["a", "b\nc"])}, "cannot be used"),
        ({"x": np.zeros((2, 5, 5), np.uint8), "y": np.arange(2), "class_names": np.array(["a", "  "])}, "cannot be used"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, content: dict[str, Any], part: str) -> None:
    np.savez(tmp_path / "set.npz", **content)
    refused(tmp_path / "set.npz", part)


# Archives and Parquet


def zipped(file: Path, *entries: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return file


def tarred(file: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return file


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def nothing_outside(tmp_path: Path) -> None:
    """Only the archives are there, and the cache holds no folder that is half written."""
    assert all(file.suffix in (".zip", ".tar", ".gz") for file in tmp_path.rglob("*")), sorted(tmp_path.rglob("*"))
    places = [cache_home() / "archives", cache_home() / "parquet-images"]
    assert not [file for place in places if place.is_dir() for file in place.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/tmp/evil_of_tfl.png", "..\\evil.png"])
def test_a_path_that_leads_out_of_an_archive_is_refused(tmp_path: Path, name: str) -> None:
    refused(zipped(tmp_path / "set.zip", ("a/1.png", b"x"), (name, b"x")), "a path that leads out")
    if "\\" not in name:
        refused(tarred(tmp_path / "set.tar.gz", member("a/1.png"), member(name)), "a path that leads out")
    nothing_outside(tmp_path)
    assert not Path("/tmp/evil_of_tfl.png").exists()


@pytest.mark.parametrize(
    "members",
    [
        [member("a", tarfile.SYMTYPE, "/etc"), member("a/passwd")],
        [member("a/1.png", tarfile.SYMTYPE, "/etc/passwd")],
        [member("a/1.png", tarfile.SYMTYPE, "../../etc/passwd")],
        [member("a/1.png", tarfile.LNKTYPE, "/etc/passwd")],
        [member("a/1.png", tarfile.SYMTYPE, "1.png")],
        [member("a/1.png", tarfile.SYMTYPE, "2.png"), member("a/2.png", tarfile.SYMTYPE, "1.png")],
        [member("a", tarfile.DIRTYPE), member("b", tarfile.SYMTYPE, "a")],
        [member("a/null", tarfile.CHRTYPE)],
        [member("a/pipe", tarfile.FIFOTYPE)],
    ],
    ids=["folder", "absolute", "relative", "hard", "itself", "circle", "to a folder", "device", "pipe"],
)
def test_links_that_lead_out_of_an_archive_and_devices_are_refused(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    refused(tarred(tmp_path / "set.tar.gz", *members))
    nothing_outside(tmp_path)


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a/1.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    refused(tmp_path / "set.zip", "a link")


def test_an_archive_that_unpacks_to_very_much_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_memory: None
) -> None:
    monkeypatch.setattr(archives, "_SMALL_BYTES", 1_000_000)
    refused(zipped(tmp_path / "set.zip", ("a/1.png", bytes(5_000_000))), "unpacks to more than it may", "200 times")
    refused(tarred(tmp_path / "set.tar.gz", member("a/1.png", size=5_000_000)), "unpacks to more than it may")
    monkeypatch.setattr(archives, "_SMALL_BYTES", 10**12)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda place: types.SimpleNamespace(free=1_000_000))
    refused(tmp_path / "set.zip", "unpacks to more than it may", "are free in the cache")
    monkeypatch.setattr(archives, "_MOST_FILES", 3)
    refused(zipped(tmp_path / "many.zip", *((f"a/{n}.png", b"") for n in range(4))), "unpacks to more than it may")
    nothing_outside(tmp_path)


def test_a_zip_that_lies_about_its_sizes_writes_no_more_than_it_says(tmp_path: Path) -> None:
    content = bytearray(zipped(tmp_path / "set.zip", ("a/1.png", bytes(3_000_000))).read_bytes())
    content = content.replace((3_000_000).to_bytes(4, "little"), (30).to_bytes(4, "little"))
    (tmp_path / "set.zip").write_bytes(content)
    refused(tmp_path / "set.zip", "not a readable archive")
    nothing_outside(tmp_path)


def test_an_encrypted_zip_is_told(tmp_path: Path) -> None:
    content = bytearray(zipped(tmp_path / "set.zip", ("a/1.png", b"x")).read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(mark) + flags] |= 1
    (tmp_path / "set.zip").write_bytes(content)
    refused(tmp_path / "set.zip", "is encrypted", "password")


@pytest.mark.parametrize(
    "entries",
    [[("a", b"x"), ("a/1.png", b"x")], [("x" * 300 + "/1.png", b"x")], [("a/" * 3000 + "1.png", b"x")]],
    ids=["file and folder", "long name", "deep"],
)
def test_names_that_no_disk_takes_are_refused(tmp_path: Path, entries: list[tuple[str, bytes]]) -> None:
    refused(zipped(tmp_path / "set.zip", *entries))
    nothing_outside(tmp_path)


@few
@given(
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4), kind=st.sampled_from(KINDS)
)
def test_an_archive_with_changed_bytes_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], kind: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"changed_{kind}"
    file = folder / f"set.{kind}"
    if not folder.is_dir():
        class_folders(folder / "set", {"a": 2, "b": 2})
        form = {"zip": "zip", "tar": "tar", "tar.gz": "gztar", "tar.xz": "xztar"}[kind]
        shutil.copy(shutil.make_archive(str(folder / "whole"), form, folder / "set"), folder / "original")
    content = bytearray((folder / "original").read_bytes())
    for at, value in changes:
        content[at % len(content)] = value
    file.write_bytes(content)
    try:
        load_source(tfl.Data(str(file)))
    except DataError as error:
        assert file.name in str(error)


@pytest.mark.parametrize("end", [0, 4, 100, 900, -1])
@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_that_is_cut_short_is_refused(tmp_path: Path, kind: str, end: int) -> None:
    form = {"zip": "zip", "tar": "tar", "tar.gz": "gztar", "tar.xz": "xztar"}[kind]
    file = Path(shutil.make_archive(str(tmp_path / "set"), form, class_folders(tmp_path / "folder", {"a": 20, "b": 20})))
    file.write_bytes(file.read_bytes()[: end if end >= 0 else file.stat().st_size // 2])
    refused(file)


@few
@given(changes=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_parquet_file_with_changed_bytes_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    pa = pytest.importorskip("pyarrow", reason="needs tfl[parquet]")
    pq = pytest.importorskip("pyarrow.parquet", reason="needs tfl[parquet]")
    folder = tmp_path_factory.getbasetemp() / "changed_parquet"
    if not folder.is_dir():
        folder.mkdir()
        pq.write_table(
            pa.table({"image": [b"\x89PNG" + bytes([n]) for n in range(4)], "label": list("abab")}), folder / "whole.parquet"
        )
    content = bytearray((folder / "whole.parquet").read_bytes())
    for at, value in changes:
        content[at % len(content)] = value
    (folder / "set.parquet").write_bytes(content)
    try:
        load_source(tfl.Data(str(folder / "set.parquet")))
    except DataError as error:
        assert "set.parquet" in str(error)


# Model files


def lambda_model(touched: Path) -> Any:
    """A classifier with a layer that makes a file when it runs."""
    import keras

    hostile = eval(f"lambda x: [open({str(touched)!r}, 'w').close(), x][1]")
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, name="c")(keras.layers.Lambda(hostile, output_shape=(32, 32, 3))(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x)))
    touched.unlink(missing_ok=True)
    return model


def config_of(**layer: Any) -> dict[str, Any]:
    """The `config.json` of a `.keras` file with one layer."""
    call = [
        {
            "args": [
                {
                    "class_name": "__keras_tensor__",
                    "config": {"shape": [None, 4], "dtype": "float32", "keras_history": ["i", 0, 0]},
                }
            ],
            "kwargs": {},
        }
    ]
    first = {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": {"batch_shape": [None, 4], "name": "i"},
        "name": "i",
        "inbound_nodes": [],
    }
    config = {
        "name": "m",
        "layers": [first, {"name": "h", "inbound_nodes": call, **layer}],
        "input_layers": [["i", 0, 0]],
        "output_layers": [["h", 0, 0]],
    }
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": config,
        "registered_name": "Functional",
    }


def keras_file(file: Path, config: dict[str, Any], **members: bytes) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", "{}")
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return file


def hostile_models(folder: Path) -> dict[str, Path]:
    """Model files that would make the file `touched` if anything in them ran."""
    import keras

    touched = folder / "touched"
    model = lambda_model(touched)
    model.save(folder / "lambda.keras")
    model.save(folder / "lambda.h5")
    unsafe = keras.models.load_model(folder / "lambda.keras", safe_mode=False, compile=False)
    unsafe(np.zeros((1, 32, 32, 3), np.float32))
    touched.unlink()  # so it does work, on who lets it
    word = {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"}
    touch = f"open({str(touched)!r}, 'w').close()"
    named = {
        "builtin": config_of(module="keras.layers", class_name="Lambda", config={"name": "h", "function": word, "arguments": {}}),
        "os": config_of(module="os", class_name="system", config={"command": f"touch {touched}"}, registered_name=None),
        "pathlib": config_of(module="pathlib", class_name="Path", config={"args": [str(touched)]}, registered_name=None),
        "download": config_of(
            module="keras.layers",
            class_name="Lambda",
            config={
                "name": "h",
                "function": {
                    "module": "keras.utils",
                    "class_name": "function",
                    "config": "get_file",
                    "registered_name": "get_file",
                },
                "arguments": {
                    "origin": (folder / "lambda.keras").as_uri(),
                    "cache_dir": str(folder),
                    "cache_subdir": "",
                    "force_download": True,
                },
            },
        ),
        "activation": config_of(
            module="keras.layers", class_name="Activation", config={"name": "h", "activation": {**word, "config": touch}}
        ),
    }
    files = {name: keras_file(folder / f"{name}.keras", config, model__weights__h5=b"") for name, config in named.items()}
    objects = np.empty(1, object)
    objects[0] = Touches(touched)
    np.savez(folder / "weights.npz", **{"layers/h": objects})
    dense = config_of(module="keras.layers", class_name="Dense", config={"name": "h", "units": 2})
    files["pickle"] = keras_file(folder / "pickle.keras", dense, model__weights__npz=(folder / "weights.npz").read_bytes())
    return files | {"lambda": folder / "lambda.keras", "lambda in h5": folder / "lambda.h5"}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return hostile_models(tmp_path_factory.mktemp("hostile"))


KINDS = ["builtin", "os", "pathlib", "download", "activation", "pickle", "lambda", "lambda in h5"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_code_in_a_model_file_does_not_run(hostile: dict[str, Path], run_folder: Path, kind: str) -> None:
    from tfl.modalities.image.backbones.build import build_backbone
    from tfl.runs import Run
    from tfl.serve.predictor import load_run_model

    with untouched(hostile[kind].parent):
        with pytest.raises(BackboneError):
            build_backbone(tfl.Backbone(str(hostile[kind])), image_size=(32, 32))
        with pytest.raises(BackboneError):
            build_backbone(tfl.Backbone("mini", weights=str(hostile[kind])), image_size=(32, 32))
        (run_folder / "model.keras").write_bytes(hostile[kind].read_bytes())
        with pytest.raises(RunError, match=r"model\.keras"):
            load_run_model(Run.open(run_folder))


@pytest.mark.slow
def test_a_model_file_that_would_fill_the_memory_is_refused(tmp_path: Path, small_memory: None) -> None:
    from tfl.modalities.image.backbones.build import build_backbone

    dense = config_of(module="keras.layers", class_name="Dense", config={"name": "h", "units": 2})
    for name, member in (("config.keras", "config.json"), ("weights.keras", "model.weights.h5"), ("more.keras", "assets/a.txt")):
        if name != "config.keras":
            keras_file(tmp_path / name, dense)
        packing = zipfile.ZipFile(tmp_path / name, "a", zipfile.ZIP_DEFLATED, compresslevel=1)
        with packing as archive, archive.open(member, "w") as stream:
            for _ in range(200):
                stream.write(bytes(1_000_000))
        assert (tmp_path / name).stat().st_size < 2_000_000
        for backbone in (tfl.Backbone(str(tmp_path / name)), tfl.Backbone("mini", weights=str(tmp_path / name))):
            with pytest.raises(BackboneError, match="fill the memory"):
                build_backbone(backbone, image_size=(32, 32))


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), b"\x89HDF\r\n\x1a\n" + bytes(500), b"text", bytes(2000)])
@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5", ".npz"])
def test_a_model_file_of_something_else_is_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    from tfl.modalities.image.backbones.build import build_backbone

    file = tmp_path / f"model{suffix}"
    file.write_bytes(content)
    with pytest.raises(BackboneError, match="model"):
        build_backbone(tfl.Backbone("mini", weights=str(file)), image_size=(32, 32))
    if suffix in (".keras", ".h5"):
        with pytest.raises(BackboneError, match="model"):
            build_backbone(tfl.Backbone(str(file)), image_size=(32, 32))


def test_weights_of_mini_with_a_pickle_inside_are_refused_whatever_their_card_says(tmp_path: Path) -> None:
    import hashlib

    from tfl.modalities.image.backbones.build import build_backbone

    file = tmp_path / "mini.npz"
    file.write_bytes(pickle.dumps(Touches(tmp_path / "touched")))
    file.with_suffix(".json").write_text(json.dumps({"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}))
    with pytest.raises(BackboneError, match=r"mini\.npz"):
        build_backbone(tfl.Backbone("mini", weights=str(file)), image_size=(32, 32))
    assert not (tmp_path / "touched").exists()
    for card in ("[]", "{}", "[" * 100_000, '{"sha256": 3}'):
        file.with_suffix(".json").write_text(card)
        with pytest.raises(BackboneError):
            build_backbone(tfl.Backbone("mini", weights=str(file)), image_size=(32, 32))


def test_an_export_that_would_write_files_is_not_loaded(tmp_path: Path) -> None:
    import tensorflow as tf

    from tfl.serve.predictor import open_predictor

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serve(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.control_dependencies([tf.io.write_file(str(tmp_path / "touched"), "x")]):
            return {"probabilities": tf.ones((1, 2)) + 0 * tf.cast(tf.size(image_bytes), tf.float32)}

    module = tf.Module()
    module.serve = serve
    tf.saved_model.save(module, str(tmp_path / "saved_model"), signatures={"serving_default": serve})
    (tmp_path / "photo.png").write_bytes(b"")
    with untouched(tmp_path), pytest.raises(ExportError, match="WriteFile"):
        open_predictor(tmp_path)
    assert tfl_says("predict", tmp_path, tmp_path / "photo.png").exit_code == 2


# Every load in tfl


def calls() -> list[tuple[str, str, ast.Call]]:
    found = []
    for file in sorted(Path(tfl.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                found.append((f"{file.name}:{node.lineno}", ast.unparse(node.func), node))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "keyword", "value"), [("np.load", "allow_pickle", False), ("load_model", "safe_mode", True)]
)
def test_every_load_in_tfl_says_that_it_is_safe(function: str, keyword: str, value: bool) -> None:
    loads = [(place, node) for place, name, node in calls() if name == function or name.endswith(f".{function}")]
    assert loads
    for place, node in loads:
        said = {word.arg: ast.literal_eval(word.value) for word in node.keywords if isinstance(word.value, ast.Constant)}
        assert said.get(keyword) is value, f"{place} does not say {keyword}={value}"


@pytest.mark.slow
def test_tfl_uses_nothing_that_unpickles_or_unpacks() -> None:
    words = ("pickle.", "marshal.", "joblib.", "extractall", "enable_unsafe_deserialization", "unpack_archive", "os.system")
    assert not [(place, name) for place, name, _ in calls() if any(word in f"{name}." for word in words)]
