"""The model that is served: the newest version in its folder, exchanged for a newer one while requests go on.

As TensorFlow Serving does by default, only the highest version is served; the one before it answers what it had begun.
"""

from __future__ import annotations

import gc
import logging
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tfl.errors import ExportError, TflError
from tfl.serve.batching import BatcherClosedError, Outputs, Rows
from tfl.serve.folder import Stamp, base_of, recipe_name, stamp_of, versions_in
from tfl.serve.limits import Limits
from tfl.serve.refusal import RefusedError
from tfl.serve.version import CONTENTS, Input, ServedVersion, Signature

__all__ = ["CONTENTS", "Input", "Models", "ServedVersion", "Signature"]
_log = logging.getLogger("tfl.serve")


class Models:
    """The versions of one model in its folder. Make one with `Models.open`.

    Attributes:
        name: Under which it is served.
        base: The folder with the version folders; or of one version, which then is the only one.
        troubles: Versions that could not be loaded, and why.
        on_batch: Told the rows of each batch; may be set later.
        tidy: Called after a version was let go of; may be set later.
    """

    def __init__(self, base: Path, name: str, *, limits: Limits | None = None) -> None:
        self.base, self.name, self.limits = base, name, limits or Limits()
        self.troubles: dict[int, str] = {}
        self.on_batch: Callable[[int], None] = lambda rows: None
        self.tidy: Callable[[], object] = gc.collect
        self._stamp: Stamp | None = None
        self._failed: set[Stamp] = set()
        self._current: ServedVersion | None = None
        self._stop = threading.Event()
        self._watcher: threading.Thread | None = None

    @classmethod
    def open(cls, path: Path | str, *, name: str | None = None, limits: Limits | None = None) -> Models:
        """The model of a run or an export, loaded.

        Args:
            path: `RUN`, `RUN/export`, `…/saved_model`, or `…/saved_model/1`, which serves that version alone.
            name: Under which it is served; by default the name of the recipe it came from.
            limits: Of what requests may ask.

        Raises:
            RunError: There is no export.
            ExportError: It cannot be loaded.
        """
        base = base_of(Path(path))
        models = cls(base, name or recipe_name(base) or "model", limits=limits)
        models.look()
        if models._current is None:
            raise ExportError("; ".join(models.troubles.values()) or f"There is no version in {base}.")
        return models

    @property
    def latest(self) -> ServedVersion:
        """The version that is served.

        Raises:
            RefusedError: There is none.
        """
        if self._current is None:
            raise RefusedError("UNAVAILABLE", f"No version of {self.name} is loaded.")
        return self._current

    def find(self, name: str, number: int | None = None) -> ServedVersion:
        """The version that a request asks for.

        Raises:
            RefusedError: Another model or version is asked for.
        """
        current = self._current
        if name != self.name or current is None or number not in (None, current.number):
            wanted = f"Latest({name[:200]})" if number is None else f"Specific({name[:200]}, {number})"
            raise RefusedError("NOT_FOUND", f"Servable not found for request: {wanted}")
        return current

    def submit(
        self,
        rows: Rows,
        *,
        version: ServedVersion,
        signature: str = CONTENTS,
        weight: int = 0,
        exactly: bool = False,
        deadline: float = math.inf,
    ) -> Future[Outputs]:
        """As `version.submit`; where another version has just taken its place and need not be the same, that one answers."""
        while True:
            try:
                return version.submit(rows, signature=signature, weight=weight, deadline=deadline)
            except BatcherClosedError:
                if exactly or version is self._current:
                    raise RefusedError("NOT_FOUND", f"Version {version.number} of {self.name} is being unloaded.") from None
                version = self.latest

    def states(self) -> list[dict[str, Any]]:
        """The versions as TensorFlow Serving's status call shows them, the newest first."""
        troubles = [(number, "END", "INVALID_ARGUMENT", "It could not be loaded.") for number in self.troubles]
        current = [] if self._current is None else [(self._current.number, "AVAILABLE", "OK", "")]
        return [
            {"version": str(number), "state": state, "status": {"error_code": code, "error_message": message}}
            for number, state, code, message in sorted(current + troubles, reverse=True)
        ]

    def look(self) -> bool:
        """Loads the highest version that can be, if it is new, and lets go of the one before. True when one was exchanged.

        A version that could not be loaded is tried again once its files have changed.
        """
        for number, folder in sorted(versions_in(self.base).items(), reverse=True):
            stamp = stamp_of(number, folder)
            if stamp == self._stamp:
                return False
            if stamp not in self._failed and self._exchange(number, folder):
                self._stamp = stamp
                return True
            self._failed.add(stamp)
        return False

    def watch(self, every_s: float = 1.0) -> None:
        """Looks for new versions in a thread until `close`."""
        self._watcher = threading.Thread(target=self._watch, args=(every_s,), name="tfl-versions", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Answers what was begun, and lets go of everything."""
        self._stop.set()
        if self._watcher is not None:
            self._watcher.join()
        if self._current is not None:
            self._current.close()

    def _watch(self, every_s: float) -> None:
        while not self._stop.wait(every_s):
            try:
                self.look()
            except Exception as error:  # a folder that comes and goes must not end the thread
                _log.warning("The versions in %s could not be looked at: %s", self.base, error)

    def _exchange(self, number: int, folder: Path) -> bool:
        try:
            loaded = ServedVersion(folder, number, limits=self.limits, on_batch=lambda rows: self.on_batch(rows))
        except TflError as error:
            self.troubles[number] = str(error)
            _log.warning("Version %d of %s is not served: %s", number, self.name, error)
            return False
        self.troubles.pop(number, None)
        before, self._current = self._current, loaded
        _log.info("Version %d of %s is served.", number, self.name)
        if before is not None:
            before.close()
            before = None
            self.tidy()  # what it held is large, and in reference cycles
        return True
