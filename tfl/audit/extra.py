"""The libraries of the extra `audit`, asked for by the deep audit only."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from tfl.errors import MissingExtraError


def require_extra(module: str) -> Any:
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


def check_extra(*, imported: bool = True) -> None:
    """Raises at once what a deep audit would raise after minutes.

    Args:
        imported: Whether they are imported, which takes seconds and finds those that are broken; else only looked for.

    Raises:
        MissingExtraError: A library of the extra is not installed.
    """
    for module in ("cleanlab.filter", "cleanlab.rank", "cleanvision.issue_managers.image_property_issue_manager"):
        if imported or importlib.util.find_spec(module.split(".")[0]) is None:
            require_extra(module)
