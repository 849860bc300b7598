"""Examples of several inputs: each input has a modality of its own, and this one asks them. See `tfl.modalities.base.Modality`.

A content is a serialised `tf.train.Example` with a feature of bytes for each input that is there, see
`tfl.modalities.several.packed`. Its tensors are those of the inputs, `photo_pixels` for `pixels` of the input `photo`, and
`present`, which inputs are there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfl.errors import BadContentError, DataError, RecipeError
from tfl.modalities import base
from tfl.modalities.base import NOUNS, Audited, Checked, Modality, Preview, TensorSpec
from tfl.modalities.defaults import ModalityDefaults
from tfl.modalities.several.packed import pack, unpack
from tfl.modalities.table.modality import TableModality, with_values
from tfl.recipe import SEVERAL, Backbones, Head, Image, Recipe, Table

if TYPE_CHECKING:
    import tensorflow as tf

    import tfl
    from tfl.modalities.several.checks import SeveralChecks

CONTENT_INPUT = "examples"
"""Name of the input of an export that takes contents."""
PRESENT = "present"
"""Name of the tensor that says which inputs are there, `(batch, inputs)` int32, in the order of the recipe."""
_NOTHING = "no_input"
_PARTS_AT_ONCE = 2**26


@dataclass(frozen=True, eq=False)
class SeveralModality(ModalityDefaults):
    """Examples of several inputs.

    Args:
        inputs: Of the recipe's data, everything stated; by name.
        parts: The modality of each.
    """

    inputs: Mapping[str, tfl.recipe.Input]
    parts: Mapping[str, Modality]
    kind: ClassVar[str] = SEVERAL
    noun: ClassVar[str] = NOUNS[SEVERAL][0]
    nouns: ClassVar[str] = NOUNS[SEVERAL][1]
    content_input: ClassVar[str] = CONTENT_INPUT
    most_bytes: ClassVar[int] = _PARTS_AT_ONCE
    finishes: ClassVar[bool] = True
    allowed: ClassVar[str] = "examples with one of their inputs or more"
    near_copies: ClassVar[str] = "are the same in all of their inputs"
    small_preview_media: ClassVar[str] = "text/plain"

    @property
    def in_graph(self) -> bool:  # type: ignore[override]
        """Whether every input can be decoded in a graph."""
        return all(part.in_graph for part in self.parts.values())

    @property
    def troubles(self) -> Mapping[str, str]:
        """Those of the inputs, `photo.zero_bytes` for `zero_bytes` of `photo`, and an example without any."""
        own = {
            f"{name}.{trouble}": f"has a `{name}` that {words}"
            for name, part in self.parts.items()
            for trouble, words in part.troubles.items()
        }
        others = {"unreadable": "cannot be read", "too_large": "is too large", "undecodable": "cannot be decoded"}
        return {**own, **others, _NOTHING: f"has none of its inputs ({', '.join(self.parts)})"}

    @property
    def trouble_fixes(self) -> Mapping[str, str]:
        """Those of the inputs."""
        return {f"{name}.{trouble}": fix for name, part in self.parts.items() for trouble, fix in part.trouble_fixes.items()}

    @property
    def titles(self) -> Mapping[str, str]:
        """Those of the inputs."""
        return {kind: title for part in self.parts.values() for kind, title in part.titles.items()}

    @property
    def audit_reads_tensors(self) -> bool:  # type: ignore[override]
        """Whether an input's checks read tensors."""
        return any(part.audit_reads_tensors for part in self.parts.values())

    @property
    def networks(self) -> tuple[str, ...]:
        """The inputs that have a network."""
        return tuple(name for name, part in self.parts.items() if part.kind != "table")

    def identity(self) -> dict[str, Any]:
        """What decides the tensors of each input."""
        return {name: part.identity() for name, part in self.parts.items()}

    def about(self) -> dict[str, Any]:
        """What a person is told of each input."""
        return {name: part.about() for name, part in self.parts.items()}

    def size_text(self) -> str:
        """Each input in words."""
        return "on " + ", ".join(f"{name} {part.size_text()}" for name, part in self.parts.items())

    def spec(self) -> dict[str, TensorSpec]:
        """The tensors of each input, and `present`."""
        own = {tensor_name(name, one): spec for name, part in self.parts.items() for one, spec in part.spec().items()}
        return {**own, PRESENT: TensorSpec((len(self.parts),), "int32", stored_as="uint8")}

    def check(self, content: bytes) -> Checked:
        """What is wrong with the first input that cannot be used; the cost is that of all."""
        try:
            found = unpack(content, with_empty=True)  # a file of no bytes is damaged and not missing
        except BadContentError:
            return Checked(trouble="undecodable")
        known = {name: found[name] for name in self.parts if name in found}
        if not known:
            return Checked(trouble=_NOTHING)
        checked = {name: self.parts[name].check(part) for name, part in known.items()}
        for name, one in checked.items():
            if one.trouble:
                return Checked(trouble=f"{name}.{one.trouble}", detail=one.detail)
        return Checked(format=SEVERAL, cost=sum(one.cost for one in checked.values()), about={"checked": checked})

    def file_findings(self, examples: Any, files: Sequence[Checked]) -> list[dict[str, Any]]:
        """Those about all files of each input together, with the name of the input before the note."""
        usable, found = examples.take(np.array([at for at, one in enumerate(files) if not one.trouble], np.int64)), []
        of_each = [one.about["checked"] for one in files if not one.trouble]
        for name in self.networks:
            some, rows = usable.of_input(name)
            own = self.parts[name].file_findings(some, [of_each[int(row)][name] for row in rows])
            found += [{**one, "note": f"{name}: {one['note']}"} for one in own]
        return found

    def refuse_files(self, findings: Sequence[Mapping[str, Any]], source: str) -> None:
        """See the inputs' own."""
        for name in self.networks:
            self.parts[name].refuse_files(findings, source)

    @contextlib.contextmanager
    def checking(self) -> Iterator[None]:
        """Those of all inputs."""
        with contextlib.ExitStack() as stack:
            for part in self.parts.values():
                stack.enter_context(part.checking())
            yield

    def readable(self, content: bytes) -> bytes:
        """The content with every input in a form that the graph decodes."""
        found = unpack(content)
        changed = {name: self.parts[name].readable(part) if name in self.parts else part for name, part in found.items()}
        return content if changed == found else pack(changed)

    def convert(self, content: tf.Tensor) -> tf.Tensor:
        """`readable` within a dataset, of a batch."""
        import tensorflow as tf

        def of_all(contents: Any) -> Any:
            made = np.empty(len(contents), object)
            made[:] = [self.readable(one) for one in contents]
            return made

        return tf.ensure_shape(tf.numpy_function(of_all, [content], tf.string, stateful=False), (None,))

    def decode(self, content: tf.Tensor) -> tf.Tensor:
        """The contents themselves: `finish` decodes a batch at once."""
        return content

    def finish(self, tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        """The tensors of a batch of contents; in the place of a missing input stands an empty one, which `present` marks."""
        import tensorflow as tf

        features = {name: tf.io.FixedLenFeature([], tf.string, "") for name in self.parts}
        found, made, there = tf.io.parse_example(tensors, features), dict[str, tf.Tensor](), []
        for name, part in self.parts.items():
            present = tf.not_equal(found[name], "")
            encoded = part.encode(tf.where(present, found[name], tf.constant(stand_in(part))))
            made |= {tensor_name(name, one): tensor for one, tensor in named(encoded, part).items()}
            there.append(present)
        return {**made, PRESENT: tf.cast(tf.stack(there, axis=1), tf.int32)}

    def encode(self, contents: tf.Tensor) -> dict[str, tf.Tensor]:
        """The tensors of a batch of contents, `(batch,)` strings."""
        return self.finish(contents)

    def light_values(self, names: Sequence[str], examples: Any, indices: Any) -> dict[str, Any]:
        """`present`, and the columns of tables."""
        packed, found = examples.contents, dict[str, Any]()
        if PRESENT in names:
            there = np.stack([packed.has(name)[indices] for name in self.parts], axis=1)
            found[PRESENT] = there.astype(np.int32)
        for name, part in self.parts.items():
            for tensor, values in self._of_table(name, part, packed, indices).items():
                found |= {tensor: values} if tensor in names else {}
        return found

    def _of_table(self, name: str, part: Modality, packed: Any, indices: Any) -> dict[str, Any]:
        if part.kind != "table":
            return {}
        import tensorflow as tf

        rows = tf.constant([packed.read(name, int(index)) or b"" for index in indices], tf.string)
        return {tensor_name(name, one): np.asarray(values) for one, values in named(part.encode(rows), part).items()}

    def resources(self) -> Sequence[Any]:
        """Those of all inputs."""
        return [one for part in self.parts.values() for one in part.resources()]

    def sample_tensors(self, count: int, *, seed: int = 0) -> dict[str, Any]:
        """Those of each input, all of them there."""
        made = {
            tensor_name(name, one): values
            for name, part in self.parts.items()
            for one, values in named(part.sample_tensors(count, seed=seed), part).items()
        }
        return {**made, PRESENT: np.ones((count, len(self.parts)), np.int32)}

    def build_backbone(self, backbone: tfl.Backbone) -> Any:
        """There is no network of several inputs: `tfl.model.branches` builds one for each.

        Raises:
            RecipeError: Always.
        """
        raise one_input_only("A single network")

    def network_note(self, backbone: tfl.Backbone) -> str | None:
        """What is to be reported of the networks."""
        notes = {name: self.parts[name].network_note(one) for name, one in networks_of(backbone).items()}
        return "; ".join(f"{name}: {note}" for name, note in notes.items() if note) or None

    def network_about(self, backbone: tfl.Backbone) -> dict[str, Any]:
        """What was decided of each network, next to what the recipe says of it."""
        return {name: {**_plain(one), **self.parts[name].network_about(one)} for name, one in networks_of(backbone).items()}

    def recipe_notes(self, asked: tfl.Recipe) -> list[tuple[str, str]]:
        """What is to be reported of the recipe by input."""
        return [
            (kind, f"{name}: {note}")
            for name in self.networks
            for kind, note in self.parts[name].recipe_notes(single_recipe(asked, name))
        ]

    def refuse_undecided(self, recipe: tfl.Recipe, bundle: Any, console: Any, *, score: Callable[..., float]) -> None:
        """See the inputs' own."""
        for name in self.networks:
            one = single_recipe(recipe, name)
            self.parts[name].refuse_undecided(one, bundle.of_input(name, self.parts[name], one.data)[0], console, score=score)

    def preview(self, content: bytes, *, attribution: Any = None) -> Preview:
        """Every input of the example with its name; nothing is said of what the answer rests on."""
        found = unpack(content)
        shown = {name: part.preview(found[name]) if name in found else None for name, part in self.parts.items()}
        rows = [f"<dt>{name}</dt><dd>{'missing' if one is None else one.html}</dd>" for name, one in shown.items()]
        texts = [f"{name}: {'missing' if one is None else one.text}" for name, one in shown.items()]
        return Preview(html=f'<dl class="inputs">{"".join(rows)}</dl>', text="; ".join(texts))

    def small_preview(self, read: Callable[[], bytes], tensors: Any) -> bytes:
        """The inputs on one line, as UTF-8."""
        return self.preview(read()).text.encode()

    def audit_checks(self, audited: Audited) -> SeveralChecks:
        """See `tfl.modalities.several.checks`."""
        from tfl.modalities.several.checks import SeveralChecks

        return SeveralChecks(audited, self)


def tensor_name(name: str, tensor: str) -> str:
    """What a tensor of an input is called among those of all."""
    return f"{name}_{tensor}"


def named(tensors: Any, part: Modality) -> dict[str, Any]:
    """The tensors of one input by their own names."""
    return dict(tensors) if isinstance(tensors, Mapping) else {next(iter(part.spec())): tensors}


@functools.lru_cache(maxsize=8)
def _stand_in(kind: str) -> bytes:
    if kind == "image":
        from tfl.modalities.files import array_content

        return array_content(np.zeros((16, 16, 3), np.uint8))
    if kind == "audio":
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(bytes(2 * 1600))
        return buffer.getvalue()
    return b""


def stand_in(part: Modality) -> bytes:
    """The content that stands in the place of a missing input: a black image, silence, or nothing."""
    return _stand_in(part.kind)


def one_input_only(what: str) -> RecipeError:
    """The error for what is not there for several inputs.

    Args:
        what: The start of a sentence, in the singular.
    """
    return RecipeError(
        f"{what} takes examples of one input, and this recipe joins several.",
        allowed="images, texts or sounds alone",
        fix="Name one input alone: without `inputs`, with `input=` or `image_size=` and the column of the table.",
    )


def refuse_several(recipe: tfl.Recipe, what: str) -> None:
    """Makes sure that a recipe has one input, for what is not there for several.

    Args:
        recipe: The recipe.
        what: The start of a sentence, in the singular.

    Raises:
        RecipeError: It joins several.
    """
    if recipe.data.inputs:
        raise one_input_only(what)


def networks_of(backbone: tfl.Backbone) -> Mapping[str, tfl.Backbone]:
    """The network of each input that has one."""
    if not isinstance(backbone, Backbones):
        raise RecipeError("`Recipe.backbone` has no network for each input.", received=backbone.name)
    return backbone.inputs


def single_recipe(recipe: tfl.Recipe, name: str) -> Recipe:
    """The recipe of one input alone: the same examples, split, network, task and seed; its head trains.

    A run of it finds the features that the joint run stored of this input, and the other way round.

    Example:

    >>> import tfl
    >>> from tfl.modalities.several.modality import single_recipe
    >>> data = tfl.Data("leaves.csv", inputs={"photo": tfl.Image(size=(96, 96)), "plot": tfl.Table(columns=("age",))})
    >>> recipe = tfl.Recipe(name="leaves", data=data, backbone={"photo": tfl.Backbone("mini")})
    >>> single_recipe(recipe, "photo").data.path_column
    'photo'
    """
    one: Any = recipe.data.inputs[name]
    column = getattr(one, "column", None) or name
    plain: dict[str, Any] = {"inputs": {}}
    if isinstance(one, Image):
        plain |= {"image_size": one.size, "fit": one.fit, "bits": one.bits, "path_column": column}
    else:
        plain["input"] = dataclasses.replace(one, column=column)
    return Recipe(
        name=recipe.name,
        task=recipe.task,
        data=dataclasses.replace(recipe.data, **plain),
        backbone=networks_of(recipe.backbone)[name],
        head=Head(pooling=recipe.head.pooling),
        features=recipe.features,
        precision=recipe.precision,
        seed=recipe.seed,
        class_weight=recipe.class_weight,
    )


def of_recipe(recipe: tfl.Recipe) -> SeveralModality:
    """The modality of a recipe's examples, from those of its inputs."""
    parts: dict[str, Any] = {
        name: TableModality(one) if isinstance(one, Table) else base.modality_of(single_recipe(recipe, name))
        for name, one in recipe.data.inputs.items()
    }
    return SeveralModality(dict(recipe.data.inputs), parts)


def settled(recipe: tfl.Recipe) -> tfl.Recipe:
    """The recipe with everything stated that the networks decide, such as the size of images."""
    for name in networks_of(recipe.backbone):
        one = base.settled(single_recipe(recipe, name))
        recipe = _with_input(recipe, name, one)
    return recipe


def chosen(recipe: tfl.Recipe, examples: Any) -> tuple[tfl.Recipe, str | None]:
    """The recipe with what only its training examples decide of each input, and a sentence about it."""
    notes = []
    for name, one in recipe.data.inputs.items():
        some, rows = examples.of_input(name)
        if not len(some):
            raise DataError(f"The input `{name}` is missing in every example of {examples.source}.", fix="Leave it out.")
        if isinstance(one, Table):
            inputs = {**recipe.data.inputs, name: with_values(one, [some.bytes_of(at) for at in _deciding(some)])}
            recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, inputs=inputs))
        else:
            single, note = base.chosen(single_recipe(recipe, name), some)
            recipe = _with_input(recipe, name, single)
            notes += [f"{name}: {note}"] if note else []
        if len(rows) < len(examples):
            notes.append(f"{name}: missing in {len(examples) - len(rows)} of {len(examples)} examples.")
    return recipe, " ".join(notes) or None


