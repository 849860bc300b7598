"""Ctrl-C while a stage trains: the first stops it at the next batch and saves, a second one stops at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAID = b"\nStopping after this batch, and saving. Once more stops at once.\n"


class Stop:
    """Whether somebody asked to stop, by Ctrl-C or SIGTERM.

    Outside of `listening` these do what they always did. In a thread that is not the main one Python hears no signals.
    """

    def __init__(self) -> None:
        self.requested = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """For the block, the first signal only sets `requested`, and a second one raises.

        Raises:
            KeyboardInterrupt: The second signal came; or the block ended and nobody had heeded the first.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        heard = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
        try:
            for number in heard:
                signal.signal(number, self._ask)
            yield
        finally:
            for number in heard:
                signal.signal(number, before[number])
        self.check()

    def check(self) -> None:
        """Raises where a stop was asked for.

        Raises:
            KeyboardInterrupt: It was.
        """
        if self.requested:
            raise KeyboardInterrupt

    def _ask(self, number: int, frame: Any) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        with contextlib.suppress(OSError):  # not by `print`, which the signal may have cut short
            os.write(2, _SAID)
