"""`Recipe`: all parts together."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tfl.errors import RecipeError
from tfl.fields import as_plain, build, check_fields, number, override
from tfl.recipe.checks import (
    check_augment,
    check_classifier,
    check_extra_data,
    check_generate,
    check_heads,
    check_inputs,
    check_nothing_trains,
    check_numbers,
    check_target_data,
    check_unlabelled,
    check_zero_shot,
)
from tfl.recipe.data import Data
from tfl.recipe.detect import check_detect
from tfl.recipe.inputs import Passages, Table
from tfl.recipe.network import Backbone, Backbones, Head
from tfl.recipe.search import Search
from tfl.recipe.settings import Calibration, ExportFormat, Features, Monitor, Precision
from tfl.recipe.stages import Auto, Stage
from tfl.recipe.tasks import DETECT, GENERATE, HEADS, METRICS, OF_NUMBERS, TaskName, metric_alone
from tfl.recipe.unlabelled import Adapt, Pretrain, Unlabelled
from tfl.recipe.zero_shot import ZeroShot


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a result.

    Args:
        name: Also the name of the run folder and of the served model.
        task: What is predicted: `classify` (one of several classes), `multilabel` (any number of labels), `regress` (numbers).
            `detect` (boxes of objects, of a source that has boxes). With `Data.targets` it is `heads` (several of these at once)
            by itself.
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
        confidence: Calibrated probabilities, prediction sets, out-of-distribution scores; None leaves them out everywhere. The
            task `detect` has none of them.
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
        zero_shot: How classes that are not in `data` are named by their attributes, see `ZeroShot`; `tfl predict RUN FILES
            --classes TABLE` answers with them. For one of several classes.
        unseen_data: Labelled examples of such classes, on which the report measures that. Nothing learns from them.
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
    zero_shot: ZeroShot | None = None
    unseen_data: Data | None = None
    each_alone: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "backbone", _by_input(self.backbone, self.data))
        if isinstance(self.data, Data) and self.data.targets and self.task == "classify":
            object.__setattr__(self, "task", HEADS)
        if isinstance(self.data, Data) and isinstance(self.data.input, Passages) and self.task == "classify":
            object.__setattr__(self, "task", GENERATE)
        if self.task == DETECT and self.confidence == Calibration():
            object.__setattr__(self, "confidence", None)
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
        check_augment(self)
        check_inputs(self)
        check_heads(self)
        check_generate(self)
        check_detect(self)
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
            check_nothing_trains(self)
        if self.head.pooling == "flatten" and self.data.kind == "text":
            raise RecipeError(
                "`head.pooling=flatten` takes maps of a fixed size, and texts have lengths of their own.",
                allowed="`avg`, `max`, `first` or `pooled`",
            )
        if self.task in OF_NUMBERS:
            check_numbers(self)
        if self.needs_classifier:
            check_classifier(self)
        if self.extra_data is not None:
            check_extra_data(self, self.extra_data)
        if self.target_data is not None:
            check_target_data(self, self.target_data)
        elif self.adapt != Adapt():
            raise RecipeError(
                "`adapt` says how a network is adapted to `target_data`, and there is none.",
                fix="Name the unlabelled examples: target_data=tfl.Data(SOURCE); or leave out `adapt`.",
            )
        check_unlabelled(self)
        check_zero_shot(self)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What the monitor can watch; the first is watched where the recipe does not say."""
        of_each = [
            f"val_{name}_{metric.removeprefix('val_')}" for name, one in self.data.targets.items() for metric in METRICS[one.task]
        ]
        return (*METRICS[self.task], *of_each)

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

        A monitor that watches no metric of another task watches the first of that task. A further source that is given as text,
        such as `extra_data`, holds examples of the kind of `data`.

        Example:

        >>> import tfl
        >>> recipe = tfl.Recipe(name="ages", data=tfl.Data("faces"), backbone=tfl.Backbone("mini"))
        >>> recipe.override("task", "regress").monitor.metric
        'val_mae'
        """
        if path == "task" and value in METRICS and self.monitor.metric not in METRICS[value]:
            monitor = dataclasses.replace(self.monitor, metric="auto")
            return dataclasses.replace(self, task=value, monitor=monitor)
        if path in DATA_PARTS and path != "data" and isinstance(value, str) and value.lower() not in ("none", "null", ""):
            value = Data(value, input=None if self.data.input is None else type(self.data.input)())
        return override(self, path, value)

    def smoke(self) -> Recipe:
        """A copy that runs in seconds: every part as it is, on a few images, for one epoch a stage."""
        parts: dict[str, Any] = {name: _few(part) for name in DATA_PARTS if (part := getattr(self, name)) is not None}
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


DATA_PARTS = ("data", "source_data", "extra_data", "target_data", "unseen_data")
"""The fields of a recipe that name examples."""


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
