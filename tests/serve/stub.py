"""A served model without TensorFlow: the mean colour decides. For what is about HTTP and not about the model."""

import io
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
from PIL import Image

from tfl.modalities.shipping import shipping_of_about
from tfl.serve.batching import Batcher
from tfl.serve.limits import Limits
from tfl.serve.models import Models
from tfl.serve.refusal import RefusedError
from tfl.serve.version import Input, Signature


class StubVersion:
    """Stands for `ServedVersion`."""

    def __init__(self, number=1, *, limits=None, run=None):
        self.number, self.folder, self.class_names = number, Path("nowhere"), ("dark", "light")
        self.signatures = {
            "serving_default": Signature("serving_default", {"image_bytes": Input("string")}, dict),
            "pixels": Signature("pixels", {"pixels": Input("float32", (1, 1, 3))}, dict),
        }
        self.definitions, self.shipping = {}, shipping_of_about({})
        self.batcher = Batcher(
            run or self.run, limits=limits or Limits(), join=lambda parts: [row for part in parts for row in part]
        )

    waiting = property(lambda self: self.batcher.waiting)
    expected_wait_s = property(lambda self: self.batcher.expected_wait_s)

    def submit(self, rows, *, signature="serving_default", **arguments) -> Future:
        return self.batcher.submit(signature, rows, **arguments)

    def close(self):
        self.batcher.close()

    def run(self, signature, rows):
        light = np.array([self.light(row) if signature != "pixels" else np.mean(row) / 255 for row in rows], "float32")
        return {"probabilities": np.stack([1 - light, light], -1), "version": np.full(len(rows), self.number)}

    @staticmethod
    def light(content):
        try:
            return np.mean(Image.open(io.BytesIO(content)).convert("RGB")) / 255
        except OSError:
            raise RefusedError("INVALID_ARGUMENT", "An image cannot be decoded") from None


def stub_models(**arguments):
    """`Models` with a stub as its only version, named `leaves`."""
    limits = arguments.pop("limits", Limits())
    models = Models(Path("nowhere"), "leaves", limits=limits)
    models._current = StubVersion(limits=limits, **arguments)
    return models


class Held:
    """A model whose batches end once `go` is set; `sizes` are those of the batches that began."""

    def __init__(self):
        self.sizes, self.go = [], threading.Event()

    def __call__(self, signature, rows):
        self.sizes.append(len(rows))
        assert self.go.wait(20)
        return {"probabilities": np.zeros((len(rows), 2), "float32")}


def until(condition):
    """Waits for at most ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
