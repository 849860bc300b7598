"""From features to attributes, and from attributes to classes: DAP and ESZSL, both linear. NumPy and scikit-learn only.

*Direct attribute prediction* (DAP; Lampert, Nickisch and Harmeling 2014, equation 2): one logistic regression for each attribute,
and the probability of a class is the product, over its attributes, of the probability of having or not having it over how often
the seen classes have it. In logits that is linear: `score(c) = sum_a s(c, a) * (z(a) - logit(prior(a)))` plus what is the same
for all classes, with `s` the table, and `z` the logit of an attribute.

*Embarrassingly simple zero-shot learning* (ESZSL; Romera-Paredes and Torr 2015, equation 3): `score(c) = x V s(c)` with
`V = (X'X + gamma I)^-1 X'Y S (S'S + lambda I)^-1`, `Y` 1 for the class of an example and -1 for others. It learns how well
features and attributes are compatible, in one step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tfl.probes.head import linear_head

if TYPE_CHECKING:
    from numpy.typing import NDArray

Method = Literal["dap", "eszsl"]
METHODS: tuple[Method, ...] = ("dap", "eszsl")
PENALTY = 1.0
"""C of each regression, on standardised features: scikit-learn's default. Chosen for each attribute by cross-validation it came
to no higher accuracy over twelve draws of `benchmarks/zero_shot.py` (0.70; 0.72 with 1), in many times the time."""
PRIORS = (0.05, 0.95)
"""Between which the share of seen classes with an attribute is held, since its logit must be finite."""
GAMMAS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
LAMBDAS = (1e-2, 1e-1, 1.0, 10.0)
"""Tried for ESZSL: its gamma with `X'X` a mean over examples, its lambda with `S'S` a sum over classes."""


@dataclass(frozen=True, eq=False)
class Compatibility:
    """How well features go with the attributes of a class.

    Args:
        kernel: Array of shape `(features, attributes)`.
        bias: Array of shape `(attributes,)`.
        prior: Array of shape `(attributes,)`: what is taken away from each attribute, the logit of its prior for DAP.
        unit: Whether the attributes of each class are brought to length 1.
        method: Which method made it.
        setting: Its gamma and lambda in words; empty for DAP.
    """

    kernel: NDArray[np.float64]
    bias: NDArray[np.float64]
    prior: NDArray[np.float64]
    unit: bool
    method: Method
    setting: str = ""

    def scores(self, features: NDArray[np.floating], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """How well each example goes with each class, `(n, classes)`.

        Args:
            features: `(n, features)`.
            values: `(classes, attributes)`, from 0 to 1.
        """
        kernel, bias = self.layer(values)
        return np.asarray(features, np.float64) @ kernel + bias

    def layer(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The same for some classes as one layer: a kernel `(features, classes)` and a bias `(classes,)`."""
        vectors = _unit(values) if self.unit else values
        return self.kernel @ vectors.T, (self.bias - self.prior) @ vectors.T


def fit_dap(features: NDArray[np.floating], labels: NDArray[np.integer], values: NDArray[np.float64]) -> Compatibility:
    """One logistic regression for each attribute, with the penalty `PENALTY`; a value above a half counts as having it.

    Args:
        features: `(n, features)`.
        labels: `(n,)`, rows of `values`.
        values: `(classes, attributes)`, from 0 to 1.

    Example:

    >>> import numpy as np
    >>> values = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    >>> labels = np.repeat(np.arange(3), 20)  # the last class is never seen
    >>> features = np.random.default_rng(0).normal(0, 0.1, (60, 2)) + values[labels]
    >>> fit_dap(features, labels, values).scores([[0.0, 0.0]], values).argmax()
    np.int64(3)
    """
    seen = np.unique(labels)
    has = (values[labels] > 0.5).astype(np.float64)
    penalties = (PENALTY,) * values.shape[1]
    found = linear_head(np.asarray(features, np.float32), has, labels, task="multilabel", strengths=penalties)
    share = np.clip((values[seen] > 0.5).mean(axis=0), *PRIORS)
    prior = np.log(share / (1 - share))
    return Compatibility(found.kernel.astype(np.float64), found.bias.astype(np.float64), prior, False, "dap")


def fit_eszsl(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    values: NDArray[np.float64],
    *,
    gammas: tuple[float, ...] = GAMMAS,
    lambdas: tuple[float, ...] = LAMBDAS,
) -> Iterator[Compatibility]:
    """The closed form, once for each pair of penalties; every class has the same total weight.

    Args:
        features: `(n, features)`.
        labels: `(n,)`, rows of `values`.
        values: `(classes, attributes)`, from 0 to 1; only the classes among `labels` are used.
        gammas: Penalties of features.
        lambdas: Penalties of attributes.

    Example:

    >>> import numpy as np
    >>> values = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> labels = np.repeat(np.arange(3), 20)  # the last class is never seen
    >>> features = np.random.default_rng(0).normal(0, 0.1, (60, 3)) + values[labels]
    >>> (found,) = fit_eszsl(features, labels, values, gammas=(0.1,), lambdas=(1.0,))
    >>> found.scores(values[3:], values).argmax(), found.setting
    (np.int64(3), 'gamma=0.1, lambda=1')
    """
    features = np.asarray(features, np.float64)
    seen, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights = 1 / (len(seen) * counts[places])
    mean = weights @ features
    spread = np.sqrt(weights @ (features - mean) ** 2)
    spread[spread < 1e-8] = 1.0
    rows = (features - mean) / spread * np.sqrt(weights)[:, None]
    right = (2.0 * (places[:, None] == np.arange(len(seen))) - 1) * np.sqrt(weights)[:, None]
    left, singular, basis = np.linalg.svd(rows, full_matrices=False)
    vectors = _unit(values[seen])
    outer, pulled = left.T @ right @ vectors, vectors.T @ vectors
    for gamma in gammas:
        side = basis.T @ (outer * (singular / (singular**2 + gamma))[:, None])
        for lam in lambdas:
            kernel = np.linalg.solve(pulled + lam * np.eye(len(pulled)), side.T).T / spread[:, None]
            setting = f"gamma={gamma:g}, lambda={lam:g}"
            yield Compatibility(kernel, -mean @ kernel, np.zeros(len(pulled)), True, "eszsl", setting)


def candidates(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    values: NDArray[np.float64],
    *,
    methods: tuple[Method, ...] = METHODS,
) -> Iterator[Compatibility]:
    """All that the methods give, always in the same order. Arguments as of `fit_dap`."""
    if "dap" in methods:
        yield fit_dap(features, labels, values)
    if "eszsl" in methods:
        yield from fit_eszsl(features, labels, values)


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
