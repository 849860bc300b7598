"""How examples of several inputs are called: they are rows of a table."""

from tfl.modalities.files import FileKind

FILES = FileKind(kind="several", suffixes=frozenset(), columns=(), in_cells=True, recipe="tfl.Data(..., inputs={...})")
