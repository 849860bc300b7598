"""What decides the result of `tfl warm`: `WarmOptions`. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tfl.errors import RecipeError
from tfl.fields import check_fields, number

Model = Literal["logistic", "svm", "boosting", "net"]
MODELS: tuple[Model, ...] = ("logistic", "svm", "boosting", "net")
CRITERIA = ("mean", "worst")


@dataclass(frozen=True, kw_only=True)
class WarmOptions:
    """Everything but the two tables.

    Args:
        target: The column to predict; None takes the one called `target`, `label` or `class`.
        columns: The columns to predict from; empty for all others.
        models: Which are compared.
        steps: After how many steps a warm start is measured. A step is one pass over the new training rows (`logistic`, `svm`,
            `net`), or ten more trees (`boosting`).
        criterion: What decides when to stop, on validation rows: the `mean` of the accuracies on old and on new rows, or the
            `worst` of both.
        replay: The share of old rows among those that a step with replay sees.
        ewc: The strength of elastic weight consolidation.
        rate: Learning rate of a step of `logistic` and `svm`.
        seed: Of the split, of the order of rows and of everything random.

    Raises:
        RecipeError: A value is out of range, or a model or a step is named twice.

    Example:

    >>> from tfl.warm_start.options import WarmOptions
    >>> WarmOptions(models=("net",)).steps
    (1, 2, 4, 8, 16, 32)
    """

    target: str | None = None
    columns: tuple[str, ...] = ()
    models: tuple[Model, ...] = MODELS
    steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    criterion: Literal["mean", "worst"] = "mean"
    replay: float = number(0.3, at_least=0.01, at_most=0.99)
    ewc: float = number(100.0, at_least=0)
    rate: float = number(0.05, at_least=1e-6, at_most=10)
    seed: int = number(0, at_least=0, at_most=2**31 - 1)

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.models or len(set(self.models)) < len(self.models):
            raise RecipeError("`models` names one model or more, each once.", received=list(self.models), allowed=MODELS)
        if not self.steps or min(self.steps) < 1 or max(self.steps) > 1000 or list(self.steps) != sorted(set(self.steps)):
            raise RecipeError(
                "`steps` are whole numbers in ascending order.", received=list(self.steps), allowed="1 to 1000, such as 1,2,4,8"
            )
