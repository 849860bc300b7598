"""FixMatch: examples without labels train with the network's own answers, where it is sure of them (Sohn et al. 2020).

A batch is the labelled examples, then those without labels changed weakly, then the same changed strongly. One pass goes over
all of them, so that BatchNorm, where it trains, sees them together, as in the authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import tensorflow as tf

from tfl.data.bundle import Bundle, derived_seed
from tfl.data.pipeline import as_it_is, untuned
from tfl.recipe import PseudoLabels, Stage
from tfl.train.batches import InputBatches, StreamEpoch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tfl.tasks.base import Task


@dataclass(frozen=True)
class FixMatch:
    """One of several classes with pseudo-labels, as what `Loop` takes for a task.

    The mean over the rows of a batch of what `loss` gives is the loss of FixMatch: the mean over the labelled examples, plus
    `weight` times the mean over all examples without labels.

    Args:
        task: Of the labelled examples.
        settings: Of the stage.
    """

    task: Task
    settings: PseudoLabels

    @classmethod
    def around(cls, task: Task, settings: PseudoLabels | None) -> Task:
        """The task of a stage: with pseudo-labels, where it has any."""
        return task if settings is None else cast("Task", cls(task, settings))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def loss(self, targets: Any, logits: Any, *, weights: Any = None, label_smoothing: float = 0.0) -> Any:
        """The share of each row in the loss, `(rows,)`."""
        count, ratio = self._labelled(targets), self.settings.ratio
        rows = tf.cast(tf.shape(targets)[0], tf.float32)
        weak, strong = tf.split(logits[count:], 2)
        answers = tf.stop_gradient(tf.nn.softmax(weak))
        sure = tf.cast(tf.reduce_max(answers, -1) >= self.settings.threshold, tf.float32)
        unsupervised = sure * tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.argmax(answers, -1), logits=strong)
        supervised = self.task.loss(targets[:count], logits[:count], weights=weights, label_smoothing=label_smoothing)
        per_labelled = rows / tf.cast(count, tf.float32)
        share = self.settings.weight * per_labelled / ratio
        return tf.concat([per_labelled * supervised, tf.zeros_like(unsupervised), share * unsupervised], 0)

    def step_score(self, targets: Any, logits: Any) -> Any:
        """The score of the labelled examples; the mean over all rows is their mean."""
        count = self._labelled(targets)
        score = self.task.step_score(targets[:count], logits[:count])
        rows = tf.shape(targets)[0]
        return tf.pad(score * tf.cast(rows, tf.float32) / tf.cast(count, tf.float32), [[0, rows - count]])

    def _labelled(self, targets: Any) -> Any:
        """How many rows are labelled."""
        return tf.shape(targets)[0] // (1 + 2 * self.settings.ratio)


class PseudoLabelBatches(InputBatches):
    """Batches of labelled examples with examples without labels behind them; an epoch is a pass over the labelled ones.

    The examples without labels are taken in an order that begins anew when all of them were seen, over all epochs: which they are
    in an epoch is a function of the seed, the stage and the epoch.

    Args:
        bundle: The labelled examples.
        stage: The stage, which has pseudo-labels.
        unlabelled: The others, all in the training split.
    """

    def __init__(self, bundle: Bundle, stage: Stage, unlabelled: Bundle) -> None:
        super().__init__(bundle, stage)
        self.unlabelled, self.settings = unlabelled, stage.pseudo_labels or PseudoLabels()

    def train(self, epoch: int) -> StreamEpoch:
        """The batches of an epoch, counted from 1."""
        size, order = self.stage.batch_size * self.settings.ratio, self.drawn(epoch)
        options: dict[str, Any] = {"batch_size": size, "view": epoch - 1}
        copies = [
            self.unlabelled.dataset(order, augment=augment, augment_seed=self._seed(name), **options)
            for name, augment in (("weak", self.stage.augment), ("strong", self.settings.strong))
        ]
        together = tf.data.Dataset.zip((super().train(epoch).dataset, *copies)).map(as_it_is(_together))
        return StreamEpoch(untuned(together.prefetch(2)))

    def drawn(self, epoch: int) -> NDArray[np.int64]:
        """The examples without labels of an epoch, counted from 1, in its order."""
        count, wanted = len(self.unlabelled.examples), self.settings.ratio * len(self.bundle.indices("train"))
        first = (epoch - 1) * wanted
        passes = range(first // count, (first + wanted - 1) // count + 1)
        orders = [np.random.default_rng([self._seed("unlabelled"), number]).permutation(count) for number in passes]
        return np.concatenate(orders)[first % count :][:wanted].astype(np.int64)

    def _seed(self, name: str) -> int:
        return derived_seed(self.bundle.seed, self.stage.name, name)


def _together(labelled: Any, weak: Any, strong: Any) -> tuple[Any, Any]:
    """One batch of all; examples without labels have targets of zeros."""
    examples, targets = labelled
    more = 2 * tf.shape(weak[0])[0]
    return tf.concat([examples, weak[0], strong[0]], 0), tf.pad(targets, [[0, more], [0, 0]])
