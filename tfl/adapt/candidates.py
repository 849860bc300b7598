"""The networks that are compared: the one trained on the source, and what each method of adaptation makes of it.

    below the head   source only · AdaBN · TENT · Deep CORAL · DANN
    the head         as it was · CORAL · self-training · self-training from CORAL

Each way to adapt what lies below the head is tried with each way to adapt the head.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tfl.adapt.batchnorm import BatchStatistics, adapt_statistics, batchnorm_layers, minimise_entropy, passes_of
from tfl.adapt.coral import align
from tfl.adapt.network import Head, TwoDomains, Weights
from tfl.adapt.self_training import self_train, softmax
from tfl.adapt.upper import BATCH, train_upper
from tfl.data.bundle import derived_seed
from tfl.model.assemble import Assembled
from tfl.recipe import AdaptMethod
from tfl.train.loop import logits_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXAMPLES = 5000
"""So many examples of each domain DANN and Deep CORAL train on."""
MOST_BYTES = 2**31
"""Of the features that these two hold in memory."""
_OF_BATCHNORM: tuple[AdaptMethod, ...] = ("adabn", "tent")
_OF_UPPER: tuple[AdaptMethod, ...] = ("deep_coral", "dann")


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """A network and its answers.

    Args:
        methods: What was done, one after the other; empty for the network trained on the source.
        weights: Those that differ from the network trained on the source, by path.
        target: Array of shape `(n, classes)`, probabilities of the target examples, in their order.
        validation: Array of shape `(m, classes)`, those of the source's validation examples. Methods that move one domain to
            the other move these, too: with AdaBN they are answered with the statistics of the source, and CORAL aligns them.
        seconds: Float, what it took.
    """

    methods: tuple[AdaptMethod, ...]
    weights: Weights
    target: NDArray[np.float64]
    validation: NDArray[np.float64]
    seconds: float

    @property
    def name(self) -> str:
        """Such as `adabn + coral`; `source_only` where nothing was done."""
        return " + ".join(self.methods) or "source_only"


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A method that was not tried.

    Args:
        method: Which.
        why: As a clause.
        fatal: Whether it can never be tried on this network.
    """

    method: AdaptMethod
    why: str
    fatal: bool


def impossible(method: AdaptMethod, assembled: Assembled) -> str | None:
    """Why a network cannot be adapted by a method, as a clause; None where it can."""
    layers = batchnorm_layers(assembled.model)
    if method in _OF_BATCHNORM and not layers:
        return "the network has no BatchNorm"
    if method == "tent" and not any(layer.scale or layer.center for layer in layers):
        return "BatchNorm has no scale and no shift in this network"
    if method in _OF_UPPER and len(assembled.blocks) < 2:
        return "the network has one block, below which nothing could stay frozen"
    return None


class _LeftOutError(Exception):
    """Ends a method; says why, as a clause."""


