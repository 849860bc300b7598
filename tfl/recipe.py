"""The recipe: everything that decides a result, as plain frozen data. Standard library only; TensorFlow is never imported.

Recipe ── Data · Backbone · Head · Stage or Auto (with Augment) · Monitor · Features · Calibration · Adapt ·
          Search (of Choice, Between)
Data   ── one input (images, Text or Audio), or several by name (Image, Text, Audio, Table); several targets by name (Target)
Unlabelled ── images without labels, for Pretrain before the stages, or PseudoLabels in one
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import os
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from tfl.errors import DataError, RecipeError, TflError, did_you_mean
from tfl.fields import as_plain, build, check_fields, number, override

TaskName = Literal["classify", "multilabel", "regress", "heads"]
METRICS: dict[str, tuple[str, ...]] = {
    "classify": ("val_accuracy", "val_loss", "val_macro_f1"),
    "multilabel": ("val_mean_average_precision", "val_macro_f1", "val_micro_f1", "val_accuracy", "val_loss"),
    "regress": ("val_mae", "val_rmse", "val_r2", "val_loss"),
    "heads": ("val_loss",),
}
"""What a monitor can watch, by task; the first is watched where the recipe does not say. Of several targets also the metrics of
each, with its name in them: `val_disease_accuracy`."""
LOWER_IS_BETTER = ("val_loss", "val_mae", "val_rmse")
"""Metrics of which a smaller value is the better one."""
OF_NUMBERS = ("regress",)
"""Tasks whose targets and outputs are numbers, and neither a class nor labels."""
HEADS = "heads"
"""The task of a recipe with several targets."""
TargetKind = Literal["class", "labels", "number"]
TASK_OF_KIND: dict[str, TaskName] = {"class": "classify", "labels": "multilabel", "number": "regress"}
"""The task of one target alone, by its kind."""
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16", "auto"]
ExportFormat = Literal["saved_model", "litert", "onnx", "openvino", "keras"]


@dataclass(frozen=True, kw_only=True)
class Image:
    """One of several inputs is an image, for `Data.inputs`. Images alone are described by `Data.image_size`, `fit` and `bits`.

    Args:
        kind: Always `image`.
        size: (height, width) in pixels that the network sees; None is the network's own size, as `Data.image_size`.
        fit: How an image comes to that size, as `Data.fit`.
        bits: How many bits of 16-bit images are in use, as `Data.bits`.
        column: The column of the table that names the image files; None is the column called as the input is.
    """

    kind: Literal["image"] = "image"
    size: tuple[int, int] | None = number(None, at_least=1, at_most=4096)
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    bits: int | None = number(None, at_least=8, at_most=16)
    column: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Table:
    """One of several inputs is some columns of the table, for `Data.inputs`. It has no network: its vector goes to the head.

    A number is standardised over the training examples; next to it stands whether it is missing, and a missing one counts as the
    mean. Other cells are one of the column's values: one number for each value, and one for a value that the training examples
    do not have, or none.

    Args:
        kind: Always `table`.
        columns: Their names.
        values: By column, the values of a column that holds no numbers; None finds them in the training examples, all of them
            where the source has no split of its own.
    """

    kind: Literal["table"] = "table"
    columns: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]] | None = dataclasses.field(default=None, hash=False)

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.columns or len(set(self.columns)) < len(self.columns):
            raise RecipeError("`Table.columns` names one column or more, each once.", received=self.columns)
        if unknown := sorted(set(self.values or ()) - set(self.columns)):
            raise RecipeError("`Table.values` is about other columns.", received=unknown, allowed=self.columns)


@dataclass(frozen=True, kw_only=True)
class Text:
    """The examples are texts, which a tokenizer turns into whole numbers.

    Args:
        kind: Always `text`.
        length: Tokens of each text, special tokens included; longer texts are cut, shorter ones are padded. None chooses it from
            the training texts.
        column: The column of a table that holds the text; None finds it.
    """

    kind: Literal["text"] = "text"
    length: int | None = number(None, at_least=4, at_most=8192)
    column: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def from_text(cls, text: str) -> Text:
        """What `--set data.input=text` means."""
        _check_kind(text, cls.kind)
        return cls()


@dataclass(frozen=True, kw_only=True)
class Audio:
    """The examples are sounds, which a network for images sees as log-mel spectrograms.

    Args:
        kind: Always `audio`.
        seconds: Length that every sound is cut or padded to, in seconds. None chooses it from the training sounds.
        sample_rate: Sounds are resampled to this rate, in Hz.
        mels: Number of mel bands.
        window: Length of the analysis window (Hann), in seconds.
        hop: Distance between two windows, in seconds.
        low, high: Lowest and highest frequency of the mel bands, in Hz; `high=None` is half the sample rate.
        range_db: Values further below the loudest than this are raised to that level, in dB.
        column: The column of a table that names the sound files; None finds it, or is the column called as one of several inputs.
    """

    kind: Literal["audio"] = "audio"
    seconds: float | None = number(None, at_least=0.05, at_most=600.0)
    sample_rate: int = number(16000, at_least=1000, at_most=192000)
    mels: int = number(64, at_least=8, at_most=512)
    window: float = number(0.025, at_least=0.002, at_most=1.0)
    hop: float = number(0.01, at_least=0.0005, at_most=1.0)
    low: float = number(20.0, at_least=0.0)
    high: float | None = number(None, at_least=1.0)
    range_db: float = number(40.0, at_least=10.0, at_most=200.0)
    column: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        top = self.sample_rate / 2
        if not self.low < (top if self.high is None else self.high) <= top:
            raise RecipeError(
                "The mel bands of `Audio` do not lie between `low` and half the sample rate.",
                received=f"low={self.low:g}, high={'None' if self.high is None else format(self.high, 'g')} Hz",
                allowed=f"low < high <= {top:g} Hz, for sample_rate={self.sample_rate}",
            )

    @classmethod
    def from_text(cls, text: str) -> Audio:
        """What `--set data.input=audio` means."""
        _check_kind(text, cls.kind)
        return cls()


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


SEVERAL = "several"
"""The kind of examples that have several inputs."""
Input = Image | Text | Audio | Table
"""One of several inputs."""


def _check_kind(text: str, kind: str) -> None:
    if text != kind:
        raise RecipeError("`data.input` names no kind of example.", received=text, allowed="text, audio, or none for images")


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
        input: The kind of examples where they are not images: `tfl.Text()` or `tfl.Audio()`. None stands for images, which
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
    input: Text | Audio | None = None
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
    `reviews` with `input=tfl.Text()`, sounds `sounds` with `input=tfl.Audio()`; of other domains, for `target_data`, the images
    `strawberry_night` and `drawn_digits`; `leaf_tasks` has several targets."""
    return Data(f"sample:{name}", **options)


def Tfds(name: str, **options: Any) -> Data:  # noqa: N802
    """A TensorFlow Datasets set by name, such as `plant_village`; `labels=("Strawberry*",)` keeps some classes."""
    return Data(f"tfds:{name}", **options)


@dataclass(frozen=True)
class Backbone:
    """The network whose knowledge is kept.

    Args:
        name: A Keras Applications name (`MobileNetV2`), `mini`, or the path of a Functional `.keras` or `.h5` model.
        weights: `pretrained` (ImageNet for Keras Applications, the shipped ones for `mini`, its own for a `.keras` file),
            `imagenet`, the path of a weights file, or None for random ones.
        arguments: What the Keras constructor takes beside these, such as `{"alpha": 0.35}`.
        preprocessing: What has to happen to pixels 0..255 before the network: `none`, `tf` (to -1..1), `caffe` (BGR, minus
            ImageNet's mean), `torch` (to 0..1, minus ImageNet's mean, over its deviation), or `auto`: as the catalog says, and
            for a model file as its layers say. Where they do not decide it, an error asks for it.
        match: Which layers of the weights file are taken, for networks for images: `exact`, all of them, which have to fit;
            `name`, those of the name and the shapes of a layer of the network, as Keras' `load_weights(by_name=True,
            skip_mismatch=True)`; `order`, those that agree in kind and shapes in order; `auto`, by name and then by order. The
            other layers start at random.
        adapter_width: Channels within a residual adapter, `x + up(relu(down(norm(x))))`, that follows each block; 0 for no
            adapters. They start at zero, so that the network is the same with them, and are what `Stage(weights="adapters")`
            trains.
    """

    name: str
    _: KW_ONLY
    weights: str | None = "pretrained"
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto"
    match: Literal["exact", "name", "order", "auto"] = "exact"
    adapter_width: int = number(0, at_least=0, at_most=65536)

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def from_text(cls, text: str) -> Backbone:
        """The backbone of that name, with its defaults: what `--set backbone=MobileNetV2` means."""
        return cls(text)


@dataclass(frozen=True, kw_only=True)
class Backbones(Backbone):
    """The networks of several inputs. A recipe may give them as a dictionary, and is written so.

    Args:
        inputs: The network of each input that has one, by the name of the input.
        name: Follows from `inputs`: the names of the networks, joined by ` + `.
    """

    name: str = ""
    inputs: Mapping[str, Backbone]
    written_as: ClassVar[str] = "inputs"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", "")
        check_fields(self)
        object.__setattr__(self, "name", " + ".join(one.name for one in self.inputs.values()))


