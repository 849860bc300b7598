"""What happens where a batch does not fit into memory: it goes through the network in parts, and the step stays the same."""

from __future__ import annotations

import tensorflow as tf

from tfl.errors import TrainingError
from tfl.recipe import Stage
from tfl.runs import Run
from tfl.train.state import StageState

_OTHER = ("No space left", "Too many open files", "Disk quota")
"""TensorFlow has one class of error for everything that ran out."""
_BEGINS = "Memory ran out:"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, and not the disk.

    Example:

    >>> from tfl.train.memory import is_out_of_memory
    >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError())
    (True, False)
    """
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return not any(words in str(error) for words in _OTHER)
    return isinstance(error, MemoryError)


def ran_out(run: Run, stage: Stage, state: StageState, reason: str, *, allowed: bool) -> str:
    """Lets the stage's batches go through the network in twice as many parts, and writes that down.

    Args:
        run: Its manifest gets `memory`: by stage, `batch_size`, `parts` and `epoch`.
        stage, state: The stage and where it stands; saved here.
        reason: What the failed step said.
        allowed: Whether the recipe lets batches be taken apart.

    Returns:
        The same for a person.

    Raises:
        TrainingError: The recipe does not want that, or a part is one example already.
    """
    first = (reason.strip() or "no more was said").splitlines()[0][:200]
    if not allowed or state.parts >= stage.batch_size:
        wish = "" if allowed else ", or let batches be taken apart (on_out_of_memory=halve)"
        raise TrainingError(
            f"Stage `{stage.name}` does not fit into memory ({first}).",
            received=f"batch_size={stage.batch_size}" + (f", in {state.parts} parts" if state.parts > 1 else ""),
            fix=f"Lower stages.{stage.name}.batch_size, or data.image_size{wish}.",
        )
    state.parts = min(2 * state.parts, stage.batch_size)
    rows = -(-stage.batch_size // state.parts)
    said = (
        f"{_BEGINS} from epoch {state.epoch + 1} on, each batch of {stage.batch_size} goes through the network in "
        f"{state.parts} parts of at most {rows}, and their gradients are added up: the same steps, slower."
    )
    state.notices = [*(notice for notice in state.notices if not notice.startswith(_BEGINS)), said]
    state.save(run, stage.name)
    run.update_manifest(memory={stage.name: {"batch_size": stage.batch_size, "parts": state.parts, "epoch": state.epoch + 1}})
    return said
