"""Weights of another network by layers: those that fit are taken over, and for all others there is a reason.

The ways to match, and what `keras.Model.load_weights` does:

    exact   every layer fits                       load_weights(file)
    name    layers of the same name                load_weights(file, by_name=True, skip_mismatch=True), which Keras 3 has for
                                                   old `.h5` files alone
    order   layers that come in the same order     load_weights(file, skip_mismatch=True) goes by position as well, and loses
                                                   its place at the first layer that is on one side only
    auto    by name, and between the layers that match by name by order

A layer is taken over whole or not at all: its kind and the shapes of all its weights have to agree. (Keras sets the weights that
fit and leaves the others, so that a layer may get its bias and not its kernel.)
"""

from __future__ import annotations

import dataclasses
import re
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import keras
import numpy as np

from tfl.backbones.flat import is_nested
from tfl.backbones.saving import remember_skipped_attributes
from tfl.backbones.stored_layers import (
    StoredLayer,
    StoredLayers,
    arrays_in,
    check_file,
    kind_of,
    numbered,
    shapes_in_words,
    stored_layers,
    values_of,
)
from tfl.errors import BackboneError

if TYPE_CHECKING:
    from rich.table import Table

How = Literal["name", "order", "auto"]
HOW: tuple[str, ...] = get_args(How)
LEAST_SHARE = 0.5
"""Of the network's layers that have to agree before those count that agree by order alone: a network of another family has a few
layers of equal shapes too. What both begin with counts in any case."""