LinearProbe = Literal["logistic", "svm", "class_means"]
ProbeMethod = Literal[LinearProbe, "knn"]
Trained = Literal["all", "biases", "lora", "adapters"]


@dataclass(frozen=True, kw_only=True)
class Head:
    """The new layers on top: pooling, dense layers with dropout, and one logit a class.

    Args:
        hidden: Units of each hidden dense layer, input side first.
        dropout: Share of the features dropped before each dense layer while training.
        pooling: How a feature map or a sequence becomes one vector: `avg` and `max` over its positions (those of real tokens
            where there is padding); `flatten` puts all positions side by side, which takes a fixed size; `first` is the first
            token's vector, `pooled` the network's own pooled output, where it has these.
        activation: After each hidden layer.
        join: How the vectors of several inputs become one: `concat` puts them side by side; `mean` averages projections of them,
            those that are there; `gated` adds up the projections by weights that a softmax over the inputs gives to each example
            (after the gated multimodal unit, Arevalo et al. 2017). Each vector is standardised over the training examples first.
        join_width: Numbers in each projection of `mean` and `gated`.
        drop_input: How often, in training, each of several inputs is left out of an example, so that the head learns to do
            without it; one always stays.
        loss_weights: With several targets, what the loss of each counts, by name, as in Keras; 1 where it is not named.
            `uncertainty` learns it: the sum of `exp(-s) * loss + s / 2` over the targets, with a trained number `s` for each, the
            logarithm of its variance (Kendall, Gal and Cipolla 2018). The head of each target has its own `hidden` layers.
        taps: Blocks, by name or glob, whose pooled outputs the head reads side by side (after Head2Toe, Evci et al. 2022),
            standardised over the training images; none means the last block alone, as it is.
        start: `random` weights, or those of a linear `probe` on the frozen features of the training images, its penalty by
            cross-validation (LP-FT, Kumar et al. 2022). With a probe the first stage, too, keeps its start where no epoch is
            better. `source` keeps the classifier of the source network, and adds up the probabilities of its classes by class
        of the data; nothing is trained.
    probe: With `start="probe"`, for one of several classes: `logistic` regression, a linear `svm`, `class_means`, the
        nearest class mean, or `knn`, the k nearest training examples, which become part of the network: nothing can train
        then, so that every stage has `epochs=0`. Other tasks have `logistic`, which for numbers is a ridge regression.
    strengths: With `start="probe"`, the penalty of the probe, in the place of cross-validation: scikit-learn's `C` for classes,
        or the temperature of class means; for several labels or numbers one value each, `C` or `alpha`.
    """

    hidden: tuple[int, ...] = number((), at_least=1, at_most=65536)
    dropout: float = number(0.2, at_least=0.0, at_most=0.95)
    pooling: Literal["avg", "max", "flatten", "first", "pooled"] = "avg"
    activation: Literal["relu", "gelu", "silu", "tanh"] = "relu"
    taps: tuple[str, ...] = ()
    start: Literal["random", "probe", "source"] = "random"
    probe: ProbeMethod = "logistic"
    strengths: tuple[float, ...] = number((), at_least=1e-12)
    join: Literal["concat", "mean", "gated"] = "concat"
    join_width: int = number(128, at_least=1, at_most=65536)
    drop_input: float = number(0.2, at_least=0.0, at_most=0.9)
    loss_weights: Literal["uncertainty"] | Mapping[str, float] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_fields(self)
        if not isinstance(self.loss_weights, str) and (low := [name for name, one in self.loss_weights.items() if one <= 0]):
            raise RecipeError(
                "A weight of `Head.loss_weights` is not above zero.",
                received=", ".join(f"{name}={self.loss_weights[name]:g}" for name in low),
                allowed="numbers above zero",
                fix="Leave a target that is not to be learnt out of `data.targets`.",
            )
        if self.strengths and (self.start != "probe" or self.probe == "knn"):
            raise RecipeError(
                "Only a head that starts from a regression has a penalty.",
                received=f"strengths={self.strengths}, start={self.start!r}, probe={self.probe!r}",
                fix='Leave out `strengths`, or give the head start="probe" and another probe.',
            )
        if self.start == "source" and (self.hidden or self.taps or self.probe != "logistic"):
            raise RecipeError(
                "A head that is the classifier of the source network has no layers of its own.",
                received=f"hidden={self.hidden}, taps={self.taps}, probe={self.probe}",
                fix="Leave out `hidden`, `taps` and `probe`, or `start`.",
            )
        if self.start == "probe" and self.hidden:
            raise RecipeError(
                "A head that starts from a probe is linear.",
                received=f"hidden={self.hidden}",
                fix="Leave out `hidden`, or `start`.",
            )
        if self.probe == "knn" and self.start != "probe":
            raise RecipeError(
                "A head of nearest neighbours is made of training examples, and has no random weights to start from.",
                received=f"probe={self.probe!r}, start={self.start!r}",
                fix='Give it start="probe", or leave out `probe`.',
            )


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Random changes to training images; zero, `none` or 1.0 (crop) turns each off. Never applied in evaluation.

    Args:
        flip: Mirror at random: left-right, top-bottom, or both.
        crop: Smallest share of the image's area that a random crop keeps; 1.0 crops nothing.
        rotate_deg: Largest rotation in degrees, either way.
        brightness, contrast, saturation: Largest relative change, either way.
        hue: Largest change, as a share of the colour circle.
        randaugment: How many random operations of RandAugment (Cubuk et al. 2019) each image gets.
        magnitude: Their strength.
        mixup: Alpha of MixUp's beta distribution (Zhang et al. 2017).
        cutmix: Alpha of CutMix's (Yun et al. 2019); with both, each image takes one at random.
    """

    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    crop: float = number(1.0, at_least=0.05, at_most=1.0)
    rotate_deg: float = number(0.0, at_least=0.0, at_most=180.0)
    brightness: float = number(0.0, at_least=0.0, at_most=1.0)
    contrast: float = number(0.0, at_least=0.0, at_most=1.0)
    saturation: float = number(0.0, at_least=0.0, at_most=1.0)
    hue: float = number(0.0, at_least=0.0, at_most=0.5)
    randaugment: int = number(0, at_least=0, at_most=10)
    magnitude: float = number(0.5, at_least=0.0, at_most=1.0)
    mixup: float = number(0.0, at_least=0.0, at_most=10.0)
    cutmix: float = number(0.0, at_least=0.0, at_most=10.0)

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def mixes(self) -> bool:
        """Whether an augmented example is made of two, so that its label is mixed as well."""
        return self.mixup > 0 or self.cutmix > 0


@dataclass(frozen=True, kw_only=True)
class AudioAugment:
    """Random changes to training sounds; zero turns each off. Never applied in evaluation.

    Args:
        shift: Largest shift in time, either way, as a share of the length; what is shifted out is filled with silence.
        noise: Largest level of added white noise, as a share of the sound's own level (root mean square).
        gain_db: Largest drift of the level from the start to the end of a sound, either way, in dB; a change of the whole level
            would not be seen, since a spectrogram is relative to its loudest value.
        time_masks, frequency_masks: How many stretches of the spectrogram are replaced by its mean (SpecAugment, Park et al.
            2019).
        time_mask, frequency_mask: Largest length of each, as a share of the spectrogram's width or height.
        mixup: Alpha of MixUp's beta distribution (Zhang et al. 2017).
    """

    shift: float = number(0.0, at_least=0.0, at_most=1.0)
    noise: float = number(0.0, at_least=0.0, at_most=1.0)
    gain_db: float = number(0.0, at_least=0.0, at_most=40.0)
    time_masks: int = number(0, at_least=0, at_most=10)
    time_mask: float = number(0.1, at_least=0.0, at_most=0.5)
    frequency_masks: int = number(0, at_least=0, at_most=10)
    frequency_mask: float = number(0.1, at_least=0.0, at_most=0.5)
    mixup: float = number(0.0, at_least=0.0, at_most=10.0)

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def mixes(self) -> bool:
        """Whether an augmented example is made of two, so that its label is mixed as well."""
        return self.mixup > 0


@dataclass(frozen=True)
class Unlabelled:
    """Images without labels, for `Recipe.unlabelled`.

    Args:
        source: A folder with images at any depth, an archive of one, a folder of IDX files, an `.npz` file, `tfds:NAME` or
            `sample:NAME`; a table that lists labelled images does, too. Labels and the names of folders are not used.
        limit: At most this many images, drawn by the recipe's seed; None takes all.
        on_bad: What happens when a file cannot be read as an image: `skip` lists and skips them, `error` lists them and stops.
    """

    source: str
    _: KW_ONLY
    limit: int | None = number(None, at_least=2)
    on_bad: Literal["error", "skip"] = "skip"

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.source.strip():
            raise RecipeError("`Unlabelled.source` is empty.", allowed="a folder of images, an archive, arrays, or a sample")

    @classmethod
    def from_text(cls, text: str) -> Unlabelled:
        """The images at a SOURCE as the command line writes it."""
        return cls(text)


PRETRAIN = "pretrain"
"""What the state of a run calls the training on images without labels."""
_VIEWS = Augment(flip="horizontal", crop=0.2, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
"""Two random views of an image: crops and changes of colour as SimCLR has them for CIFAR-10 (Chen et al. 2020, B.9, at half
strength), without grey images, and a smallest crop of 0.2 in the place of 0.08, since the images are small."""
_UPRIGHT = Augment(flip="horizontal", crop=0.6)
"""Views for telling rotations apart: nothing that hides which way is up (Gidaris et al. 2018 shift and mirror)."""


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """The backbone learns without labels before the first stage: from `Recipe.unlabelled` and from the training images.

    A linear probe on the labelled training images, cross-validated, decides whether the stages begin from the weights that come
    of it or from those before. The network is in `pretrained.keras` of the run either way, and can be the backbone of other runs.

    Args:
        method: `simclr` (Chen et al. 2020) tells the two views of an image from those of others; `vicreg` (Bardes et al. 2022)
            makes both views alike while each number of the embedding varies and no two say the same; `rotation` (Gidaris et al.
            2018) tells by how many quarter turns an image was rotated.
        epochs: Passes over the images.
        minutes: Limit of the training time, in minutes: as many epochs as fit into it by the first steps, at most `epochs`. None
            sets no limit. With a limit the result depends on the speed of the machine.
        batch_size: Images a step, of which `simclr` and `vicreg` see two views each; for `rotation` four turns of a quarter of
            so many images.
        learning_rate: Of Adam, after a warm-up of one epoch; it falls to zero by a cosine.
        weight_decay: Decoupled, a step's share of the weight; not on biases and BatchNorm.
        augment: How views are made; None takes what suits the method.
        width: Numbers of the embedding of `simclr` and `vicreg`: the width of the dense layers between backbone and loss, two
            for `simclr` and three for `vicreg`, which are dropped afterwards.
        temperature: Of `simclr`; 0.5 was the best for CIFAR-10 (Chen et al. 2020, B.9).
        similarity, variance, covariance: Weights of the three parts of `vicreg`: 25, 25 and 1 (Bardes et al. 2022, 4.2).
        alpha: The stages begin from the new weights where the p-value of a paired one-sided test of the probes, on held-out
            training images, is at most this.
    """

    method: Literal["simclr", "vicreg", "rotation"] = "simclr"
    epochs: int = number(50, at_least=1, at_most=100_000)
    minutes: float | None = number(None, at_least=0.01, at_most=100_000.0)
    batch_size: int = number(128, at_least=8, at_most=65536)
    learning_rate: float = number(1e-3, at_least=0.0, at_most=100.0)
    weight_decay: float = number(0.0, at_least=0.0, at_most=1.0)
    augment: Augment | None = None
    width: int = number(128, at_least=2, at_most=65536)
    temperature: float = number(0.5, at_least=0.01, at_most=10.0)
    similarity: float = number(25.0, at_least=0.0, at_most=1000.0)
    variance: float = number(25.0, at_least=0.0, at_most=1000.0)
    covariance: float = number(1.0, at_least=0.0, at_most=1000.0)
    alpha: float = number(0.05, at_least=0.0, at_most=1.0)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.augment is not None and self.augment.mixes:
            raise RecipeError(
                "`Pretrain.augment` makes views of one image, and MixUp and CutMix mix two.",
                received=f"mixup={self.augment.mixup}, cutmix={self.augment.cutmix}",
                fix="Leave out `mixup` and `cutmix`.",
            )

    @classmethod
    def from_text(cls, text: str) -> Pretrain:
        """What `--set pretrain=vicreg` means."""
        return cls(method=text)  # type: ignore[arg-type]

    @property
    def views(self) -> Augment:
        """How views of an image are made: `augment`, or what suits the method."""
        return self.augment or (_UPRIGHT if self.method == "rotation" else _VIEWS)


@dataclass(frozen=True, kw_only=True)
class PseudoLabels:
    """Images of `Recipe.unlabelled` train next to labelled ones, with the network's own answers as labels (FixMatch).

    Where the network is sure of the class of a weakly changed image, that is the label of a strongly changed copy:
    `loss + weight * mean(1[max(p) >= threshold] * cross_entropy(argmax(p), strong))` (Sohn et al. 2020, equations 3 and 4).

    Args:
        weight: Of the second loss; 1 in the paper.
        threshold: The probability from which an answer is a label; 0.95 in the paper.
        ratio: Unlabelled images for each labelled one of a step; 7 in the paper.
        strong: How the strongly changed copies are made. The weakly changed ones, as the labelled images, are made by the
            stage's `augment`.
    """

    weight: float = number(1.0, at_least=0.0, at_most=1000.0)
    threshold: float = number(0.95, at_least=0.0, at_most=1.0)
    ratio: int = number(7, at_least=1, at_most=1000)
    strong: Augment = Augment(flip="horizontal", crop=0.6, randaugment=2, magnitude=0.5)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.strong.mixes:
            raise RecipeError(
                "`PseudoLabels.strong` changes one image, and MixUp and CutMix mix two.",
                received=f"mixup={self.strong.mixup}, cutmix={self.strong.cutmix}",
                fix="Leave out `mixup` and `cutmix`.",
            )


_TOP = "top:[1-9][0-9]{0,5}"
_OF_INPUT = rf"[a-z][a-z0-9_]*\.(all|{_TOP})"


def top_blocks(count: int) -> str:
    """`train=` for the head and the `count` blocks below it: `"top:COUNT"`."""
    return f"top:{count}"


def blocks(*patterns: str) -> str:
    """`train=` for the head and every block whose name fits one of the globs: `"blocks:GLOB,GLOB"`."""
    return "blocks:" + ",".join(patterns)


@dataclass(frozen=True)
class Stage:
    """One `fit`: what trains, for how long, at what rate, on which augmentation.

    Args:
        name: Letters, digits, `_` and `-`; unique in the recipe.
        train: `head`, `all`, `top:K` (see `top_blocks`), `blocks:GLOB,…` (see `blocks`) or `unmatched`, the blocks with a layer
            that `Backbone.match` did not import. The head always trains. With several inputs `top:K` is K blocks of each network,
            and `photo.top:2,note.all` says it for each input; the names of blocks begin with the input's, as in `blocks:photo.*`.
        epochs: At most this many; the monitor may end the stage sooner. With 0 the network stays as it starts, which makes sense
            for a head that starts from a probe.
        batch_size: Images a step.
        learning_rate: Of the head; lower blocks may get less.
        optimizer: By its Keras name.
        momentum: Of `sgd`; the others have none.
        nesterov: Whether the momentum of `sgd` is Nesterov's.
        schedule: `constant`, or `cosine` down to zero over the stage.
        warmup_epochs: Linear from zero, before the schedule.
        weight_decay: Decoupled, an optimiser step's share of the weight; not on biases and BatchNorm.
        layer_decay: Each block below the head learns at this times the rate of the block above it.
        multipliers: Rate multipliers by glob, over `layer_decay`, of blocks, the `head` and its layers, such as `head_dense1`;
            zero means frozen.
        label_smoothing: Share of each label spread over all classes.
        augment: Random changes to the images, or None.
        views: With augmentation over a frozen prefix: how many augmented copies of each image are drawn and cached;
            epochs cycle through them. A stage in which everything trains draws anew in every epoch.
        batchnorm: `inference` keeps BatchNorm statistics, scale and shift as they are even in blocks that train; `train`
            lets those of blocks that train move, with a momentum of at most 0.9 so that statistics keep up with few steps.
        l2_sp: Penalty on the squared distance of the backbone's weights to where they were at the start of the stage, half this
            times the sum (L2-SP, Li et al. 2018); 0 for none.
        interpolate: Where the network ends between its weights at the start of the stage (0) and its trained weights (1), each
            weight by itself (WiSE-FT, Wortsman et al. 2022). Below 1 the stage needs a trained head to start from.
        weights: What trains in the blocks that train: `all` weights; the `biases`, with the shift of normalisation layers
            (BitFit, Zaken et al. 2022); `lora`, a low-rank change of each kernel, which is merged into the kernel at the end of
            the stage (LoRA, Hu et al. 2022); or `adapters`, the residual adapters of `Backbone.adapter_width` (Rebuffi et al.
            2017, Houlsby et al. 2019). With any of these three, BatchNorm runs with its stored statistics. The head trains all
            of its weights.
        lora_rank: With `weights="lora"`, the rank of the change. Keras splits a kernel at its last axis: of shape `(..., n)` it
            gets a matrix of shape `(..., rank)` and one of shape `(rank, n)`.
        pseudo_labels: Images of `Recipe.unlabelled` train, too, with the network's own answers; see `PseudoLabels`. The whole
            network runs in every epoch then.
    """

    name: str
    _: KW_ONLY
    train: str = "head"
    epochs: int = number(10, at_least=0, at_most=100_000)
    batch_size: int = number(32, at_least=1, at_most=65536)
    learning_rate: float = number(1e-3, at_least=0.0, at_most=100.0)
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    momentum: float = number(0.9, at_least=0.0, at_most=1.0)
    nesterov: bool = True
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: float = number(0.0, at_least=0.0)
    weight_decay: float = number(0.0, at_least=0.0, at_most=1.0)
    layer_decay: float = number(1.0, at_least=0.0, at_most=1.0)
    multipliers: Mapping[str, float] = dataclasses.field(default_factory=dict)
    label_smoothing: float = number(0.0, at_least=0.0, at_most=0.9)
    augment: Augment | AudioAugment | None = None
    views: int = number(4, at_least=1, at_most=1000)
    batchnorm: Literal["inference", "train"] = "inference"
    l2_sp: float = number(0.0, at_least=0.0, at_most=1000.0)
    interpolate: float = number(1.0, at_least=0.0, at_most=1.0)
    weights: Trained = "all"
    lora_rank: int = number(8, at_least=1, at_most=1024)
    pseudo_labels: PseudoLabels | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", self.name):
            raise RecipeError(
                "A stage's name is also a file name.",
                received=self.name[:200],
                allowed="letters, digits, `_` and `-`, at most 64 of them",
            )
        if not re.fullmatch(rf"head|all|unmatched|{_TOP}|blocks:[^,]+(,[^,]+)*|{_OF_INPUT}(,{_OF_INPUT})*", self.train):
            raise RecipeError(
                f"Stage `{self.name}` does not say what trains.",
                received=self.train[:200],
                allowed="`head`, `all`, `unmatched`, `top:K` with K of at least 1, `blocks:GLOB,GLOB`, or with several inputs "
                "`INPUT.top:K,INPUT.all`",
            )
        if self.warmup_epochs > self.epochs:
            raise RecipeError(
                f"Stage `{self.name}` warms up for longer than it trains.",
                received=f"warmup_epochs={self.warmup_epochs}, epochs={self.epochs}",
            )
        for pattern, factor in self.multipliers.items():
            if factor < 0:
                raise RecipeError(f"The multiplier of `{pattern}` is negative.", received=factor, allowed="zero (frozen) or more")
        if self.weights != "all":
            self._check_part()

    def _check_part(self) -> None:
        """What does not go together with training a part of each block's weights."""
        if self.train == "head":
            raise RecipeError(
                f"Stage `{self.name}` trains the head alone, and `weights` is about the blocks below it.",
                received=f"train=head, weights={self.weights}",
                fix="Leave out `weights`, or train blocks: `all`, `top:K` or `blocks:GLOB,GLOB`.",
            )
        if self.batchnorm == "train":
            raise RecipeError(
                f"Stage `{self.name}` keeps the statistics of BatchNorm, since it trains a part of the weights.",
                received=f"batchnorm=train, weights={self.weights}",
                fix="Leave out `batchnorm`, or set weights=all.",
            )

    def nothing_matched(self) -> RecipeError:
        """The error for a stage that trains what was not matched, where the recipe matches no layers of a weights file."""
        return RecipeError(
            f"Stage `{self.name}` trains what was not matched, and the recipe matches no layers of a weights file.",
            received=f"train={self.train!r}, and a backbone with match='exact'",
            fix="Name a file and a way to match: tfl.Backbone(..., weights='own.keras', match='auto'); or train something else.",
        )


