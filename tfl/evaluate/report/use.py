"""What the report says of using the model: commands and code to copy."""

from __future__ import annotations

import shlex
import textwrap
from typing import Any

from tfl.runs import Run

_PYTHON = """from pathlib import Path

import keras
from tfl.data.pipeline import preprocess_bytes

model = keras.saving.load_model({model!r})
class_names = {names}
# the same decoding, size and orientation as in training
pixels = preprocess_bytes(Path("photo.jpg").read_bytes(), ({height}, {width}), {fit})
probabilities = model.predict(pixels[None])[0]
print(class_names[probabilities.argmax()], probabilities.max())
"""
_SERVE = """docker run --rm -p 8501:8501 -v {export}:/models/{name} \\
    -e MODEL_NAME={name} tensorflow/serving &

curl -s http://localhost:8501/v1/models/{name}:predict -d @- <<END
{{"instances": [{{"image_bytes": {{"b64": "$(base64 -w0 photo.jpg)"}}}}]}}
END
"""


def usage(run: Run, document: dict[str, Any]) -> dict[str, Any]:
    """What the page needs to say how the model is used, as text to copy."""
    data, folder = document["recipe"]["data"], shlex.quote(str(run.folder))
    (height, width), export = data["image_size"], run.path("export", "saved_model")
    names = document["manifest"].get("data", {}).get("class_names") or []
    lines = textwrap.wrap(repr(list(map(str, names))), 100, subsequent_indent="    ", break_long_words=False)
    return {
        "has_model": run.path("model.keras").is_file(),
        "has_export": export.is_dir(),
        "recipe": run.recipe.to_json(),
        "command": shlex.join(map(str, document["manifest"].get("command") or [])),
        "predict": f"tfl predict {folder} photo.jpg more_photos/",
        "resume": f"tfl run {folder}/recipe.json --out {folder} --resume",
        "export": f"tfl export {folder} --format saved_model",
        "python": _PYTHON.format(
            model=str(run.path("model.keras")), names="\n".join(lines), height=height, width=width, fit=_fit_arguments(data)
        ),
        "serve": _SERVE.format(export=shlex.quote(str(export.absolute())), name=run.recipe.name),
    }


def _fit_arguments(data: dict[str, Any]) -> str:
    bits = data.get("bits")
    return repr(data["fit"]) + ("" if bits is None else f", bits={bits}")
