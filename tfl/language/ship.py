"""The export of a language model: a Keras file that gives the logits of the next token, with what its tokens are beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfl import __version__
from tfl.errors import ExportError
from tfl.export.kinds import ABOUT_FILE, README_FILE, TOLERANCES
from tfl.modalities.passage.tokenizer import FOLDER
from tfl.runs import Run
from tfl.storage import finite, write_folder_atomically

if TYPE_CHECKING:
    import keras

    from tfl.modalities.passage.modality import PassageModality

KIND, FILE = "keras", "model.keras"
_COMPARED = 4
"""Rows of random tokens on which the file is compared with the model."""
_README = """\
# {name}: a language model, as a Keras file

Written by tfl {version}. `{file}` takes `token_ids`, int32 `(batch, tokens)`, and gives the logits of the token behind each,
float32 `(batch, tokens, {vocabulary})`. A passage begins with the token {start}; {tokens}. The network was trained on {most}
tokens at once, the start token included: of a longer text give it the end.

In this folder, with `pip install {packages}`:

```python
{lines}```
"""
_BYTES = """\
import keras
import numpy as np

model = keras.saving.load_model("{file}")
tokens = [{start}, *"Once".encode()]
logits = np.array(model(np.array([tokens], "int32")))[0, -1]
print(bytes([int(logits[:256].argmax())]))
"""
_PAIRS = """\
import keras
import keras_hub
import numpy as np

model = keras.saving.load_model("{file}")
tokenizer = keras_hub.models.Tokenizer.from_preset("{folder}")
tokens = [{start}, *tokenizer("Once")]
logits = np.array(model(np.array([tokens], "int32")))[0, -1]
print(tokenizer.detokenize([int(logits.argmax())]))
"""


def refuse_other_formats(run: Run, kinds: Sequence[str]) -> None:
    """Makes sure that a format is one that a language model has.

    Raises:
        ExportError: It is another one.
    """
    if others := [kind for kind in kinds if kind != KIND]:
        raise ExportError(
            "A language model is exported as a Keras file alone; it gives the logits of the next token, and is no classifier.",
            received=", ".join(others),
            allowed=f"--format {KIND}",
            fix=f'Let it write with: tfl write {run.folder} "Once"',
        )


def ship_language_model(run: Run, folder: Path) -> dict[str, Any]:
    """Writes `keras/model.keras` below the export folder, whole or not at all, and compares it with the run's model.

    Args:
        run: Of the task `generate`; the caller holds its lock.
        folder: The export folder.

    Returns:
        What `tfl.json` says: among others `start`, `pad` and `vocabulary` of its tokens, `tokens`, how many the network was
        trained on, and `largest_difference`, in the probabilities of random tokens.

    Raises:
        RunError: The run has no model, or it cannot be read.
        ExportError: The file cannot be written, or says something else than the model.
    """
    from tfl.export.shipment import in_float32
    from tfl.modalities.passage.modality import modality_of_run
    from tfl.model.next_token import next_token_model
    from tfl.serve.predictor import load_run_model

    modality = modality_of_run(run.recipe, run.folder)
    model = next_token_model(in_float32(load_run_model(run, modality)))
    about: dict[str, Any] = {
        "format": 1,
        "tfl": __version__,
        "kind": KIND,
        "recipe": run.recipe.name,
        "task": run.recipe.task,
        "tokenizer": FOLDER if modality.tokenizer_folder else "bytes",
        **{name: getattr(modality.tokenizer, name) for name in ("start", "pad")},
        "vocabulary": int(model.output_shape[-1]),
        "tokens": modality.settled_tokens,
    }

    def fill(scratch: Path) -> None:
        about["largest_difference"] = _written(model, modality, scratch)
        if modality.tokenizer_folder is not None:
            shutil.copytree(modality.tokenizer_folder, scratch / FOLDER)
        (scratch / ABOUT_FILE).write_text(json.dumps(finite(about), indent=2) + "\n", encoding="utf-8")
        (scratch / README_FILE).write_text(_readme(about), encoding="utf-8")

    write_folder_atomically(folder / KIND, fill)
    return about


def _written(model: keras.Model, modality: PassageModality, scratch: Path) -> float:
    """Writes the file, and gives the largest difference of a probability between it and the model."""
    import keras
    import numpy as np

    from tfl.backbones.saving import remember_skipped_attributes

    remember_skipped_attributes()
    tokens = np.random.default_rng(0).integers(0, modality.vocabulary, (_COMPARED, modality.settled_tokens)).astype(np.int32)
    try:
        model.save(scratch / FILE)
        again = keras.saving.load_model(scratch / FILE, safe_mode=True)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ExportError(f"This model cannot be written as a Keras file: {error}") from error
    own, other = (np.asarray(keras.ops.softmax(one(tokens, training=False))) for one in (model, again))
    difference = float(np.abs(own - other).max())
    if not difference <= TOLERANCES["float32"]:
        raise ExportError(
            f"The Keras file disagrees with its model by {difference:.2g} in probability.",
            allowed=f"a difference of at most {TOLERANCES['float32']:g}",
            fix="Please report it, with the recipe's backbone.",
        )
    return difference


def _readme(about: dict[str, Any]) -> str:
    pairs = about["tokenizer"] == FOLDER
    lines = (_PAIRS if pairs else _BYTES).format(file=FILE, start=about["start"], folder=FOLDER)
    return _README.format(
        name=about["recipe"],
        version=about["tfl"],
        file=FILE,
        vocabulary=about["vocabulary"],
        start=about["start"],
        most=about["tokens"],
        tokens=f"the others are those of the tokenizer in `{FOLDER}`" if pairs else "the others are the bytes of its UTF-8",
        packages="keras tensorflow" + (" keras-hub tensorflow-text tokenizers" if pairs else ""),
        lines=lines,
    )
