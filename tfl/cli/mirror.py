"""Whether training images may be flipped horizontally: can mirrored copies be told from the originals?

Letters, digits, arrows and left and right hands mean something else in the mirror. Where a linear model on features of the
`mini` backbone finds the original of most pairs (image, mirrored copy), mirroring makes images that do not occur, and the flip is
left out. Asking this of photographs is known as visual chirality (Lin, Sun, Davis and Snavely 2020).

    sample ─▶ features on a 3×3 grid, of image and copy ─▶ told apart? · are classes confused on copies? ─▶ flip, and the reason
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.examples import Examples, listed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from tfl.data.bundle import Bundle

SIDE = 96
"""Pixels of a side: what `mini` was trained at."""
GRID = 3
"""Features are averaged over so many rows and columns, so that the position of a detail counts."""
MOST_IMAGES = 1000
FEWEST_IN_CLASS = 16
"""A class with fewer images in the sample is not asked about on its own."""
MOST_TOLD_APART = 0.65
"""The flip is used where the upper bound of the share of pairs told apart is below this; 0.5 is chance."""
MOST_LOST = 0.05
"""So much of the accuracy a probe of the classes may lose on mirrored copies."""
_RIDGE = 1.0  # times the mean square length of a difference
_SIGN_FLIPS = 200
_Z95, _P_CLASS, _P_CONFUSED = 1.959963984540054, 0.01, 0.01


@dataclass(frozen=True, kw_only=True)
class MirrorTest:
    """Whether a horizontal flip is safe, as measured on mirrored copies of a sample of the images.

    Attributes:
        flip: Bool, whether a horizontal flip is safe to use.
        reason: String, the reason as one sentence without a full stop.
        images: Int, the number of images that were compared with their mirrored copy.
        told_apart: Float, the share of pairs whose original was identified; 0.5 is chance. None if there were too few images.
        interval: Pair of floats, the 95% interval of `told_apart`.
        classes: Tuple of strings, the classes whose own images are told apart from their copies.
        named, named_mirrored: Floats, the accuracy of a linear probe of the classes on originals and on mirrored copies.
    """

    flip: bool
    reason: str
    images: int
    told_apart: float | None = None
    interval: tuple[float, float] | None = None
    classes: tuple[str, ...] = ()
    named: float | None = None
    named_mirrored: float | None = None


@dataclass(frozen=True)
class ToldApart:
    """How often a linear model that was not fitted on a pair identifies its original.

    Attributes:
        share: Float, the share of all pairs.
        interval: Pair of floats, the 95% interval, from the spread of the share when the original of each pair is drawn at
            random.
        classes: Integer array, positions of the classes whose own share is above chance, at a level of 0.01 over all classes
            together.
    """

    share: float
    interval: tuple[float, float]
    classes: tuple[int, ...]


def mirror_test(examples: Examples, *, seed: int = 0, console: Console | None = None) -> MirrorTest:
    """Compares a sample of at most 1,000 images with their mirrored copies; test images are left alone.

    Args:
        examples: `Examples` with labels; files that cannot be read are skipped.
        seed: Int, the seed of the sample. Defaults to 0.
        console: rich `Console` for messages and progress. Defaults to None, which prints nothing.

    Example:

    >>> import tfl
    >>> from tfl.cli.mirror import mirror_test
    >>> from tfl.data.source import load_source
    >>> found = mirror_test(load_source(tfl.Sample("digits", per_class=30)))
    >>> found.flip, found.told_apart > 0.8
    (False, True)
    """
    drawn = _drawn(examples, seed=seed)
    if not enough_images(len(drawn)):
        return _too_few(len(drawn))
    if console is not None:
        console.print(
            f"comparing {len(drawn)} images with their mirrored copies, to decide about a horizontal flip", soft_wrap=True
        )
    bundle = _sample(examples.take(drawn), seed=seed)
    count = len(bundle.examples)
    if not enough_images(count):
        return _too_few(count)
    originals, copies = _features(bundle)
    labels = np.asarray(bundle.examples.labels)
    apart = tell_apart([one - other for one, other in zip(originals, copies, strict=True)], labels, seed=seed)
    return _decide(apart, _named(originals, copies, labels, seed=seed), examples.class_names, count)


def enough_images(count: int) -> bool:
    """Whether the flip could be used at all: of so many pairs, with half of them told apart, the upper bound is low enough.

    Example:

    >>> enough_images(40), enough_images(50)
    (False, True)
    """
    return count > 0 and 0.5 + _Z95 * 0.5 / count**0.5 < MOST_TOLD_APART


def _too_few(count: int) -> MirrorTest:
    reason = f"{count} images are too few to find out whether mirrored copies can be told from the originals"
    return MirrorTest(flip=False, reason=reason, images=count)


def tell_apart(differences: list[NDArray[np.float32]], labels: NDArray[np.integer], *, seed: int = 0) -> ToldApart:
    """Identifies the original of each pair by a ridge regression on feature differences, each pair left out in turn.

    It is asked twice, by one model of all images and by one for each class: left and right hands look alike in the mirror when
    taken together. The larger share counts. Nothing is refitted: leave-one-out predictions of a ridge regression, and those
    under other signs of the differences, follow from one inverse (Hastie, Tibshirani and Friedman 2009, 7.10).

    Args:
        differences: Sequence of arrays of shape `(n, ...)`, one for each block: features of the image minus those of its copy.
        labels: Integer array of shape `(n,)`, the class of each image.
        seed: Int, the seed by which one of the two is called the original, for the spread without any difference. Defaults to 0.

    Example:

    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    >>> labels = np.arange(200) % 2
    >>> round(tell_apart([noise], labels).share, 1), tell_apart([noise + 3], labels).share
    (0.5, 1.0)
    """
    rows = np.concatenate([_even(block) for block in differences], axis=1).astype(np.float64)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (len(rows), _SIGN_FLIPS))
    signs = np.concatenate([np.ones((len(rows), 1)), signs], axis=1)
    together, by_class = _found(rows, signs), np.zeros(signs.shape)
    classes, asked = [], [label for label in np.unique(labels) if (labels == label).sum() >= FEWEST_IN_CLASS]
    for label in np.unique(labels):
        inside = labels == label
        by_class[inside] = _found(rows[inside], signs[inside])
        share, spread = _share_and_spread(by_class[inside])
        if label in asked and share - 0.5 > _z(_P_CLASS / len(asked)) * spread:
            classes.append(int(label))
    share, spread = max(_share_and_spread(together), _share_and_spread(by_class))
    return ToldApart(share, (max(0.0, share - _Z95 * spread), min(1.0, share + _Z95 * spread)), tuple(classes))


def _found(rows: NDArray[np.float64], signs: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(n, flips)` 1 where the original of a pair is found by the other pairs, 0 where not, 0.5 where the two are the same."""
    products = rows @ rows.T
    scale = max(float(np.trace(products)) / len(products), 1e-12)
    inverse = np.linalg.inv(products / scale + _RIDGE * np.eye(len(products)))
    towards = (signs - (inverse @ signs) / np.diag(inverse)[:, None]) * signs
    return np.asarray(np.where(np.abs(towards) < 1e-9, 0.5, towards > 0))


