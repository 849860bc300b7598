"""`Data`: where examples come from, what is predicted, and how they are split."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from tfl.errors import RecipeError
from tfl.fields import check_fields, number
from tfl.recipe.inputs import SEVERAL, Audio, Input, Passages, Table, Text
from tfl.recipe.tasks import TASK_OF_KIND, TargetKind, TaskName


@dataclass(frozen=True)
class Target:
    """One of several targets, for `Data.targets`, where its kind alone does not say it.

    Args:
        kind: `class` is one of several classes, `labels` any number of labels, `number` a number.
        column: The column of the table that holds it; of labels also several columns of 0 and 1 with commas between them. None is
            the column called as the target is.
    """

    kind: TargetKind
    _: KW_ONLY
    column: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def from_text(cls, text: str) -> Target:
        """The target of that kind: what `"class"` means in `Data.targets`."""
        return cls(text)  # type: ignore[arg-type]  # checked there

    @property
    def task(self) -> TaskName:
        """The task of this target alone."""
        return TASK_OF_KIND[self.kind]


@dataclass(frozen=True)
class Data:
    """Which labelled images, at which size, split how.

    Args:
        source: A folder of class folders, a table that lists images, an archive of either, `tfds:NAME`, or `sample:NAME`;
            a table is a `.csv`, `.tsv`, `.jsonl` or `.parquet` file, or a folder with one; an archive is a `.zip`, `.tar` or
            `.tar.gz` file. Arrays are an `.npz` file or a folder of IDX files.
        image_size: (height, width) in pixels that the network sees; None is the network's own size: the one that its weights were
            trained at (224 px for most, 299 for Inception and Xception, 96 for mini), or a model file's input.
        fit: How an image comes to that size: `stretch` (as Keras does), `crop` or `pad` keep the aspect ratio.
        bits: How many bits of 16-bit images are in use, such as 12: brightness is scaled by that, and larger values are refused.
            None means 16. Images of 8 bits do not change.
        labels: Only these classes, by name or glob (`Strawberry*`); None takes all.
        validation: Share of the images held out for validation, where the source has no such split of its own.
        test: Share of the images held out for the test, likewise.
        per_class: At most this many images of each class in all, drawn by the seed; None takes all.
        train_per_class: At most this many *training* images of each class, drawn after splitting; None takes all.
        split_seed: Decides the split; None follows the recipe's `seed`.
        on_bad: What happens when a file cannot be read as an image: `error` lists them and stops, `skip` lists and skips them.
        exclude: A file that lists images to leave out, one path per line, relative to the source; `tfl audit` writes one.
        path_column: The column of a table that names the image files; None finds it.
        label_column: The column of a table that names the class of each example, or holds its labels or its number; several
            columns of labels or numbers with commas between them. None finds it.
        test_fold: The value of the column `fold` whose images are the test split; the other folds are trained on.
        audit: What is checked before a run: `quick` reads headers, hashes and classes; `deep` also asks the backbone about
            copies, wrong labels and drift, and looks for poor pictures (extra `tfl[audit]`).
        input: The kind of examples where they are not images: `tfl.Text()`, `tfl.Audio()`, or `tfl.Passages()` of books for the
            task `generate`. None stands for images, which
            `image_size`, `fit` and `bits` describe.
        inputs: Several inputs of each example by name, such as `{"photo": tfl.Image(), "note": tfl.Text()}`: columns of a table.
            Their networks are `Recipe.backbone`, a dictionary by the same names, and their vectors are joined in the head.
        targets: Several targets of each example by name, such as `{"species": "class", "signs": "labels", "length": "number"}`:
            columns of a table, each with a head of its own. An empty cell is a target that is not known; see `Target`.
    """

    source: str
    _: KW_ONLY
    image_size: tuple[int, int] | None = number(None, at_least=1, at_most=4096)
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    bits: int | None = number(None, at_least=8, at_most=16)
    labels: tuple[str, ...] | None = None
    validation: float = number(0.2, at_least=0.01, at_most=0.9)
    test: float = number(0.2, at_least=0.01, at_most=0.9)
    per_class: int | None = number(None, at_least=3)
    train_per_class: int | None = number(None, at_least=1)
    split_seed: int | None = number(None, at_least=0)
    on_bad: Literal["error", "skip"] = "error"
    exclude: str | None = None
    path_column: str | None = None
    label_column: str | None = None
    test_fold: str | None = None
    audit: Literal["quick", "deep"] = "quick"
    input: Text | Audio | Passages | None = None
    inputs: Mapping[str, Input] = dataclasses.field(default_factory=dict, hash=False)
    targets: Mapping[str, Target] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.inputs:
            self._check_inputs()
        if self.targets:
            self._check_targets()
        if not self.source.strip():
            raise RecipeError("`Data.source` is empty.", allowed=Data.__doc__.split("source: ")[1].split("\n")[0])  # type: ignore[union-attr]
        if self.exclude is not None and not self.exclude.strip():
            raise RecipeError("`Data.exclude` is empty.", allowed="the path of a file that lists images, or None")
        if self.validation + self.test > 0.95:
            raise RecipeError(
                "`Data.validation` and `Data.test` leave next to nothing to train on.",
                received=f"{self.validation} + {self.test}",
                allowed="a sum of at most 0.95",
            )

    def _check_inputs(self) -> None:
        for name in self.inputs:
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name) or name in ("head", "present", "name"):
                raise RecipeError(
                    "The name of an input is also a part of the names of layers.",
                    received=name[:200],
                    allowed="small letters, digits and `_`, a letter first, at most 31; not `head`, `present` or `name`",
                )
        if all(isinstance(one, Table) for one in self.inputs.values()):
            raise RecipeError(
                "Every one of `Data.inputs` is a `Table`, and a table has no network whose knowledge could be kept.",
                received=", ".join(self.inputs),
                fix="Name an image, a text or a sound as well; for columns alone use scikit-learn.",
            )
        default = {field.name: field.default for field in dataclasses.fields(self)}
        idle = [name for name in ("image_size", "fit", "bits", "path_column", "input") if getattr(self, name) != default[name]]
        if idle:
            raise RecipeError(
                "With `Data.inputs` each input says its own size and column: these settings have no effect.",
                received=", ".join(idle),
                fix="Give them to the inputs, such as tfl.Image(size=(96, 96), column='photo').",
            )

    def _check_targets(self) -> None:
        for name in self.targets:
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name) or name in _RESERVED:
                raise RecipeError(
                    "The name of a target is also that of outputs and a part of the names of layers.",
                    received=name[:200],
                    allowed=f"small letters, digits and `_`, a letter first, at most 31; not {', '.join(sorted(_RESERVED))}",
                    fix="Give it another name, and say its column: tfl.Target(KIND, column=NAME).",
                )
        if len(self.targets) < 2:
            raise RecipeError(
                "`Data.targets` names one target, and one has no need of it.",
                received=", ".join(self.targets),
                fix="Leave `targets` out; say `task` and `data.label_column`.",
            )
        outputs = {f"{one}_{output}": one for one in self.targets for output in _OUTPUTS}
        if both := [f"{outputs[name]} and {name}" for name in self.targets if name in outputs]:
            raise RecipeError(
                "The name of one target is that of an output of another one.", received=both[0], fix="Rename one of them."
            )
        idle = [name for name in ("labels", "label_column") if getattr(self, name) is not None]
        if idle:
            raise RecipeError(
                "With `Data.targets` each target says its own column, and all of its classes are taken: these have no effect.",
                received=", ".join(f"data.{name}" for name in idle),
                fix='Leave them out, or give a column to a target: tfl.Target("class", column=NAME).',
            )

    @property
    def kind(self) -> str:
        """The kind of the examples, which is the name of a folder of `tfl.modalities`."""
        if self.inputs:
            return SEVERAL
        return "image" if self.input is None else self.input.kind

    @property
    def settled_size(self) -> tuple[int, int]:
        """`image_size`, where it is stated; `tfl.modalities.image.backbones.settle.settled` states it for a whole recipe.

        Raises:
            RecipeError: It is None: without a backbone nothing decides it.

        Example:

        >>> import tfl
        >>> tfl.Data("photos", image_size=(96, 128)).settled_size
        (96, 128)
        """
        if self.image_size is None:
            raise RecipeError(
                "`Data.image_size` is None, and no network decides it here.",
                allowed="(height, width) in pixels",
                fix="State it, or take the data of tfl.modalities.image.backbones.settle.settled(recipe).",
            )
        return self.image_size

    @classmethod
    def from_text(cls, text: str) -> Data:
        """The data at a SOURCE as the command line writes it."""
        return cls(text)


_RESERVED = frozenset(
    ("file", "files", "head", "index", "input", "is_out_of_distribution", "known", "label", "labels", "logits", "loss", "name")
    + ("out_of_distribution_score", "outputs", "present", "split", "targets")
)
"""What no target is called: columns of tables, outputs and layers are."""
_OUTPUTS = ("label", "calibrated_probabilities", "prediction_set", "is_label", "lower", "upper", "logits", "output")
"""What the names of further outputs and layers of a target end in."""


def Sample(name: str, **options: Any) -> Data:  # noqa: N802  (read as a noun, like keras.Input)
    """Examples that come with tfl or its dependencies: images `strawberry` (drawn, not photographed) and `digits`, texts
    `reviews` with `input=tfl.Text()`, sounds `sounds` with `input=tfl.Audio()`, books `authors` with `input=tfl.Passages()`; of
    other domains, for `target_data`, the images `strawberry_night` and `drawn_digits`; `leaf_tasks` has several targets;
    `animals`, for `zero_shot`, are drawn, and so are `people` and `other_people`, with `label_column="age"` for the task
    `regress`; `cells` and `cells_dark` have boxes, for the task `detect`; the texts `reviews_esperanto` are a small set in a rare
    language."""
    return Data(f"sample:{name}", **options)


def Tfds(name: str, **options: Any) -> Data:  # noqa: N802
    """A TensorFlow Datasets set by name, such as `plant_village`; `labels=("Strawberry*",)` keeps some classes."""
    return Data(f"tfds:{name}", **options)
