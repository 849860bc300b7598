"""From image files to labels, by a run's model or by its export. An export needs TensorFlow and no Keras.

>>> predictor = open_predictor("runs/leaves")                    # doctest: +SKIP
>>> predictor.predict(["leaf.jpg"])[0]["label"]                  # doctest: +SKIP
'healthy'
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tfl.errors import BadImageError, ExportError, RunError
from tfl.modalities.image.bits import unused_bits_text
from tfl.quiet import load_tensorflow
from tfl.runs import Run
from tfl.serve.about import bits_of_export
from tfl.serve.files import UNDECODABLE, expand, largest_allowed, read_image_file

if TYPE_CHECKING:
    import numpy as np

_SHOWN = 10
_FILE_OPERATIONS = frozenset(
    ("ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "PyFuncStateless", "EagerPyFunc", "LoadLibrary", "PrintV2")
)

Probabilities = Callable[[list[bytes]], "np.ndarray"]


@dataclass(frozen=True)
class Predictions:
    """What a predictor says of some files.

    Attributes:
        predictions: For each readable file `file`, `label`, `probability`, and `probabilities` by class.
        unreadable: For each other one `file` and `why`.
        largest: Of each file of 16 bits, its largest value.
        notes: What else is to be said, as sentences.
    """

    predictions: list[dict[str, Any]] = field(default_factory=list)
    unreadable: list[dict[str, str]] = field(default_factory=list)
    largest: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Predictor:
    """A model with its labels. Make one with `open_predictor`.

    Attributes:
        path: The run or the export it was opened from.
        class_names: The labels, in the order of the probabilities.
        probabilities: From file contents to an array `(count, classes)` of float32. Raises what TensorFlow raises on bad ones.
        batch_size: Files that are in memory at a time.
        bits: How many bits of 16-bit images the model takes for in use; None means 16.
    """

    path: Path
    class_names: tuple[str, ...]
    probabilities: Probabilities
    batch_size: int = 32
    bits: int | None = None

    def predict(self, files: Iterable[Path | str], *, on_bad: Literal["error", "skip"] = "error") -> list[dict[str, Any]]:
        """The label of each file, folders searched through.

        Args:
            files: Image files, and folders of them.
            on_bad: `error` raises when one cannot be read, `skip` leaves it out.

        Returns:
            For each file, in order: `file`, `label`, `probability`, `probabilities` (by class).

        Raises:
            DataError: A file or folder is missing, or there is no image in a folder.
            BadImageError: Files that are no images, all of them named.
        """
        return self.look_at(files, on_bad=on_bad).predictions

    def look_at(self, files: Iterable[Path | str], *, on_bad: Literal["error", "skip"] = "error") -> Predictions:
        """As `predict`, with the files that could not be read beside the predictions."""
        result = self.look_at_files(expand(files))
        if result.unreadable and on_bad == "error":
            raise _unreadable(result.unreadable)
        return result

    def look_at_files(self, files: Sequence[Path]) -> Predictions:
        """What is said of exactly these files, as `tfl.serve.files.expand` found them; one that has vanished is unreadable."""
        result = Predictions()
        for batch in _batches(files, self.batch_size):
            self._look_at_batch(batch, result)
        if self.bits is None and (text := unused_bits_text(result.largest)):
            result.notes.append(f"{text}: the model takes them for 16 bits. Scale them as its training images were.")
        return result

    def _look_at_batch(self, files: Sequence[Path], result: Predictions) -> None:
        contents, good = [], []
        for file in files:
            try:
                content = read_image_file(file)
                if largest := largest_allowed(content, self.bits):
                    result.largest[str(file)] = largest
                contents.append(content)
                good.append(file)
            except BadImageError as error:
                result.unreadable.append({"file": str(file), "why": str(error)})
        for file, row in zip(good, self._rows(contents), strict=True):
            if isinstance(row, str):
                result.unreadable.append({"file": str(file), "why": row})
            else:
                result.predictions.append({"file": str(file), **self._named(row)})

    def _rows(self, contents: list[bytes]) -> list[Any]:
        """A row of probabilities for each content, or why there is none; one bad file does not spoil its batch."""
        import tensorflow as tf

        if not contents:
            return []
        try:
            return list(self.probabilities(contents))
        except tf.errors.ResourceExhaustedError:
            raise
        except tf.errors.OpError:
            rows: list[Any] = []
            for content in contents:
                try:
                    rows.append(self.probabilities([content])[0])
                except tf.errors.OpError:
                    rows.append(UNDECODABLE)
            return rows

    def _named(self, row: np.ndarray) -> dict[str, Any]:
        best = int(row.argmax())
        return {
            "label": self.class_names[best],
            "probability": float(row[best]),
            "probabilities": {name: float(value) for name, value in zip(self.class_names, row, strict=True)},
        }


def open_predictor(path: Path | str) -> Predictor:
    """The predictor of a run folder, or of an export folder.

    Args:
        path: A run, an export, or the SavedModel's own folder: `RUN`, `RUN/export`, `…/saved_model`, `…/saved_model/1`.

    Raises:
        RunError: There is neither a run nor an export, or the run has no model yet.
        ExportError: The SavedModel cannot be loaded.
    """
    found = find_model(path)
    load_tensorflow(with_keras=isinstance(found, Run))
    return _of_run(found) if isinstance(found, Run) else _of_saved_model(found)


def find_model(path: Path | str) -> Run | Path:
    """The run in a folder, or the SavedModel of an export; looks for files only, and imports no TensorFlow.

    Args:
        path: As of `open_predictor`.

    Raises:
        RunError: There is neither a run nor an export, or the run has no model yet.
    """
    folder = Path(path)
    if folder.name == "model.keras":
        folder = folder.parent
    if (folder / "manifest.json").is_file():
        run = Run.open(folder)
        run.model_file  # noqa: B018  (raises where the run has none)
        return run
    if (saved := find_saved_model(folder)) is not None:
        return saved
    raise RunError(
        f"{path} is neither a run nor an export." if folder.exists() else f"There is no folder {path}.",
        allowed="a run folder (with manifest.json), or a folder with a SavedModel such as RUN/export",
        fix="A run is made by: tfl run RECIPE",
    )


def find_saved_model(folder: Path) -> Path | None:
    """The SavedModel in a folder, its highest version, or None."""
    for base in (folder, folder / "saved_model"):
        if (base / "saved_model.pb").is_file():
            return base
        versions = [entry for entry in base.glob("[0-9]*") if entry.name.isdigit() and (entry / "saved_model.pb").is_file()]
        if versions:
            return max(versions, key=lambda entry: int(entry.name))
    return None


def load_run_model(run: Run) -> Any:
    """The Keras model of a run, whole, from pixels to probabilities.

    Raises:
        RunError: The run has none yet, or it cannot be read.
    """
    file = run.model_file
    import keras

    from tfl.backbones.weight_files import refuse_bomb

    try:
        refuse_bomb(file)
        model = keras.models.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises a dozen kinds, by what is damaged
        raise RunError(f"{file} cannot be loaded: {error}", fix="Run the recipe again in another folder.") from error
    _check_model(model, run)
    return model


def _check_model(model: Any, run: Run) -> None:
    """Raises unless the model goes from the recipe's images to the run's classes: either file may have been changed since."""
    takes, gives = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    wanted = (None, *run.recipe.data.settled_size, 3), (None, len(run.class_names))
    if (takes, gives) != wanted:
        raise RunError(
            f"{run.path('model.keras')} is not the model of this run's recipe and classes.",
            received=f"a model from {takes} to {gives}",
            allowed=f"one from {wanted[0]} to {wanted[1]}",
            fix="Put the files of the run back, or run the recipe again in another folder.",
        )


def _of_run(run: Run) -> Predictor:
    model, class_names, data = load_run_model(run), run.class_names, run.recipe.data
    import tensorflow as tf

    from tfl.modalities.image.resize import preprocess_batch

    scored = tf.function(
        lambda contents: tf.cast(
            model(preprocess_batch(contents, data.settled_size, data.fit, data.bits), training=False), tf.float32
        ),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )
    return Predictor(run.folder, class_names, lambda contents: scored(tf.constant(contents)).numpy(), bits=data.bits)


def _of_saved_model(folder: Path) -> Predictor:
    import tensorflow as tf

    loaded, names = load_saved_model(folder)
    served = loaded.signatures["serving_default"]

    def probabilities(contents: list[bytes], _keep: object = loaded) -> np.ndarray:
        scores: np.ndarray = served(image_bytes=tf.constant(contents))["probabilities"].numpy()
        return scores

    return Predictor(folder, names, probabilities, bits=bits_of_export(folder))


def load_saved_model(folder: Path) -> tuple[Any, tuple[str, ...]]:
    """What TensorFlow loads from an export of tfl, and its labels.

    Raises:
        ExportError: It is none, or damaged, or its graph reaches beyond the model.
    """
    import tensorflow as tf

    _refuse_file_operations(folder)
    try:
        loaded = tf.saved_model.load(str(folder))
        served = loaded.signatures["serving_default"]
        names = (folder / "assets" / "labels.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
        outputs = served.structured_outputs["probabilities"].shape[-1]
        if outputs != len(names):
            raise ValueError(f"it has {outputs} outputs and {len(names)} labels")
    except Exception as error:  # TensorFlow raises a dozen kinds, by what is damaged
        raise ExportError(
            f"{folder} is not an export of tfl, or it is damaged: {error}",
            fix="Write it again: tfl export RUN --format saved_model",
        ) from error
    return loaded, tuple(names)


def _refuse_file_operations(folder: Path) -> None:
    """A SavedModel is a program, and runs its initialisers when it is loaded: one that reads or writes files, or calls Python,
    is none of tfl's.

    Raises:
        ExportError: It does.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    stored = saved_model_pb2.SavedModel()
    try:
        stored.ParseFromString((folder / "saved_model.pb").read_bytes())
    except Exception as error:  # of the disk, or of protobuf
        raise ExportError(
            f"{folder} is not an export of tfl, or it is damaged: {error}",
            fix="Write it again: tfl export RUN --format saved_model",
        ) from error
    graphs = [graph.graph_def for graph in stored.meta_graphs]
    nodes = [node for graph in graphs for node in graph.node]
    functions_of = attrgetter("library.function")
    nodes += [node for graph in graphs for function in functions_of(graph) for node in function.node_def]
    if found := sorted({node.op for node in nodes} & _FILE_OPERATIONS):
        raise ExportError(
            f"{folder} is not an export of tfl: it holds operations that reach beyond the model.",
            received=", ".join(found),
            fix="Do not load it. If it is your own, write it again: tfl export RUN --format saved_model",
        )


def _batches(files: Sequence[Path], size: int) -> Iterator[Sequence[Path]]:
    for start in range(0, len(files), size):
        yield files[start : start + size]


def _unreadable(bad: Sequence[dict[str, str]]) -> BadImageError:
    named = "; ".join(f"{entry['file']} ({entry['why']})" for entry in bad[:_SHOWN])
    more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    return BadImageError(
        f"{len(bad)} of the files cannot be read as images: {named}{more}.",
        fix='Leave them out: `tfl predict` lists them, on_bad="skip" skips them.',
    )