@dataclass(frozen=True, kw_only=True)
class Auto:
    """Stages that the run chooses by measurement, for `Recipe.stages`.

    A linear probe on features of the frozen network comes first: which blocks the head reads is decided by cross-validation over
    the training and validation examples. Fine-tuning then starts from that probe, for several depths and learning rates, and is
    kept only where it is better on held-out examples by a paired test. The head and the stages that were chosen are in
    `chosen.json` of the run.

    Args:
        kind: Always `auto`.
        minutes: Limit of the time for probes, fine-tuning and the final training, in minutes; 0 leaves the choice to the probes.
            Passes over the examples, which compute features, come on top.
        augment: Random changes to the training examples that fine-tuning may use; None uses none.
        alpha: A candidate replaces the one before it where the p-value of the paired one-sided test is at most this; the first
            fine-tuning, at a small rate, where it is at most four times this.
        refit: Whether the final network is also trained on the validation examples. The figures of the validation split are then
            those of the networks of the cross-validation, each on the examples that it was not trained on.
    """

    kind: Literal["auto"] = "auto"
    minutes: float = number(2.0, at_least=0.0, at_most=100_000.0)
    augment: Augment | AudioAugment | None = None
    alpha: float = number(0.1, at_least=0.0, at_most=1.0)
    refit: bool = True

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def from_text(cls, text: str) -> Auto:
        """What `--set stages=auto` means."""
        if text != "auto":
            raise RecipeError("`Recipe.stages` does not fit.", received=text, allowed="`auto`, or stages as JSON")
        return cls()


