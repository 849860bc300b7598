"""What exports and the server need of texts: drawn texts, and a tokenizer that needs no TensorFlow."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfl.modalities.base import MASK
from tfl.modalities.shipping import Reading, Shipping
from tfl.modalities.text.modality import SEGMENTS, TOKENS, TextModality
from tfl.modalities.text.packed import FILE, packed_tokenizer
from tfl.recipe import Backbone

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LINES = """\
encoded = Tokenizer.from_file({file}).encode({text})
token_ids = np.array([encoded.ids], "int32")
padding_mask = np.array([encoded.attention_mask], "int32")
"""
_SEGMENT_LINE = "segment_ids = np.zeros_like(token_ids)\n"
_CONTENT_NOTE = (
    "Texts are UTF-8; the tokenizer (special tokens, cut and padded to {length} tokens) and the labels are inside. Its "
    "operations are "
    "those of tensorflow-text: `import tensorflow_text` before the model is loaded, with the version that suits TensorFlow's. "
    "TensorFlow Serving brings these operations; it takes the folder above this one, and warms up on "
    "`assets.extra/tf_serving_warmup_requests`. The signature `{signature}` takes tokens instead: {names}, int32 `(batch, "
    "{length})`."
)
_NOTE = (
    "The model takes tokens. `tokenizer.json` holds the tokenizer, special tokens, cutting and padding to {length} tokens "
    "included; "
    "the package `tokenizers` reads it in Python, JavaScript, Rust and others. `parity.json`, beside this folder, says for how "
    "many "
    "texts of the run's test split it comes to another answer than the tokenizer that the model was trained with. The SavedModel "
    "holds that tokenizer and needs none of this."
)


class TextShipping(Shipping):
    """See `tfl.modalities.shipping.Shipping`."""

    example: ClassVar[str] = '"A fine film."'
    imports: ClassVar[str] = "import tensorflow_text  # its operations are in the graph\n"
    packages: ClassVar[str] = "tensorflow tensorflow-text"
    takes: ClassVar[str] = "texts as UTF-8"
    warm_up: ClassVar[tuple[str, ...]] = ("sentence", "long")
    reading: ClassVar[str] = "tokenizers"
    harmless: ClassVar[tuple[str, ...]] = ("zero_bytes", "blank")
    formats: ClassVar[str] = "Texts in UTF-8 are read."
    modality: TextModality

    @classmethod
    def of_about(cls, about: Mapping[str, Any]) -> TextShipping:
        """The texts of an export, whose tokenizer is in the graph: the network's own is not looked for."""
        length = about.get("length")
        name = about.get("backbone")
        return cls(
            TextModality(
                Backbone(name if isinstance(name, str) and name else "export"), length if isinstance(length, int) else None
            )
        )

    @property
    def tensor_signature(self) -> str:
        """`tokens`, for there are several tensors."""
        return "tokens"

    def about(self) -> dict[str, Any]:
        """Versions, the tokenizer's hash, the length, and the name of the network."""
        return {**self.modality.identity(), "backbone": self.modality.backbone.name}

    def golden(self) -> dict[str, bytes]:
        """See `tfl.modalities.text.golden.golden_texts`."""
        from tfl.modalities.text.golden import golden_texts

        return golden_texts()

    def shown(self, content: bytes) -> dict[str, Any]:
        """The beginning of the text."""
        from tfl.modalities.text.preview import SHOWN

        text = content.decode("utf-8", "replace")
        return {"text": text if len(text) <= SHOWN else text[:SHOWN] + " …"}

    def explained(self, content: bytes, attribution: NDArray[np.float32]) -> dict[str, Any]:
        """Each token in use, and how much it speaks for the answer."""
        import tensorflow as tf

        tokenise, length = self.modality.tokenise, self.modality.settled_length
        found = tokenise(tf.constant([content]), length)
        used = int(found[MASK].numpy().sum())
        words = tokenise.words(found[TOKENS].numpy()[0, :used])[1:-1]
        values = attribution.reshape(-1)[1 : used - 1]
        largest = float(np.abs(values).max(initial=0.0)) or 1.0
        tokens = [(word, float(value) / largest) for word, value in zip(words, values, strict=True)]
        best = sorted(tokens, key=lambda pair: -pair[1])[:3]
        return {"tokens": tokens, "looked": f"Most for it: {', '.join(word for word, _ in best)}."}

    def undecodable(self) -> str:
        """Of a text that the tokenizer does not take."""
        return "it cannot be tokenised"

    def tensor_meanings(self) -> dict[str, str]:
        """Tokens, mask and segments."""
        return {TOKENS: "tokens, special ones included", MASK: "1 where a token is in use", SEGMENTS: "all 0"}

    def content_note(self) -> str:
        """What is inside, and what has to be imported."""
        names = ", ".join(f"`{name}`" for name in self.modality.names)
        return _CONTENT_NOTE.format(length=self.modality.settled_length, signature=self.tensor_signature, names=names)

    def how_to_read(self, folder: Path | None = None) -> Reading | None:
        """By the package tokenizers; None for a tokenizer that cannot be written for it."""
        content = _packed(self.modality.backbone.name, self.modality.settled_length)
        if content is None:
            return None
        if folder is not None:
            (folder / FILE).write_text(content, encoding="utf-8")
        return Reading(
            name=self.reading,
            packages="numpy tokenizers",
            imports="import numpy as np\nfrom tokenizers import Tokenizer\n",
            lines=self._lines(file=f'"{FILE}"', text=self.example),
            note=_NOTE.format(length=self.modality.settled_length),
        )

    def read(self, content: bytes) -> dict[str, NDArray[np.int32]]:
        """Tokens of one text by the lines of the README."""
        from tokenizers import Tokenizer

        file = str(_file(self.modality.backbone.name, self.modality.settled_length))
        scope: dict[str, Any] = {"Tokenizer": Tokenizer, "np": np, "file": file, "text": content.decode("utf-8", "replace")}
        exec(self._lines(file="file", text="text"), scope)
        return {name: scope[name][0] for name in self.modality.names}

    def _lines(self, *, file: str, text: str) -> str:
        return _LINES.format(file=file, text=text) + (_SEGMENT_LINE if SEGMENTS in self.modality.names else "")


SHIPPING = TextShipping


@functools.lru_cache(maxsize=4)
def _packed(backbone: str, length: int) -> str | None:
    from tfl.modalities.text.tokenise import tokenise_of

    return packed_tokenizer(tokenise_of(backbone).tokenizer, length)


@functools.lru_cache(maxsize=4)
def _file(backbone: str, length: int) -> Path:
    """`tokenizer.json` in a folder that is removed with the process."""
    folder = tempfile.TemporaryDirectory()
    file = Path(folder.name) / FILE
    file.write_text(str(_packed(backbone, length)), encoding="utf-8")
    _KEPT.append(folder)
    return file


_KEPT: list[tempfile.TemporaryDirectory[str]] = []
