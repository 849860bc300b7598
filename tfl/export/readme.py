"""The README.md in the folder of an export: what goes in, what comes out, and lines that run it without tfl."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tfl.export.answer import IS_LABEL
from tfl.export.kinds import KINDS
from tfl.tasks.detect import SHOWN
from tfl.tasks.heads import Heads

if TYPE_CHECKING:
    from tfl.export.shipment import Shipment

_SHOWN = 20
_MEANS = {
    "probabilities": "one per class, in the order of `labels.txt`",
    "values": "one per number, in the order of `labels.txt`",
    "calibrated_probabilities": "the same, scaled so that 0.8 comes true in about eight cases of ten",
    "prediction_set": "true for each class that the answer may be; `tfl.json` has how often the right one is among them",
    IS_LABEL: "true for each label whose probability reaches its threshold",
    "scores": "of each detection, the highest first; those of detections that were suppressed are 0",
    "boxes": "of each detection left, top, right and bottom, as shares of the {noun}",
    "classes": "of each detection the position of its class in `labels.txt`",
    "lower": "the lower end of an interval around each value; `tfl.json` has how often the right value lies inside",
    "upper": "its upper end",
    "out_of_distribution_score": "how far the {noun} is from the {nouns} that the model learnt from",
    "is_out_of_distribution": "true where that is too far: the answer is then worth little",
}
_IMPORTS = {
    "litert": "from ai_edge_litert.interpreter import Interpreter",
    "onnx": "import onnxruntime",
    "openvino": "import openvino",
    "keras": "import keras",
}
_PACKAGES = {
    "litert": "ai-edge-litert",
    "onnx": "onnxruntime",
    "openvino": "openvino",
    "keras": "keras tensorflow",
}
_RUN = {
    "litert": 'interpreter = Interpreter("{file}")\nanswer = interpreter.get_signature_runner()({named})',
    "onnx": (
        'session = onnxruntime.InferenceSession("{file}")\n'
        "names = [output.name for output in session.get_outputs()]\n"
        "answer = dict(zip(names, session.run(None, {dictionary})))"
    ),
    "openvino": 'model = openvino.compile_model("{file}", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})\nanswer = model({given})',
    "keras": 'answer = keras.saving.load_model("{file}")({given})',
}
_SAVED_MODEL = """\
import tensorflow as tf
{imports}
model = tf.saved_model.load(".")
answer = model.signatures["serving_default"]({content_input}=tf.constant([{example}]))
{shown}"""
_OF_CONTENTS = {
    "classify": 'print(answer["label"].numpy()[0].decode())\n',
    "multilabel": (
        'print([name.decode() for name, given in zip(answer["labels"].numpy()[0], answer["is_label"].numpy()[0]) if given])\n'
    ),
    "regress": (
        'names, values = answer["labels"].numpy()[0], answer["values"].numpy()[0]\n'
        "print({name.decode(): float(value) for name, value in zip(names, values)})\n"
    ),
    "heads": "print({name: value.numpy()[0].tolist() for name, value in answer.items()})\n",
    "detect": (
        'names = [name.decode() for name in answer["labels"].numpy()[0]]\n'
        'rows = zip(*(answer[name].numpy()[0] for name in ("classes", "scores", "boxes")))\n'
        "print([(names[at], float(score), box.tolist()) for at, score, box in rows if score >= " + f"{SHOWN}])\n"
    ),
}
_OF_TENSORS = {
    "classify": 'print(labels[int(np.argmax(answer["probabilities"]))])\n',
    "multilabel": 'print([name for name, given in zip(labels, np.array(answer["is_label"])[0]) if given])\n',
    "regress": 'print({name: float(value) for name, value in zip(labels, np.array(answer["values"])[0])})\n',
    "heads": "print({name: np.array(value)[0].tolist() for name, value in answer.items()})\n",
    "detect": (
        'rows = zip(*(np.array(answer[name])[0] for name in ("classes", "scores", "boxes")))\n'
        "print([(labels[int(at)], float(score), box.tolist()) for at, score, box in rows if score >= " + f"{SHOWN}])\n"
    ),
}
_NOTES = {
    "litert": (
        "One {noun} at a time. `model_float16` keeps its weights in half the bytes and computes in float32. `model_int8` "
        "computes "
        "in whole numbers, whose ranges come from the run's training {nouns}, up to the pooled features, and in float32 from "
        "there; first layers that would change the answer too much compute in float32 as well. Input and outputs are float32 in "
        "all of them."
    ),
    "openvino": "Without the hint, newer processors compute in bfloat16, which is faster and differs by up to a point.",
    "keras": "Loads with Keras alone; no layer is tfl's.",
}
_NEEDS_KERAS_HUB = "Its layers are KerasHub's: `import keras_hub` before it is loaded (`pip install keras-hub`)."
_TENSORS_ONLY = (
    "The model takes tensors, and no lines without tfl are known that make them of a {noun}. The SavedModel holds its own "
    "decoder."
)


def readme(kind: str, shipment: Shipment, *, files: tuple[str, ...] = ()) -> str:
    """The text, in Markdown.

    Args:
        kind: One of `tfl.export.kinds.KINDS`.
        shipment: What was written.
        files: The model's files, the one to run first; not needed for a SavedModel.
    """
    modality = shipment.modality
    words = {"noun": modality.noun, "nouns": modality.nouns}
    lines = code(kind, shipment, file=files[0] if files else "")
    parts = [
        f"# {shipment.about.get('recipe', 'Model')}: {KINDS[kind].title}",
        f"Written by tfl {shipment.about['tfl']}. " + _files(files),
        _table(kind, shipment),
        _labels(kind, shipment),
        f"In this folder, with `pip install {_packages(kind, shipment)}`:" if lines else "",
        f"```python\n{lines}```" if lines else "",
        _reading_note(kind, shipment),
        _note(kind, shipment).format(**words),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def code(kind: str, shipment: Shipment, *, file: str) -> str:
    """Lines that run it on one example and print the answer, by common packages and the runtime; empty where there are none."""
    shipping, task = shipment.shipping, shipment.task.name
    if KINDS[kind].decodes:
        content = shipment.modality.content_input
        return _SAVED_MODEL.format(
            imports=shipping.imports, content_input=content, example=shipping.example, shown=_OF_CONTENTS[task]
        )
    reading = shipping.how_to_read()
    if reading is None:
        return ""
    names = list(shipment.modality.spec())
    dictionary = "{" + ", ".join(f'"{name}": {name}' for name in names) + "}"
    run = _RUN[kind].format(
        file=file,
        named=", ".join(f"{name}={name}" for name in names),
        dictionary=dictionary,
        given=names[0] if len(names) == 1 else dictionary,
    )
    extra = "import keras_hub  # its layers\n" if kind == "keras" and needs_keras_hub(shipment) else ""
    return (
        f"{_IMPORTS[kind]}\n{extra}{reading.imports}\n{reading.lines}{run}\n"
        'labels = open("labels.txt", encoding="utf-8").read().splitlines()\n' + _OF_TENSORS[task]
    )


def needs_keras_hub(shipment: Shipment) -> bool:
    """Whether a layer of the network is KerasHub's."""
    return any(type(layer).__module__.startswith("keras_hub") for layer in shipment.answer._flatten_layers())