@dataclass(frozen=True, kw_only=True)
class Features:
    """How the outputs of frozen blocks are computed and kept.

    Args:
        engine: What computes them: `keras`, in the recipe's precision; `openvino` (extra `tfl[openvino]`), in float32 or
            bfloat16, whichever is faster; `auto`, the fastest of these on this machine that agrees with Keras in float32.
        dtype: They are stored as. float16 rounds by at most 1/2048 of a value, bfloat16 by 1/256 but has float32's range.
        store: `auto` stores them where that costs less time than computing them in every epoch, and fits; `always` and
            `never` do not ask.
    """

    engine: Literal["keras", "openvino", "auto"] = "keras"
    dtype: Literal["float16", "bfloat16", "float32"] = "float16"
    store: Literal["auto", "always", "never"] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)


def metric_alone(metric: str) -> str | None:
    """A metric without the name of a target; None where it is none.

    Example:

    >>> from tfl.recipe import metric_alone
    >>> metric_alone("val_disease_macro_f1"), metric_alone("val_mae"), metric_alone("val_beauty")
    ('val_macro_f1', 'val_mae', None)
    """
    known = sorted({one for metrics in METRICS.values() for one in metrics}, key=len, reverse=True)
    if metric in known:
        return metric
    return next((one for one in known if re.fullmatch(rf"val_[a-z][a-z0-9_]*{one.removeprefix('val')}", metric)), None)


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of a metric is the better one.

    Example:

    >>> from tfl.recipe import lower_is_better
    >>> lower_is_better("val_length_mae"), lower_is_better("val_accuracy")
    (True, False)
    """
    return metric_alone(metric) in LOWER_IS_BETTER


@dataclass(frozen=True)
class Monitor:
    """What *best* means, when to stop, how much to keep.

    Args:
        metric: Watched on the validation split after each epoch; `auto` takes the task's own: `val_accuracy` for classes,
            `val_mean_average_precision` for several labels, `val_mae` for numbers, and of several targets `val_loss`, the sum of
            their losses by `Head.loss_weights` (all 1 with `uncertainty`). `val_disease_accuracy` watches one target.
        patience: Epochs without an improvement before a stage ends; None never ends one early.
        min_delta: The smallest change that counts as an improvement.
        keep_checkpoints: How many of the latest epochs' checkpoints stay, beside the best.
        alpha: A stage that starts from a trained head keeps what it trained only where held-out examples speak for it: a paired
            one-sided test of the loss on the validation examples has a p-value of at most this, and the metric is no worse. 1.0
            asks for no test.
    """

    metric: str = "auto"
    _: KW_ONLY
    patience: int | None = number(5, at_least=1)
    min_delta: float = number(0.0, at_least=0.0)
    keep_checkpoints: int = number(1, at_least=1)
    alpha: float = number(0.2, at_least=0.0, at_most=1.0)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.metric != "auto" and metric_alone(self.metric) is None:
            known = sorted({metric for metrics in METRICS.values() for metric in metrics})
            raise RecipeError(
                "`Monitor.metric` is no metric.",
                received=self.metric[:200],
                allowed=f"auto, {', '.join(known)}; of several targets also with the name of one, such as val_disease_accuracy",
                fix=did_you_mean(self.metric, known) or None,
            )

    @classmethod
    def from_text(cls, text: str) -> Monitor:
        """The monitor of that metric."""
        return cls(text)

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value of the metric is an improvement."""
        return not lower_is_better(self.metric)

    @property
    def is_share(self) -> bool:
        """Whether the metric lies between 0 and 1."""
        return metric_alone(self.metric) in ("val_accuracy", "val_macro_f1", "val_micro_f1", "val_mean_average_precision")


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How far the answers of the finished network are to be trusted: fitted on the validation split, measured on the test split.

    Args:
        coverage: How often the prediction set is to hold the right class.
        familiar: The share of images like the validation images that is to count as familiar.
    """

    coverage: float = number(0.9, at_least=0.5, at_most=0.999)
    familiar: float = number(0.99, at_least=0.5, at_most=0.999)

    def __post_init__(self) -> None:
        check_fields(self)


AdaptMethod = Literal["adabn", "coral", "deep_coral", "dann", "self_training", "tent"]
ADAPT_METHODS: tuple[AdaptMethod, ...] = ("adabn", "coral", "deep_coral", "dann", "self_training", "tent")


@dataclass(frozen=True, kw_only=True)
class Adapt:
    """How the trained network is adapted to the unlabelled examples of `Recipe.target_data`.

    Args:
        methods: What is tried: `adabn` (each domain has its own BatchNorm statistics), `coral` (vectors of the source are aligned
            with those of the target, and the head is fitted anew), `deep_coral` and `dann` (the upper blocks train on both
            domains), `self_training` (the head is also fitted to its own sure answers), `tent` (BatchNorm's scale and shift train
            on the entropy of answers). Of several methods, those for the head are also tried on top of the others. One method
            alone is taken as it is, without a choice.
        criterion: What chooses among several, the network without adaptation included, and asks for no target labels:
            `information`, how sure the answers are and how near the shares of the classes come to those of the source (Krause et
            al. 2010); `snd`, the soft neighbourhood density of the answers (Saito et al. 2021); `source`, the accuracy on the
            source's validation examples.
        guard: A candidate whose accuracy on the source's validation examples falls by more than this is left out.
        minutes: Limit of the time, in minutes; methods that have not come to their end by then are left out.
    """

    methods: tuple[AdaptMethod, ...] = ADAPT_METHODS
    criterion: Literal["information", "snd", "source"] = "information"
    guard: float = number(0.1, at_least=0.0, at_most=1.0)
    minutes: float = number(5.0, at_least=0.0, at_most=100_000.0)

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise RecipeError(
                "`Adapt.methods` names one method or more, each once.", received=self.methods, allowed=ADAPT_METHODS
            )

    @classmethod
    def from_text(cls, text: str) -> Adapt:
        """What `--set adapt=coral` or `--set adapt=coral,tent` means."""
        return cls(methods=cast(tuple[AdaptMethod, ...], tuple(name.strip() for name in text.split(","))))


@dataclass(frozen=True)
class Choice:
    """A field of the recipe takes one of these values in a search.

    Args:
        values: As `--set` takes them, or as Python values.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.values:
            raise RecipeError("A `Choice` without values leaves nothing to try.", allowed="one value or more in parentheses")
        object.__setattr__(self, "values", _tuples(as_plain(self.values)))
        if any(value in self.values[:at] for at, value in enumerate(self.values)):
            raise RecipeError("A `Choice` has the same value twice.", received=list(self.values))


