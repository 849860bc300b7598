"""One content of several parts: a serialised `tf.train.Example` with one feature of bytes for each part that is there.

TensorFlow and TensorFlow Serving read and write this format everywhere, and a graph parses it. Here it takes no TensorFlow.
Format: https://www.tensorflow.org/tutorials/load_data/tfrecord and the encoding of protocol buffers,
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import BadContentError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_BYTES = 2
"""The wire type of fields that say how long they are."""


def pack(parts: Mapping[str, bytes]) -> bytes:
    """One content of parts by name; the names are sorted, so that equal parts give equal contents.

    Example:

    >>> from tfl.modalities.several.packed import pack, unpack
    >>> unpack(pack({"note": b"wet", "photo": b"..."}))
    {'note': b'wet', 'photo': b'...'}
    """
    entries = []
    for name, content in sorted(parts.items()):
        feature = _field(1, _field(1, content))  # Feature.bytes_list.value
        entries.append(_field(1, _field(1, name.encode()) + _field(2, feature)))  # Features.feature, an entry of a map
    return _field(1, b"".join(entries))  # Example.features


def unpack(content: bytes, *, with_empty: bool = False) -> dict[str, bytes]:
    """The parts of a content; those of several values are left out.

    Args:
        content: A serialised `tf.train.Example`.
        with_empty: Whether parts of no bytes, which count as missing, are returned too.

    Raises:
        BadContentError: It is no serialised `tf.train.Example`.
    """
    parts: dict[str, bytes] = {}
    for features in _fields(content).get(1, ()):
        for entry in _fields(features).get(1, ()):
            found = _fields(entry)
            values = [
                one for feature in found.get(2, ()) for each in _fields(feature).get(1, ()) for one in _fields(each).get(1, ())
            ]
            if found.get(1) and len(values) == 1 and (values[0] or with_empty):
                parts[found[1][-1].decode("utf-8", "replace")] = values[0]
    return parts


def _field(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | _BYTES]) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _fields(content: bytes) -> dict[int, list[bytes]]:
    """The payloads of the fields of a message by number; of fields of numbers there are none in what is read here."""
    found: dict[int, list[bytes]] = {}
    at = 0
    while at < len(content):
        key, at = _read_varint(content, at)
        if key & 7 != _BYTES:
            raise _damaged()
        length, at = _read_varint(content, at)
        if length > len(content) - at:
            raise _damaged()
        found.setdefault(key >> 3, []).append(content[at : at + length])
        at += length
    return found


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(content) and shift < 63:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise _damaged()


def _damaged() -> BadContentError:
    return BadContentError("it is no serialised tf.train.Example with a feature of bytes for each input")


class Packed:
    """The contents of some examples, each packed when it is asked for: files are not held in memory.

    Args:
        sources: By input, `(n,)` where the part of each example is: the path of a file as text, the content as bytes, None where
            it is missing.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.several.packed import Packed, unpack
    >>> notes = np.array([b"wet", None], object)
    >>> two = Packed({"note": notes, "sex": np.array([b"f", b"m"], object)})
    >>> len(two), unpack(two[1]), len(two[[0]])
    (2, {'sex': b'm'}, 1)
    """

    def __init__(
        self,
        sources: Mapping[str, NDArray[Any]],
        *,
        rows: NDArray[np.int64] | None = None,
        digests: dict[tuple[str, int], str] | None = None,
    ) -> None:
        self.sources = dict(sources)
        count = len(next(iter(self.sources.values())))
        self.rows = np.arange(count) if rows is None else rows
        self._digests: dict[tuple[str, int], str] = {} if digests is None else digests

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        """The content at a position, or the examples at several."""
        if isinstance(index, int | np.integer):
            return pack({name: content for name in self.sources if (content := self.read(name, int(index))) is not None})
        return Packed(self.sources, rows=self.rows[index], digests=self._digests)

    def read(self, name: str, index: int) -> bytes | None:
        """One part of one example; None where it is missing."""
        row = int(self.rows[index])
        source = self.sources[name][row]
        content = Path(source).read_bytes() if isinstance(source, str) else source
        if content is not None and (name, row) not in self._digests:
            self._digests[name, row] = hashlib.sha256(content).hexdigest()
        return None if content is None else bytes(content)

    def fingerprints(self, name: str, indices: ArrayLike) -> list[str]:
        """SHA-256 of one part of some examples that have it; each file is read once in the life of the examples."""
        found = []
        for index in np.asarray(indices, np.int64).tolist():
            if (name, int(self.rows[index])) not in self._digests:
                self.read(name, index)
            found.append(self._digests[name, int(self.rows[index])])
        return found

    def part(self, name: str, indices: ArrayLike) -> dict[str, NDArray[Any]]:
        """One part of some examples that have it, as the fields of `tfl.data.examples.Examples`: `paths` or `contents`."""
        chosen = self.sources[name][self.rows[np.asarray(indices, np.int64)]]
        if len(chosen) and all(isinstance(one, str) for one in chosen):
            return {"paths": np.array(chosen.tolist())}
        contents = np.empty(len(chosen), object)
        contents[:] = [Path(one).read_bytes() if isinstance(one, str) else one for one in chosen]
        return {"contents": contents}

    def has(self, name: str) -> NDArray[np.bool_]:
        """`(n,)`, which examples have that part."""
        return np.array([one is not None for one in self.sources[name][self.rows]], bool)


def as_sources(values: Sequence[Any]) -> NDArray[Any]:
    """`(n,)` objects, as `Packed` takes them."""
    made = np.empty(len(values), object)
    made[:] = values
    return made
