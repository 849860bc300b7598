"""`tfl write`: the language model of a run goes on with a text."""

from __future__ import annotations

import sys
from pathlib import Path

import rich_click as click

from tfl.cli.command import Answer, command


@command
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("prompt", metavar="PROMPT")
@click.option(
    "--length", metavar="N", type=int, default=400, show_default=True, help="Number of bytes to write; a Russian letter has two."
)
@click.option(
    "--temperature",
    metavar="T",
    type=float,
    default=0.8,
    show_default=True,
    help="The logits are divided by it: lower is less random; 0 always takes the most likely byte.",
)
@click.option(
    "--top-p",
    metavar="P",
    type=float,
    default=0.95,
    show_default=True,
    help="Sample from the most likely bytes whose probabilities add up to this.",
)
@click.option(
    "--seed", metavar="N", type=int, default=0, show_default=True, help="Random seed; the same seed writes the same text."
)
@click.option(
    "--number",
    metavar="N",
    type=int,
    default=1,
    show_default=True,
    help="Number of continuations, with the seeds --seed, --seed + 1 and so on.",
)
def write(run: Path, prompt: str, length: int, temperature: float, top_p: float, seed: int, number: int) -> Answer:
    """Continue PROMPT with the language model of RUN.

    RUN is a run of the task `generate`, such as one of recipes/author_style.py. The text is printed as it is generated; with an
    empty PROMPT the model starts a passage of its own. Bytes are drawn by nucleus sampling.
    """
    from tfl.language.writing import Writing, check_writing, open_writer

    how = Writing(length=length, temperature=temperature, top_p=top_p, seed=seed, number=number)
    check_writing(prompt, how)
    writer = open_writer(run)
    document = {"run": str(run), "prompt": prompt, **how.as_json(), "texts": [""] * 0}

    context = click.get_current_context(silent=True)
    if context is not None and context.params.get("as_json"):
        document["texts"] = writer.write(prompt, how)
        return Answer(document, lambda: None)

    def show() -> None:
        for part in writer.stream(prompt, how):
            click.echo(part, nl=False)
            sys.stdout.flush()

    return Answer(document, show)
