"""The README.md in the folder of an export: what goes in, what comes out, and lines that run it without tfl."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tfl.export.kinds import KINDS
from tfl.export.pillow import reading_lines

if TYPE_CHECKING:
    from tfl.export.shipment import Shipment

_SHOWN = 20
_MEANS = {
    "probabilities": "one per class, in the order of `labels.txt`",
    "calibrated_probabilities": "the same, scaled so that 0.8 comes true in about eight cases of ten",
    "prediction_set": "true for each class that the answer may be; `tfl.json` has how often the right one is among them",
    "out_of_distribution_score": "how far the image is from the images that the model learnt from",
    "is_out_of_distribution": "true where that is too far: the label is then worth little",
}
_IMPORTS = {
    "litert": "from ai_edge_litert.interpreter import Interpreter",
    "onnx": "import onnxruntime",
    "openvino": "import openvino",
    "keras": "import keras",
}
_PACKAGES = {
    "saved_model": "tensorflow",
    "litert": "ai-edge-litert numpy pillow",
    "onnx": "onnxruntime numpy pillow",
    "openvino": "openvino numpy pillow",
    "keras": "keras tensorflow numpy pillow",
}
_RUN = {
    "litert": 'interpreter = Interpreter("{file}")\nanswer = interpreter.get_signature_runner()(pixels=pixels)',
    "onnx": (
        'session = onnxruntime.InferenceSession("{file}")\n'
        "names = [output.name for output in session.get_outputs()]\n"
        'answer = dict(zip(names, session.run(None, {{"pixels": pixels}})))'
    ),
    "openvino": (
        'model = openvino.compile_model("{file}", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})\nanswer = model(pixels)'
    ),
    "keras": 'answer = keras.saving.load_model("{file}")(pixels)',
}
_SAVED_MODEL = """\
import tensorflow as tf

model = tf.saved_model.load(".")
answer = model.signatures["serving_default"](image_bytes=tf.constant([open("photo.jpg", "rb").read()]))
print(answer["label"].numpy()[0].decode())
"""
_PILLOW_NOTE = (
    "The model takes pixels, and what decodes the photo decides a little of the answer. These lines turn a photo upright and "
    "resize it as in training (fit `{fit}`); Pillow rounds otherwise than TensorFlow, so a pixel may differ by one or two of "
    "255, and a probability by a little. `parity.json`, beside this folder, has how much on the run's own test images. "
    "{deep} of 16 bits a channel need another decoder, and HEIC files need `pillow_heif.register_heif_opener()` first. The "
    "SavedModel holds its own decoder and needs none of this."
)
_SAVED_MODEL_NOTE = (
    "Decoding (JPEG, PNG, GIF, BMP, WebP, JPEG XL), EXIF orientation, resizing (fit `{fit}`), preprocessing and labels are "
    "inside. The signature `pixels` takes RGB of 0 to 255 instead, float32 `(batch, {height}, {width}, 3)`. TensorFlow Serving "
    "takes the folder above this one, and warms up on `assets.extra/tf_serving_warmup_requests`.\n\n"
    "TIFF, AVIF, HEIC, JPEG 2000 and PNM files cannot be decoded inside the graph. `tfl predict` and `tfl serve` convert them. "
    "Anywhere else, convert them to PNG first, for example with Pillow (HEIC after `pillow_heif.register_heif_opener()`; grey "
    'images of 16 bits without `.convert`): `ImageOps.exif_transpose(Image.open("photo.tif")).convert("RGB").save("photo.png")`.'
)
_BITS_NOTE = (
    "16-bit images: the model expects values of {bits} bits, from 0 to {largest:,}; larger ones count as white. Images of 8 bits "
    "are taken as they are."
)
_NOTES = {
    "litert": (
        "One image at a time. `model_float16` keeps its weights in half the bytes and computes in float32. `model_int8` computes "
        "in whole numbers, whose ranges come from the run's training images, up to the pooled features, and in float32 from "
        "there; first layers that would change the answer too much compute in float32 as well. Input and outputs are float32 in "
        "all of them."
    ),
    "openvino": "Without the hint, newer processors compute in bfloat16, which is faster and differs by up to a point.",
    "keras": "Loads with Keras alone; no layer is tfl's.",
}


def readme(kind: str, shipment: Shipment, *, files: tuple[str, ...] = ()) -> str:
    """The text, in Markdown.

    Args:
        kind: One of `tfl.export.kinds.KINDS`.
        shipment: What was written.
        files: The model's files, the one to run first; not needed for a SavedModel.
    """
    height, width = shipment.data.settled_size
    bits = shipment.data.bits
    deep = "Images" if bits is None else "Colours"
    words = {"fit": shipment.data.fit, "height": height, "width": width, "deep": deep}
    note = _SAVED_MODEL_NOTE if KINDS[kind].decodes else _PILLOW_NOTE
    parts = [
        f"# {shipment.about.get('recipe', 'Model')}: {KINDS[kind].title}",
        f"Written by tfl {shipment.about['tfl']}. " + _files(files),
        _table(kind, shipment),
        _labels(kind, shipment),
        f"In this folder, with `pip install {_PACKAGES[kind]}`:",
        f"```python\n{code(kind, shipment, file=files[0] if files else '')}```",
        note.format(**words),
        "" if bits is None else _BITS_NOTE.format(bits=bits, largest=2**bits - 1),
        _NOTES.get(kind, ""),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def code(kind: str, shipment: Shipment, *, file: str) -> str:
    """The lines that run it on `photo.jpg` and print the label; standard packages and the runtime alone."""
    if KINDS[kind].decodes:
        return _SAVED_MODEL
    return (
        f"{_IMPORTS[kind]}\nimport numpy as np\nfrom PIL import Image, ImageOps\n\n"
        f"{reading_lines(shipment.data)}{_RUN[kind].format(file=file)}\n"
        'labels = open("labels.txt", encoding="utf-8").read().splitlines()\n'
        'print(labels[int(np.argmax(answer["probabilities"]))])\n'
    )


def _files(files: tuple[str, ...]) -> str:
    return f"Files: {', '.join(f'`{file}`' for file in files)}." if files else ""


def _table(kind: str, shipment: Shipment) -> str:
    height, width = shipment.data.settled_size
    classes = len(shipment.class_names)
    batch = "1" if kind == "litert" else "batch"
    rows = [("", "name", "type", "shape", "what"), ("---",) * 5]
    if KINDS[kind].decodes:
        rows.append(("input", "`image_bytes`", "string", "(batch,)", "the content of image files"))
        rows.append(("output", "`label`", "string", "(batch,)", "the likeliest class"))
        rows.append(("output", "`labels`", "string", f"(batch, {classes})", "the class of each probability"))
    else:
        rows.append(("input", "`pixels`", "float32", f"({batch}, {height}, {width}, 3)", "RGB, 0 to 255, upright"))
    for name, tensor in shipment.answer.output.items():
        shape = f"({batch}, {classes})" if len(tensor.shape) > 1 else f"({batch},)"
        rows.append(("output", f"`{name}`", str(tensor.dtype), shape, _MEANS.get(name, "")))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _labels(kind: str, shipment: Shipment) -> str:
    names = [json.dumps(name, ensure_ascii=False) for name in shipment.class_names]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    where = "`assets/labels.txt`" if KINDS[kind].decodes else "`labels.txt`"
    return f"{len(names)} labels, in this order (also in {where}): {', '.join(names[:_SHOWN])}{more}."
