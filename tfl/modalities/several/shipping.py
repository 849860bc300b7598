"""What exports and the server need of examples of several inputs: what each input needs, packed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tfl.errors import BadContentError
from tfl.fields import as_plain, build
from tfl.modalities.several.modality import SeveralModality, tensor_name
from tfl.modalities.several.packed import pack, unpack
from tfl.modalities.shipping import Shipping, shipping_of, shipping_of_about
from tfl.modalities.table.modality import TableModality, row_content
from tfl.recipe import Audio, Image, Table, Text

_KINDS: dict[str, type] = {"image": Image, "text": Text, "audio": Audio, "table": Table}
_GOLDEN = 6
"""Contents of each input that are tried."""
_NOTE = (
    "An example is a serialised `tf.train.Example` with a feature of bytes for each input that is there: {inputs}. An input "
    "that is missing is left out, and the model answers without it; `metrics.json` of the run says what that costs. The "
    "signature `{signature}` takes tensors instead, with `present`, int32 `(batch, {count})`: 1 for each input that is there."
)
_FEATURE = "tf.train.Feature(bytes_list=tf.train.BytesList(value=[{}]))"
_EXAMPLE = "tf.train.Example(features=tf.train.Features(feature={{{}}})).SerializeToString()"


class SeveralShipping(Shipping):
    """See `tfl.modalities.shipping.Shipping`."""

    takes: ClassVar[str] = "serialised tf.train.Example messages, a feature of bytes for each input"
    warm_up: ClassVar[tuple[str, ...]] = ("all-0", "all-1")
    modality: Any

    @classmethod
    def of_about(cls, about: Mapping[str, Any]) -> SeveralShipping:
        """The inputs of an export."""
        inputs: dict[str, Any] = {}
        parts: dict[str, Any] = {}
        try:
            for name, one in about["inputs"].items():
                inputs[name] = build(_KINDS[one["input"]["kind"]], one["input"], f"inputs.{name}")
                parts[name] = _part(inputs[name], one["about"])
        except (KeyError, TypeError, AttributeError) as error:
            raise BadContentError("The export does not say what its inputs are.", received=repr(error)) from error
        modality: Any = SeveralModality(inputs, parts)
        return cls(modality)

    def about(self) -> dict[str, Any]:
        """Each input as the recipe has it, and what its own export would say."""
        return {
            "inputs": {
                name: {"input": as_plain(one), "about": self._own[name].about() if name in self._own else {}}
                for name, one in self.modality.inputs.items()
            }
        }

    @property
    def _own(self) -> dict[str, Shipping]:
        """That of each input but tables."""
        return {name: shipping_of(part) for name, part in self.modality.parts.items() if part.kind != "table"}

    @property
    def tensor_signature(self) -> str:
        """`tensors`, for there are several."""
        return "tensors"

    @property
    def imports(self) -> str:  # type: ignore[override]
        """Those of all inputs."""
        return "".join(dict.fromkeys(one.imports for one in self._own.values()))

    @property
    def packages(self) -> str:  # type: ignore[override]
        """Those of all inputs."""
        return " ".join(dict.fromkeys(word for one in self._own.values() for word in one.packages.split()))

    @property
    def example(self) -> str:  # type: ignore[override]
        """One example of all inputs."""
        parts = {name: one.example + (".encode()" if name in self._texts else "") for name, one in self._own.items()}
        for name, one in self.modality.inputs.items():
            if isinstance(one, Table):
                cells = ", ".join(f'"{column}": {_FEATURE.format("b...")}' for column in one.columns)
                parts[name] = _EXAMPLE.format(cells)
        return _EXAMPLE.format(", ".join(f'"{name}": {_FEATURE.format(part)}' for name, part in parts.items()))

    @property
    def _texts(self) -> set[str]:
        return {name for name, part in self.modality.parts.items() if part.kind == "text"}

    @property
    def formats(self) -> str:  # type: ignore[override]
        """Those of all inputs."""
        return " ".join(dict.fromkeys(one.formats for one in self._own.values()))

    def golden(self) -> dict[str, bytes]:
        """Some contents of each input together, and each input alone."""
        of_each = {
            name: _rows_of(part) if isinstance(part, TableModality) else list(self._own[name].golden().values())[:_GOLDEN]
            for name, part in self.modality.parts.items()
        }
        made = {
            f"all-{at}": pack({name: some[at % len(some)] for name, some in of_each.items() if some[at % len(some)]})
            for at in range(_GOLDEN)
        }
        return {**made, **{f"{name}-alone": pack({name: some[0]}) for name, some in of_each.items()}}

    def cost(self, content: bytes, *, most: int) -> int:
        """That of all inputs together.

        Raises:
            BadContentError: One of them cannot be used, or they take more than `most`.
        """
        cost = 0
        for name, part in self._parts_of(content).items():
            cost += self._asked(name, lambda one, part=part: one.cost(part, most=most)) if name in self._own else len(part)
        if cost > most:
            raise BadContentError(f"it takes {cost:,} {self.unit}; {most:,} are allowed")
        return cost

    def accept(self, content: bytes) -> bytes:
        """The content with every input in a form that the exported graph decodes.

        Raises:
            BadContentError: An input is none that training would take; the message says which, and why.
        """
        return pack(
            {
                name: self._asked(name, lambda one, part=part: one.accept(part)) if name in self._own else part
                for name, part in self._parts_of(content).items()
            }
        )

    def _parts_of(self, content: bytes) -> dict[str, bytes]:
        found = {name: part for name, part in unpack(content).items() if name in self.modality.parts}
        if not found:
            raise BadContentError(f"it has none of the inputs {', '.join(self.modality.parts)}")
        for name, part in found.items():
            if name not in self._own and (checked := self.modality.parts[name].check(part)).trouble:
                raise BadContentError(f"its `{name}` {self.modality.parts[name].troubles[checked.trouble]}: {checked.detail}")
        return found

    def _asked(self, name: str, ask: Any) -> Any:
        try:
            return ask(self._own[name])
        except BadContentError as error:
            raise BadContentError(f"its `{name}`: {error}") from error

    def undecodable(self) -> str:
        """Of an example whose inputs were let pass."""
        return "an input of it is damaged"

    def tensor_meanings(self) -> dict[str, str]:
        """Those of each input."""
        own = {
            tensor_name(name, tensor): f"{name}: {meaning}"
            for name, one in self._own.items()
            for tensor, meaning in one.tensor_meanings().items()
        }
        return {**own, "present": "1 for each input that is there"}

    def content_note(self) -> str:
        """What an example is made of."""
        words = [
            f"`{name}` ({'columns ' + ', '.join(one.columns) if isinstance(one, Table) else self._own[name].takes})"
            for name, one in self.modality.inputs.items()
        ]
        return _NOTE.format(inputs="; ".join(words), signature=self.tensor_signature, count=len(words))


def _part(one: Any, about: Mapping[str, Any]) -> Any:
    """The modality of an input of an export."""
    if isinstance(one, Table):
        return TableModality(one)
    return shipping_of_about({**about, "modality": one.kind}).modality


def _rows_of(part: TableModality) -> list[bytes]:
    """Rows with numbers and values, a value that is unknown, and cells that are missing."""
    rows = []
    for number in (1.0, -3.5, None):
        cells = {name: part.values[name][0] if name in part.values else f"{number}" for name in part.table.columns}
        rows.append(cells if number is not None else {name: "?" for name in part.values})
    return [content for row in rows if (content := row_content(row)) is not None]


SHIPPING = SeveralShipping
