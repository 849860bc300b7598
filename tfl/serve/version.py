"""One loaded SavedModel: its signatures, and the queue before them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfl.errors import BadContentError, ExportError
from tfl.serve.about import shipping_of_export
from tfl.serve.batching import Batcher, Outputs, Rows
from tfl.serve.limits import Limits
from tfl.serve.predictor import load_saved_model
from tfl.serve.refusal import RefusedError

_WARM_UP_S = 5.0
CONTENTS = "serving_default"


@dataclass(frozen=True)
class Input:
    """One input of a signature.

    Attributes:
        dtype: Name of its dtype, `string` for contents.
        row_shape: Of one row: `()` for contents.
    """

    dtype: str
    row_shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Signature:
    """A function of the SavedModel.

    Attributes:
        name: As in the SavedModel.
        inputs: Its inputs by name.
        call: From tensors with a row each, by name, to tensors by name.
    """

    name: str
    inputs: Mapping[str, Input]
    call: Callable[[dict[str, Any]], dict[str, Any]]

    @property
    def of_strings(self) -> bool:
        """Whether it takes contents."""
        return any(taken.dtype == "string" for taken in self.inputs.values())

    @property
    def input_name(self) -> str:
        """Name of the first input, which is the only one of a signature that takes contents."""
        return next(iter(self.inputs))


class ServedVersion:
    """One SavedModel, loaded, with the queue before it.

    Attributes:
        number: The version.
        folder: Where it was loaded from.
        class_names: In the order of the task's output.
        shipping: How contents are read.
        signatures: By name.
        definitions: The signatures as the SavedModel's protobuf has them (`SignatureDef`), by name.
    """

    def __init__(
        self, folder: Path, number: int, *, limits: Limits | None = None, on_batch: Callable[[int], None] | None = None
    ) -> None:
        self.number, self.folder, self.limits = number, folder, limits or Limits()
        try:
            self.shipping = shipping_of_export(folder)
        except BadContentError as error:
            raise ExportError(f"{folder}: {error}") from error
        self._loaded, self.class_names = load_saved_model(folder)
        self.signatures = _signatures(self._loaded)
        self.definitions = _definitions(folder)
        self._warm_up()
        self._batcher = Batcher(self._run, limits=self.limits, join=_join, on_batch=on_batch, nouns=self.shipping.modality.nouns)

    @property
    def waiting(self) -> int:
        """Rows that wait for this version."""
        return self._batcher.waiting

    @property
    def expected_wait_s(self) -> float:
        """How long a request that comes now is expected to wait."""
        return self._batcher.expected_wait_s

    def submit(self, rows: Rows, *, signature: str = CONTENTS, weight: int = 0, deadline: float = math.inf) -> Future[Outputs]:
        """Puts rows in the queue: contents that `Shipping.cost` let pass, or tensors for the other signature.

        Args:
            rows: Contents, an array with a row each, or a list of dictionaries of arrays.
            signature: Which function of the SavedModel.
            weight: Cost of decoding the rows.
            deadline: When the answer is of no use any more, by `time.monotonic`.

        Returns:
            A future of arrays with a row each, by the names of the signature's outputs. It raises `RefusedError` when a row
            cannot be decoded.

        Raises:
            RefusedError: It would wait too long, or too much waits.
            BatcherClosedError: Another version has taken its place.
        """
        return self._batcher.submit(signature, rows, weight=weight, deadline=deadline)

    def predict(self, contents: Sequence[bytes]) -> Outputs:
        """The outputs for contents, waited for.

        Raises:
            RefusedError: One cannot be decoded, or too much waits.
        """
        return self.submit(list(contents)).result()

    def close(self) -> None:
        """Answers what was begun and takes nothing new. The model goes with the last reference to it."""
        self._batcher.close()

    def _warm_up(self) -> None:
        """The first batch of a size is slow, and takes memory for good: a golden content goes first, so that no request has to.

        Sizes that do not fit into the time are left to the requests.
        """
        content = self.shipping.golden()[self.shipping.warm_up[0]]
        most = self.limits.max_batch_size
        powers = [2**power for power in range(most.bit_length())]
        until = time.monotonic() + _WARM_UP_S
        for count in dict.fromkeys([*powers, *range(most, 0, -1)]):
            if count > 1 and time.monotonic() > until:
                break
            self._run(CONTENTS, [content] * count)

    def _run(self, signature: str, rows: Rows) -> Outputs:
        import tensorflow as tf

        found, modality = self.signatures[signature], self.shipping.modality
        try:
            outputs = found.call({name: tf.constant(values) for name, values in _by_input(rows, found).items()})
            return {name: tensor.numpy() for name, tensor in outputs.items()}
        except tf.errors.InvalidArgumentError as error:
            if signature == CONTENTS:
                article = "An" if modality.noun[0] in "aeiou" else "A"
                message = f"{article} {modality.noun} cannot be decoded: {self.shipping.undecodable()}."
                raise RefusedError("INVALID_ARGUMENT", message) from error
            raise RefusedError("INVALID_ARGUMENT", f"The model does not take these {' and '.join(found.inputs)}.") from error
        except tf.errors.ResourceExhaustedError as error:
            raise RefusedError(
                "UNAVAILABLE", f"The server's memory is used up. Try again in a moment, with fewer {modality.nouns}."
            ) from error


def _by_input(rows: Rows, signature: Signature) -> dict[str, Any]:
    """The rows as one value for each input."""
    if len(signature.inputs) == 1:
        return {signature.input_name: rows}
    import numpy as np

    return {name: np.stack([row[name] for row in rows]) for name in signature.inputs}


def _signatures(loaded: Any) -> dict[str, Signature]:
    found = {}
    for name, function in loaded.signatures.items():
        given = function.structured_input_signature[1]
        inputs = {one: Input(spec.dtype.name, tuple(spec.shape[1:])) for one, spec in given.items()}

        def call(values: dict[str, Any], function: Any = function) -> dict[str, Any]:
            answer: dict[str, Any] = function(**values)
            return answer

        if inputs and (len(inputs) == 1 or all(taken.dtype != "string" for taken in inputs.values())):
            found[name] = Signature(name, inputs, call)
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
    """The rows of several requests as one: lists of contents or of dictionaries, or arrays."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], list):
        return [row for part in parts for row in part]
    import numpy as np

    joined: np.ndarray = np.concatenate(parts)
    return joined
