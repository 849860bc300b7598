"""Whether the parts of a recipe go together; each function raises `RecipeError` where they do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tfl.errors import RecipeError
from tfl.recipe.augment import AudioAugment, Augment
from tfl.recipe.data import Data
from tfl.recipe.inputs import Passages, Table
from tfl.recipe.network import Backbones, Head
from tfl.recipe.stages import Auto
from tfl.recipe.tasks import GENERATE, HEADS
from tfl.recipe.unlabelled import PRETRAIN

if TYPE_CHECKING:
    from tfl.recipe.recipe import Recipe


_JOINS = ("join", "join_width", "drop_input")
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


def _refuse(told: Mapping[str, bool], why: str, *, allowed: str = "", fix: str) -> None:
    """Raises where one of the settings is asked for, by how they are named in a recipe."""
    if refused := [name for name, asked in told.items() if asked]:
        raise RecipeError(why, received=", ".join(refused), allowed=allowed or None, fix=fix)


def check_unlabelled(recipe: Recipe) -> None:
    """Whether images without labels are there where they are asked for, and can be used."""
    labelled_by_itself = [stage.name for stage in recipe.fixed_stages if stage.pseudo_labels is not None]
    uses = [*(["pretrain"] if recipe.pretrain else []), *(f"stages.{name}.pseudo_labels" for name in labelled_by_itself)]
    if labelled_by_itself and recipe.unlabelled is None:
        raise RecipeError(
            "A stage with `pseudo_labels` trains on images without labels, and the recipe names none.",
            received=f"stages.{labelled_by_itself[0]}.pseudo_labels",
            fix='Name them: unlabelled=tfl.Unlabelled("more_photos/").',
        )
    if not uses:
        return
    if recipe.data.kind != "image" or recipe.task != "classify":
        raise RecipeError(
            "Learning from images without labels is for images of one of several classes.",
            received=f"{', '.join(uses)} with examples of the kind `{recipe.data.kind}` and task={recipe.task}",
            allowed="images, task=classify",
            fix="Leave it out.",
        )
    if recipe.pretrain is not None:
        check_pretrain(recipe)
    for stage in recipe.fixed_stages:
        if stage.pseudo_labels is not None and (stage.augment is None or stage.augment.mixes):
            raise RecipeError(
                f"Stage `{stage.name}` has pseudo-labels, which are the answers on weakly changed images.",
                received="augment=None" if stage.augment is None else "augment with mixup or cutmix",
                allowed="augment without mixup and cutmix",
                fix='Give it weak changes, such as augment=tfl.Augment(flip="horizontal", crop=0.8).',
            )


def check_pretrain(recipe: Recipe) -> None:
    """Whether the other parts go with a backbone that learns before the first stage."""
    told = {
        "head.start=source": recipe.head.start == "source",
        "source_data": recipe.source_data is not None,
        "search": recipe.search is not None,
        "a stage called `pretrain`": any(stage.name == PRETRAIN for stage in recipe.fixed_stages),
        'a stage with train="unmatched"': any(stage.train == "unmatched" for stage in recipe.fixed_stages),
    }
    _refuse(
        told,
        "This does not go together with `pretrain`, after which the backbone is another one.",
        fix="Leave it out, or pretrain in a run of its own and name its pretrained.keras as the backbone.",
    )
    size = recipe.data.image_size
    if recipe.pretrain is not None and recipe.pretrain.method == "rotation" and size is not None and size[0] != size[1]:
        raise RecipeError(
            "`pretrain.method=rotation` turns images by 90 degrees, which takes square ones.",
            received=f"data.image_size={size[0]},{size[1]}",
            fix="Take a square data.image_size, or another method.",
        )


def check_heads(recipe: Recipe) -> None:
    """Whether several targets are named where they are asked for, and nothing is asked for that they do not have."""
    targets = recipe.data.targets
    if not targets:
        asked = {
            "task=heads": recipe.task == HEADS,
            "head.loss_weights": bool(recipe.head.loss_weights),
            "each_alone": recipe.each_alone,
        }
        _refuse(
            asked,
            "This is about several targets, and `data.targets` names none.",
            fix='Name them: tfl.Data(..., targets={"species": "class", "length": "number"}); or leave this out.',
        )
        return
    if recipe.task != HEADS:
        raise RecipeError(
            "`data.targets` says what is predicted, each target by its own task.",
            received=f"task={recipe.task}",
            fix="Leave `task` out.",
        )
    unknown = (
        [name for name in recipe.head.loss_weights if name not in targets] if recipe.head.loss_weights != "uncertainty" else []
    )
    if unknown:
        raise RecipeError(
            "`head.loss_weights` weighs targets that are not there.", received=", ".join(unknown), allowed=list(targets)
        )
    told = {
        "stages=tfl.Auto(...)": isinstance(recipe.stages, Auto),
        f"head.start={recipe.head.start}": recipe.head.start == "source",
        f"head.probe={recipe.head.probe}": recipe.head.probe != "logistic",
        "head.strengths": bool(recipe.head.strengths),
        "source_data": recipe.source_data is not None,
        "extra_data": recipe.extra_data is not None,
        "search": recipe.search is not None,
        "data.audit=deep": recipe.data.audit == "deep",
    }
    _refuse(
        told,
        "This is not there for several targets.",
        allowed="stated stages; head.start random, or probe with head.probe=logistic",
        fix="Leave it out, or ask for it with one target alone: without `targets`, with `label_column=` and `task=`.",
    )


def check_inputs(recipe: Recipe) -> None:
    """Whether the networks are those of the inputs, and nothing is asked for that several inputs do not have."""
    if not recipe.data.inputs:
        if isinstance(recipe.backbone, Backbones):
            raise RecipeError(
                "`Recipe.backbone` has a network for each of several inputs, and the data has one input.",
                received=", ".join(recipe.backbone.inputs),
                fix="Name the inputs: tfl.Data(..., inputs={...}); or give one network: backbone=tfl.Backbone(NAME).",
            )
        plain = Head()
        if idle := [name for name in _JOINS if getattr(recipe.head, name) != getattr(plain, name)]:
            raise RecipeError(
                "These settings of the head join several inputs, and the data has one input.",
                received=", ".join(f"head.{name}" for name in idle),
                fix="Leave them out.",
            )
        return
    wanted = [name for name, one in recipe.data.inputs.items() if not isinstance(one, Table)]
    given = list(recipe.backbone.inputs) if isinstance(recipe.backbone, Backbones) else [recipe.backbone.name]
    if not isinstance(recipe.backbone, Backbones) or sorted(given) != sorted(wanted):
        raise RecipeError(
            "Each of several inputs but a table has a network of its own, and `Recipe.backbone` names others.",
            received=", ".join(given),
            allowed=", ".join(wanted),
            fix=f"Give a dictionary: backbone={{{', '.join(f'{name!r}: tfl.Backbone(...)' for name in wanted)}}}.",
        )
    told = {
        "stages=tfl.Auto(...)": isinstance(recipe.stages, Auto),
        "head.taps": bool(recipe.head.taps),
        f"head.pooling={recipe.head.pooling}": recipe.head.pooling not in ("avg", "max"),
        f"head.start={recipe.head.start}": recipe.head.start == "source",
        f"head.start=probe with head.join={recipe.head.join}": recipe.head.start == "probe" and recipe.head.join != "concat",
        "head.probe=knn": recipe.head.probe == "knn",
        "source_data": recipe.source_data is not None,
        "extra_data": recipe.extra_data is not None,
        "target_data": recipe.target_data is not None,
        "search": recipe.search is not None,
        "data.audit=deep": recipe.data.audit == "deep",
        "unlabelled": recipe.unlabelled is not None,
        "pretrain": recipe.pretrain is not None,
        "backbone.match": any(one.match != "exact" for one in recipe.backbone.inputs.values()),
        "backbone.adapter_width": any(one.adapter_width for one in (recipe.backbone, *recipe.backbone.inputs.values())),
    }
    _refuse(
        told,
        "This is not there for several inputs.",
        allowed="stated stages; head.pooling avg or max; head.start random, or probe with head.join=concat",
        fix="Leave it out, or ask for it on one of the inputs alone.",
    )


def check_extra_data(recipe: Recipe, extra: Data) -> None:
    """Whether extra examples can train next to those of `data`."""
    _check_other_data(recipe, "extra_data", extra, "all of them may train")
    if recipe.head.start == "source":
        raise RecipeError(
            "`extra_data` trains next to `data`, and with `head.start=source` nothing is trained.",
            fix="Leave out `extra_data`, or take another `head.start`.",
        )
    if recipe.backbone.weights is None and recipe.pretrain is None:
        raise RecipeError(
            "`extra_data` is compared with `data` by the features of a trained network, and this one has random weights.",
            received="backbone.weights=None",
            allowed="pretrained, or a weights file",
        )


def check_target_data(recipe: Recipe, target: Data) -> None:
    """Whether the network can be adapted to the examples of another domain."""
    _check_other_data(recipe, "target_data", target, "they are not split")
    if recipe.head.start == "source" or recipe.head.probe == "knn":
        raise RecipeError(
            "Adaptation to `target_data` changes the last layer of the head, which here is no layer with weights.",
            received=f"head.start={recipe.head.start}, head.probe={recipe.head.probe}",
            allowed='head.start "random" or "probe", with another probe than "knn"',
        )


def check_zero_shot(recipe: Recipe) -> None:
    """Whether classes can be named by their attributes."""
    unseen = recipe.unseen_data
    if recipe.zero_shot is None:
        if unseen is not None:
            raise RecipeError(
                "`unseen_data` holds classes that are named by their attributes, and nothing says which they have.",
                received=unseen.source,
                fix="Give `zero_shot=tfl.ZeroShot(TABLE)` as well, or leave `unseen_data` out.",
            )
        return
    if recipe.task != "classify" or recipe.data.inputs:
        raise RecipeError(
            "`zero_shot` names one of several classes, of examples with one input.",
            received=f"task={recipe.task}" + (", several inputs" if recipe.data.inputs else ""),
            fix="Leave `zero_shot` out.",
        )
    if unseen is not None:
        _check_other_data(recipe, "unseen_data", unseen, "they are not split")


def _check_other_data(recipe: Recipe, field: str, other: Data, why_idle: str) -> None:
    """Whether examples of another source can go through the network next to those of `data`."""
    if recipe.task != "classify":
        raise RecipeError(
            f"`{field}` is for one of several classes, and this recipe has another task.",
            received=recipe.task,
            allowed="classify",
        )
    if other.kind != recipe.data.kind:
        raise RecipeError(
            f"`{field}` holds another kind of examples than `data`, and both go through one network.",
            received=other.kind,
            allowed=recipe.data.kind,
        )
    if idle := _idle_settings(other, recipe.data):
        raise RecipeError(
            f"How examples of `{field}` become tensors is that of `data`, and {why_idle}: these settings have no effect there.",
            received=", ".join(f"{field}.{name}" for name in idle),
            fix="Leave them out, or give them to `data`.",
        )


def check_classifier(recipe: Recipe) -> None:
    """Whether the source network has a classifier, and what asks for it goes together."""
    what = "`head.start=source`" if recipe.head.start == "source" else "`source_data`"
    if recipe.backbone.weights is None:
        raise RecipeError(
            f"{what} asks for what the network was trained for, and this one has random weights.",
            received="backbone.weights=None",
            allowed="pretrained, or a weights file with the classifier",
        )
    if recipe.source_data is not None and recipe.source_data.kind != recipe.data.kind:
        raise RecipeError(
            "`source_data` holds another kind of examples than `data`, and both go through one network.",
            received=recipe.source_data.kind,
            allowed=recipe.data.kind,
        )
    if recipe.head.start != "source":
        return
    if recipe.backbone.adapter_width:
        raise RecipeError(
            "`head.start=source` takes the source network as it is, without residual adapters.",
            received=f"backbone.adapter_width={recipe.backbone.adapter_width}",
            fix="Leave out `adapter_width`, or take another `head.start`.",
        )
    if recipe.task != "classify":
        raise RecipeError(
            "`head.start=source` answers with one of several classes, and this recipe has another task.",
            received=recipe.task,
            allowed="classify",
        )
    if isinstance(recipe.stages, Auto) or any(stage.epochs for stage in recipe.stages):
        raise RecipeError(
            "`head.start=source` takes the classifier of the source network as it is, and nothing is trained.",
            received="Auto" if isinstance(recipe.stages, Auto) else f"epochs={[stage.epochs for stage in recipe.stages]}",
            allowed='stages=(tfl.Stage("source", epochs=0),)',
            fix="Take `--strategy direct`, or another `head.start`.",
        )


def check_nothing_trains(recipe: Recipe) -> None:
    """Whether no stage trains a head of nearest neighbours."""
    training = [f"stages.{stage.name}.epochs={stage.epochs}" for stage in recipe.fixed_stages if stage.epochs]
    if training or isinstance(recipe.stages, Auto):
        raise RecipeError(
            "A head of nearest neighbours (`head.probe=knn`) has nothing to train: it holds the training examples.",
            received=training or "stages=tfl.Auto(...)",
            allowed='stages with epochs=0, such as stages=(tfl.Stage("probe", epochs=0),)',
            fix="Take another `head.probe`, or the head and the stages of: tfl run RECIPE --strategy knn",
        )


def check_numbers(recipe: Recipe) -> None:
    """Whether nothing is asked for that numbers do not have."""
    smoothed = [f"stages.{stage.name}.label_smoothing" for stage in recipe.fixed_stages if stage.label_smoothing]
    meaningless = [*smoothed, *(["class_weight"] if recipe.class_weight is not None else [])]
    if meaningless:
        raise RecipeError(
            f"These settings are about classes or labels, and the task `{recipe.task}` predicts numbers.",
            received=meaningless,
            fix="Leave them out.",
        )


def check_generate(recipe: Recipe) -> None:
    """Whether a language model has passages to learn from, and nothing is asked for that it does not have."""
    passages = isinstance(recipe.data.input, Passages)
    others = [f"stages.{stage.name}.on=others" for stage in recipe.fixed_stages if stage.on == "others"]
    if not passages:
        asked = {"task=generate": recipe.task == GENERATE} | dict.fromkeys(others, True)
        _refuse(
            asked,
            "This is about passages of books, from which a language model learns.",
            allowed="data with input=tfl.Passages()",
            fix="Say so: tfl.Data(..., input=tfl.Passages()); or leave this out.",
        )
        return
    if recipe.task != GENERATE:
        raise RecipeError(
            "Passages of books have no other target than their own text.",
            received=f"task={recipe.task}",
            fix="Leave `task` out; for classes or numbers of texts say input=tfl.Text().",
        )
    head, data, own = Head(), recipe.data, Data(recipe.data.source)
    told = {f"head.{name}": getattr(recipe.head, name) != getattr(head, name) for name in ("hidden", "taps", "start", "pooling")}
    idle = ("image_size", "fit", "bits", "train_per_class", "path_column", "label_column", "test_fold", "audit", "exclude")
    told |= {f"data.{name}": getattr(data, name) != getattr(own, name) for name in idle}
    told |= {
        "stages=tfl.Auto(...)": isinstance(recipe.stages, Auto),
        "confidence": recipe.confidence is not None,
        "export": bool(recipe.export),
        "source_data": recipe.source_data is not None,
        "extra_data": recipe.extra_data is not None,
        "target_data": recipe.target_data is not None,
        "each_alone": recipe.each_alone,
    }
    _refuse(
        told,
        "This is not there for a language model, which the run keeps as model.keras.",
        fix="Leave it out; of `confidence` and `export` say that there are none: confidence=None, export=(). When the run is "
        "done, tfl export RUN --format keras writes a file that gives the logits of the next token.",
    )
    if others and recipe.data.labels is None:
        raise RecipeError(
            "A stage trains on the books of other authors, and `data.labels` names no author.",
            received=others[0],
            fix='Name one: data.labels=("dostoevsky",), the name of a folder of the source.',
        )


def check_augment(recipe: Recipe) -> None:
    """Whether the augmentation is that of the kind of the examples."""
    wanted = {"image": Augment, "audio": AudioAugment}.get(recipe.data.kind)
    given = {"`Auto`": recipe.stages.augment} if isinstance(recipe.stages, Auto) else {}
    given |= {f"stage `{stage.name}`": stage.augment for stage in recipe.fixed_stages}
    for name, augment in given.items():
        if augment is not None and (wanted is None or not isinstance(augment, wanted)):
            raise RecipeError(
                f"The augmentation of {name} does not fit examples of the kind `{recipe.data.kind}`.",
                received=f"tfl.{type(augment).__name__}",
                allowed="None" if wanted is None else f"tfl.{wanted.__name__}, or None",
            )
