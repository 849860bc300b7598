"""The model that is served: the newest version in its folder, exchanged for a newer one while requests go on.

As TensorFlow Serving does by default, only the highest version is served; the one before it answers what it had begun.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfl.errors import ExportError, RunError, TflError
from tfl.serve.batching import Batcher, BatcherClosedError, Outputs, Rows
from tfl.serve.files import UNDECODABLE
from tfl.serve.limits import Limits
from tfl.serve.predictor import load_saved_model
from tfl.serve.refusal import RefusedError

if TYPE_CHECKING:
    import numpy as np

BYTES, PIXELS = "serving_default", "pixels"
Stamp = tuple[int, tuple[tuple[str, int, int], ...]]
_log = logging.getLogger("tfl.serve")


@dataclass(frozen=True)
class Signature:
    """A function of the SavedModel, with one input.

    Attributes:
        name: As in the SavedModel.
        input_name: Of its only input.
        of_strings: Whether it takes strings; else float32.
        row_shape: Of one row: `()` for strings.
        call: From a tensor with a row each to tensors by name.
    """

    name: str
    input_name: str
    of_strings: bool
    row_shape: tuple[int, ...]
    call: Callable[[Any], dict[str, Any]]


class ServedVersion:
    """One SavedModel, loaded, with the queue before it.

    Attributes:
        number: The version.
        folder: Where it was loaded from.
        class_names: In the order of the probabilities.
        signatures: By name.
        definitions: The signatures as the SavedModel's protobuf has them (`SignatureDef`), by name.
    """

    def __init__(
        self, folder: Path, number: int, *, limits: Limits | None = None, on_batch: Callable[[int], None] | None = None
    ) -> None:
        self.number, self.folder, self.limits = number, folder, limits or Limits()
        self._loaded, self.class_names = load_saved_model(folder)
        self.signatures = _signatures(self._loaded)
        self.definitions = _definitions(folder)
        self._warm_up()
        self._batcher = Batcher(self._run, limits=self.limits, join=_join, on_batch=on_batch)

    @property
    def waiting(self) -> int:
        """Rows that wait for this version."""
        return self._batcher.waiting

    def submit(self, rows: Rows, *, signature: str = BYTES, weight: int = 0) -> Future[Outputs]:
        """Puts rows in the queue: file contents that `check_image` let pass, or pixels for the signature `pixels`.

        Returns:
            A future of arrays with a row each, by the names of the signature's outputs. It raises `RefusedError` when a row
            cannot be decoded.

        Raises:
            RefusedError: Too much waits.
            BatcherClosedError: Another version has taken its place.
        """
        return self._batcher.submit(signature, rows, weight=weight)

    def predict(self, images: Sequence[bytes]) -> Outputs:
        """The outputs for the contents of image files, waited for.

        Raises:
            RefusedError: One cannot be decoded, or too much waits.
        """
        return self.submit(list(images)).result()

    def close(self) -> None:
        """Answers what was begun, then lets go of the model."""
        self._batcher.close()
        self._loaded = None
        self.signatures = {}

    def _warm_up(self) -> None:
        """The first call of a TensorFlow function is slow: a grey picture takes it, so that no request has to."""
        import tensorflow as tf

        grey = tf.io.encode_jpeg(tf.fill((64, 64, 3), tf.constant(128, tf.uint8))).numpy()
        for count in (1, 2):
            self._run(BYTES, [grey] * count)

    def _run(self, signature: str, rows: Rows) -> Outputs:
        import tensorflow as tf

        try:
            outputs = self.signatures[signature].call(tf.constant(rows))
            return {name: tensor.numpy() for name, tensor in outputs.items()}
        except tf.errors.InvalidArgumentError as error:
            if signature == BYTES:
                raise RefusedError("INVALID_ARGUMENT", f"An image cannot be decoded: {UNDECODABLE}.") from error
            raise RefusedError("INVALID_ARGUMENT", "The model does not take these pixels.") from error
        except tf.errors.ResourceExhaustedError as error:
            raise RefusedError(
                "UNAVAILABLE", "The server's memory is used up. Try again in a moment, with fewer images."
            ) from error


class Models:
    """The versions of one model in its folder. Make one with `Models.open`.

    Attributes:
        name: Under which it is served.
        base: The folder with the version folders; or of one version, which then is the only one.
        troubles: Versions that could not be loaded, and why.
        on_batch: Told the rows of each batch; may be set later.
    """

    def __init__(self, base: Path, name: str, *, limits: Limits | None = None) -> None:
        self.base, self.name, self.limits = base, name, limits or Limits()
        self.troubles: dict[int, str] = {}
        self.on_batch: Callable[[int], None] = lambda rows: None
        self._stamp: Stamp | None = None
        self._failed: set[Stamp] = set()
        self._current: ServedVersion | None = None
        self._stop = threading.Event()
        self._watcher: threading.Thread | None = None

    @classmethod
    def open(cls, path: Path | str, *, name: str | None = None, limits: Limits | None = None) -> Models:
        """The model of a run or an export, loaded.

        Args:
            path: `RUN`, `RUN/export`, `…/saved_model`, or `…/saved_model/1`, which serves that version alone.
            name: Under which it is served; by default the name of the recipe it came from.
            limits: Of what requests may ask.

        Raises:
            RunError: There is no export.
            ExportError: It cannot be loaded.
        """
        base = _base_of(Path(path))
        models = cls(base, name or _recipe_name(base) or "model", limits=limits)
        models.look()
        if models._current is None:
            raise ExportError("; ".join(models.troubles.values()) or f"There is no version in {base}.")
        return models

    @property
    def latest(self) -> ServedVersion:
        """The version that is served.

        Raises:
            RefusedError: There is none.
        """
        if self._current is None:
            raise RefusedError("UNAVAILABLE", f"No version of {self.name} is loaded.")
        return self._current

    def find(self, name: str, number: int | None = None) -> ServedVersion:
        """The version that a request asks for.

        Raises:
            RefusedError: Another model or version is asked for.
        """
        current = self._current
        if name != self.name or current is None or number not in (None, current.number):
            wanted = f"Latest({name[:200]})" if number is None else f"Specific({name[:200]}, {number})"
            raise RefusedError("NOT_FOUND", f"Servable not found for request: {wanted}")
        return current

    def submit(
        self, rows: Rows, *, version: ServedVersion, signature: str = BYTES, weight: int = 0, exactly: bool = False
    ) -> Future[Outputs]:
        """As `version.submit`; where another version has just taken its place and need not be the same, that one answers."""
        while True:
            try:
                return version.submit(rows, signature=signature, weight=weight)
            except BatcherClosedError:
                if exactly or version is self._current:
                    raise RefusedError("NOT_FOUND", f"Version {version.number} of {self.name} is being unloaded.") from None
                version = self.latest

    def states(self) -> list[dict[str, Any]]:
        """The versions as TensorFlow Serving's status call shows them, the newest first."""
        troubles = [(number, "END", "INVALID_ARGUMENT", "It could not be loaded.") for number in self.troubles]
        current = [] if self._current is None else [(self._current.number, "AVAILABLE", "OK", "")]
        return [
            {"version": str(number), "state": state, "status": {"error_code": code, "error_message": message}}
            for number, state, code, message in sorted(current + troubles, reverse=True)
        ]

    def look(self) -> bool:
        """Loads the highest version that can be, if it is new, and lets go of the one before. True when one was exchanged.

        A version that could not be loaded is tried again once its files have changed.
        """
        for number, folder in sorted(_versions(self.base).items(), reverse=True):
            stamp = _stamp(number, folder)
            if stamp == self._stamp:
                return False
            if stamp not in self._failed and self._exchange(number, folder):
                self._stamp = stamp
                return True
            self._failed.add(stamp)
        return False

    def watch(self, every_s: float = 1.0) -> None:
        """Looks for new versions in a thread until `close`."""
        self._watcher = threading.Thread(target=self._watch, args=(every_s,), name="tfl-versions", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Answers what was begun, and lets go of everything."""
        self._stop.set()
        if self._watcher is not None:
            self._watcher.join()
        if self._current is not None:
            self._current.close()

    def _watch(self, every_s: float) -> None:
        while not self._stop.wait(every_s):
            try:
                self.look()
            except Exception as error:  # a folder that comes and goes must not end the thread
                _log.warning("The versions in %s could not be looked at: %s", self.base, error)

    def _exchange(self, number: int, folder: Path) -> bool:
        try:
            loaded = ServedVersion(folder, number, limits=self.limits, on_batch=lambda rows: self.on_batch(rows))
        except TflError as error:
            self.troubles[number] = str(error)
            _log.warning("Version %d of %s is not served: %s", number, self.name, error)
            return False
        self.troubles.pop(number, None)
        before, self._current = self._current, loaded
        _log.info("Version %d of %s is served.", number, self.name)
        if before is not None:
            before.close()
        return True


def _base_of(path: Path) -> Path:
    if (path / "manifest.json").is_file():
        path = path / "export"
    for base in (path, path / "saved_model"):
        if (base / "saved_model.pb").is_file() or _versions(base):
            return base
    raise RunError(
        f"There is no SavedModel in {path}." if path.exists() else f"There is no folder {path}.",
        allowed="a run, or the folder of an export",
        fix="Write one with: tfl export RUN --format saved_model",
    )


def _versions(base: Path) -> dict[int, Path]:
    """The complete versions in a folder, by number; a SavedModel's own folder is the only version of itself."""
    if (base / "saved_model.pb").is_file():
        return {int(base.name) if base.name.isdecimal() else 1: base}
    folders = [entry for entry in base.glob("[0-9]*") if entry.name.isdecimal() and (entry / "saved_model.pb").is_file()]
    return {int(folder.name): folder for folder in folders}


def _stamp(number: int, folder: Path) -> Stamp:
    """Tells a version from another one of the same number that took its place, or from its half."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return number, tuple((file.name, file.stat().st_ino, file.stat().st_mtime_ns) for file in files)


def _recipe_name(base: Path) -> str | None:
    import json

    folder = max(_versions(base).items())[1]
    try:
        about = json.loads((folder / "assets.extra" / "tfl.json").read_text(encoding="utf-8"))
        return str(about["recipe"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _signatures(loaded: Any) -> dict[str, Signature]:
    import tensorflow as tf

    found = {}
    for name, function in loaded.signatures.items():
        inputs = function.structured_input_signature[1]
        if len(inputs) != 1:
            continue
        ((input_name, spec),) = inputs.items()

        def call(rows: Any, function: Any = function, input_name: str = input_name) -> dict[str, Any]:
            answer: dict[str, Any] = function(**{input_name: rows})
            return answer

        found[name] = Signature(name, input_name, spec.dtype == tf.string, tuple(spec.shape[1:]), call)
    return found


def _definitions(folder: Path) -> dict[str, Any]:
    from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

    stored = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    found = {}
    for name, definition in sorted(stored.meta_graphs[0].signature_def.items()):
        found[name] = meta_graph_pb2.SignatureDef()
        found[name].CopyFrom(definition)
    return found


def _join(parts: list[Rows]) -> Rows:
    """The rows of several requests as one: lists of contents, or arrays of pixels."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], list):
        return [row for part in parts for row in part]
    import numpy as np

    joined: np.ndarray = np.concatenate(parts)  # type: ignore[arg-type]
    return joined