@dataclass(frozen=True)
class Between:
    """A field of the recipe takes a number from `low` to `high`, both inclusive, in a search.

    Args:
        low, high: The limits; whole numbers where the field is one.
        log: Whether each factor, rather than each difference, is as likely as another: for rates.
        step: Only `low`, `low + step`, ... (with `log`, `low * step`, ...); None tries any number, in a grid ten of them.
    """

    low: float
    high: float
    _: KW_ONLY
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.low < self.high:
            raise RecipeError("`Between` needs a low that is below its high.", received=f"{self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise RecipeError(
                "`Between` by factors begins above zero.", received=self.low, fix="Raise `low`, or leave out `log`."
            )
        least = 1.0 if self.log else 0.0
        if self.step is not None and self.step <= least:
            raise RecipeError("`Between.step` leads nowhere.", received=self.step, allowed=f"more than {least:g}")


@dataclass(frozen=True, kw_only=True)
class Search:
    """What `tfl tune` tries, and for how long. The objective is `recipe.monitor.metric`.

    Args:
        algorithm: `bayesian` (a Gaussian process), `hyperband` (Li et al. 2018: many short trials, the better ones go on),
            `random`, or `grid`.
        space: `--set` paths with what to try for each; empty builds one from the recipe and its network: how many blocks the last
            stage trains, its rate and layer decay, the head's dropout, and the strength of its augmentation where it augments.
        trials: At most this many; None leaves it to `minutes`, to the grid, or to Hyperband.
        minutes: Until the confirmation; a trial that is under way then is kept as it stands.
        seeds: How often the best recipes, and the recipe as it was, are trained again, each time from another seed: the winner
            is the best by these means. Zero trusts the trials.
        prior: `probe` tries first what linear probes at every block speak for; see `tfl probe`.
        stop_poor: Whether a trial ends when it is worse than the median of the others (Golovin et al. 2017); Hyperband has its
            own way.
    """

    algorithm: Literal["bayesian", "hyperband", "random", "grid"] = "bayesian"
    space: Mapping[str, Choice | Between] = dataclasses.field(default_factory=dict)
    trials: int | None = number(30, at_least=1)
    minutes: float | None = number(None, at_least=0.0)
    seeds: int = number(3, at_least=0, at_most=100)
    prior: Literal["probe"] | None = None
    stop_poor: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        if self.algorithm in ("bayesian", "random") and self.trials is None and self.minutes is None:
            raise RecipeError("The search would never end.", fix="Give it `trials` or `minutes`.")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a result.

    Args:
        name: Also the name of the run folder and of the served model.
        task: What is predicted: `classify` (one of several classes), `multilabel` (any number of labels), `regress` (numbers).
            With `Data.targets` it is `heads` (several of these at once) by itself.
        data, backbone, head, monitor, features: See those classes. With `Data.inputs`, `backbone` is a dictionary of networks by
            input, such as `{"photo": tfl.Backbone("mini")}`.
        stages: Stages run in order, each from the best of the one before; or `Auto`, which chooses them by measurement.
        class_weight: `balanced` weighs each class by the inverse of its count, as scikit-learn does, and of several labels the
            positive examples of each by negatives over positives; None does not. Numbers have none.
        precision: The Keras dtype policy, or `auto`: measure a batch of each that this machine supports.
        jit_compile: Whether XLA compiles the training steps; `auto` measures both.
        on_out_of_memory: What happens when a batch does not fit into memory: `halve` takes it in halves, quarters and so on,
            whose gradients are added up to those of the whole batch; `error` stops.
        seed: Of the split, the order, the augmentation, the head and the dropout.
        confidence: Calibrated probabilities, prediction sets, out-of-distribution scores; None leaves them out everywhere.
        export: Formats written at the end of the run; all but `saved_model` and `keras` need the extra `tfl[export]`.
        search: What `tfl tune` tries; None tries what suits the recipe.
        source_data: Labelled examples of the source task, which the backbone was trained for: the run reports the accuracy of the
            source network's own classifier on their test split before training and after, which is what was forgotten. None
            reports nothing.
        extra_data: Labelled examples of the same classes from a related source, such as another camera, of which some may train
            next to those of `data`: how many, by how like those of `data` they are, or none, is decided on held-out training
            examples. They are never validated or tested on. For one of several classes; None trains on `data` alone.
        unlabelled: Images without labels, for `pretrain` or `Stage.pseudo_labels`. Exact copies of validation and test images are
            left out.
        pretrain: What the backbone learns from images without labels before the first stage; None begins with the first stage.
        target_data: Unlabelled examples of another domain, such as photos at night, to which the trained network is adapted.
            Where they have labels, these are used for the report alone. For one of several classes; None adapts nothing.
        adapt: How; see `Adapt`.
        each_alone: Whether each of several targets is also trained alone, with the same network, head, stages and split, and put
            beside what is predicted together: in the report, on the console and in `metrics.json` (`alone`).

    Raises:
        RecipeError: A value does not fit, or two stages share a name.

    Example:

    >>> import tfl
    >>> recipe = tfl.Recipe(name="leaves", data=tfl.Sample("strawberry"), backbone=tfl.Backbone("mini"))
    >>> recipe.override("stages.head.epochs", "5").stages[0].epochs
    5
    >>> tfl.Recipe.from_json(recipe.to_json()) == recipe
    True
    """

    name: str
    data: Data
    backbone: Backbone
    task: TaskName = "classify"
    head: Head = Head()
    stages: Auto | tuple[Stage, ...] = (Stage("head", train="head"),)
    monitor: Monitor = Monitor()
    class_weight: Literal["balanced"] | None = None
    features: Features = Features()
    precision: Precision = "float32"
    jit_compile: bool | Literal["auto"] = False
    on_out_of_memory: Literal["halve", "error"] = "halve"
    seed: int = number(0, at_least=0, at_most=2**31 - 1)
    confidence: Calibration | None = Calibration()
    export: tuple[ExportFormat, ...] = ("saved_model",)
    search: Search | None = None
    source_data: Data | None = None
    extra_data: Data | None = None
    unlabelled: Unlabelled | None = None
    pretrain: Pretrain | None = None
    target_data: Data | None = None
    adapt: Adapt = Adapt()
    each_alone: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "backbone", _by_input(self.backbone, self.data))
        if isinstance(self.data, Data) and self.data.targets and self.task == "classify":
            object.__setattr__(self, "task", HEADS)
        check_fields(self)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", self.name):
            raise RecipeError(
                "A recipe's name is also a folder name.",
                received=self.name[:200],
                allowed="letters, digits, `_`, `-`, `.`, at most 100 of them",
            )
        names = ["auto"] if isinstance(self.stages, Auto) else [stage.name for stage in self.stages]
        if not names:
            raise RecipeError("A recipe needs at least one stage.", allowed='for example (tfl.Stage("head"),)')
        if len(set(names)) < len(names):
            raise RecipeError("Two stages share a name.", received=names, allowed="a name of its own for each")
        known = self.metrics
        if self.monitor.metric == "auto":
            object.__setattr__(self, "monitor", dataclasses.replace(self.monitor, metric=known[0]))
        elif self.monitor.metric not in known:
            raise RecipeError(
                f"`Monitor.metric` is no metric of the task `{self.task}`.", received=self.monitor.metric, allowed=known
            )
        self._check_augment()
        self._check_inputs()
        self._check_heads()
        if isinstance(self.stages, Auto) and (self.head.hidden or self.head.taps):
            raise RecipeError(
                "`Auto` chooses what the head reads, and its head is linear.",
                received=f"head.hidden={self.head.hidden}, head.taps={self.head.taps}",
                fix="Leave out `hidden` and `taps`, or state the stages.",
            )
        if self.task != "classify" and self.search is not None and self.search.prior is not None:
            raise RecipeError(
                "`Search.prior` asks probes, which find out how well classes are told apart, and this recipe has another task.",
                received=self.task,
                allowed="classify",
                fix="Leave `prior` out.",
            )
        if self.head.probe != "logistic" and self.task != "classify":
            raise RecipeError(
                "`head.probe` tells one of several classes from the others, and this recipe has another task.",
                received=f"{self.head.probe}, task={self.task}",
                allowed="logistic",
            )
        if self.head.probe == "knn":
            self._check_nothing_trains()
        if self.head.pooling == "flatten" and self.data.kind == "text":
            raise RecipeError(
                "`head.pooling=flatten` takes maps of a fixed size, and texts have lengths of their own.",
                allowed="`avg`, `max`, `first` or `pooled`",
            )
        if self.task in OF_NUMBERS:
            self._check_numbers()
        if self.needs_classifier:
            self._check_classifier()
        if self.extra_data is not None:
            self._check_extra_data(self.extra_data)
        if self.target_data is not None:
            self._check_target_data(self.target_data)
        elif self.adapt != Adapt():
            raise RecipeError(
                "`adapt` says how a network is adapted to `target_data`, and there is none.",
                fix="Name the unlabelled examples: target_data=tfl.Data(SOURCE); or leave out `adapt`.",
            )
        self._check_unlabelled()

    def _check_unlabelled(self) -> None:
        """Whether images without labels are there where they are asked for, and can be used."""
        labelled_by_itself = [stage.name for stage in self.fixed_stages if stage.pseudo_labels is not None]
        uses = [*(["pretrain"] if self.pretrain else []), *(f"stages.{name}.pseudo_labels" for name in labelled_by_itself)]
        if labelled_by_itself and self.unlabelled is None:
            raise RecipeError(
                "A stage with `pseudo_labels` trains on images without labels, and the recipe names none.",
                received=f"stages.{labelled_by_itself[0]}.pseudo_labels",
                fix='Name them: unlabelled=tfl.Unlabelled("more_photos/").',
            )
        if not uses:
            return
        if self.data.kind != "image" or self.task != "classify":
            raise RecipeError(
                "Learning from images without labels is for images of one of several classes.",
                received=f"{', '.join(uses)} with examples of the kind `{self.data.kind}` and task={self.task}",
                allowed="images, task=classify",
                fix="Leave it out.",
            )
        if self.pretrain is not None:
            self._check_pretrain()
        for stage in self.fixed_stages:
            if stage.pseudo_labels is not None and (stage.augment is None or stage.augment.mixes):
                raise RecipeError(
                    f"Stage `{stage.name}` has pseudo-labels, which are the answers on weakly changed images.",
                    received="augment=None" if stage.augment is None else "augment with mixup or cutmix",
                    allowed="augment without mixup and cutmix",
                    fix='Give it weak changes, such as augment=tfl.Augment(flip="horizontal", crop=0.8).',
                )

    def _check_pretrain(self) -> None:
        told = {
            "head.start=source": self.head.start == "source",
            "source_data": self.source_data is not None,
            "search": self.search is not None,
            "a stage called `pretrain`": any(stage.name == PRETRAIN for stage in self.fixed_stages),
            'a stage with train="unmatched"': any(stage.train == "unmatched" for stage in self.fixed_stages),
        }
        if refused := [name for name, asked in told.items() if asked]:
            raise RecipeError(
                "This does not go together with `pretrain`, after which the backbone is another one.",
                received=", ".join(refused),
                fix="Leave it out, or pretrain in a run of its own and name its pretrained.keras as the backbone.",
            )
        size = self.data.image_size
        if self.pretrain is not None and self.pretrain.method == "rotation" and size is not None and size[0] != size[1]:
            raise RecipeError(
                "`pretrain.method=rotation` turns images by 90 degrees, which takes square ones.",
                received=f"data.image_size={size[0]},{size[1]}",
                fix="Take a square data.image_size, or another method.",
            )

    @property
    def metrics(self) -> tuple[str, ...]:
        """What the monitor can watch; the first is watched where the recipe does not say."""
        of_each = [
            f"val_{name}_{metric.removeprefix('val_')}" for name, one in self.data.targets.items() for metric in METRICS[one.task]
        ]
        return (*METRICS[self.task], *of_each)

    def _check_heads(self) -> None:
        """Whether several targets are named where they are asked for, and nothing is asked for that they do not have."""
        targets = self.data.targets
        if not targets:
            asked = {
                "task=heads": self.task == HEADS,
                "head.loss_weights": bool(self.head.loss_weights),
                "each_alone": self.each_alone,
            }
            if said := [name for name, one in asked.items() if one]:
                raise RecipeError(
                    "This is about several targets, and `data.targets` names none.",
                    received=", ".join(said),
                    fix='Name them: tfl.Data(..., targets={"species": "class", "length": "number"}); or leave this out.',
                )
            return
        if self.task != HEADS:
            raise RecipeError(
                "`data.targets` says what is predicted, each target by its own task.",
                received=f"task={self.task}",
                fix="Leave `task` out.",
            )
        unknown = (
            [name for name in self.head.loss_weights if name not in targets] if self.head.loss_weights != "uncertainty" else []
        )
        if unknown:
            raise RecipeError(
                "`head.loss_weights` weighs targets that are not there.", received=", ".join(unknown), allowed=list(targets)
            )
        told = {
            "stages=tfl.Auto(...)": isinstance(self.stages, Auto),
            f"head.start={self.head.start}": self.head.start == "source",
            f"head.probe={self.head.probe}": self.head.probe != "logistic",
            "head.strengths": bool(self.head.strengths),
            "source_data": self.source_data is not None,
            "extra_data": self.extra_data is not None,
            "search": self.search is not None,
            "data.audit=deep": self.data.audit == "deep",
        }
        if refused := [name for name, one in told.items() if one]:
            raise RecipeError(
                "This is not there for several targets.",
                received=", ".join(refused),
                allowed="stated stages; head.start random, or probe with head.probe=logistic",
                fix="Leave it out, or ask for it with one target alone: without `targets`, with `label_column=` and `task=`.",
            )

    def alone(self, name: str) -> Recipe:
        """The recipe of one of several targets alone: the same examples, network, head and stages.

        Its monitor watches the metric that is watched of this target, or its loss where another is watched.

        Raises:
            RecipeError: There is no such target.

        Example:

        >>> import tfl
        >>> data = tfl.Data("plants.csv", targets={"species": "class", "height": "number"})
        >>> tfl.Recipe(name="plants", data=data, backbone=tfl.Backbone("mini")).alone("height").task
        'regress'
        """
        if name not in self.data.targets:
            raise RecipeError("There is no such target.", received=name, allowed=list(self.data.targets))
        target, metric = self.data.targets[name], "val_loss"
        if self.monitor.metric.startswith(f"val_{name}_") and (own := metric_alone(self.monitor.metric)):
            metric = own
        return dataclasses.replace(
            self,
            name=f"{self.name}-{name}"[:100],
            task=target.task,
            data=dataclasses.replace(self.data, targets={}, label_column=target.column or name),
            head=dataclasses.replace(self.head, loss_weights={}),
            monitor=dataclasses.replace(self.monitor, metric=metric),
            class_weight=None if target.kind == "number" else self.class_weight,
            stages=tuple(
                dataclasses.replace(
                    one,
                    label_smoothing=0.0 if target.kind == "number" else one.label_smoothing,
                    multipliers=_multipliers_alone(
                        one.multipliers, name, targets=self.data.targets, hidden=len(self.head.hidden)
                    ),
                )
                for one in self.fixed_stages
            ),
            each_alone=False,
            export=(),
        )

    def _check_inputs(self) -> None:
        """Whether the networks are those of the inputs, and nothing is asked for that several inputs do not have."""
        if not self.data.inputs:
            if isinstance(self.backbone, Backbones):
                raise RecipeError(
                    "`Recipe.backbone` has a network for each of several inputs, and the data has one input.",
                    received=", ".join(self.backbone.inputs),
                    fix="Name the inputs: tfl.Data(..., inputs={...}); or give one network: backbone=tfl.Backbone(NAME).",
                )
            plain = Head()
            if idle := [name for name in _JOINS if getattr(self.head, name) != getattr(plain, name)]:
                raise RecipeError(
                    "These settings of the head join several inputs, and the data has one input.",
                    received=", ".join(f"head.{name}" for name in idle),
                    fix="Leave them out.",
                )
            return
        wanted = [name for name, one in self.data.inputs.items() if not isinstance(one, Table)]
        given = list(self.backbone.inputs) if isinstance(self.backbone, Backbones) else [self.backbone.name]
        if not isinstance(self.backbone, Backbones) or sorted(given) != sorted(wanted):
            raise RecipeError(
                "Each of several inputs but a table has a network of its own, and `Recipe.backbone` names others.",
                received=", ".join(given),
                allowed=", ".join(wanted),
                fix=f"Give a dictionary: backbone={{{', '.join(f'{name!r}: tfl.Backbone(...)' for name in wanted)}}}.",
            )
        told = {
            "stages=tfl.Auto(...)": isinstance(self.stages, Auto),
            "head.taps": bool(self.head.taps),
            f"head.pooling={self.head.pooling}": self.head.pooling not in ("avg", "max"),
            f"head.start={self.head.start}": self.head.start == "source",
            f"head.start=probe with head.join={self.head.join}": self.head.start == "probe" and self.head.join != "concat",
            "head.probe=knn": self.head.probe == "knn",
            "source_data": self.source_data is not None,
            "extra_data": self.extra_data is not None,
            "target_data": self.target_data is not None,
            "search": self.search is not None,
            "data.audit=deep": self.data.audit == "deep",
            "unlabelled": self.unlabelled is not None,
            "pretrain": self.pretrain is not None,
            "backbone.match": any(one.match != "exact" for one in self.backbone.inputs.values()),
            "backbone.adapter_width": any(one.adapter_width for one in (self.backbone, *self.backbone.inputs.values())),
        }
        if refused := [name for name, asked in told.items() if asked]:
            raise RecipeError(
                "This is not there for several inputs.",
                received=", ".join(refused),
                allowed="stated stages; head.pooling avg or max; head.start random, or probe with head.join=concat",
                fix="Leave it out, or ask for it on one of the inputs alone.",
            )

    def _check_extra_data(self, extra: Data) -> None:
        if self.task != "classify":
            raise RecipeError(
                "`extra_data` is for one of several classes, and this recipe has another task.",
                received=self.task,
                allowed="classify",
            )
        if self.head.start == "source":
            raise RecipeError(
                "`extra_data` trains next to `data`, and with `head.start=source` nothing is trained.",
                fix="Leave out `extra_data`, or take another `head.start`.",
            )
        if self.backbone.weights is None and self.pretrain is None:
            raise RecipeError(
                "`extra_data` is compared with `data` by the features of a trained network, and this one has random weights.",
                received="backbone.weights=None",
                allowed="pretrained, or a weights file",
            )
        if extra.kind != self.data.kind:
            raise RecipeError(
                "`extra_data` holds another kind of examples than `data`, and both go through one network.",
                received=extra.kind,
                allowed=self.data.kind,
            )
        idle = _idle_settings(extra, self.data)
        if idle:
            raise RecipeError(
                "How examples of `extra_data` become tensors is that of `data`, and all of them may train: these settings have "
                "no effect there.",
                received=", ".join(f"extra_data.{name}" for name in idle),
                fix="Leave them out, or give them to `data`.",
            )

    def _check_target_data(self, target: Data) -> None:
        if self.task != "classify":
            raise RecipeError(
                "`target_data` is for one of several classes, and this recipe has another task.",
                received=self.task,
                allowed="classify",
            )
        if self.head.start == "source" or self.head.probe == "knn":
            raise RecipeError(
                "Adaptation to `target_data` changes the last layer of the head, which here is no layer with weights.",
                received=f"head.start={self.head.start}, head.probe={self.head.probe}",
                allowed='head.start "random" or "probe", with another probe than "knn"',
            )
        if target.kind != self.data.kind:
            raise RecipeError(
                "`target_data` holds another kind of examples than `data`, and both go through one network.",
                received=target.kind,
                allowed=self.data.kind,
            )
        if idle := _idle_settings(target, self.data):
            raise RecipeError(
                "How examples of `target_data` become tensors is that of `data`, and they are not split: these settings have no "
                "effect there.",
                received=", ".join(f"target_data.{name}" for name in idle),
                fix="Leave them out, or give them to `data`.",
            )

    def _check_classifier(self) -> None:
        what = "`head.start=source`" if self.head.start == "source" else "`source_data`"
        if self.backbone.weights is None:
            raise RecipeError(
                f"{what} asks for what the network was trained for, and this one has random weights.",
                received="backbone.weights=None",
                allowed="pretrained, or a weights file with the classifier",
            )
        if self.source_data is not None and self.source_data.kind != self.data.kind:
            raise RecipeError(
                "`source_data` holds another kind of examples than `data`, and both go through one network.",
                received=self.source_data.kind,
                allowed=self.data.kind,
            )
        if self.head.start != "source":
            return
        if self.backbone.adapter_width:
            raise RecipeError(
                "`head.start=source` takes the source network as it is, without residual adapters.",
                received=f"backbone.adapter_width={self.backbone.adapter_width}",
                fix="Leave out `adapter_width`, or take another `head.start`.",
            )
        if self.task != "classify":
            raise RecipeError(
                "`head.start=source` answers with one of several classes, and this recipe has another task.",
                received=self.task,
                allowed="classify",
            )
        if isinstance(self.stages, Auto) or any(stage.epochs for stage in self.stages):
            raise RecipeError(
                "`head.start=source` takes the classifier of the source network as it is, and nothing is trained.",
                received="Auto" if isinstance(self.stages, Auto) else f"epochs={[stage.epochs for stage in self.stages]}",
                allowed='stages=(tfl.Stage("source", epochs=0),)',
                fix="Take `--strategy direct`, or another `head.start`.",
            )

    def _check_nothing_trains(self) -> None:
        training = [f"stages.{stage.name}.epochs={stage.epochs}" for stage in self.fixed_stages if stage.epochs]
        if training or isinstance(self.stages, Auto):
            raise RecipeError(
                "A head of nearest neighbours (`head.probe=knn`) has nothing to train: it holds the training examples.",
                received=training or "stages=tfl.Auto(...)",
                allowed='stages with epochs=0, such as stages=(tfl.Stage("probe", epochs=0),)',
                fix="Take another `head.probe`, or the head and the stages of: tfl run RECIPE --strategy knn",
            )

    def _check_numbers(self) -> None:
        smoothed = [f"stages.{stage.name}.label_smoothing" for stage in self.fixed_stages if stage.label_smoothing]
        meaningless = [*smoothed, *(["class_weight"] if self.class_weight is not None else [])]
        if meaningless:
            raise RecipeError(
                f"These settings are about classes or labels, and the task `{self.task}` predicts numbers.",
                received=meaningless,
                fix="Leave them out.",
            )

    def _check_augment(self) -> None:
        wanted = {"image": Augment, "audio": AudioAugment}.get(self.data.kind)
        given = {"`Auto`": self.stages.augment} if isinstance(self.stages, Auto) else {}
        given |= {f"stage `{stage.name}`": stage.augment for stage in self.fixed_stages}
        for name, augment in given.items():
            if augment is not None and (wanted is None or not isinstance(augment, wanted)):
                raise RecipeError(
                    f"The augmentation of {name} does not fit examples of the kind `{self.data.kind}`.",
                    received=f"tfl.{type(augment).__name__}",
                    allowed="None" if wanted is None else f"tfl.{wanted.__name__}, or None",
                )

    @property
    def needs_classifier(self) -> bool:
        """Whether the recipe asks for the classifier that the network was trained with."""
        return self.head.start == "source" or self.source_data is not None

    @property
    def learns_without_labels(self) -> bool:
        """Whether it pretrains, or a stage has pseudo-labels."""
        return self.pretrain is not None or any(stage.pseudo_labels is not None for stage in self.fixed_stages)

    @property
    def fixed_stages(self) -> tuple[Stage, ...]:
        """The stages that the recipe states; none where it leaves them to `Auto`."""
        return () if isinstance(self.stages, Auto) else self.stages

    @property
    def split_seed(self) -> int:
        """The seed that decides the split."""
        return self.seed if self.data.split_seed is None else self.data.split_seed

    def to_json(self) -> str:
        """The recipe as an indented JSON document, every default written out."""
        return json.dumps(as_plain(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """The recipe that `to_json` wrote.

        Raises:
            RecipeError: It is not JSON, or not a recipe.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RecipeError(f"This is not JSON: {error}.") from error
        monitor = document.get("monitor") if isinstance(document, dict) else None
        if isinstance(monitor, dict):
            monitor.setdefault("alpha", 1.0)  # documents of versions that asked for no test
        return build(cls, document, "recipe")

    def override(self, path: str, value: Any) -> Recipe:
        """A copy with one field changed; `value` may be text as typed in a shell. See `tfl.fields.override`.

        A monitor that watches no metric of another task watches the first of that task.

        Example:

        >>> import tfl
        >>> recipe = tfl.Recipe(name="ages", data=tfl.Data("faces"), backbone=tfl.Backbone("mini"))
        >>> recipe.override("task", "regress").monitor.metric
        'val_mae'
        """
        if path == "task" and value in METRICS and self.monitor.metric not in METRICS[value]:
            monitor = dataclasses.replace(self.monitor, metric="auto")
            return dataclasses.replace(self, task=value, monitor=monitor)
        return override(self, path, value)

    def smoke(self) -> Recipe:
        """A copy that runs in seconds: every part as it is, on a few images, for one epoch a stage."""
        parts: dict[str, Any] = {name: _few(part) for name in _DATA if (part := getattr(self, name)) is not None}
        if self.unlabelled is not None:
            parts["unlabelled"] = dataclasses.replace(self.unlabelled, limit=min(self.unlabelled.limit or 100, 100))
        if self.pretrain is not None:
            parts["pretrain"] = dataclasses.replace(self.pretrain, epochs=1, batch_size=min(self.pretrain.batch_size, 32))
        if self.target_data is not None:
            parts["adapt"] = dataclasses.replace(self.adapt, minutes=min(self.adapt.minutes, 0.2))
        if isinstance(self.stages, Auto):
            auto = dataclasses.replace(self.stages, minutes=min(self.stages.minutes, 0.2))
            return dataclasses.replace(self, stages=auto, **parts)
        stages = tuple(
            dataclasses.replace(stage, epochs=min(stage.epochs, 1), views=1, warmup_epochs=0.0) for stage in self.stages
        )
        return dataclasses.replace(self, stages=stages, **parts)


