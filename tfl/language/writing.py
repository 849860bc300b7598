"""Writing with the language model of a run: what `tfl write` and `tfl.write` do."""

from __future__ import annotations

import codecs
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfl.errors import DataError, RunError
from tfl.recipe import GENERATE
from tfl.runs import Run

if TYPE_CHECKING:
    from tfl.language.sampling import Sampler

MOST_BYTES, MOST_TEXTS = 100_000, 1000


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What to write.

    Args:
        length: Integer, bytes of UTF-8 of each text, without the prompt: a letter of English has one, a letter of Russian two.
        temperature: Float, what logits are divided by, 0 to 10; 0 takes the likeliest byte.
        top_p: Float above 0, at most 1: only the likeliest bytes that together have this probability are drawn (Holtzman et al.
            2020).
        seed: Integer of at least 0, of the first text; the next one has the next seed.
        number: Integer, how many texts.
    """

    length: int = 400
    temperature: float = 0.8
    top_p: float = 0.95
    seed: int = 0
    number: int = 1

    def as_json(self) -> dict[str, Any]:
        """It as plain data."""
        return dataclasses.asdict(self)


def check_writing(prompt: str, how: Writing) -> None:
    """Makes sure that everything is in range. No TensorFlow is imported.

    Raises:
        DataError: Something is not.

    Example:

    >>> from tfl.language.writing import Writing, check_writing
    >>> check_writing("Once", Writing(top_p=0.9))
    """
    ranges = {
        "length": (1 <= how.length <= MOST_BYTES, f"1 to {MOST_BYTES:,} bytes"),
        "temperature": (0 <= how.temperature <= 10, "0 (the likeliest byte) to 10"),
        "top_p": (0 < how.top_p <= 1, "above 0, at most 1"),
        "seed": (0 <= how.seed < 2**31 - MOST_TEXTS, f"0 to {2**31 - MOST_TEXTS - 1}"),
        "number": (1 <= how.number <= MOST_TEXTS, f"1 to {MOST_TEXTS:,}"),
    }
    for name, (fits, allowed) in ranges.items():
        if not fits:
            raise DataError(f"`{name}` is out of range.", received=getattr(how, name), allowed=allowed)
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise DataError("The beginning cannot be written as UTF-8.", received=repr(prompt)[:80]) from error


class Writer:
    """The language model of a run, ready to write.

    Args:
        sampler: Of its network.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def write(self, prompt: str, how: Writing) -> list[str]:
        """The texts, the prompt included."""
        found = []
        for number in range(how.number):
            content = b"".join(self._parts(prompt, how, number))
            found.append(prompt + codecs.getincrementaldecoder("utf-8")("replace").decode(content))
        return found

    def stream(self, prompt: str, how: Writing) -> Iterator[str]:
        """The same, in parts that are given as they are written; each text ends with an end of line, and an empty line is between
        two."""
        for number in range(how.number):
            yield ("\n" if number else "") + prompt
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            for content in self._parts(prompt, how, number):
                yield decoder.decode(content)
            yield "\n"

    def _parts(self, prompt: str, how: Writing, number: int) -> Iterator[bytes]:
        from tfl.language.sampling import Sampling

        sampling = Sampling(temperature=how.temperature, top_p=how.top_p, seed=how.seed + number)
        for (part,) in self._sampler.stream([prompt.encode()], how.length, sampling):
            yield part


def open_writer(folder: Path | str | Run) -> Writer:
    """The language model of a run.

    Raises:
        RunError: There is no such run, it is of no language model, or it has no model yet.
    """
    run = folder if isinstance(folder, Run) else Run.open(folder)
    if run.recipe.task != GENERATE:
        raise RunError(
            f"{run.folder} is no run of a language model.",
            received=f"task={run.recipe.task}",
            allowed="a run of a recipe with input=tfl.Passages(), such as recipes/author_style.py",
        )
    run.model_file  # noqa: B018  (raises before TensorFlow is imported)
    from tfl.quiet import load_tensorflow

    load_tensorflow()
    from tfl.language.sampling import Sampler
    from tfl.modalities.passage.modality import modality_of_run
    from tfl.serve.predictor import load_run_model

    modality = modality_of_run(run.recipe, run.folder)
    return Writer(Sampler(load_run_model(run, modality), modality.tokenizer, context=modality.settled_tokens))


def write(
    run: Run | Path | str,
    prompt: str = "",
    *,
    length: int = 400,
    temperature: float = 0.8,
    top_p: float = 0.95,
    seed: int = 0,
    number: int = 1,
) -> list[str]:
    """Goes on with a text in the style that the language model of a run has learned: `tfl write` from Python.

    Args:
        run: `Run` or Path of a run of the task `generate`.
        prompt: String, the beginning; an empty one begins as a passage of the books begins. Defaults to `""`.
        length: Int, bytes of UTF-8 to write. Defaults to 400.
        temperature: Float, what logits are divided by; 0 takes the likeliest byte. Defaults to 0.8.
        top_p: Float, only the likeliest bytes that together have this probability are drawn. Defaults to 0.95.
        seed: Int, of the first text; the next one has the next seed. Defaults to 0.
        number: Int, how many texts. Defaults to 1.

    Returns:
        The texts, each with the prompt.

    Raises:
        RunError: The run is of no language model, or has no model yet.
        DataError: A value is out of range.
    """
    how = Writing(length=length, temperature=temperature, top_p=top_p, seed=seed, number=number)
    check_writing(prompt, how)
    return open_writer(run).write(prompt, how)