@dataclass(frozen=True, kw_only=True)
class MatchRow:
    """A layer of the network, of the file, or of both.

    Args:
        layer: Name in the network; None for a layer that the file alone has.
        source: Name in the file of the layer that it is compared with; None where there is none.
        kind: Class in snake case, such as `conv2d`; of a layer that only the file has, empty where the file does not say it.
        shapes: Of the weights of `layer`, or else of `source`.
        source_shapes: Of the weights of `source`.
        parameters: Numbers in the weights.
        by: `name` or `order` where the weights are imported, else None.
        reason: Why they are not; empty where they are.
    """

    layer: str | None
    source: str | None
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    source_shapes: tuple[tuple[int, ...], ...] = ()
    parameters: int = 0
    by: Literal["name", "order"] | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Matching:
    """What a network took over from a file, layer by layer.

    Args:
        file: Path of the file.
        match: The way they were matched.
        rows: Every layer with weights of the network, input side first, then those of the file that are not used.
    """

    file: str
    match: str
    rows: tuple[MatchRow, ...]

    @property
    def imported(self) -> tuple[str, ...]:
        """Names of the layers that took over weights."""
        return tuple(row.layer for row in self.rows if row.layer is not None and row.by is not None)

    @property
    def unmatched(self) -> tuple[str, ...]:
        """Names of the layers with weights that did not, and start at random."""
        return tuple(row.layer for row in self.rows if row.layer is not None and row.by is None)

    def sentence(self) -> str:
        """How much was imported, in one sentence."""
        own = [row for row in self.rows if row.layer is not None]
        taken = [row for row in own if row.by is not None]
        ways = [f"{count} by {way}" for way in ("name", "order") if (count := sum(row.by == way for row in taken))]
        share = sum(row.parameters for row in taken) / max(1, sum(row.parameters for row in own))
        rest = len(own) - len(taken)
        unused = len(self.rows) - len(own)
        words = f"{len(taken)} of {len(own)} layers with weights ({share:.1%} of the parameters) from {self.file}"
        words += f": {', '.join(ways)}" if ways else ""
        words += f"; {rest} start{'s' if rest == 1 else ''} at random" if rest else ""
        return words + (f"; {unused} of the file {'is' if unused == 1 else 'are'} not used" if unused else "")

    def table(self) -> Table:
        """Every layer, with where its weights are from or why they are new."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in ("layer", "kind", "shapes", "layer of the file", "weights"):
            made.add_column(column, overflow="fold")
        for row in self.rows:
            said = f"imported by {row.by}" if row.by else row.reason if row.layer is None else f"random: {row.reason}"
            cells = (row.layer or "", row.kind, shapes_in_words(row.shapes), row.source or "", said)
            made.add_row(*(Text(cell) for cell in cells), style=None if row.by else "dim")
        return made

    def as_json(self) -> dict[str, Any]:
        """The matching as plain data: `file`, `match`, `sentence`, `imported` and `layers` (numbers of layers), and `rows`."""
        rows = [dataclasses.asdict(row) for row in self.rows]
        return {
            "file": self.file,
            "match": self.match,
            "sentence": self.sentence(),
            "imported": len(self.imported),
            "layers": len(self.imported) + len(self.unmatched),
            "rows": rows,
        }


_IMPORTED: weakref.WeakKeyDictionary[keras.Model, Matching] = weakref.WeakKeyDictionary()


def matching_of(model: keras.Model) -> Matching | None:
    """What `import_weights` took over into a network; None for one that it was never called on."""
    return _IMPORTED.get(model)


def import_weights(model: keras.Model, file: Path | str, *, match: How = "auto") -> Matching:
    """Takes those weights of a file that fit the layers of a network; the other layers stay as they are.

    Args:
        model: A Functional model; changed in place.
        file: A `.keras`, `.weights.h5` or `.h5` file of any network.
        match: By `name`, by `order`, or `auto`, by name and then by order.

    Raises:
        WeightsNotFoundError: There is no such file.
        BackboneError: It cannot be read, or no layer fits.

    Example:

    >>> import keras, tempfile
    >>> from tfl.backbones.matching import import_weights
    >>> def network(classes):
    ...     layers = [keras.layers.Dense(8, name="hidden"), keras.layers.Dense(classes, name="top")]
    ...     return keras.Sequential([keras.Input((3,)), *layers])
    >>> file = tempfile.mkdtemp() + "/own.weights.h5"
    >>> network(5).save_weights(file)
    >>> found = import_weights(network(2), file, match="name")
    >>> found.imported, found.rows[1].reason
    (('hidden',), 'other shapes: 8×5, 5 in the file')
    """
    check_file(file)
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "own.weights.h5"
        remember_skipped_attributes()
        model.save_weights(own)
        with stored_layers(file) as sources:
            matching, pairs = _matched(_layers_of(model, own), sources, file=str(file), match=match)
            if not pairs:
                raise _nothing_fits(matching, model.name)
            _write(own, pairs)
        model.load_weights(own)
    _IMPORTED[model] = matching
    return matching


def match_weights(model: keras.Model, file: Path | str, *, match: How = "auto") -> Matching:
    """What `import_weights` would take over; the network stays as it is, and nothing that fits is no error.

    Args:
        model, file, match: See `import_weights`.

    Raises:
        WeightsNotFoundError: There is no such file.
        BackboneError: It cannot be read.
    """
    check_file(file)
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "own.weights.h5"
        remember_skipped_attributes()
        model.save_weights(own)
        with stored_layers(file) as sources:
            return _matched(_layers_of(model, own), sources, file=str(file), match=match)[0]


_Pairs = list[tuple[StoredLayer, StoredLayer]]
"""Layers of the network, each with the layer of the file whose weights it takes over."""


def _layers_of(model: keras.Model, file: Path) -> list[StoredLayer]:
    """The layers with weights of a network that Keras saved to a file, in order."""
    import h5py

    found = []
    with h5py.File(file, "r") as root:
        for layer, kind, group in _groups_of(model, "layers"):
            if group in root and (arrays := arrays_in(root[group])):
                plain = {place: _Shape(array.shape, array.dtype) for place, array in arrays.items()}
                found.append(StoredLayer(name=layer.name, kind=kind, arrays=plain, group=group))
    return found


@dataclass(frozen=True)
class _Shape:
    """What is known of an array when its file is closed."""

    shape: tuple[int, ...]
    dtype: Any


def _groups_of(model: keras.Model, within: str) -> Iterator[tuple[keras.layers.Layer, str, str]]:
    taken: Counter[str] = Counter()
    for layer in model.layers:
        kind = kind_of(type(layer).__name__)
        group = f"{within}/{numbered(kind, taken)}"
        if is_nested(layer):
            yield from _groups_of(layer, f"{group}/layers")
        else:
            yield layer, kind, group


def _write(file: Path, pairs: _Pairs) -> None:
    """Replaces the weights of layers in a file of the network by those of the layers that they were matched with."""
    import h5py

    with h5py.File(file, "r+") as root:
        for target, source in pairs:
            for place, array in source.arrays.items():
                root[target.group][place][...] = values_of(array)


def _matched(targets: list[StoredLayer], sources: StoredLayers, *, file: str, match: How) -> tuple[Matching, _Pairs]:
    if match not in HOW:
        raise BackboneError("There is no such way to match layers.", received=match, allowed=HOW)
    rows: dict[int, MatchRow] = {}
    pairs: dict[int, int] = {}  # positions in the network and in the file
    if match != "order":
        for at, target in enumerate(targets):
            rows[at], partner = _by_name(target, targets, sources.layers)
            if partner is not None:
                pairs[at] = partner
    if match != "name":
        open_ = [at for at in range(len(targets)) if at not in pairs and (at not in rows or rows[at].source is None)]
        for at, partner in _by_order(targets, sources, pairs, open_).items():
            rows[at] = _row(targets[at], sources.layers[partner], by="order")
            pairs[at] = partner
        for at in open_:
            if at not in pairs:
                rows[at] = _row(targets[at], reason=_NO_ORDER)
        _drop_chance(targets, sources, pairs, rows)
    used = set(pairs.values()) | {
        at for at, one in enumerate(sources.layers) if any(row.source == one.name for row in rows.values())
    }
    left = [_left_over(one) for at, one in enumerate(sources.layers) if at not in used]
    found = Matching(file=file, match=match, rows=(*(rows[at] for at in range(len(targets))), *left))
    return found, [(targets[at], sources.layers[partner]) for at, partner in pairs.items()]


_NO_ORDER = "no layer of this kind and shapes at its place in the file"


def _row(target: StoredLayer, source: StoredLayer | None = None, *, by: Any = None, reason: str = "") -> MatchRow:
    return MatchRow(
        layer=target.name,
        source=None if source is None else source.name,
        kind=target.kind,
        shapes=target.shapes,
        source_shapes=() if source is None else source.shapes,
        parameters=target.parameters,
        by=by,
        reason=reason,
    )


def _left_over(source: StoredLayer) -> MatchRow:
    return MatchRow(
        layer=None,
        source=source.name,
        kind=source.kind,
        shapes=source.shapes,
        source_shapes=source.shapes,
        parameters=source.parameters,
        reason="no layer of the network takes it",
    )


def _by_name(target: StoredLayer, targets: Sequence[StoredLayer], sources: Sequence[StoredLayer]) -> tuple[MatchRow, int | None]:
    """The row of a layer, and the position in the file of the layer of its name where that fits."""
    if _is_automatic(target):
        return _by_number(target, targets, sources)
    named = [at for at, source in enumerate(sources) if source.name == target.name]
    if len(named) != 1:
        reason = f"{len(named)} layers of the file have this name" if named else "no layer of this name in the file"
        return _row(target, reason=reason), None
    return _compared(target, sources, named[0])


def _by_number(
    target: StoredLayer, targets: Sequence[StoredLayer], sources: Sequence[StoredLayer]
) -> tuple[MatchRow, int | None]:
    """Keras named the layer by a running counter, so its name says which of its kind it is, where both have as many."""
    own = [one for one in targets if one.kind == target.kind and _is_automatic(one)]
    theirs = [at for at, one in enumerate(sources) if _is_automatic(one, target.kind)]
    if len(own) != len(theirs):
        reason = f"Keras made its name by counting, and the file has {len(theirs)} such layers instead of {len(own)}"
        return _row(target, reason=reason), None
    return _compared(target, sources, theirs[next(at for at, one in enumerate(own) if one is target)])


def _compared(target: StoredLayer, sources: Sequence[StoredLayer], at: int) -> tuple[MatchRow, int | None]:
    source = sources[at]
    if source.kind not in ("", target.kind):
        return _row(target, source, reason=f"other kind: {source.kind} in the file"), None
    if source.shapes != target.shapes:
        return _row(target, source, reason=f"other shapes: {shapes_in_words(source.shapes)} in the file"), None
    if source.signature != target.signature:
        return _row(target, source, reason="other numbers or parts in the file"), None
    return _row(target, source, by="name"), at


def _is_automatic(layer: StoredLayer, kind: str | None = None) -> bool:
    """Whether Keras made the name from the class, such as `conv2d_3`; a `kind` is only asked for."""
    kind = layer.kind if kind is None else kind
    return layer.kind in ("", kind) and re.sub(r"_\d+$", "", layer.name).replace("_", "") == kind.replace("_", "")


def _by_order(
    targets: Sequence[StoredLayer], sources: StoredLayers, pairs: Mapping[int, int], open_: Sequence[int]
) -> dict[int, int]:
    """Positions of further layers that agree in order, between those that are matched already."""
    taken, wanted, known = set(pairs.values()), set(open_), all(source.kind for source in sources.layers)
    found: dict[int, int] = {}
    for own, theirs in _sequences(targets, sources):
        for few, some in _between(own, theirs, pairs):
            left = [at for at in few if at in wanted]
            free = [at for at in some if at not in taken]
            keys = [_key(targets[at], known) for at in left], [_key(sources.layers[at], known) for at in free]
            found |= {left[i]: free[j] for i, j in common_subsequence(*keys)}
    return found


def _sequences(targets: Sequence[StoredLayer], sources: StoredLayers) -> Iterator[tuple[list[int], list[int]]]:
    """Positions in the network and in the file whose order can be compared: all, or those of one kind."""
    if sources.ordered:
        yield list(range(len(targets))), list(range(len(sources.layers)))
        return
    for kind in dict.fromkeys(target.kind for target in targets):
        own = [at for at, target in enumerate(targets) if target.kind == kind]
        yield own, [at for at, source in enumerate(sources.layers) if source.kind == kind]


def _between(own: Sequence[int], theirs: Sequence[int], pairs: Mapping[int, int]) -> Iterator[tuple[list[int], list[int]]]:
    """The stretches of both sequences between the pairs that are known, where these come in the same order in both."""
    few: list[int] = []
    after = -1
    for at in own:
        if at not in pairs:
            few.append(at)
        elif pairs[at] > after:
            yield few, [one for one in theirs if after < one < pairs[at]]
            few, after = [], pairs[at]
    yield few, [one for one in theirs if one > after]


def _key(layer: StoredLayer, known: bool) -> tuple[Any, ...]:
    return (layer.kind if known else "", layer.signature)


def common_subsequence(first: Sequence[Any], second: Sequence[Any]) -> list[tuple[int, int]]:
    """Positions of a longest common subsequence of two sequences, as early as possible in both.

    Example:

    >>> from tfl.backbones.matching import common_subsequence
    >>> common_subsequence("abcd", "axcde")
    [(0, 0), (2, 2), (3, 3)]
    """
    length = np.zeros((len(first) + 1, len(second) + 1), np.int32)  # of a common subsequence from there on
    for i in reversed(range(len(first))):
        for j in reversed(range(len(second))):
            same = first[i] == second[j]
            length[i, j] = length[i + 1, j + 1] + 1 if same else max(length[i + 1, j], length[i, j + 1])
    found, i, j = [], 0, 0
    while i < len(first) and j < len(second):
        if first[i] == second[j]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif length[i + 1, j] >= length[i, j + 1]:
            i += 1
        else:
            j += 1
    return found


def _drop_chance(targets: Sequence[StoredLayer], sources: StoredLayers, pairs: dict[int, int], rows: dict[int, MatchRow]) -> None:
    """Takes back what agrees by order alone where too few layers agree; what both networks begin with stays."""
    if len(pairs) >= LEAST_SHARE * len(targets):
        return
    beginning: set[int] = set()
    for own, theirs in _sequences(targets, sources):
        same = [pairs.get(at) == other for at, other in zip(own, theirs, strict=False)]
        beginning.update(own[: same.index(False)] if False in same else own[: len(same)])
    for at in [at for at in pairs if at not in beginning and rows[at].by == "order"]:
        source = sources.layers[pairs.pop(at)]
        reason = f"{source.name} fits, but too few layers agree in order for that to be no chance"
        rows[at] = _row(targets[at], reason=reason)


def _nothing_fits(matching: Matching, name: str) -> BackboneError:
    own = next(row for row in matching.rows if row.layer is not None)
    theirs = next((row for row in matching.rows if row.layer is None), None)
    first = [f"{own.layer} ({shapes_in_words(own.shapes)}) is first in {name}: {own.reason}"]
    first += [f"{theirs.source} ({shapes_in_words(theirs.shapes)}) is first in the file"] if theirs else []
    other = {"name": "auto", "order": "auto"}.get(matching.match)
    return BackboneError(
        f"No layer of {matching.file} fits {name} by {'name or order' if matching.match == 'auto' else matching.match}.",
        received="; ".join(first),
        fix=(f"Try match={other!r}; or " if other else "")
        + "name the weights of a network with the same layers. Every layer of both: tfl backbones NAME --weights FILE.",
    )
