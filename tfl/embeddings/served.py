"""The nearest examples of a file of vectors, as the page of `tfl serve` shows them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.embeddings.index import VectorIndex
from tfl.embeddings.search import check_search
from tfl.errors import DataError, TflError
from tfl.serve.page.neighbours import SHOWN
from tfl.serve.predictor import nouns_of

if TYPE_CHECKING:
    from tfl.data.examples import Examples


class IndexOnPage:
    """A file of vectors behind the page. Make one with `open`; `ready` loads its network.

    Args:
        index: The file, opened.
    """

    def __init__(self, index: VectorIndex) -> None:
        self.index = index
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path, served: Path) -> IndexOnPage:
        """The file at a path; no TensorFlow is imported.

        Args:
            path: Of the file.
            served: The run or the export that is served.

        Raises:
            DataError: There is no such file, it is damaged, or it holds vectors of another kind of examples.
            MissingExtraError: It needs usearch, which is not installed.
        """
        index = VectorIndex(path)
        from tfl.modalities.base import NOUNS

        if NOUNS[index.about["kind"]] != nouns_of(served):
            raise DataError(
                f"{path} has vectors of {NOUNS[index.about['kind']][1]}, and {served} is a model of {nouns_of(served)[1]}."
            )
        check_search(len(index), "cosine")
        return cls(index)

    def ready(self) -> Callable[[bytes], list[dict[str, Any]]]:
        """Loads the network that made the vectors, and gives `nearest`.

        Raises:
            DataError: It is another network by now.
        """
        self.index.network  # noqa: B018  (raises before the server listens)
        return self.nearest

    def nearest(self, content: bytes) -> list[dict[str, Any]]:
        """The nearest examples, in the form of `tfl.serve.page.neighbours.Neighbours.nearest`.

        Raises:
            TflError: The content has no vector.
        """
        with self._lock:
            found = self.index.network.encode(_of_content(content))
            if not len(found.vectors):
                raise TflError(f"The content has no vector: {found.unreadable[0]['why']}.")
            places, values = self.index.nearest(found.vectors, top=SHOWN)
        rows = self.index.rows
        pairs = [(at, value) for at, value in zip(places[0].tolist(), values[0].tolist(), strict=True) if np.isfinite(value)]
        return [
            {
                "label": rows.labels[at],
                "file": rows.files[at],
                "distance": max(0.0, 1.0 - value),
                **self._preview(rows.files[at], rows.previews[at]),
            }
            for at, value in pairs
        ]

    def _preview(self, name: str, text: str) -> dict[str, Any]:
        """How an example is shown: the file itself where it is still there, small; else the line that the index keeps."""
        from tfl.modalities.image.shown import data_uri

        modality = self.index.network.modality
        file = self._found(name)
        if file is None:
            return {"thumbnail": None, "text": text}
        try:
            content = file.read_bytes()
            if modality.check(content).trouble:
                return {"thumbnail": None, "text": text}
            preview = modality.small_preview(lambda: content, self._tensors(content))
        except (OSError, TflError):
            return {"thumbnail": None, "text": text}
        if modality.small_preview_media == "text/plain":
            return {"thumbnail": None, "text": preview.decode(errors="replace")}
        return {"thumbnail": data_uri(preview, modality.small_preview_media), "text": None}

    def _found(self, name: str) -> Path | None:
        """The file of that name: from the current folder, else from the folder of the index."""
        most = self.index.network.modality.most_bytes
        for file in (Path(os.path.expanduser(name)), self.index.path.parent / name):
            if file.is_file() and file.stat().st_size <= most:
                return file
        return None

    def _tensors(self, content: bytes) -> Any:
        """The tensors of one content, without the batch."""
        import tensorflow as tf

        from tfl.backbones.inputs import rows_of

        modality = self.index.network.modality
        if modality.small_preview_media == "text/plain":
            return None
        encoded = modality.encode(tf.constant([modality.readable(content)]))
        return rows_of(tf.nest.map_structure(lambda tensor: tensor.numpy(), encoded), 0)


def _of_content(content: bytes) -> Examples:
    from tfl.data.examples import Examples

    contents = np.empty(1, object)
    contents[:] = [content]
    return Examples(class_names=("",), labels=np.zeros(1, np.int32), contents=contents)
