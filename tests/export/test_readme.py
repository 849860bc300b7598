"""The lines in each README run as they stand, in a process that cannot import tfl, and come to the model's label."""

import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from small_network import DATA, LABELS

from tfl.export.kinds import KINDS
from tfl.modalities.image.golden import golden_images
from tfl.modalities.image.resize import preprocess_batch

PICTURE = "jpeg-turned-6.jpg"
WITHOUT = """
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in BLOCKED else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
for name in BLOCKED:
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(name + " is still there")
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_lines_run_without_tfl(kind, shipped, shipment, tmp_path):
    folder = shipped.folders[kind]
    [code] = re.findall(r"^```python\n(.*?)^```", (folder / "README.md").read_text(encoding="utf-8"), re.S | re.M)
    assert code.count('"photo.jpg"') == 1
    picture = tmp_path / "photo.jpg"
    picture.write_bytes(golden_images()[PICTURE])
    blocked = ("tfl",) if kind == "keras" else ("tfl", "keras", "tf_keras") + (("tensorflow",) if kind != "saved_model" else ())
    program = f"BLOCKED = {blocked!r}\n{WITHOUT}\n" + code.replace('"photo.jpg"', repr(str(picture)))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    pixels = preprocess_batch(tf.constant([picture.read_bytes()]), DATA.image_size, DATA.fit)
    expected = np.asarray(shipment.answer(pixels)["probabilities"])[0]
    assert np.sort(expected)[-1] - np.sort(expected)[-2] > 0.02  # the label does not hang on the decoder
    assert done.stdout.splitlines()[-1] == LABELS[expected.argmax()]
