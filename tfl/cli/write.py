"""`tfl write`: the language model of a run goes on with a text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import rich_click as click

from tfl.cli.command import Answer, command
from tfl.cli.options import default_option
from tfl.language.writing import Writing, check_writing

_DEFAULT = Writing()


@command
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("prompt", metavar="PROMPT")
@default_option(_DEFAULT, "--length", metavar="N", type=int, help="Number of bytes to write; a Russian letter has two.")
@default_option(
    _DEFAULT,
    "--temperature",
    metavar="T",
    type=float,
    help="The logits are divided by it: lower is less random; 0 always takes the most likely byte.",
)
@default_option(
    _DEFAULT, "--top-p", metavar="P", type=float, help="Sample from the most likely bytes whose probabilities add up to this."
)
@default_option(_DEFAULT, "--seed", metavar="N", type=int, help="Random seed; the same seed writes the same text.")
@default_option(
    _DEFAULT, "--number", metavar="N", type=int, help="Number of continuations, with the seeds --seed, --seed + 1 and so on."
)
def write(run: Path, prompt: str, length: int, temperature: float, top_p: float, seed: int, number: int) -> Answer:
    """Continue PROMPT with the language model of RUN.

    RUN is a run of the task `generate`, such as one of recipes/author_style.py. The text is printed as it is generated; with an
    empty PROMPT the model starts a passage of its own. Bytes are drawn by nucleus sampling.
    """
    from tfl.language.writing import open_writer

    how = Writing(length=length, temperature=temperature, top_p=top_p, seed=seed, number=number)
    check_writing(prompt, how)
    writer = open_writer(run)
    document: dict[str, Any] = {"run": str(run), "prompt": prompt, **how.as_json()}
    context = click.get_current_context(silent=True)
    if context is not None and context.params.get("as_json"):
        return Answer({**document, "texts": writer.write(prompt, how)}, lambda: None)

    def show() -> None:
        for part in writer.stream(prompt, how):
            click.echo(part, nl=False)
            sys.stdout.flush()

    return Answer(document, show)