def check_available(recipe: tfl.Recipe) -> None:
    """Makes sure that the network of each input can be had."""
    for name in networks_of(recipe.backbone):
        base.check_available(single_recipe(recipe, name))


def of_data(data: tfl.Data) -> SeveralModality:
    """Several inputs have no modality without their networks.

    Raises:
        RecipeError: Always.
    """
    raise RecipeError("Several inputs are prepared for their own networks.", fix="Use modality_of(recipe).")


def _deciding(examples: Any) -> list[int]:
    """The positions of the training examples, of all where the source has no split."""
    if examples.splits is not None and (examples.splits == "train").any():
        return [int(at) for at in np.flatnonzero(examples.splits == "train")]
    return list(range(len(examples)))


def _with_input(recipe: tfl.Recipe, name: str, single: tfl.Recipe) -> tfl.Recipe:
    """The recipe with what the recipe of one input alone states of it."""
    own = recipe.data.inputs[name]
    given: Any = single.data.input
    if isinstance(own, Image):
        stated: Any = dataclasses.replace(own, size=single.data.image_size)
    else:
        stated = dataclasses.replace(given, column=getattr(own, "column", None))
    data = dataclasses.replace(recipe.data, inputs={**recipe.data.inputs, name: stated})
    backbone = Backbones(inputs={**networks_of(recipe.backbone), name: single.backbone})
    return dataclasses.replace(recipe, data=data, backbone=backbone)


def _plain(backbone: tfl.Backbone) -> dict[str, Any]:
    return {"name": backbone.name, "weights": backbone.weights}


def batches_of_input(
    batches: Callable[[], Iterator[tuple[int, Any]]], rows: np.ndarray, name: str, part: Modality
) -> Iterator[tuple[int, Any]]:
    """The batches of all examples, as those of the examples at `rows` that have an input."""
    done = 0
    for start, tensors in batches():
        count = len(tensors[PRESENT])
        inside = rows[(rows >= start) & (rows < start + count)] - start
        own = {one: tensors[tensor_name(name, one)][inside] for one in part.spec()}
        yield done, own if len(own) > 1 else next(iter(own.values()))
        done += len(inside)
