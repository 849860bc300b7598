"""One loaded SavedModel: its signatures, and the queue before them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfl.serve.batching import Batcher, Outputs, Rows
from tfl.serve.files import UNDECODABLE
from tfl.serve.limits import Limits
from tfl.serve.predictor import load_saved_model
from tfl.serve.refusal import RefusedError

_WARM_UP_S = 5.0
BYTES, PIXELS = "serving_default", "pixels"


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

    @property
    def expected_wait_s(self) -> float:
        """How long a request that comes now is expected to wait."""
        return self._batcher.expected_wait_s

    def submit(self, rows: Rows, *, signature: str = BYTES, weight: int = 0, deadline: float = math.inf) -> Future[Outputs]:
        """Puts rows in the queue: file contents that `check_image` let pass, or pixels for the signature `pixels`.

        Args:
            rows: Contents of files, or an array `(rows, height, width, 3)`.
            signature: Which function of the SavedModel.
            weight: Pixels that decoding the rows takes.
            deadline: When the answer is of no use any more, by `time.monotonic`.

        Returns:
            A future of arrays with a row each, by the names of the signature's outputs. It raises `RefusedError` when a row
            cannot be decoded.

        Raises:
            RefusedError: It would wait too long, or too much waits.
            BatcherClosedError: Another version has taken its place.
        """
        return self._batcher.submit(signature, rows, weight=weight, deadline=deadline)

    def predict(self, images: Sequence[bytes]) -> Outputs:
        """The outputs for the contents of image files, waited for.

        Raises:
            RefusedError: One cannot be decoded, or too much waits.
        """
        return self.submit(list(images)).result()

    def close(self) -> None:
        """Answers what was begun and takes nothing new. The model goes with the last reference to it."""
        self._batcher.close()

    def _warm_up(self) -> None:
        """The first batch of a size is slow, and takes memory for good: grey pictures go first, so that no request has to.

        Sizes that do not fit into the time are left to the requests.
        """
        import tensorflow as tf

        grey = tf.io.encode_jpeg(tf.fill((64, 64, 3), tf.constant(128, tf.uint8))).numpy()
        most = self.limits.max_batch_size
        powers = [2**power for power in range(most.bit_length())]
        until = time.monotonic() + _WARM_UP_S
        for count in dict.fromkeys([*powers, *range(most, 0, -1)]):
            if count > 1 and time.monotonic() > until:
                break
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

    joined: np.ndarray = np.concatenate(parts)
    return joined
