"""The network that makes vectors: a run's or a backbone, frozen, up to one block, pooled; and how it is recognised again.

about = {"network", "run", "block", "pooling", "width", "normalized", "kind", "recipe",     how to build it again
         "graph", "weights", "modality", "engine", "versions"}                              by what it is recognised
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.embeddings.wanted import Wanted, absolute_name, is_shared, run_at
from tfl.errors import BackboneError, DataError, TflError, did_you_mean
from tfl.fields import as_plain
from tfl.modalities.base import Modality, check_available, chosen, modality_of
from tfl.quiet import load_tensorflow
from tfl.recipe import Recipe
from tfl.runs import Run
from tfl.vectors import unit_length

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from tfl.data.examples import Examples
    from tfl.features.extract import Extractor

SHARED = "shared"
"""What the block of a pair of encoders is called: the vectors that both project to."""
HEAD_INPUT = "head_pool"
"""What the block of a run is called where none is named: the vector that its head reads."""
_LOOKED_AT = 2000
"""At most so many examples decide a length that nobody states."""
_PACKAGES = ("tensorflow", "keras", "keras-hub", "tensorflow-text")
_SHARE_OF_STORE = 10


def build_network(wanted: Wanted, examples: Examples | None = None) -> VectorNetwork:
    """The network, built or loaded.

    Args:
        wanted: As `check_network` returned it.
        examples: Those that decide what the recipe leaves open, such as the length of texts; at most 2,000 are looked at.

    Raises:
        BackboneError: There is no such block, or the network cannot be built.
        RunError: The model of the run cannot be loaded.
    """
    load_tensorflow()
    if wanted.run is not None:
        return _of_run(wanted, wanted.run)
    if is_shared(wanted, wanted.recipe.data.kind):
        from tfl.embeddings.shared import shared_network

        return shared_network(wanted)
    recipe, note = wanted.recipe, None
    if examples is not None:
        some = np.unique(np.linspace(0, len(examples) - 1, min(len(examples), _LOOKED_AT)).astype(np.int64))
        recipe, note = chosen(recipe, examples.take(some))
    return _of_backbone(dataclasses.replace(wanted, recipe=recipe), [] if note is None else [note])


def _of_run(wanted: Wanted, run: Run) -> VectorNetwork:
    import keras

    from tfl.backbones.blocks import block_outputs
    from tfl.backbones.inputs import inputs_of
    from tfl.evaluate.explain import tensor_of
    from tfl.model.head import POOL
    from tfl.serve.page.network import block_names
    from tfl.serve.predictor import load_run_model

    model, pooling = load_run_model(run), wanted.pooling or wanted.recipe.head.pooling
    if wanted.block is None and pooling == wanted.recipe.head.pooling:
        return VectorNetwork(wanted, keras.Model(inputs_of(model), tensor_of(model, POOL)), HEAD_INPUT, pooling)
    names = block_names(run)
    block = _named_block(wanted.block, names)
    pooled = _pooled(model, block_outputs(model).get(block), block, pooling)
    return VectorNetwork(wanted, pooled, block, pooling)


def _pooled(model: Any, tensor: Any, block: str, pooling: str) -> Any:
    import keras

    from tfl.backbones.adapters import adapter_layers
    from tfl.backbones.inputs import inputs_of
    from tfl.evaluate.explain import tensor_of
    from tfl.modalities.base import MASK
    from tfl.model.head import pool, pooling_layer

    if tensor is None:  # beside the vectors that a head with taps reads, there is no cut point
        total = adapter_layers(block)[-1]
        tensor = tensor_of(model, total if any(layer.name == total for layer in model.layers) else block)
    mask = next((one for one in model.inputs if one.name == MASK), None)
    return keras.Model(inputs_of(model), pool(pooling_layer(tensor.shape, pooling), tensor, pooling, mask))


def _of_backbone(wanted: Wanted, notes: list[str]) -> VectorNetwork:
    from tfl.features.pooled import pooled_models
    from tfl.model.assemble import assemble
    from tfl.tasks.base import task_of

    recipe = wanted.recipe
    precision = "float32" if recipe.precision == "auto" else recipe.precision
    assembled = assemble(recipe, ("a", "b"), modality=modality_of(recipe), task=task_of("classify"), precision=precision)
    names = [block.name for block in assembled.blocks]
    block = _named_block(wanted.block, names)
    model = pooled_models(assembled, recipe.head.pooling)[names.index(block)]
    return VectorNetwork(wanted, model, block, recipe.head.pooling, notes)


def _named_block(name: str | None, names: Sequence[str]) -> str:
    if name is None:
        return names[-1]
    if name not in names:
        raise BackboneError("The network has no such block.", received=name, allowed=names, fix=did_you_mean(name, names) or None)
    return name


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Vectors of some examples.

    Attributes:
        vectors: `(n, width)` float32, of those that can be read.
        kept: `(n,)`, where each was among the examples.
        fingerprints: The first 32 digits of the hash of each content.
        unreadable: The others: `file` and `why`.
        notes: What was found, as sentences.
    """

    vectors: NDArray[np.float32]
    kept: NDArray[np.int64]
    fingerprints: list[str]
    unreadable: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class VectorNetwork:
    """Makes vectors of examples. Make one with `build_network`.

    Attributes:
        recipe: Of its data, backbone and way of storing features; with all that decides the vectors stated.
        modality: How contents become tensors.
        model: From these tensors to vectors `(batch, width)`.
        block, pooling: Which block it ends at, and how that is pooled.
        notes: What was decided on the way, as sentences.
    """

    def __init__(
        self,
        wanted: Wanted,
        model: Any,
        block: str,
        pooling: str,
        notes: Sequence[str] = (),
        *,
        modality: Modality | None = None,
    ) -> None:
        self.wanted, self.model, self.block, self.pooling = wanted, model, block, pooling
        self.recipe, self.notes = wanted.recipe, list(notes)
        self.modality: Modality = modality_of(self.recipe) if modality is None else modality
        self._extractor: Extractor | None = None
        self._known: str | None = None

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self.model.output_shape[-1])

    def stores(self, count: int) -> bool:
        """Whether the vectors of so many examples are also kept in the store of features: as the recipe says, and else where they
        take at most a tenth of what it may hold."""
        from tfl.features.budget import can_store, limit_bytes
        from tfl.features.chunks import value_dtype

        wish = self.recipe.features.store
        size = count * self.width * value_dtype(str(self.recipe.features.dtype)).itemsize
        return wish == "always" or (wish == "auto" and size <= limit_bytes() // _SHARE_OF_STORE and can_store())

    def encode(self, examples: Examples, *, store: bool = False, console: Console | None = None) -> Encoded:
        """The vectors of some examples, on the path that training takes. All are in memory: call it for part after part.

        Args:
            examples: Files, contents or arrays.
            store: Whether the store of features is read and written.
            console: Where to say which engine was chosen.
        """
        from tfl.data.audit import audit
        from tfl.data.listing import short_fingerprint

        found = audit(examples, modality=self.modality, on_bad="report", keep=True)
        unreadable = [
            {"file": str(file), "why": self.modality.troubles.get(one["kind"], one["note"])}
            for one in found.findings
            if one["severity"] == "error"
            for file in one["files"]
        ]
        notes = [str(one["note"]) for one in found.findings if one["severity"] == "warning"]
        vectors = np.empty((0, self.width), np.float32)
        if len(found.kept):
            extractor = self._over(found, console)
            everything = np.arange(len(found.kept))
            if store:
                made: Any = extractor.run(everything)[0][0]
                vectors = np.asarray(made.read_all(), np.float32)
            else:
                vectors = np.asarray(extractor.compute(everything)[0], np.float32)
            self._refuse_infinite(vectors)
            if self.wanted.normalized:
                vectors = unit_length(vectors)
        prints = [short_fingerprint(one) for one in found.fingerprints]
        return Encoded(vectors=vectors, kept=found.kept, fingerprints=prints, unreadable=unreadable, notes=notes)

    def _refuse_infinite(self, vectors: NDArray[np.float32]) -> None:
        if not np.isfinite(vectors).all():
            raise TflError(
                f"The network {self.wanted.named} makes vectors that are not numbers.",
                fix="Take another block with --block, or check how its inputs are prepared (backbone.preprocessing).",
            )

    def _over(self, found: Any, console: Console | None) -> Extractor:
        """The extractor over some examples, with the models hashed and the engine chosen by the first ones."""
        from tfl.data.bundle import Bundle
        from tfl.data.split import Split
        from tfl.features.extract import Extractor

        split = Split.only("train", len(found.examples))
        bundle = Bundle.of(found, split=split, data=self.recipe.data, seed=self.recipe.seed, modality=self.modality)
        if self._extractor is None:
            if self.wanted.run is None:
                self.modality.refuse_undecided(self.recipe, bundle, None, score=lambda features, labels: float("nan"))
            features = self.recipe.features
            self._extractor = Extractor([self.model], bundle, features=features, known=self._known, console=console)
            self._extractor.engine()
        self._extractor = self._extractor.over(bundle)
        return self._extractor

    def take_engine(self, name: str | None) -> None:
        """Takes the engine of this name, as long as it agrees: what began with one goes on with it."""
        self._known = name

    @property
    def engine(self) -> str | None:
        """What runs the network; None before it was chosen, which takes examples."""
        if self._extractor is not None:
            return self._extractor.engine_name
        return self._known

    def about(self, task: str = "") -> dict[str, Any]:
        """What made the vectors, as plain data.

        Args:
            task: What their labels are for.
        """
        import keras
        import tensorflow as tf

        from tfl.backbones.weight_hash import weights_hash
        from tfl.features.identity import graph_hash

        return {
            "network": self.wanted.named,
            "run": None if self.wanted.run is None else os.path.abspath(self.wanted.run.folder),
            "block": self.block,
            "pooling": self.pooling,
            "width": self.width,
            "normalized": self.wanted.normalized,
            "kind": self.modality.kind,
            "task": task,
            "graph": graph_hash(self.model),
            "weights": weights_hash(self.model),
            "modality": as_plain(self.modality.identity()),
            "engine": self.engine,
            "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
            "recipe": as_plain(self.recipe),
        }


def network_of_about(about: Mapping[str, Any], file: Path, network: Path | str | None = None) -> VectorNetwork:
    """The network that made the vectors of a file, built again, so that it makes vectors that can be compared with them.

    Args:
        about: What the file says of it.
        file: The file, for messages.
        network: Where the network is now, if not where the file says.

    Raises:
        DataError: It is another network by now, or reads examples in another way.
        RunError, BackboneError: It is not there any more.
    """
    try:
        recipe = Recipe.from_json(json.dumps(about["recipe"]))
        block, normalized, pooling = str(about["block"]), bool(about["normalized"]), str(about["pooling"])
    except (LookupError, TflError) as error:
        raise DataError(
            f"{file} does not say which network made its vectors: {error}.", fix="Make them again: tfl embed"
        ) from error
    named = network if network is not None else about.get("run") or recipe.backbone.name
    run = run_at(named)
    if run is None and about.get("run") is not None:
        raise DataError(
            f"The run that made the vectors of {file} is not at {named}.",
            fix="Say where it is now with --network RUN, or make the vectors again: tfl embed",
        )
    if run is None:
        recipe = recipe.override("backbone.name", absolute_name(str(named)))
        if block != SHARED:
            check_available(recipe)
    else:
        features = recipe.features
        recipe = dataclasses.replace(run.recipe, features=features)
    own_block = None if block in (HEAD_INPUT, SHARED) else block
    wanted = Wanted(
        named=str(about.get("network", named)),
        run=run,
        recipe=recipe,
        kinds=(recipe.data.kind,),
        block=own_block,
        pooling=None if own_block is None else pooling,
        normalized=normalized,
    )
    made = build_network(wanted)
    made.take_engine(about.get("engine"))
    refuse_other_network(about, made.about(), file)
    return made


def refuse_other_network(before: Mapping[str, Any], now: Mapping[str, Any], file: Path) -> None:
    """Makes sure that two descriptions are of the same vectors. Versions of packages may differ.

    Raises:
        DataError: They are not; the message says in what.
    """
    fields = ["weights", "block", "pooling", "width", "normalized", "kind"]
    if before.get("versions") == now.get("versions"):
        fields.insert(0, "graph")
    differing = [name for name in fields if before.get(name) != now.get(name)]
    if _without_versions(before.get("modality")) != _without_versions(now.get("modality")):
        differing.append("modality")
    if not differing:
        return
    words = {"graph": "its layers", "weights": "its weights", "modality": "how examples become tensors"}
    told = [words.get(name) or f"{name} {before.get(name)!r} and now {now.get(name)!r}" for name in differing]
    raise DataError(
        f"The vectors of {file} were made by another network than {now.get('run') or now.get('network')} is now.",
        received=f"a difference in {', '.join(told)}",
        fix="Name the network that made them with --network, or make the vectors again: tfl embed",
    )


def _without_versions(identity: Any) -> Any:
    """What decides tensors, without the versions of packages, which are told and not refused."""
    if isinstance(identity, Mapping):
        return {name: _without_versions(value) for name, value in identity.items()}
    if isinstance(identity, str):
        return ", ".join(part for part in identity.split(", ") if part.split(" ")[0] not in _PACKAGES)
    return identity
