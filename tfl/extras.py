"""The libraries of the extra `audit`, imported when a deep check asks for them."""

from __future__ import annotations

import importlib
from typing import Any

from tfl.errors import MissingExtraError


def require_audit_library(module: str) -> Any:
    """The module of that name, such as `cleanlab.rank`.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"The deep audit needs the extra `audit` ({module.split('.')[0]} cannot be imported).",
            fix="Install it with: pip install 'tfl[audit]', or leave the deep checks out (--quick; data.audit=quick).",
        ) from error
