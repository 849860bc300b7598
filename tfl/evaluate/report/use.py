"""What the report says of using the model: commands and code to copy."""

from __future__ import annotations

import importlib
import shlex
from typing import Any

from tfl.modalities.base import EXAMPLE_FILES
from tfl.runs import Run

_PYTHON = """import tfl

run = tfl.load_run({folder!r})
print(run.predict([{file!r}]))
"""
_SERVE = """docker run --rm -p 8501:8501 -v {export}:/models/{name} \\
    -e MODEL_NAME={name} tensorflow/serving &

curl -s http://localhost:8501/v1/models/{name}:predict -d @- <<END
{{"instances": [{instance}]}}
END
"""


def usage(run: Run, document: dict[str, Any]) -> dict[str, Any]:
    """What the page needs to say how the model is used, as text to copy."""
    folder, export = shlex.quote(str(run.folder)), run.path("export", "saved_model")
    file, several = EXAMPLE_FILES[run.recipe.data.kind]
    return {
        "has_model": run.path("model.keras").is_file(),
        "has_export": export.is_dir(),
        "recipe": run.recipe.to_json(),
        "command": shlex.join(map(str, document["manifest"].get("command") or [])),
        "predict": f"tfl predict {folder} {file} {several}",
        "resume": f"tfl run {folder}/recipe.json --out {folder} --resume",
        "export": f"tfl export {folder} --format saved_model",
        "python": _PYTHON.format(folder=str(run.folder), file=file),
        "serve": _SERVE.format(
            export=shlex.quote(str(export.absolute())), name=run.recipe.name, instance=_instance(run.recipe.data.kind, file)
        ),
    }


def _instance(kind: str, file: str) -> str:
    """One instance of a request to TensorFlow Serving, as a shell writes it."""
    if kind == "text":
        return f"\"$(tr -d '\\n' < {file})\""
    content_input = importlib.import_module(f"tfl.modalities.{kind}.modality").CONTENT_INPUT
    return f'{{"{content_input}": {{"b64": "$(base64 -w0 {file})"}}}}'
