"""`load_tensorflow`, as the commands call it."""

from tfl.quiet import load_tensorflow

__all__ = ["load_tensorflow"]
