"""Whether the libraries of a deep audit are installed, before it begins."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from tfl.extras import require_audit_library

_LIBRARIES = ("cleanlab.filter", "cleanlab.rank")


def check_extra(libraries: Sequence[str] = (), *, imported: bool = True) -> None:
    """Raises at once what a deep audit would raise after minutes.

    Args:
        libraries: What the audit checks of a modality need besides: `Modality.audit_libraries`.
        imported: Whether they are imported, which takes seconds and finds those that are broken; else only looked for.

    Raises:
        MissingExtraError: A library of the extra is not installed.
    """
    for module in (*_LIBRARIES, *libraries):
        if imported or importlib.util.find_spec(module.split(".")[0]) is None:
            require_audit_library(module)
