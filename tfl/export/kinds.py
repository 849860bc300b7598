"""The formats a model leaves in: where each lies, what it needs, and how near it has to stay to the model. No TensorFlow."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tfl.errors import ExportError, MissingExtraError

ABOUT_FILE, LABELS_FILE, README_FILE = "tfl.json", "labels.txt", "README.md"
QUANTIZED = ("float32", "float16", "int8")
"""What the weights of a LiteRT file may be; each is a file of its own."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A format.

    Args:
        name: As `tfl export --format` takes it, and the folder below the export folder.
        title: As people call it.
        packages: What writing and comparing it needs beside tfl's own dependencies; all of the extra `export`.
        decodes: Whether it takes contents as they are; the others take tensors that something else decoded.
    """

    name: str
    title: str
    packages: tuple[str, ...] = ()
    decodes: bool = False


KINDS = {
    kind.name: kind
    for kind in (
        Kind(name="saved_model", title="SavedModel", decodes=True),
        Kind(name="litert", title="LiteRT", packages=("ai_edge_litert",)),
        Kind(name="onnx", title="ONNX", packages=("tf2onnx", "onnx", "onnxruntime")),
        Kind(name="openvino", title="OpenVINO", packages=("openvino",)),
        Kind(name="keras", title="Keras"),
    )
}
TOLERANCES = {"float32": 1e-5, "float16": 1e-2}
"""The largest difference in a probability that still holds, by what the weights are."""
TIMES_ROUNDING, MOST_ROUNDING = 10.0, 1e-3
"""Where float32 itself rounds by more than its tolerance, a runtime may differ by this many times that, and never by more."""
MOST_ACCURACY_LOST = 0.01
"""By int8: a point of accuracy."""


def check_packages(kinds: Iterable[str]) -> None:
    """Raises at once what writing these formats would raise after minutes.

    Raises:
        ExportError: There is no such format.
        MissingExtraError: A package that one of them needs is not installed.
    """
    for name in kinds:
        if name not in KINDS:
            raise ExportError("This is not a format of an export.", received=name, allowed=list(KINDS))
        missing = [package for package in KINDS[name].packages if importlib.util.find_spec(package) is None]
        if missing:
            raise MissingExtraError.of("export", needed_for=f"An export to {KINDS[name].title} ({missing[0]} is not there)")


def check_quantize(quantize: Sequence[str]) -> None:
    """Raises unless every entry is one of `QUANTIZED`.

    Raises:
        ExportError: One is not, or there is none.
    """
    if not quantize or not set(quantize) <= set(QUANTIZED):
        raise ExportError("LiteRT weights are not of this kind.", received=", ".join(quantize) or "none", allowed=QUANTIZED)