class Candidates:
    """Makes the candidates of some methods, the quick ones first.

    Args:
        domains: The network and its examples.
        methods: Which.
        minutes: Limit of the time for all methods, in minutes, passes that compute features included; a method that does not
            come to its end by then is left out. None is no limit.
        class_weights: `(classes,)` weights of the training loss, or None.
        check: Called now and then; what it raises ends the work.

    Attributes:
        skipped: What was not tried.
    """

    def __init__(
        self,
        domains: TwoDomains,
        methods: Sequence[AdaptMethod],
        *,
        minutes: float | None,
        class_weights: NDArray[Any] | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.domains, self.methods = domains, tuple(methods)
        self.class_weights, self.check = class_weights, check
        self.ends = None if minutes is None else time.perf_counter() + 60 * minutes
        self.skipped: list[Skipped] = []
        self._seed = derived_seed(domains.recipe.seed, "adapt")
        self._statistics = BatchStatistics(domains.model)

    def all(self) -> Iterator[Candidate]:
        """The candidates, that of the source alone first."""
        domains = self.domains
        self._began = time.perf_counter()
        own = domains.source_vectors()
        yield from self._with_heads((), {}, *own, domains.vectors(domains.target, domains.every))
        ways: dict[AdaptMethod, Callable[[], Iterator[Candidate]]] = {
            "adabn": self._adabn,
            "deep_coral": lambda: self._upper("deep_coral"),
            "dann": lambda: self._upper("dann"),
            "tent": self._tent,
        }
        for method, way in ways.items():
            if method not in self.methods:
                continue
            if (why := impossible(method, domains.assembled)) is not None:
                self.skipped.append(Skipped(method=method, why=why, fatal=True))
                continue
            self._began = time.perf_counter()
            try:
                self._on_time()
                yield from way()
            except _LeftOutError as error:
                self.skipped.append(Skipped(method=method, why=str(error), fatal=False))
            finally:
                domains.restore()

    def _on_time(self) -> None:
        self.check()
        if self.ends is not None and time.perf_counter() > self.ends:
            raise _LeftOutError("the time was up")

    def _adabn(self) -> Iterator[Candidate]:
        domains, moving = self.domains, self._moving()
        head, train, validation = self._of_source_statistics()
        adapt_statistics(self._statistics, *domains.batches_of(domains.target), seed=self._seed)
        changed = domains.with_head({path: value for path, value in domains.changed().items() if path in moving}, head)
        yield from self._with_heads(("adabn",), changed, train, validation, domains.vectors(domains.target, domains.every))

    def _of_source_statistics(self) -> tuple[Head, NDArray[np.float32], NDArray[np.float32]]:
        """A head for vectors that BatchNorm makes with the statistics of the source, and these of its training and validation
        examples: a network whose statistics are those of its pretraining would else have three domains."""
        domains = self.domains
        adapt_statistics(self._statistics, *domains.batches_of(domains.source), seed=self._seed)
        self._on_time()
        train, validation = domains.source_vectors()
        self._on_time()
        return domains.fit(train, domains.labels), train, validation

    def _moving(self) -> set[str]:
        """The paths of the statistics of BatchNorm."""
        layers = batchnorm_layers(self.domains.model)
        return {weight.path for layer in layers for weight in (layer.moving_mean, layer.moving_variance)}

    def _tent(self) -> Iterator[Candidate]:
        domains, moving = self.domains, self._moving()
        head, _, _ = self._of_source_statistics()
        statistics = {path: value for path, value in domains.changed().items() if path in moving}
        domains.restore(domains.with_head({}, head))
        batches, count = domains.batches_of(domains.target)
        logits = logits_model(domains.model, domains.source.task)
        passes = passes_of(count)
        minimise_entropy(self._statistics, logits, batches, count, seed=self._seed, passes=passes, after_batch=self._on_time)
        changed, target = domains.changed(), domains.vectors(domains.target, domains.every)
        domains.restore({**changed, **{path: statistics.get(path, domains.start[path]) for path in moving}})
        yield from self._with_heads(("tent",), changed, *domains.source_vectors(), target)

    def _upper(self, method: Literal["deep_coral", "dann"]) -> Iterator[Candidate]:
        domains = self.domains
        if (needed := domains.upper_bytes()) > MOST_BYTES:
            raise _LeftOutError(f"its features would take {needed / 2**30:.1f} GiB of memory")
        upper = domains.upper()
        one_hot = np.eye(domains.source.class_count, dtype=np.float32)[domains.labels]
        rows = domains.adapted
        target = {name: one[rows] for name, one in upper.target.items()} if isinstance(upper.target, dict) else upper.target[rows]
        train_upper(
            upper.suffix,
            upper.train,
            one_hot,
            target,
            method=method,
            steps=-(-EXAMPLES // BATCH),
            seed=self._seed,
            class_weights=self.class_weights,
            after_step=self._on_time,
        )
        changed = domains.changed()
        vectors = [upper.vectors(one) for one in (upper.train, upper.validation, upper.target)]
        yield from self._with_heads((method,), changed, *vectors)

    def _with_heads(
        self,
        below: tuple[AdaptMethod, ...],
        changed: Weights,
        train: NDArray[np.float32],
        validation: NDArray[np.float32],
        target: NDArray[np.float32],
    ) -> Iterator[Candidate]:
        """The candidates of one network below the head."""
        domains = self.domains
        names = [weight.path for weight in domains.head_weights]
        own = tuple(changed.get(name, domains.start[name]) for name in names)
        head: Head = (own[0], own[1])
        yield self._candidate(below, changed, head, validation, target)
        adapted = target[domains.adapted]
        if "coral" in self.methods:
            move = align(train, adapted)
            aligned = move(train)
            fitted = domains.fit(aligned, domains.labels)
            yield self._candidate((*below, "coral"), domains.with_head(changed, fitted), fitted, move(validation), target)
            if "self_training" in self.methods:
                found = self_train(aligned, domains.labels, adapted, fitted, domains.fit)
                done = (*below, "coral", "self_training")
                yield self._candidate(done, domains.with_head(changed, found), found, move(validation), target)
        if "self_training" in self.methods:
            found = self_train(train, domains.labels, adapted, head, domains.fit)
            yield self._candidate((*below, "self_training"), domains.with_head(changed, found), found, validation, target)

    def _candidate(
        self,
        methods: tuple[AdaptMethod, ...],
        weights: Weights,
        head: Head,
        validation: NDArray[np.float32],
        target: NDArray[np.float32],
    ) -> Candidate:
        self.check()
        kernel, bias = head
        seconds, self._began = time.perf_counter() - self._began, time.perf_counter()
        return Candidate(
            methods=methods,
            weights=weights,
            target=softmax(target @ kernel + bias),
            validation=softmax(validation @ kernel + bias),
            seconds=seconds,
        )
