"""TensorFlow without its greetings."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator

from tfl.errors import MissingExtraError, TflError


def quieten_tensorflow() -> None:
    """Sets what TensorFlow and Keras read from the environment; call it before anything imports them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    os.environ["KERAS_BACKEND"] = "tensorflow"  # tfl is written for it, whatever ~/.keras/keras.json prefers


def load_tensorflow(*, with_keras: bool = True) -> None:
    """Imports TensorFlow, and Keras unless told not to; what their libraries print meanwhile is shown only when that fails.

    TensorFlow 2.21 logs about CUDA and oneDNN before it reads `TF_CPP_MIN_LOG_LEVEL`, so the variable alone is not enough.

    Raises:
        MissingExtraError: They cannot be imported.
        TflError: Keras was imported earlier in this process, with another backend.
    """
    quieten_tensorflow()
    wanted = ["tensorflow", *(["keras"] if with_keras else [])]
    _check_backend()
    if all(name in sys.modules for name in wanted):
        return
    with tempfile.TemporaryFile() as said:
        try:
            with _standard_error_into(said.fileno()):
                for name in wanted:
                    importlib.import_module(name)
        except Exception as error:  # a broken installation raises anything
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace"))
            raise MissingExtraError(
                f"TensorFlow cannot be imported: {type(error).__name__}: {error}.",
                fix="Install it anew: pip install --force-reinstall tensorflow keras",
            ) from error


def _check_backend() -> None:
    if (keras := sys.modules.get("keras")) is None or (backend := keras.config.backend()) == "tensorflow":
        return
    raise TflError(
        "Keras runs on another backend in this process.",
        received=backend,
        allowed="tensorflow",
        fix="Start Python (or the notebook's kernel) again, with KERAS_BACKEND=tensorflow.",
    )


@contextlib.contextmanager
def _standard_error_into(descriptor: int) -> Iterator[None]:
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error to keep quiet
        yield
        return
    sys.stderr.flush()
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