def _multipliers_alone(multipliers: Mapping[str, float], name: str, *, targets: Iterable[str], hidden: int) -> dict[str, float]:
    """The multipliers of a stage for one of several targets alone: those of the layers of its head by their names then."""
    layers = {f"{name}_logits": "logits", **{f"{name}_dense{at}": f"head_dense{at}" for at in range(1, hidden + 1)}}
    starts = ("loss_weights", "*_", *(f"{target}_" for target in targets))
    found: dict[str, float] = {}
    for glob, factor in multipliers.items():
        found |= {own: factor for layer, own in layers.items() if fnmatch.fnmatchcase(layer, glob)}
        found |= {} if glob.startswith(starts) else {glob: factor}
    return found


_JOINS = ("join", "join_width", "drop_input")
_DATA = ("data", "source_data", "extra_data", "target_data")
"""The fields of a recipe that name examples."""
_IDLE = ("image_size", "fit", "bits", "validation", "test", "train_per_class", "test_fold", "audit")
"""Settings of `Data` that are not asked where all examples may train, and become tensors as those of another `Data` do."""


def _idle_settings(extra: Data, own: Data) -> list[str]:
    """What `extra_data` says of things that `data` decides for both, and says otherwise than by default."""
    default = Data(extra.source)
    idle = [name for name in _IDLE if getattr(extra, name) not in (getattr(default, name), getattr(own, name))]
    if extra.input is None:
        return idle
    plain = type(extra.input)()
    for name in (field.name for field in dataclasses.fields(extra.input) if field.name != "column"):
        if getattr(extra.input, name) not in (getattr(plain, name), getattr(own.input, name)):
            idle.append(f"input.{name}")
    return idle