def _share_and_spread(found: NDArray[np.float64]) -> tuple[float, float]:
    """The share of pairs found, and its standard deviation over the random signs; at least that of as many coin tosses."""
    shares = found.mean(axis=0)
    return float(shares[0]), max(float(shares[1:].std()), 0.5 / np.sqrt(len(found)))


def _even(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each channel at the same scale, and each block at the same weight."""
    flat = block.reshape(len(block), -1, block.shape[-1])
    scale = np.sqrt(np.square(flat).mean(axis=(0, 1)))
    even = (flat / np.maximum(scale, 1e-6)).reshape(len(block), -1)
    return np.asarray(even / np.sqrt(even.shape[1]), np.float32)


def _z(p: float) -> float:
    from scipy.stats import norm

    return float(norm.isf(p))


def _named(
    originals: list[NDArray[np.float32]], copies: list[NDArray[np.float32]], labels: NDArray[np.integer], *, seed: int
) -> tuple[float, float, bool] | None:
    """The share of held-out originals and of their copies that a linear probe of the classes names correctly, and whether it
    does worse on the copies, by more than `MOST_LOST` and by McNemar's exact test; None without two classes of five images.
    """
    from scipy.stats import binomtest
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    large = np.flatnonzero(np.bincount(labels)[labels] >= 5)
    if len(np.unique(labels[large])) < 2:
        return None
    flat, mirrored = (np.concatenate([one.reshape(len(one), -1)[large] for one in some], axis=1) for some in (originals, copies))
    truth, right, right_mirrored = labels[large], np.zeros(len(large), bool), np.zeros(len(large), bool)
    for train, out in StratifiedKFold(5, shuffle=True, random_state=seed).split(flat, truth):
        probe = make_pipeline(StandardScaler(), RidgeClassifier(alpha=flat.shape[1])).fit(flat[train], truth[train])
        right[out], right_mirrored[out] = (probe.predict(rows[out]) == truth[out] for rows in (flat, mirrored))
    lost, won = int((right & ~right_mirrored).sum()), int((right_mirrored & ~right).sum())
    much = lost - won > MOST_LOST * len(large)
    worse = much and binomtest(lost, lost + won, 0.5, alternative="greater").pvalue < _P_CONFUSED
    return float(right.mean()), float(right_mirrored.mean()), bool(worse)


def _decide(apart: ToldApart, named: tuple[float, float, bool] | None, class_names: tuple[str, ...], count: int) -> MirrorTest:
    share, (low, high) = apart.share, apart.interval
    names = tuple(class_names[label] for label in apart.classes)
    figures = f"the original was found in {share:.2f} of {count} pairs of image and mirrored copy (0.5 is chance)"
    told, worse = names or (high >= MOST_TOLD_APART and low > 0.5), named is not None and named[2]
    if named is not None and worse:
        shares = f"{named[0]:.2f} of the images and on {named[1]:.2f} of their mirrored copies"
        reason = f"mirroring changes the class: a probe of the classes is right on {shares}"
    elif told:
        of_some = f"mirrored copies of some classes can be told from the originals: {listed(names, limit=5)}"
        reason = f"mirrored copies can be told from the originals: {figures}" if high >= MOST_TOLD_APART else of_some
        if named is not None:
            reason += f"; a probe of the classes is right on {named[0]:.2f} of the images and {named[1]:.2f} of the copies"
        reason += "; if the direction means nothing, as that of the light, the flip can be added by hand"
    elif high >= MOST_TOLD_APART:
        reason = f"{count} images are too few to decide: {figures}, 95% interval {low:.2f} to {high:.2f}"
    else:
        reason = f"mirrored copies cannot be told from the originals: {figures}"
    about: dict[str, Any] = {"told_apart": share, "interval": (low, high), "classes": names}
    if named is not None:
        about |= {"named": named[0], "named_mirrored": named[1]}
    return MirrorTest(flip=high < MOST_TOLD_APART and not told and not worse, reason=reason, images=count, **about)


def _sample(examples: Examples, *, seed: int) -> Bundle:
    """The images that can be read, one of each group and content."""
    from tfl.data.audit import audit
    from tfl.data.bundle import Bundle
    from tfl.data.split import Split, tied_together
    from tfl.modalities.base import modality_of_data
    from tfl.recipe import Data

    data = Data(examples.source or "memory", image_size=(SIDE, SIDE))
    audited = audit(examples, modality=modality_of_data(data), on_bad="report", keep=True)
    one_of_each = np.unique(tied_together(audited.examples, audited.fingerprints), return_index=True)[1]
    split = Split.only("train", len(one_of_each))
    return Bundle.of(audited.take(one_of_each), split=split, data=data, seed=seed)


def _drawn(examples: Examples, *, seed: int) -> NDArray[np.int64]:
    """Positions of at most `MOST_IMAGES`, the same number of each class where it has them; of many classes, some."""
    rng = np.random.default_rng(seed)
    usable = np.ones(len(examples), bool) if examples.splits is None else np.asarray(examples.splits) != "test"
    classes = rng.permutation(len(examples.class_names))[: MOST_IMAGES // FEWEST_IN_CLASS]
    most = MOST_IMAGES // len(classes)
    members = [np.flatnonzero(usable & (examples.labels == label)) for label in classes]
    return np.sort(np.concatenate([rng.permutation(some)[:most] for some in members]))


def _features(bundle: Bundle) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """For each block of `mini`, its output on a grid, `(n, 3, 3, channels)`: of the images, and of their mirrored copies."""
    import keras

    from tfl.backbones.blocks import block_outputs
    from tfl.model.assemble import assemble
    from tfl.recipe import Backbone, Recipe

    recipe = Recipe(name="mirror", data=bundle.data, backbone=Backbone("mini"))
    assembled = assemble(recipe, bundle.examples.class_names)
    tensors = block_outputs(assembled.backbone())
    maps = [tensors[block.name] for block in assembled.blocks]
    coarse = [keras.layers.AveragePooling2D(map_.shape[1] // GRID)(map_) for map_ in maps]
    model = keras.Model(assembled.model.input, coarse)
    indices = np.arange(len(bundle.examples))
    seen: list[list[Any]] = []
    for images, _ in bundle.dataset(indices, batch_size=64):
        seen.append([model(images, training=False), model(images[:, :, ::-1], training=False)])
    originals, copies = (
        [np.concatenate([np.asarray(batch[side][block], np.float32) for batch in seen]) for block in range(len(coarse))]
        for side in (0, 1)
    )
    return originals, copies
