"""How well frozen features would serve a task, without training on it: LogME, H-score and N-LEEP. NumPy and scikit-learn only.

Each takes features `(n, width)` of one network and labels, and gives a number that is larger for the better network on the same
examples; numbers of different data are not comparable. They see the features as they are and know nothing of how a network would
change while it is fine-tuned. Which of them ranks networks best changes with the data set, the set of networks and how they are
fine-tuned (Agostinelli et al. 2022, *How stable are Transferability Metrics evaluations?*, who compared 715,000 such
experiments), so they serve to leave out networks that are far behind, not to decide between the first few. Where seconds are to
be had, the held-out accuracy of a linear probe (`tfl.probes.linear`) is the figure to prefer: it has a unit and an interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfl.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_STEPS, _TOLERANCE = 1000, 1e-8
_LEAST, _MOST = 1e-10, 1e10
"""Of a precision of LogME: without bounds it grows for ever where features predict perfectly, or not at all."""
_RANK = 1e-8
"""Principal axes with less than this share of the largest variance count as directions that the features do not have."""
_VARIANCE = 0.8
_PER_CLASS = 5
"""Components of the mixture for each class, as Li et al. 2021."""
_RIDGE = 1e-4
"""Added to the variances of the mixture, in features of which the largest axis has variance one."""
_PER_COMPONENT = 5
"""Examples for each component, at least, on average."""
_LEAST_SCALE = 1e-10
"""A feature that varies by less than this share of its largest value does not change."""


def log_me(features: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The log evidence per example of Bayesian linear regressions from features to classes (LogME).

    For each class, `y` is 1 for its examples and 0 for others, and the model is

        y = F w + noise,  w ~ N(0, 1/alpha),  noise ~ N(0, 1/beta)

    The evidence `p(y | F, alpha, beta)` is the density of `N(0, F F'/alpha + I/beta)` at `y`. It is maximised over alpha and
    beta by MacKay's fixed point on the singular values of F, and the score is the mean over classes of its logarithm divided by
    n. As in the paper there is no intercept and no scaling: features that are shifted or scaled give another score unless the
    regression makes up for it, so compare networks whose features are pooled in the same way.

    The authors report that it ranks networks more like their accuracy after fine-tuning than LEEP and NCE do; others found that
    this depends on the data, see the head of this module. Labels are treated as numbers with Gaussian noise, so the value is no
    log likelihood of a classifier.

    Args:
        features: Array of shape `(n, width)`, finite, any floating type.
        labels: Integer array of shape `(n,)`; any numbers, one for each class.

    Returns:
        Float, without bounds; higher is better.

    Raises:
        DataError: There are fewer than two classes, a feature is not finite, or the lengths differ.

    Example:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(60) % 3
    >>> noise = rng.normal(size=(60, 5))
    >>> log_me(noise + 3 * np.eye(3, 5)[labels], labels) > log_me(noise, labels)
    True

    Source: You et al. 2021, *LogME: Practical Assessment of Pre-trained Models for Transfer Learning*; the fixed point is
    MacKay 1992, *Bayesian Interpolation*.
    """
    rows, classes = _checked(features, labels)
    left, singular, _ = np.linalg.svd(rows, full_matrices=False)
    targets = np.eye(int(classes.max()) + 1)[classes]
    along = np.square(left.T @ targets)
    return float(
        np.mean(
            [
                _log_evidence(squares, total, singular**2, rows.shape)
                for squares, total in zip(along.T, targets.sum(axis=0), strict=True)
            ]
        )
    )


