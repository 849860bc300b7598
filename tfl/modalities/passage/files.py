"""How files of books are called."""

from tfl.modalities.files import FileKind

FILES = FileKind(kind="passage", suffixes=frozenset((".txt", ".text")), columns=(), recipe="tfl.Passages()")
