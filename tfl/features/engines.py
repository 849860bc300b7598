"""What runs the frozen blocks: Keras in float32 or mixed precision, or OpenVINO; checked against Keras, chosen by measuring."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import keras
import numpy as np
import tensorflow as tf

from tfl.backbones import flat
from tfl.backbones.inputs import count_of, rows_of
from tfl.errors import BackboneError, MissingExtraError, StorageError
from tfl.features.choices import NEWLY, choices_home
from tfl.features.chunks import BATCH
from tfl.features.identity import VERSIONS
from tfl.features.openvino_engine import Converted, openvino_version
from tfl.model.forward import constant_forward
from tfl.model.policies import policy_of, supported_precisions, under_policy
from tfl.model.timing import best_seconds
from tfl.storage import write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

FLOAT32_TOLERANCE = 1e-3
"""Largest error of an engine that computes in float32. Sums in another order make some 1e-5 of what tells examples apart."""
HALF_TOLERANCE = 0.1
"""Of one that computes in bfloat16 or float16. A head is trained on what the engine makes and then used on what Keras makes, so a
difference costs accuracy: on flowers an error of 0.05 costs 0.1 points, 0.1 0.3 and 0.25 1.3 (`benchmarks/engine_error.py`).
In bfloat16 `mini` stays below it; MobileNets with ImageNet weights come to 0.2 and more."""
LEAST_SPREAD = 0.1
"""Outputs are taken to differ between examples by at least this share of their size: those of equal examples, or of a random
network, hardly differ."""

Requested = Literal["keras", "openvino", "auto"]
_said: set[tuple[str, str]] = set()
"""Choices that were told to a person: a run asks for the same one at every cut."""


class Engine(Protocol):
    """Runs a frozen network."""

    name: str

    def __call__(self, inputs: Any) -> list[NDArray[Any]]:
        """A batch of tensors to one float32 array for each output of the network."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """An engine and why.

    Args:
        engine: To be called with batches.
        rates: Examples per second of each engine that was measured, by name.
        errors: `relative_error` against Keras in float32 of each engine that was tried, by name; the worst output counts.
        said: All that as a sentence.
    """

    engine: Engine
    rates: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    said: str


def choose_engine(
    requested: Requested,
    prefix: keras.Model,
    inputs: Any,
    *,
    known: str | None = None,
    console: Console | None = None,
) -> Chosen:
    """The engine for a frozen network.

    Args:
        requested: `keras` takes the network as it is, in its own precision. `openvino` takes the faster of float32 and bfloat16
            that agrees with Keras in float32; `auto` the fastest of these and of Keras in each precision of this machine. What
            was measured is kept: later networks on the same inputs and first weights get the same engine, while it agrees and
            until `forget_choices`.
        prefix: A flat Functional model to one tensor or several.
        inputs: The first batch of tensors, on which engines are compared.
        known: The name of the engine that this work began with; taken without measuring while it agrees.
        console: Where to say what was measured and chosen, an earlier choice once a process; None says nothing.

    Raises:
        MissingExtraError: `openvino` is not installed.
        BackboneError: `openvino` cannot run this network, or not to within the tolerance.
    """
    if requested == "keras":
        engine = KerasEngine(prefix)
        return Chosen(engine=engine, said=f"The frozen blocks run on {engine.name}.")
    if requested == "openvino" and openvino_version() is None:
        raise MissingExtraError.of("openvino", needed_for="features.engine=openvino")
    contest = _Contest(requested, prefix, inputs)
    chosen = contest.earlier(known) or contest.earlier(earlier_engine(requested, prefix)) or contest.measure()
    place = (str(_memory(requested, prefix)), chosen.engine.name)
    if console is not None and (chosen.rates or place not in _said):
        console.print(chosen.said, highlight=False, markup=False)
        _said.add(place)
    return chosen


class KerasEngine:
    """A network run by Keras, as it is now: weights that change later do not count."""

    def __init__(self, prefix: keras.Model, *, name: str | None = None) -> None:
        self.name = name or f"keras {policy_of(prefix)}"
        self._forward = constant_forward(prefix)

    def __call__(self, inputs: Any) -> list[NDArray[Any]]:
        return [output.numpy() for output in self._forward(inputs)]


def relative_error(found: Sequence[NDArray[Any]], truth: Sequence[NDArray[Any]]) -> float:
    """`|found - truth| / |truth - mean over examples of truth|` in the Euclidean norm, of the worst output.

    What all examples have in common tells a head nothing, so it is the spread between examples that an error is compared with.
    Infinite where something is not finite.

    Args:
        found, truth: One `(batch, ...)` array for each output.

    Example:

    >>> import numpy as np
    >>> from tfl.features.engines import relative_error
    >>> truth = np.array([[1.0], [3.0]])
    >>> round(relative_error([truth + 0.01], [truth]), 3)
    0.01
    """
    return max(map(_relative_error, found, truth))


def _relative_error(found: NDArray[Any], truth: NDArray[Any]) -> float:
    exact = np.asarray(truth, np.float64)
    away, size = float(np.linalg.norm(found - exact)), float(np.linalg.norm(exact))
    spread = float(np.linalg.norm(exact - exact.mean(0))) if len(exact) > 1 else size
    if not np.isfinite(away):
        return float("inf")
    return away / max(spread, LEAST_SPREAD * size) if size else float("inf") if away else 0.0


def tolerance_of(name: str) -> float:
    """The largest relative error of an engine of that name.

    Example:

    >>> from tfl.features.engines import tolerance_of
    >>> tolerance_of("openvino float32")
    0.001
    """
    return FLOAT32_TOLERANCE if name.endswith("float32") and "+" not in name else HALF_TOLERANCE


def earlier_engine(requested: Requested, prefix: keras.Model) -> str | None:
    """The name of the engine that `choose_engine` would take without measuring, or None where it would measure."""
    if requested == "keras":
        return f"keras {policy_of(prefix)}"
    try:
        return str(json.loads(_memory(requested, prefix).read_text())["engine"])
    except (OSError, ValueError, KeyError):
        return None


class _Contest:
    """The engines that a request allows, on one network and one batch."""

    def __init__(self, requested: Requested, prefix: keras.Model, inputs: Any) -> None:
        self.requested, self.prefix, self.inputs = requested, prefix, inputs
        own = policy_of(prefix) == "float32"
        self._reference = KerasEngine(prefix if own else under_policy(prefix, "float32"), name="keras float32")
        self._truth = self._reference(inputs)
        self._converted: Converted | None = None

    def earlier(self, name: str | None) -> Chosen | None:
        """The engine that was chosen earlier, where it still agrees."""
        if name is None:
            return None
        try:
            engine = self._engine(name)
        except (BackboneError, MissingExtraError, LookupError, ValueError):  # not to be had here, or never was an engine
            return None
        error = relative_error(engine(self.inputs), self._truth)
        if error > tolerance_of(name):
            return None
        said = f"The frozen blocks run on {name}, chosen earlier (error {error:.0e} here). To measure again: {NEWLY}."
        return Chosen(engine=engine, errors={name: error}, said=said)

    def measure(self) -> Chosen:
        """The fastest engine within its tolerance."""
        engines, failures = self._engines()
        errors = {name: relative_error(engine(self.inputs), self._truth) for name, engine in engines.items()}
        failures |= {name: f"error {error:.1e}" for name, error in errors.items() if error > tolerance_of(name)}
        allowed = {name: engine for name, engine in engines.items() if name not in failures}
        if not allowed:
            raise self._refusal(failures)
        batch = rows_of(self.inputs, np.resize(np.arange(count_of(self.inputs)), BATCH))
        seconds = best_seconds({name: _run_of(engine, batch) for name, engine in allowed.items()})
        rates = {name: BATCH / value for name, value in seconds.items()}
        fastest = max(rates, key=lambda name: rates[name])
        _remember(self.requested, self.prefix, fastest, rates, errors)
        return Chosen(engine=allowed[fastest], rates=rates, errors=errors, said=_sentence(fastest, rates, errors, failures))

    def _engines(self) -> tuple[dict[str, Engine], dict[str, str]]:
        """Every engine that could be built, and why the others could not."""
        engines: dict[str, Engine] = {}
        failures: dict[str, str] = {}
        if self.requested == "auto":
            policies = dict.fromkeys([*supported_precisions(), policy_of(self.prefix)])
            self._try([f"keras {policy}" for policy in policies], engines, failures)
        if openvino_version() is not None:
            try:
                precisions = self._openvino().precisions
            except (BackboneError, MissingExtraError) as error:
                failures["openvino"] = error.what
            else:
                self._try([f"openvino {precision}" for precision in precisions], engines, failures)
        return engines, failures

    def _try(self, names: Sequence[str], engines: dict[str, Engine], failures: dict[str, str]) -> None:
        for name in names:
            try:
                engines[name] = self._engine(name)
            except BackboneError as error:
                failures[name] = error.what

    def _engine(self, name: str) -> Engine:
        kind, _, precision = name.partition(" ")
        return self._openvino().engine(precision) if kind == "openvino" else self._keras(precision)

    def _keras(self, policy: str) -> Engine:
        if policy == "float32":
            return self._reference
        own = policy_of(self.prefix) == policy
        return KerasEngine(self.prefix if own else under_policy(self.prefix, policy), name=f"keras {policy}")

    def _openvino(self) -> Converted:
        self._converted = self._converted or Converted(self.prefix)
        return self._converted

    def _refusal(self, failures: Mapping[str, str]) -> BackboneError:
        return BackboneError(
            "OpenVINO cannot stand in for Keras on this network.",
            received="; ".join(f"{name}: {why}" for name, why in failures.items()),
            allowed=f"an error of {FLOAT32_TOLERANCE:g} of what tells examples apart in float32, {HALF_TOLERANCE:g} in bfloat16",
            fix="Use features.engine=keras.",
        )


def _input_shapes(model: keras.Model) -> list[Any]:
    shapes = [list(one.shape) for one in model.inputs]
    return shapes[0] if len(shapes) == 1 else shapes


def _run_of(engine: Engine, batch: Any) -> Callable[[], object]:
    return lambda: engine(batch)


def _sentence(fastest: str, rates: Mapping[str, float], errors: Mapping[str, float], failures: Mapping[str, str]) -> str:
    measured = ", ".join(
        f"{name} {rate:.{0 if rate > 20 else 1}f} examples/s (error {errors[name]:.0e})" for name, rate in rates.items()
    )
    passed = "; ".join(f"{name} ({why.rstrip('.')})" for name, why in failures.items())
    return f"The frozen blocks run on {fastest}: measured {measured}" + (f"; passed over {passed}." if passed else ".")


def _remember(
    requested: Requested, prefix: keras.Model, engine: str, rates: Mapping[str, float], errors: Mapping[str, float]
) -> None:
    """Keeps what was measured; where the cache cannot be written it is measured again."""
    about = {"network": prefix.name, "inputs": {one.name: list(one.shape[1:]) for one in prefix.inputs}, "requested": requested}
    measured = {"engine": engine, "examples_per_second": dict(rates), "errors": dict(errors)}
    with contextlib.suppress(StorageError):
        write_json(_memory(requested, prefix), {**about, **measured})


def _memory(requested: Requested, prefix: keras.Model) -> Path:
    """Where the choice for networks that begin like this one is kept: cuts of one network must not differ in their engine."""
    first = next((op for op in flat.operations_inside(prefix) if not flat.prepares_inputs(op)), None)
    weights = b"".join(keras.ops.convert_to_numpy(weight).tobytes() for weight in getattr(first, "weights", ()))
    network = [_input_shapes(prefix), policy_of(prefix), hashlib.sha256(weights).hexdigest()]
    devices = [device.name for device in tf.config.list_physical_devices()]
    parts = [requested, network, VERSIONS, openvino_version(), os.cpu_count(), _processor(), devices]
    return choices_home() / f"{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}.json"


@functools.cache
def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return line
    return platform.processor()