def _log_evidence(squares: NDArray[np.float64], total: float, eigenvalues: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    """The largest log evidence per example.

    Args:
        squares: `(rank,)`, of the target along each left singular vector.
        total: The target's sum of squares.
        eigenvalues: `(rank,)`, of F F'.
        shape: n and width.
    """
    count = shape[0]
    outside = max(total - float(squares.sum()), 0.0)

    def evidence(alpha: float, beta: float) -> float:
        variances = eigenvalues / alpha + 1 / beta
        rest = count - len(eigenvalues)
        spread = np.log(variances).sum() - rest * np.log(beta)
        fit = (squares / variances).sum() + outside * beta
        return float(-(count * np.log(2 * np.pi) + spread + fit) / (2 * count))

    alpha, beta, best = 1.0, 1.0, -np.inf
    for _ in range(_MOST_STEPS):
        shrunk = alpha + beta * eigenvalues
        effective = float((beta * eigenvalues / shrunk).sum())
        weights = float((beta**2 * eigenvalues * squares / shrunk**2).sum())
        residual = float((alpha**2 * squares / shrunk**2).sum()) + outside
        alpha = float(np.clip(effective / max(weights, 1e-300), _LEAST, _MOST))
        beta = float(np.clip((count - effective) / max(residual, 1e-300), _LEAST, _MOST))
        found = evidence(alpha, beta)
        if abs(found - best) <= _TOLERANCE * abs(found):
            break
        best = found
    return found


def h_score(features: NDArray[np.floating], labels: NDArray[np.integer], *, shrinkage: bool = True) -> float:
    """How much of the features' variance is between classes, in units of their own covariance (H-score).

        H = trace(cov(f)^-1 cov(E[f | y]))

    Without shrinkage it is between 0 and classes - 1, does not change under an invertible linear map of the features, and equals
    the sum of the squared canonical correlations of features and one-hot classes. With about as many features as examples that
    sum is close to its maximum whatever the features are: noise of width n - 1 separates n examples. Ledoit and Wolf's estimate
    of the covariance (`shrinkage=True`) is what makes the score usable there. It is not invariant to the scale of single
    features, so they are standardised first.

    Features that are close to uncorrelated are shrunk entirely, and score 0. Ibrahim et al. report that shrinkage raises the
    correlation with accuracy after transfer, by up to 0.8. It is a score of linear separation: classes that differ in spread
    and not in mean score 0. See the head of this module for how far rankings by such scores can be trusted.

    Args:
        features: Array of shape `(n, width)`, finite, any floating type.
        labels: Integer array of shape `(n,)`; any numbers, one for each class.
        shrinkage: Bool, whether the covariance is shrunk towards a multiple of the identity. With False a pseudo-inverse is used.
            Defaults to True.

    Returns:
        Float, at least 0; higher is better.

    Raises:
        DataError: There are fewer than two classes, a feature is not finite, or the lengths differ.

    Example:

    >>> import numpy as np
    >>> labels = np.arange(60) % 3
    >>> print(f"{h_score(np.eye(3)[labels], labels, shrinkage=False):.3f}")
    2.000

    Source: Bao et al. 2019, *An Information-Theoretic Approach to Transferability in Task Transfer Learning*; the shrinkage is
    Ibrahim et al. 2021, *Newer is not always better: Rethinking transferability metrics, their peculiarities, stability and
    performance*, with Ledoit and Wolf 2004, *A well-conditioned estimator for large-dimensional covariance matrices*.
    """
    rows, classes = _checked(features, labels)
    rows = _standardised(rows)
    counts = np.bincount(classes)
    means = np.eye(len(counts))[classes].T @ rows / counts[:, None]
    between = np.sqrt(counts / len(rows))[:, None] * means  # its Gram matrix is cov(E[f | y])
    _, singular, axes = np.linalg.svd(rows, full_matrices=False)
    variances = singular**2 / len(rows)
    kept = variances > _RANK * max(float(variances[0]), 1e-30)
    squares = np.square(between @ axes[kept].T).sum(axis=0)
    if not shrinkage:
        return float((squares / variances[kept]).sum())
    from sklearn.covariance import ledoit_wolf_shrinkage

    share = float(ledoit_wolf_shrinkage(rows, assume_centered=True))
    target = float(variances.sum()) / rows.shape[1]
    if target == 0:
        return 0.0
    # Ibrahim et al. shrink both covariances: that of the class means by (1 - share)
    return float((1 - share) * (squares / ((1 - share) * variances[kept] + share * target)).sum())


def n_leep(features: NDArray[np.floating], labels: NDArray[np.integer], *, components: int | None = None) -> float:
    """How well the labels follow from clusters that were found without them (N-LEEP).

    The features are reduced to the principal components that hold 80% of their variance, and a mixture of Gaussians with diagonal
    covariances is fitted to these. Its posterior probabilities of the components take the place of source classes in `leep`. The
    random state is fixed, so the same input gives the same score.

    The authors report better rankings than by LEEP and H-score on most of the sets of networks that they compare. The clusters
    and the shares of the classes in them come from the examples that are scored, so with few examples for each component the
    score is too high: noise scores above minus the entropy of the labels. The score also changes with the number of components;
    see the head of this module for how far rankings by such scores can be trusted.

    Args:
        features: Array of shape `(n, width)`, finite, any floating type.
        labels: Integer array of shape `(n,)`; any numbers, one for each class.
        components: Int, how many Gaussians. Defaults to None, which is five for each class, but no more than a fifth of the
            examples.

    Returns:
        Float, at most 0; higher is better. Minus the entropy of the labels, in nats, is what features score that say nothing.

    Raises:
        DataError: There are fewer than two classes, a feature is not finite, the lengths differ, or `components` is not from 1
            to n.

    Example:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(90) % 3
    >>> noise = rng.normal(size=(90, 4))
    >>> n_leep(noise + 9 * np.eye(3, 4)[labels], labels) > -0.01 > n_leep(noise, labels)
    True

    Source: Li et al. 2021, *Ranking Neural Checkpoints*.
    """
    rows, classes = _checked(features, labels)
    count = len(rows)
    if components is not None and not 1 <= components <= count:
        raise DataError(
            "`components` is out of range.", received=components, allowed=f"an integer from 1 to {count}, the number of examples"
        )
    reduced = _reduced(rows)
    wanted = components or max(1, min(_PER_CLASS * (int(classes.max()) + 1), count // _PER_COMPONENT))
    distinct = len(np.unique(reduced, axis=0))
    return leep(_posteriors(reduced, min(wanted, distinct)), classes)


def leep(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The mean log probability of the labels by way of source classes (LEEP).

    With `P(z | x)` the probabilities of source classes z, and `P(y | z)` the share of label y in z, each example counted with its
    `P(z | x)`:

        LEEP = mean of log( sum over z of P(y | z) P(z | x) )

    It needs a network with the head of its pretraining; `n_leep` does without. The authors evaluate it mostly on many target
    tasks of one network; see the head of this module for rankings of several networks.

    Args:
        probabilities: Array of shape `(n, source classes)`; each row sums to 1.
        labels: Integer array of shape `(n,)`; any numbers, one for each class.

    Returns:
        Float, at most 0; higher is better.

    Raises:
        DataError: There are fewer than two classes, a probability is not finite, or the lengths differ.

    Example:

    >>> import numpy as np
    >>> print(f"{leep(np.eye(2)[[0, 0, 1, 1]], np.array([0, 0, 1, 1])):.3f}")
    0.000

    Source: Nguyen et al. 2020, *LEEP: A New Measure to Evaluate Transferability of Learned Representations*.
    """
    given, classes = _checked(probabilities, labels)
    together = np.eye(int(classes.max()) + 1)[classes].T @ given
    shares = together / np.maximum(together.sum(axis=0), 1e-300)
    return float(np.mean(np.log(np.maximum((shares[classes] * given).sum(axis=1), 1e-300))))


def _reduced(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(n, r)`: the principal components that hold most of the variance, scaled so that the largest has variance one."""
    centred = rows - rows.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    if singular[0] <= _LEAST_SCALE * max(float(np.abs(rows).max()), 1e-30):
        return np.zeros((len(rows), 1))
    held = np.cumsum(singular**2) / np.sum(singular**2)
    kept = int(np.searchsorted(held, _VARIANCE - 1e-9)) + 1
    return np.asarray(left[:, :kept] * singular[:kept] * np.sqrt(len(rows)) / singular[0])


def _posteriors(rows: NDArray[np.float64], components: int) -> NDArray[np.float64]:
    """`(n, components)`: the probability that each example comes from each Gaussian."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(components, covariance_type="diag", reg_covar=_RIDGE, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(mixture.fit(rows).predict_proba(rows))


def _checked(features: NDArray[np.floating], labels: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Features in double precision, and classes from 0 without gaps."""
    rows, given = np.asarray(features), np.asarray(labels)
    if rows.ndim != 2 or given.ndim != 1 or len(rows) != len(given) or not rows.shape[1]:
        raise DataError(
            "Features and labels do not fit together.",
            received=f"shapes {rows.shape} and {given.shape}",
            allowed="features of shape (n, width) and labels of shape (n,)",
        )
    rows = rows.astype(np.float64)
    if not (finite := np.isfinite(rows).all(axis=1)).all():
        raise DataError("Some features are not finite numbers.", received=f"{int((~finite).sum())} of {len(rows)} examples")
    names, classes = np.unique(given, return_inverse=True)
    if len(names) < 2:
        raise DataError(
            "There is nothing to tell apart.", received=f"{len(names)} class", allowed="labels of at least two classes"
        )
    return rows, classes.astype(np.int64)


def _standardised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean zero and variance one; zero where a feature does not change."""
    centred = rows - rows.mean(axis=0)
    scale = centred.std(axis=0)
    constant = scale <= _LEAST_SCALE * np.maximum(np.abs(rows).max(axis=0), 1e-30)
    return np.where(constant, 0.0, centred / np.where(constant, 1.0, scale))
