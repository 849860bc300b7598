"""Vectors of examples: made by a frozen network, kept in a file, searched, compared. `tfl embed`, `tfl similar`, `tfl verify`."""