def _packages(kind: str, shipment: Shipment) -> str:
    if KINDS[kind].decodes:
        return shipment.shipping.packages
    reading = shipment.shipping.how_to_read()
    extra = " keras-hub" if kind == "keras" and needs_keras_hub(shipment) else ""
    return f"{_PACKAGES[kind]}{extra} {reading.packages if reading else ''}".strip()


def _reading_note(kind: str, shipment: Shipment) -> str:
    if KINDS[kind].decodes:
        return shipment.shipping.content_note()
    reading = shipment.shipping.how_to_read()
    return reading.note if reading else _TENSORS_ONLY.format(noun=shipment.modality.noun)


def _note(kind: str, shipment: Shipment) -> str:
    return _NEEDS_KERAS_HUB if kind == "keras" and needs_keras_hub(shipment) else _NOTES.get(kind, "")


def _files(files: tuple[str, ...]) -> str:
    return f"Files: {', '.join(f'`{file}`' for file in files)}." if files else ""


def _table(kind: str, shipment: Shipment) -> str:
    modality, classes = shipment.modality, len(shipment.class_names)
    batch = "1" if kind == "litert" else "batch"
    rows = [("", "name", "type", "shape", "what"), ("---",) * 5]
    if KINDS[kind].decodes:
        rows.append(("input", f"`{modality.content_input}`", "string", "(batch,)", shipment.shipping.takes))
        if shipment.task.name == "classify":
            rows.append(("output", "`label`", "string", "(batch,)", "the likeliest class"))
        for part in shipment.task if isinstance(shipment.task, Heads) else ():
            if part.task.name == "classify":
                rows.append(("output", f"`{part.target}_label`", "string", "(batch,)", f"the likeliest class of {part.target}"))
        of_each = (
            "the class of each probability"
            if shipment.task.name == "classify"
            else f"the name of each of the `{shipment.task.main_outputs[0]}`"
            if len(shipment.task.main_outputs) == 1
            else "the name of each column of the targets, side by side"
        )
        rows.append(("output", "`labels`", "string", f"(batch, {classes})", of_each))
    else:
        meanings = shipment.shipping.tensor_meanings()
        for name, spec in modality.spec().items():
            shape = ", ".join(str(side) for side in spec.shape)
            rows.append(("input", f"`{name}`", spec.dtype, f"({batch}, {shape})", meanings.get(name, "")))
    for name, tensor in shipment.answer.output.items():
        shape = f"({', '.join([batch, *map(str, tensor.shape[1:])])})" if len(tensor.shape) > 1 else f"({batch},)"
        meaning = _meaning(name, shipment).format(noun=modality.noun, nouns=modality.nouns)
        rows.append(("output", f"`{name}`", str(tensor.dtype), shape, meaning))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _meaning(name: str, shipment: Shipment) -> str:
    """What an output says."""
    for part in shipment.task if isinstance(shipment.task, Heads) else ():
        if name == part.target:
            names = ", ".join(json.dumps(one, ensure_ascii=False) for one in part.names[:_SHOWN])
            return (
                "a number"
                if part.task.name == "regress"
                else f"one probability for each of {names}".replace("{", "{{").replace("}", "}}")
            )
        if name.startswith(f"{part.target}_") and name.removeprefix(f"{part.target}_") in part.task.answers:
            return f"of `{part.target}`: {_MEANS[name.removeprefix(f'{part.target}_')]}"
    return _MEANS.get(name, "")


def _labels(kind: str, shipment: Shipment) -> str:
    names = [json.dumps(name, ensure_ascii=False) for name in shipment.class_names]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    where = "`assets/labels.txt`" if KINDS[kind].decodes else "`labels.txt`"
    return f"{len(names)} labels, in this order (also in {where}): {', '.join(names[:_SHOWN])}{more}."
