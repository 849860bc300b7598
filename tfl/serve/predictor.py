"""From contents to answers, by a run's model or by its export. An export needs TensorFlow and no Keras.

>>> predictor = open_predictor("runs/leaves")                    # doctest: +SKIP
>>> predictor.predict(["leaf.jpg"])[0]["label"]                  # doctest: +SKIP
'healthy'
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tfl.errors import BadContentError, BadImageError, ExportError, RunError, TflError
from tfl.modalities.base import KINDS, NOUNS
from tfl.modalities.shipping import Shipping, shipping_of, shipping_of_about
from tfl.quiet import load_tensorflow
from tfl.recipe import SEVERAL
from tfl.runs import Run
from tfl.serve.about import about_of_export, shipping_of_export, task_of_export
from tfl.serve.files import expand, read_file
from tfl.serve.inputs import Rows
from tfl.serve.rows import MAIN, row_of, width_of

if TYPE_CHECKING:
    import numpy as np

    from tfl.modalities.base import Modality

_SHOWN = 10
_FILE_OPERATIONS = frozenset(
    ("ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "PyFuncStateless", "EagerPyFunc", "LoadLibrary", "PrintV2")
)

Outputs = Callable[[list[bytes]], "Mapping[str, np.ndarray] | np.ndarray"]


@dataclass(frozen=True)
class Predictions:
    """What a predictor says of some contents.

    Attributes:
        predictions: For each one that can be read `file`, and the answer by task: `label`, `probability` and `probabilities` by
            class; `labels` and `probabilities` by label; `values`, and `lower` and `upper` where the run measured intervals, by
            name; of several targets `targets`, with the answer of each by its name.
        unreadable: For each other one `file` and `why`.
        notes: What else is to be said, as sentences.
    """

    predictions: list[dict[str, Any]] = field(default_factory=list)
    unreadable: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Predictor:
    """A model with its labels. Make one with `open_predictor`.

    Attributes:
        path: The run or the export it was opened from.
        class_names: The labels, in the order of the task's output.
        outputs: From contents to arrays by name of the output, each `(count, …)`, or the task's output alone. Raises what
            TensorFlow raises on bad ones.
        shipping: How contents are read. Defaults to that of exports without `tfl.json`.
        task: Name of the task.
        batch_size: Integer, contents that are in memory at a time.
    """

    path: Path
    class_names: tuple[str, ...]
    outputs: Outputs
    shipping: Shipping = field(default_factory=lambda: shipping_of_about({}))
    task: str = "classify"
    batch_size: int = 32

    def predict(self, files: Iterable[Path | str], *, on_bad: Literal["error", "skip"] = "error") -> list[dict[str, Any]]:
        """The answer for each file, folders searched through.

        Args:
            files: Files, and folders of them.
            on_bad: `error` raises when one cannot be read, `skip` leaves it out.

        Returns:
            For each file, in order, what `Predictions.predictions` has.

        Raises:
            DataError: A file or folder is missing, or there is no file in a folder.
            BadContentError: Files that are no examples, all of them named.
        """
        return self.look_at(files, on_bad=on_bad).predictions

    def look_at(self, files: Iterable[Path | str], *, on_bad: Literal["error", "skip"] = "error") -> Predictions:
        """As `predict`, with the files that could not be read next to the predictions."""
        result = self.look_at_files(expand(files, noun=self.shipping.modality.noun))
        if result.unreadable and on_bad == "error":
            raise self._unreadable(result.unreadable)
        return result

    def look_at_files(self, files: Sequence[Path]) -> Predictions:
        """The answers for exactly these files, as `tfl.serve.files.expand` found them; one that has vanished is unreadable."""
        if self.shipping.modality.kind == SEVERAL:
            return self._look_at_tables(files)
        return self._answered((str(file), lambda file=file: read_file(file, self.shipping)) for file in files)  # type: ignore[misc]

    def _look_at_tables(self, files: Sequence[Path]) -> Predictions:
        """The answers for the rows of tables, where a model has several inputs."""
        modality: Any = self.shipping.modality
        rows = Rows(files, modality.inputs)
        found = self._answered(
            (name, lambda packed=packed, at=at: self.shipping.accept(packed[at]))  # type: ignore[misc]
            for name, packed, at in rows
        )
        found.notes.extend(rows.notes(self.path))
        return found

    def look_at_contents(self, contents: Mapping[str, bytes]) -> Predictions:
        """The answers for contents that are at hand, each called by its name, such as texts that were typed."""
        return self._answered(
            (name, lambda content=content: self.shipping.accept(content))  # type: ignore[misc]
            for name, content in contents.items()
        )

    def _answered(self, sources: Iterable[tuple[str, Callable[[], bytes]]]) -> Predictions:
        result, notable = Predictions(), Noted(self.shipping)
        for batch in _batches(sources, self.batch_size):
            self._answer_batch(batch, result, notable)
        result.notes.extend(notable.sentences())
        return result

    def _answer_batch(self, sources: Sequence[tuple[str, Callable[[], bytes]]], result: Predictions, notable: Noted) -> None:
        contents, good = [], []
        for name, read in sources:
            try:
                content = read()
            except BadContentError as error:
                result.unreadable.append({"file": name, "why": str(error)})
            else:
                contents.append(content)
                good.append(name)
        notable.add(dict(zip(good, contents, strict=True)))
        for name, content, row in zip(good, contents, self._rows(contents), strict=True):
            if isinstance(row, str):
                result.unreadable.append({"file": name, "why": row})
            else:
                result.predictions.append({"file": name, **row_of(self.task, row, self.class_names, content)})

    def _rows(self, contents: list[bytes]) -> list[Any]:
        """The outputs for each content, or why there are none; one bad content does not spoil its batch."""
        import tensorflow as tf

        if not contents:
            return []
        try:
            return self._by_row(contents)
        except tf.errors.ResourceExhaustedError:
            raise
        except tf.errors.OpError:
            rows: list[Any] = []
            for content in contents:
                try:
                    rows += self._by_row([content])
                except tf.errors.OpError:
                    rows.append(self.shipping.undecodable())
            return rows

    def _by_row(self, contents: list[bytes]) -> list[dict[str, Any]]:
        found = self.outputs(contents)
        columns = found if isinstance(found, Mapping) else {MAIN[self.task]: found}
        return [{name: values[at] for name, values in columns.items()} for at in range(len(contents))]

    def _unreadable(self, bad: Sequence[dict[str, str]]) -> BadContentError:
        named = "; ".join(f"{entry['file']} ({entry['why']})" for entry in bad[:_SHOWN])
        more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        kind = BadImageError if self.shipping.modality.kind == KINDS[0] else BadContentError
        return kind(
            f"{len(bad)} of the files cannot be read as {self.shipping.modality.nouns}: {named}{more}.",
            fix='Leave them out: `tfl predict` lists them, on_bad="skip" skips them.',
        )


class Noted:
    """Collects what the modality wants to say of all contents together, without keeping them."""

    def __init__(self, shipping: Shipping) -> None:
        self._shipping, self._facts = shipping, {}  # type: ignore[var-annotated]

    def add(self, contents: Mapping[str, bytes]) -> None:
        """Takes note of some contents."""
        self._facts.update(self._shipping.facts(contents))

    def sentences(self) -> list[str]:
        """What is to be said."""
        return self._shipping.notes(self._facts)


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


def nouns_of(path: Path | str) -> tuple[str, str]:
    """What one example of a run or an export is called, and several; those of the first kind where there is neither.

    No TensorFlow is imported.
    """
    kind: Any = KINDS[0]
    with contextlib.suppress(TflError):
        found = find_model(path)
        kind = found.recipe.data.kind if isinstance(found, Run) else about_of_export(found).get("modality", kind)
    return NOUNS.get(kind, NOUNS[KINDS[0]])


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
        run.refuse_language_model("Prediction and serving")
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


def load_run_model(run: Run, modality: Modality | None = None) -> Any:
    """The Keras model of a run, whole, from tensors to the task's output.

    Args:
        run: The run.
        modality: What it takes; None asks its recipe, which looks for the network that the run began with.

    Raises:
        RunError: The run has none yet, or it cannot be read.
    """
    file = run.model_file
    import keras

    from tfl.backbones.foreign import import_layers_of
    from tfl.backbones.saving import remember_skipped_attributes
    from tfl.backbones.weight_files import refuse_bomb
    from tfl.modalities.base import modality_of

    modality = modality_of(run.recipe) if modality is None else modality
    import_layers_of(file)
    remember_skipped_attributes()
    try:
        refuse_bomb(file)
        model = keras.models.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises a dozen kinds, by what is damaged
        raise RunError(f"{file} cannot be loaded: {error}", fix="Run the recipe again in another folder.") from error
    _check_model(model, run, modality)
    return model


def _check_model(model: Any, run: Run, modality: Modality) -> None:
    """Raises unless the model goes from the recipe's tensors to the run's classes: either file may have been changed since."""
    from tfl.export.shipment import check_fits
    from tfl.tasks.base import task_for

    try:
        columns = task_for(run.recipe, run.class_names).output_width(len(run.class_names))
        check_fits(model, run.class_names, modality, columns=columns, exactly=True)
    except (ExportError, AttributeError, TypeError, IndexError) as error:
        takes, gives = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
        shapes = [(None, *spec.shape) for spec in modality.spec().values()]
        raise RunError(
            f"{run.path('model.keras')} is not the model of this run's recipe and classes.",
            received=f"a model from {takes} to {gives}",
            allowed=f"one from {shapes[0] if len(shapes) == 1 else shapes} to {(None, len(run.class_names))}",
            fix="Put the files of the run back, or run the recipe again in another folder.",
        ) from error


def _of_run(run: Run) -> Predictor:
    """The run's own model, with what its confidence adds."""
    import tensorflow as tf

    from tfl.evaluate.confidence import Confidence
    from tfl.export.answer import build_answer
    from tfl.modalities.base import modality_of
    from tfl.tasks.base import task_for

    model, modality, task = load_run_model(run), modality_of(run.recipe), task_for(run.recipe, run.class_names)
    if task.name != "classify":  # what is answered needs the thresholds or intervals of the run
        model = build_answer(model, Confidence.load(run.folder), modality=modality, task=task)

    def scored(contents: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model(modality.encode(contents), training=False)
        return outputs if isinstance(outputs, dict) else {task.output: tf.cast(outputs, tf.float32)}

    graph = tf.function(scored, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)

    def answer(contents: list[bytes]) -> dict[str, np.ndarray]:
        return {name: tensor.numpy() for name, tensor in graph(tf.constant(contents)).items()}

    return Predictor(run.folder, run.class_names, answer, shipping=shipping_of(modality), task=task.name)


def _of_saved_model(folder: Path) -> Predictor:
    import tensorflow as tf

    loaded, names = load_saved_model(folder)
    served = loaded.signatures["serving_default"]
    (content_input,) = served.structured_input_signature[1]

    def answer(contents: list[bytes], _keep: object = loaded) -> dict[str, np.ndarray]:
        return {name: tensor.numpy() for name, tensor in served(**{content_input: tf.constant(contents)}).items()}

    return Predictor(folder, names, answer, shipping=shipping_of_export(folder), task=task_of_export(folder))


def load_saved_model(folder: Path) -> tuple[Any, tuple[str, ...]]:
    """What TensorFlow loads from an export of tfl, and its labels.

    Raises:
        ExportError: It is none, or damaged, or its graph reaches beyond the model.
        MissingExtraError: Its graph has operations of a package that is not installed.
    """
    import tensorflow as tf

    from tfl.export.operations import import_operations

    _refuse_file_operations(folder)
    import_operations(folder)
    try:
        loaded = tf.saved_model.load(str(folder))
        served = loaded.signatures["serving_default"]
        names = (folder / "assets" / "labels.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
        widths = {name: spec.shape[-1] for name, spec in served.structured_outputs.items() if spec.shape.rank > 1}
        outputs = width_of(task_of_export(folder), widths, names)
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


def _batches(sources: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(sources)
    while batch := list(itertools.islice(rest, size)):
        yield batch
