"""A TensorFlow Datasets set, written once as files into the cache folder; nothing is decoded on the way, but sounds to WAV."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfl.data.columns import say_kind
from tfl.data.examples import Examples, matching_names
from tfl.data.parquet import suffix_of
from tfl.errors import DataError, MismatchError, did_you_mean
from tfl.modalities.files import FileKind, sources
from tfl.storage import cache_home, storage_errors, write_folder_atomically

_SPLITS = {"train": "train", "validation": "val", "val": "val", "valid": "val", "test": "test"}
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_HOSTS = ("storage.googleapis.com", "www.tensorflow.org")


def read_tfds(name: str, files: FileKind, *, labels: Sequence[str] | None = None, content: str | None = None) -> Examples:
    """The examples of the set `name` (with `/config` and `:version`, where wanted), of the classes that fit `labels`.

    The first time, the set is downloaded and prepared by TensorFlow Datasets (in `TFDS_DATA_DIR`, or its own default), and
    the contents are written to the cache folder; after that it is read from there.

    Args:
        name: The set.
        files: What the examples are.
        labels: Names or globs of classes; None takes all.
        content: The feature that holds the examples; None finds it.

    Raises:
        DataError: There is no such set, it does not classify such examples, or it cannot be had.
    """
    builder = _builder(name, files.nouns)
    content_key, label_key = _keys(name, builder, files, content)
    class_names = tuple(builder.info.features[label_key].names)
    wanted = class_names if labels is None else matching_names(class_names, labels, source=f"tfds:{name}")
    key = hashlib.sha256(json.dumps(wanted if content is None else [wanted, content]).encode()).hexdigest()[:12]
    folder = cache_home() / f"tfds-{files.nouns}" / f"{builder.info.full_name.replace('/', '-')}-{key}"
    if not (folder / "index.json").is_file():
        _prepare(name, builder, files.nouns)
        write_folder_atomically(
            folder, lambda scratch: _write(builder, files, (content_key, label_key), class_names, wanted, scratch)
        )
    return _read_index(name, folder)


def _builder(name: str, nouns: str) -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataError(f"tfds:{name} needs TensorFlow Datasets, which cannot be imported: {error}.") from error
    try:
        return tfds.builder(name, data_dir=os.environ.get("TFDS_DATA_DIR"))
    except tfds.core.registered.DatasetNotFoundError as error:
        raise DataError(
            f"TensorFlow Datasets {tfds.__version__} has no set of this name.",
            received=name,
            allowed="the names in https://www.tensorflow.org/datasets/catalog/overview",
            fix=did_you_mean(name, tfds.list_builders()) or None,
        ) from error
    except Exception as error:  # whatever a set's own code raises
        raise _unavailable(name, None, error, nouns) from error


def _keys(name: str, builder: Any, files: FileKind, content: str | None) -> tuple[str, str]:
    """The features that are the example and its class."""
    features = builder.info.features
    kinds = {key: type(features[key]).__name__ for key in features}
    held = [key for key, kind in kinds.items() if kind == files.feature]
    labels = [key for key, kind in kinds.items() if kind == "ClassLabel"]
    supervised = builder.info.supervised_keys
    if content is not None:
        held = [key for key in held if key == content]
    elif supervised and len(supervised) == 2 and supervised[0] in held and supervised[1] in labels:
        return supervised
    if files.in_cells:
        held = [word for word in files.columns if word in held][:1] or held
    if len(held) == 1 and len(labels) == 1:
        return held[0], labels[0]
    shown = ", ".join(f"{key} ({kind})" for key, kind in kinds.items())
    what, allowed = f"tfds:{name} does not classify {files.nouns}.", f"one {files.feature} and one ClassLabel"
    others = [other for other in sources() if other.kind != files.kind and other.feature in kinds.values()]
    if not held and labels and len(others) == 1:
        fix = say_kind(others[0])
        raise MismatchError(what, received=shown, allowed=allowed, fix=fix).suggesting({"data.input": others[0].kind})
    raise DataError(what, received=shown, allowed=allowed)


def _prepare(name: str, builder: Any, nouns: str) -> None:
    if builder.info.splits:
        return  # already on this machine
    if network_is_absent():
        raise _unavailable(name, builder, "this machine has no network (no host name resolves)", nouns)
    try:
        builder.download_and_prepare()
    except Exception as error:  # a set's own code may raise anything
        raise _unavailable(name, builder, error, nouns) from error


def network_is_absent() -> bool:
    """Whether no host name resolves: asked first, as downloads are tried ten times, for minutes. A proxy may resolve for us."""
    if any(os.environ.get(proxy) for proxy in _PROXIES):
        return False
    for host in _HOSTS:
        try:
            socket.getaddrinfo(host, 443)
            return False
        except OSError:
            continue
    return True


def _unavailable(name: str, builder: Any, cause: object, nouns: str) -> DataError:
    where = builder.data_dir if builder is not None else os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    reason = " ".join(str(cause).split())[:400]
    return DataError(
        f"tfds:{name} is not on this machine and cannot be fetched: {reason}.",
        received=f"nothing prepared at {where}",
        fix=f"Connect this machine and start again; or prepare it elsewhere (tfds build {name}) and copy its folder there, "
        f"or set TFDS_DATA_DIR to where it is; or give the {nouns} as a folder of class folders with --data.",
    )


def _write(
    builder: Any,
    files: FileKind,
    keys: tuple[str, str],
    class_names: tuple[str, ...],
    wanted: tuple[str, ...],
    scratch: Path,
) -> None:
    """Writes each example's own bytes, and last an index that says what each file is."""
    number = {class_names.index(name): label for label, name in enumerate(wanted)}
    rows = []
    for split in builder.info.splits:
        for position, (content, label) in enumerate(_encoded(builder, split, files, keys)):
            if label in number:
                suffix = suffix_of(content, files)
                file = Path(split) / f"{label:03d}" / f"{position:06d}{suffix}"
                (scratch / file).parent.mkdir(parents=True, exist_ok=True)
                (scratch / file).write_bytes(content)
                rows.append({"file": str(file), "label": number[label], "split": split})
    rows.sort(key=lambda row: (row["label"], row["file"]))
    (scratch / "index.json").write_text(json.dumps({"class_names": wanted, "files": rows}), encoding="utf-8")


