"""A tiny export, and `tfl serve` on it in a process of its own."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("rust", "healthy", "Läuse")
SIDE = 16


def write_export(folder, *, seed=0):
    """`folder/saved_model/1`: a small network with drawn weights."""
    import keras

    import tfl
    from tfl.export.saved_model import export_saved_model
    from tfl.modalities.base import modality_of_data

    keras.utils.set_random_seed(seed)
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu")(keras.layers.Rescaling(1 / 255)(inputs))
    x = keras.layers.GlobalAveragePooling2D(name="head_pool")(x)
    x = keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(stddev=3.0), name="logits")(x)
    model = keras.Model(inputs, keras.layers.Softmax()(x))
    data = tfl.Data("unused", image_size=(SIDE, SIDE))
    return export_saved_model(
        model, class_names=CLASSES, modality=modality_of_data(data), folder=folder, metadata={"recipe": "leaves"}
    )


def picture(kind="JPEG", *, seed=0, size=(40, 30)):
    """The content of a drawn image file."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype="uint8")
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((5, 4)).resize(size).save(buffer, kind)
    return buffer.getvalue()


class Serving:
    """`tfl serve`, started; `address`, `grpc`, `port`, `pid`, and `log` of what it said."""

    def __init__(self, folder, scratch, *options, environment=None):
        self.log_file = Path(scratch) / "serve.log"
        words = [sys.executable, "-m", "tfl.cli.main", "serve", str(folder), "--port", "0", "--json", *options]
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **(environment or {})}
            )
        text = ""
        while not text.endswith("}\n"):
            line = self.process.stdout.readline()
            assert line, f"it did not start: {self.log}"
            text += line
        self.document = json.loads(text)
        self.address, self.grpc, self.pid = self.document["address"], self.document["grpc"], self.document["pid"]
        self.port = int(self.address.rpartition(":")[2])

    @property
    def log(self):
        return self.log_file.read_text()

    def end(self, number=signal.SIGTERM):
        """The exit code after a signal."""
        self.process.send_signal(number)
        try:
            return self.process.wait(40)
        finally:
            self.process.kill()
            self.process.stdout.close()