def _by_input(backbone: Any, data: Any) -> Any:
    """A dictionary of networks, or the network of the only input that has one, as `Backbones`; everything else as it is."""
    inputs = data.get("inputs") if isinstance(data, Mapping) else getattr(data, "inputs", None)
    if isinstance(backbone, Mapping) and (inputs or (backbone and "name" not in backbone)):
        return Backbones(inputs=backbone)
    if not inputs or isinstance(backbone, Backbones) or not isinstance(inputs, Mapping):
        return backbone
    networks = [name for name, one in inputs.items() if not isinstance(one, Table)]
    return Backbones(inputs={networks[0]: backbone}) if len(networks) == 1 and isinstance(backbone, Backbone) else backbone


def _few(data: Data) -> Data:
    """At most twenty examples of each class."""
    return dataclasses.replace(data, per_class=min(data.per_class or 20, 20))


def _tuples(value: Any) -> Any:
    """`value` with every list as a tuple, as JSON does not keep them apart."""
    if isinstance(value, tuple | list):
        return tuple(_tuples(item) for item in value)
    return {key: _tuples(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def load_recipe(path: Path | str) -> Recipe:
    """The `recipe` of a Python file, or the recipe in a `.json` file such as a run's `recipe.json`.

    Relative paths in it (the source, the list of excluded images, a model file, a weights file) start at the current folder;
    one that does not exist there is looked for in the folder of the recipe file, and becomes an absolute path. A backbone or
    weights are a path where they contain `/` or end in `.keras` or `.h5`.

    Raises:
        RecipeError: The file is missing, raises, or has no `recipe`.
    """
    file = Path(path)
    if not file.is_file():
        raise RecipeError(f"There is no recipe file {file}.", fix="Start one with: tfl new NAME --data SOURCE")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{file} is not a text file: {error}.") from error
    if file.suffix == ".json":
        return _with_paths_from(file.parent, Recipe.from_json(text))
    recipe = _run_file(file, text).get("recipe")
    if not isinstance(recipe, Recipe):
        raise RecipeError(
            f"{file} has no `recipe`.",
            received=None if recipe is None else type(recipe).__name__,
            fix="It must contain: recipe = tfl.Recipe(...)",
        )
    return _with_paths_from(file.parent, recipe)


_PATHS = (
    *(f"{part}.{name}" for part in _DATA for name in ("source", "exclude")),
    "unlabelled.source",
    "backbone.name",
    "backbone.weights",
)
_WHAT = {
    "unlabelled.source": "no source of images without labels",
    **{f"{part}.source": "no source of images" for part in _DATA},
    **{f"{part}.exclude": "no list of images to leave out" for part in _DATA},
    "backbone.name": "no model file",
    "backbone.weights": "no weights file",
}
_WAYS = {"data.source": "Name the images with --data SOURCE, or change the path in the recipe."}


def _paths_in(recipe: Recipe) -> Iterator[str]:
    """The fields of a recipe that may be paths."""
    several = recipe.backbone.inputs if isinstance(recipe.backbone, Backbones) else None
    yield from _PATHS if several is None else _PATHS[:-2]
    for name in several or ():
        yield from (f"backbone.{name}.name", f"backbone.{name}.weights")


def _with_paths_from(folder: Path, recipe: Recipe) -> Recipe:
    """The recipe with each relative path that exists in `folder` and not in the current folder replaced by an absolute one."""
    for field in _paths_in(recipe):
        value = _relative_path(recipe, field)
        if value is not None and not os.path.exists(value) and (folder / value).exists():
            recipe = recipe.override(field, os.path.abspath(folder / value))
    return recipe


def refuse_missing_paths(recipe: Recipe, recipe_file: Path | str, *, given: Iterable[str] = ()) -> None:
    """Makes sure that the relative paths in a recipe from a file lead somewhere, from the current folder or from the file's.

    Args:
        recipe: As it will be used.
        recipe_file: Where it was written.
        given: Fields that were not written there but given on the command line, such as `data.source` or `backbone`.

    Raises:
        DataError: One leads nowhere; the message names both places.
    """
    folder = Path(recipe_file).absolute().parent
    for field in _paths_in(recipe):
        value = None if {field, field.split(".")[0]} & set(given) else _relative_path(recipe, field)
        if value is None or os.path.exists(value) or folder == Path.cwd():
            continue
        here = Path(value).absolute()
        raise DataError(
            f"There is {_WHAT[re.sub(r'backbone[.].*[.]', 'backbone.', field)]} at the path `{value}` of the recipe ({field}).",
            received=f"neither {here} (from the current folder) nor {folder / value} (from the recipe's folder)",
            fix=_WAYS.get(field, f"Change the path in the recipe, or give another with --set {field}=PATH."),
        )


def _relative_path(recipe: Recipe, field: str) -> str | None:
    """The value of a field where it is a path that starts at the current folder, and not a name such as `mini`; else None."""
    part, *between, name = field.split(".")
    owner: Any = getattr(recipe, part)
    value = getattr(owner.inputs[between[0]] if between else owner, name, None)  # there may be no `source_data` and so on
    if value is None or os.path.isabs(value) or value.startswith("~") or ":" in value or len(value) >= _LONGEST:
        return None
    named = part in (*_DATA, "unlabelled") or "/" in value or value.endswith(_MODEL_FILES)
    return value if named else None


_MODEL_FILES = (".keras", ".h5")
_LONGEST = 4096
"""Of a path on Linux, in bytes."""


def _run_file(file: Path, text: str) -> dict[str, Any]:
    scope: dict[str, Any] = {"__name__": "__recipe__", "__file__": str(file)}
    try:
        exec(compile(text, str(file), "exec"), scope)
    except TflError as error:
        raise RecipeError(f"{file}, line {_line_in(file, error)}: {error}") from error
    except SyntaxError as error:
        raise RecipeError(f"{file}, line {error.lineno}: {error.msg}.") from error
    except (Exception, SystemExit) as error:
        raise RecipeError(f"{file}, line {_line_in(file, error)}: {type(error).__name__}: {error}.") from error
    return scope


def _line_in(file: Path, error: BaseException) -> int | str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return lines[-1] if lines and lines[-1] is not None else "?"