def _encoded(builder: Any, split: str, files: FileKind, keys: tuple[str, str]) -> Iterator[tuple[bytes, int]]:
    import tensorflow_datasets as tfds

    content_key, label_key = keys
    samples = files.feature == "Audio"
    decoders = None if samples else {content_key: tfds.decode.SkipDecoding()}
    for example in builder.as_dataset(split=split, decoders=decoders, shuffle_files=False).as_numpy_iterator():
        content = example[content_key]
        if samples:
            content = _as_wav(builder.info.full_name, content, builder.info.features[content_key])
        yield content, int(example[label_key])


def _as_wav(name: str, samples: Any, feature: Any) -> bytes:
    """A WAV file of 16 bits with the samples of a feature, `(n,)` or `(n, channels)` whole numbers."""
    rate = getattr(feature, "sample_rate", None)
    if not rate or samples.dtype.kind not in "iu" or (samples.size and np.abs(samples).max() > 2**15):
        raise DataError(
            f"tfds:{name} does not say its sample rate, or has no samples of 16 bits.", received=f"{rate} Hz, {samples.dtype}"
        )
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(int(rate))
        file.writeframes(np.clip(samples, -(2**15), 2**15 - 1).astype("<i2").tobytes())
    return stream.getvalue()


def _read_index(name: str, folder: Path) -> Examples:
    with storage_errors(folder, doing="read"):
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    rows = index["files"]
    known = {row["split"] for row in rows} & set(_SPLITS)
    splits = None
    if len(known) > 1:
        rows = [row for row in rows if row["split"] in known]
        splits = np.array([_SPLITS[row["split"]] for row in rows])
    return Examples(
        class_names=tuple(index["class_names"]),
        labels=np.array([row["label"] for row in rows], np.int32),
        paths=np.array([str(folder / row["file"]) for row in rows]) if rows else np.zeros(0, "U1"),
        splits=splits,
        source=f"tfds:{name}",
    )
