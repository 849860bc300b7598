"""`Features`, `Monitor` and `Calibration`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal

from tfl.errors import RecipeError, did_you_mean
from tfl.fields import check_fields, number
from tfl.recipe.tasks import METRICS, lower_is_better, metric_alone

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16", "auto"]
ExportFormat = Literal["saved_model", "litert", "onnx", "openvino", "keras"]


@dataclass(frozen=True, kw_only=True)
class Features:
    """How the outputs of frozen blocks are computed and kept.

    Args:
        engine: What computes them: `keras`, in the recipe's precision; `openvino` (extra `tfl[openvino]`), in float32 or
            bfloat16, whichever is faster; `auto`, the fastest of these on this machine that agrees with Keras in float32.
        dtype: They are stored as. float16 rounds by at most 1/2048 of a value, bfloat16 by 1/256 but has float32's range.
        store: `auto` stores them where that costs less time than computing them in every epoch, and fits; `always` and
            `never` do not ask.
    """

    engine: Literal["keras", "openvino", "auto"] = "keras"
    dtype: Literal["float16", "bfloat16", "float32"] = "float16"
    store: Literal["auto", "always", "never"] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Monitor:
    """What *best* means, when to stop, how much to keep.

    Args:
        metric: Watched on the validation split after each epoch; `auto` takes the task's own: `val_accuracy` for classes,
            `val_mean_average_precision` for several labels, `val_mae` for numbers, and of several targets `val_loss`, the sum of
            their losses by `Head.loss_weights` (all 1 with `uncertainty`). `val_disease_accuracy` watches one target.
        patience: Epochs without an improvement before a stage ends; None never ends one early.
        min_delta: The smallest change that counts as an improvement.
        keep_checkpoints: How many of the latest epochs' checkpoints stay, beside the best.
        alpha: A stage that starts from a trained head keeps what it trained only where held-out examples speak for it: a paired
            one-sided test of the loss on the validation examples has a p-value of at most this, and the metric is no worse. 1.0
            asks for no test.
    """

    metric: str = "auto"
    _: KW_ONLY
    patience: int | None = number(5, at_least=1)
    min_delta: float = number(0.0, at_least=0.0)
    keep_checkpoints: int = number(1, at_least=1)
    alpha: float = number(0.2, at_least=0.0, at_most=1.0)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.metric != "auto" and metric_alone(self.metric) is None:
            known = sorted({metric for metrics in METRICS.values() for metric in metrics})
            raise RecipeError(
                "`Monitor.metric` is no metric.",
                received=self.metric[:200],
                allowed=f"auto, {', '.join(known)}; of several targets also with the name of one, such as val_disease_accuracy",
                fix=did_you_mean(self.metric, known) or None,
            )

    @classmethod
    def from_text(cls, text: str) -> Monitor:
        """The monitor of that metric."""
        return cls(text)

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value of the metric is an improvement."""
        return not lower_is_better(self.metric)

    @property
    def is_share(self) -> bool:
        """Whether the metric lies between 0 and 1."""
        return metric_alone(self.metric) in ("val_accuracy", "val_macro_f1", "val_micro_f1", "val_mean_average_precision")


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How far the answers of the finished network are to be trusted: fitted on the validation split, measured on the test split.

    Args:
        coverage: How often the prediction set is to hold the right class.
        familiar: The share of images like the validation images that is to count as familiar.
    """

    coverage: float = number(0.9, at_least=0.5, at_most=0.999)
    familiar: float = number(0.99, at_least=0.5, at_most=0.999)

    def __post_init__(self) -> None:
        check_fields(self)
