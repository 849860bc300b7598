"""`tfl embed`: the vectors of a source in a file, part after part. A pass that was killed goes on behind its last whole part."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfl.embeddings.network import Encoded, VectorNetwork, build_network
from tfl.embeddings.parts import PART_ROWS, Parts, key_of
from tfl.embeddings.sources import Source, read_source
from tfl.embeddings.vector_file import Rows, check_suffix, refuse_if_there, write_vectors
from tfl.embeddings.wanted import Wanted, check_network, data_to_read
from tfl.errors import BadContentError
from tfl.storage import check_can_write, locked

if TYPE_CHECKING:
    from rich.console import Console

    from tfl.data.examples import Examples

_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """What `embed_source` made.

    Attributes:
        path: The file.
        about: What made the vectors.
        count: Vectors in the file.
        labelled: Those with a label.
        unreadable: Examples that have none: `file` and `why`.
        resumed: Examples whose vectors were there from a pass that was stopped.
        seconds: What it took.
        notes: What was found, as sentences.
    """

    path: Path
    about: dict[str, Any]
    count: int
    labelled: int
    unreadable: list[dict[str, str]] = field(default_factory=list)
    resumed: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


def embed_source(
    wanted: Wanted,
    places: Sequence[Path | str],
    out: Path | str,
    *,
    labels: bool = True,
    console: Console | None = None,
    progress: Callable[[int], None] | None = None,
) -> Embedded:
    """Writes the vectors of a source to a file.

    Parts of 512 examples are decoded, go through the network, and are kept in a hidden folder beside the file until it is whole.
    The same call after a kill goes on behind the last part, and ends with the same file.

    Args:
        wanted: Which vectors; see `tfl.embeddings.network.wanted_vectors`.
        places: A source, or several files and folders.
        out: `.parquet` or `.npy`; must not be there yet.
        labels: Whether labels are looked for.
        console: Where to say what was found.
        progress: Called with how many examples are done.

    Raises:
        DataError: There is nothing to read, or the file is already there.
        BadContentError: Nothing can be read.
        TflError: The network cannot be built.

    Example:

    >>> import tempfile
    >>> from tfl.embeddings.wanted import wanted_vectors
    >>> out = f"{tempfile.mkdtemp()}/digits.npy"
    >>> done = embed_source(wanted_vectors("mini", settings=[("data.per_class", 10)]), ["sample:digits"], out)
    >>> done.count, done.about["width"]
    (100, 128)
    """
    began, file = time.perf_counter(), Path(out)
    check_suffix(file)
    refuse_if_there(file)
    check_can_write(file, folder=False)
    data = data_to_read(wanted.recipe, places[0] if places else "")
    source = read_source(places, data, kinds=wanted.kinds, task=wanted.recipe.task, labels=labels)
    network = build_network(check_network(wanted, source.data), source.examples)
    _say(console, source, network)
    parts = Parts(file)
    with locked(parts.folder):
        count, resumed = make_parts(parts, network, source, console=console, progress=progress)
        rows, labelled, unreadable = parts.rows(count), parts.labelled(count), parts.unreadable(count)
        if not rows:
            raise _nothing_readable(unreadable, source)
        about = network.about(source.task)
        about["engine"] = (parts.begin(about) or about)["engine"]
        write_vectors(file, about, parts.batches(count), count=rows)
        notes = [*source.notes, *network.notes, *parts.notes(count)]
        parts.remove()
    seconds = time.perf_counter() - began
    return Embedded(
        path=file,
        about=about,
        count=rows,
        labelled=labelled,
        unreadable=unreadable,
        resumed=resumed,
        seconds=seconds,
        notes=notes,
    )


def make_parts(
    parts: Parts,
    network: VectorNetwork,
    source: Source,
    *,
    console: Console | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[int, int]:
    """Makes the parts that are not there yet; the caller holds the lock of the folder.

    Returns:
        How many parts there are, and how many examples were in parts that were there.
    """
    about = network.about(source.task)
    before = parts.begin(about)
    if before is not None:
        network.take_engine(before.get("engine"))
    store, resumed = network.stores(len(source)), 0
    starts = range(0, len(source), PART_ROWS)
    for number, start in enumerate(starts):
        chosen = range(start, min(start + PART_ROWS, len(source)))
        examples = source.examples.take(list(chosen))
        labels, groups = ([values[at] for at in chosen] for values in (source.labels, source.groups))
        key = key_of(examples, labels, groups)
        if before is not None and parts.has(number, key):
            resumed += len(chosen)
        else:
            found = _renamed(network.encode(examples, store=store, console=console), source, start)
            if before is None:
                before = {**about, "engine": network.engine}
                parts.write_about(before)
            kept = [int(at) for at in found.kept]
            rows = Rows(
                files=[source.name_of(start + at) for at in kept],
                labels=[labels[at] for at in kept],
                groups=[groups[at] for at in kept],
                fingerprints=found.fingerprints,
                previews=[_preview(network, examples, at) for at in kept],
            )
            parts.write(number, key, rows, found)
        if progress is not None:
            progress(chosen.stop)
    if resumed and console is not None:
        console.print(f"{resumed} of {len(source)} vectors were there from a pass that was stopped.", highlight=False)
    return len(starts), resumed


def _renamed(found: Encoded, source: Source, start: int) -> Encoded:
    """The same, with examples that are no files called as the whole source has them."""
    if source.examples.paths is not None:
        return found
    numbers = (int(row["file"].removeprefix("#")) for row in found.unreadable)
    names = [source.name_of(start + number) for number in numbers]
    unreadable = [{**row, "file": name} for row, name in zip(found.unreadable, names, strict=True)]
    return dataclasses.replace(found, unreadable=unreadable)


def _preview(network: VectorNetwork, examples: Examples, index: int) -> str:
    """One line that shows an example which is no file and no array."""
    return "" if examples.contents is None else network.modality.preview(examples.bytes_of(index)).text


def _say(console: Console | None, source: Source, network: VectorNetwork) -> None:
    if console is None:
        return
    labelled = sum(map(bool, source.labels))
    words = "no labels" if not labelled else f"{len(set(filter(None, source.labels)))} different labels"
    examples = source.examples
    console.print(f"[bold]data[/]     {len(source)} {examples.nouns} with {words}", highlight=False)
    for note in source.notes:
        console.print(f"         {note}", markup=False, highlight=False)
    size = f"{network.width} numbers from `{network.block}` ({network.pooling}), {network.modality.size_text()}"
    console.print(f"[bold]network[/]  {network.wanted.named}: {size}", highlight=False)
    for note in network.notes:
        console.print(f"         {note}", markup=False, highlight=False)


def _nothing_readable(unreadable: Sequence[dict[str, str]], source: Source) -> BadContentError:
    lines = [f"\n  {row['file']} {row['why']}" for row in unreadable[:_SHOWN]]
    more = f"\n  and {len(unreadable) - _SHOWN} more" if len(unreadable) > _SHOWN else ""
    noun = source.examples.noun
    article = "an" if noun[0] in "aeiou" else "a"
    return BadContentError(
        f"None of the {len(unreadable)} files can be read as {article} {noun}:{''.join(lines)}{more}\n",
        fix=f"Name {noun} files, or folders of them.",
    )
