"""The plan and its ledger: which blocks train in a stage and how, and the proof that the others did not move."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import keras
from rich.markup import escape
from rich.table import Table

from tfl.backbones.weight_hash import hash_of
from tfl.errors import FrozenMovedError, RecipeError, did_you_mean
from tfl.model.assemble import HEAD, Assembled
from tfl.model.lora import LORA, layers_within, lora_layers, lora_size
from tfl.recipe import Stage, Trained

BatchNorm = Literal["inference", "train"]
BATCHNORM_MOMENTUM = 0.9
"""The most that BatchNorm which trains keeps of its statistics in a step. Keras Applications have up to 0.999, made for a
million examples: on some hundred steps the statistics would lag behind the weights, and evaluation would see the old ones."""
BIASES = ("bias", "beta")
"""What Keras calls the vectors that a layer adds: the bias, and the shift of a normalisation layer."""
_IN_TABLE = {"all": "yes", "biases": "biases", "lora": "LoRA", "adapters": "adapters"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One block in a stage: does it train, which of its weights, at `multiplier` times the stage's rate, with BatchNorm how.

    `trained` of its `parameters` train, which include those of a residual adapter; with LoRA these are parameters of the factors,
    which come on top. Layers of the head may have rates of their own: `layer_multipliers` has those that differ, by name.
    """

    block: str
    trainable: bool
    multiplier: float
    batchnorm: BatchNorm
    layers: int
    parameters: int
    flops_share: float
    weights: Trained
    trained: int
    layer_multipliers: Mapping[str, float] = field(default_factory=dict)

    def multiplier_of(self, layer: str) -> float:
        """The rate multiplier of one of its layers."""
        return self.layer_multipliers.get(layer, self.multiplier)

    @property
    def may_move(self) -> frozenset[str]:
        """The groups of weights, as `Ledger.snapshot` has them, that the stage trains in the block."""
        if not self.trainable:
            return frozenset()
        if self.weights == "biases":
            return frozenset({"biases", "shifts"})
        if self.weights in ("lora", "adapters"):
            return frozenset({self.weights})
        return frozenset(GROUPS) - (_OF_BATCHNORM if self.batchnorm == "inference" else set())


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What trains in a stage: a row a block, input side first, the head last."""

    stage: str
    rows: tuple[Row, ...]

    @property
    def first_trainable_block(self) -> int:
        """Index of the first block that trains; the number of blocks when only the head does. All below is the prefix."""
        return next(index for index, row in enumerate(self.rows) if row.trainable or row.block == HEAD)

    @property
    def under_adapter(self) -> bool:
        """Whether the first block that trains does so by its residual adapter alone: its other layers belong to the prefix."""
        row = self.rows[self.first_trainable_block]
        return row.weights == "adapters" and row.block != HEAD

    def row(self, block: str) -> Row:
        """The row of a block, or of `head`."""
        return next(row for row in self.rows if row.block == block)

    @property
    def trained(self) -> int:
        """How many parameters train, those of the head included."""
        return sum(row.trained for row in self.rows)

    def apply(self, assembled: Assembled) -> None:
        """Sets `trainable` on every layer, and on weights where a block trains a part of them. Compile after this, not before:
        Keras ignores a later change."""
        for row in self.rows:
            layers, part = assembled.layers_of(row.block), _layers_of_part(assembled, row.block, row.weights)
            whole = {layer.name for layer in part} if row.trainable and row.weights in ("all", "adapters") else set()
            for layer in layers:
                layer.trainable = layer.name in whole and row.multiplier_of(layer.name) > 0
            for layer in layers_within(layers):
                if _normalises(layer) and row.batchnorm == "inference":
                    layer.trainable = False
                elif _normalises(layer) and layer.trainable:
                    layer.momentum = min(layer.momentum, BATCHNORM_MOMENTUM)
                for weight in layer._trainable_variables:  # Keras leaves them where the layer's `trainable` was so before
                    weight.trainable = layer.trainable
            if row.trainable and row.weights == "biases":  # BatchNorm whose layer is not trainable keeps its statistics
                for weight in _biases(part):
                    weight.trainable = True

    def lora_layers(self, assembled: Assembled) -> list[keras.layers.Layer]:
        """The layers that train by LoRA, input side first."""
        rows = [row for row in self.rows if row.trainable and row.weights == "lora"]
        return lora_layers(layer for row in rows for layer in _layers_of_part(assembled, row.block, "lora"))

    def multipliers(self, assembled: Assembled) -> dict[str, float]:
        """The rate multiplier of each weight by its path, for `make_optimizer`."""
        return {
            weight.path: row.multiplier_of(layer.name)
            for row in self.rows
            for layer in assembled.layers_of(row.block)
            for weight in layer.weights
        }

    def table(self) -> Table:
        """The plan to print."""
        table = Table(title=f"Stage {self.stage}", title_justify="left")
        for column in ("block", "trains", "rate ×", "BatchNorm"):
            table.add_column(column)
        for column in ("layers", "parameters", "trained"):
            table.add_column(column, justify="right")
        for row in self.rows:
            own = [f"{name} {factor:.4g}" for name, factor in row.layer_multipliers.items()]
            rate = ", ".join([f"{row.multiplier:.4g}", *own]) if row.trainable else ""
            style = None if row.trainable else "dim"
            trains = _IN_TABLE[row.weights] if row.trainable else "frozen"
            counts = (str(row.layers), f"{row.parameters:,}", f"{row.trained:,}" if row.trained else "")
            table.add_row(escape(row.block), trains, rate, row.batchnorm, *counts, style=style)
        return table

    def as_json(self) -> dict[str, Any]:
        """The plan as plain data: `stage`, `first_trainable_block` and `rows`; `layer_multipliers` where a row has any."""
        rows = [{key: value for key, value in vars(row).items() if key != "layer_multipliers" or value} for row in self.rows]
        return {"stage": self.stage, "first_trainable_block": self.first_trainable_block, "rows": rows}


def make_plan(assembled: Assembled, stage: Stage) -> Plan:
    """The plan of `stage` for this network; `Stage.train` says which blocks, `layer_decay` and `multipliers` how fast.

    A block `d` places below the head learns at `layer_decay ** d` times the rate, unless a glob of `multipliers` fits its
    name (the last that fits counts). The layers of the head can be named as well. A multiplier of zero freezes, and so does
    `Stage.weights` where a block has no such weights.

    Raises:
        RecipeError: The stage names a block that is not there, or more blocks than there are; none of its blocks has weights of
            the kind that the stage trains; or it trains what was not matched, and nothing was.
    """
    names = [block.name for block in assembled.blocks]
    chosen = _chosen(assembled, names, stage)
    of_head = [layer.name for layer in assembled.layers_of(HEAD) if layer.weights]
    factors = _factors(list(assembled.groups().values()), of_head, stage)
    rows = [_row(assembled, name, trains=name in chosen, factors=factors, stage=stage) for name in (*names, HEAD)]
    if not any(row.trainable for row in rows):
        raise RecipeError(f"Nothing trains in stage `{stage.name}`: every multiplier is zero.")
    if stage.weights != "all" and not any(row.trainable for row in rows[:-1]):
        raise RecipeError(
            f"No layer in the blocks that train in stage `{stage.name}` {_LACKS[stage.weights]}.",
            received=f"train={stage.train}, weights={stage.weights}",
            fix=_ADD_ADAPTERS if stage.weights == "adapters" else "Train more blocks, or set weights=all.",
        )
    return Plan(stage=stage.name, rows=tuple(rows))


_LACKS = {
    "biases": "has a bias",
    "lora": "takes LoRA, which Dense, EinsumDense, Embedding and Conv layers do",
    "adapters": "belongs to a residual adapter",
}
_ADD_ADAPTERS = "Give the network adapters, as tfl.Backbone(..., adapter_width=16) does; or set weights=all."


def _row(assembled: Assembled, name: str, *, trains: bool, factors: Mapping[str, float], stage: Stage) -> Row:
    layers, factor = assembled.layers_of(name), factors[name]
    own = {layer.name: factors[layer.name] for layer in layers if layer.weights} if name == HEAD else {}
    weights: Trained = stage.weights if name != HEAD else "all"
    trainable = trains and any(own.values() if own else [factor])
    part = [layer for layer in _layers_of_part(assembled, name, weights) if own.get(layer.name, factor)]
    trained = _count_trained(part, weights, stage) if trainable else 0
    trainable = trainable and (trained > 0 or weights == "all")
    return Row(
        block=name,
        trainable=trainable,
        multiplier=factor if trainable else 0.0,
        layer_multipliers={layer: each for layer, each in own.items() if each != factor},
        batchnorm=stage.batchnorm if trainable else "inference",
        layers=len(layers),
        parameters=sum(layer.count_params() for layer in layers),
        flops_share=next((block.flops_share for block in assembled.blocks if block.name == name), 0.0),
        weights=weights,
        trained=trained,
    )


def _layers_of_part(assembled: Assembled, block: str, weights: Trained) -> list[keras.layers.Layer]:
    """The layers of a block, or of the head, among whose weights those that train are: biases and LoRA leave adapters out."""
    if weights == "all":
        return assembled.layers_of(block)
    adapter = assembled.adapter_of(block)
    if weights == "adapters":
        return adapter
    taken = {layer.name for layer in adapter}
    return [layer for layer in assembled.layers_of(block) if layer.name not in taken]


def _count_trained(layers: list[keras.layers.Layer], weights: Trained, stage: Stage) -> int:
    """The parameters that train, whatever is set as trainable now."""
    if weights == "lora":
        return sum(lora_size(layer, stage.lora_rank) for layer in lora_layers(layers))
    if weights == "biases":
        return sum(math.prod(weight.shape) for weight in _biases(layers))
    kept = [layer for layer in layers_within(layers) if not (_normalises(layer) and stage.batchnorm == "inference")]
    return sum(math.prod(weight.shape) for layer in kept for weight in layer._trainable_variables)


def _biases(layers: Iterable[keras.layers.Layer]) -> list[Any]:
    """The biases of layers and of the layers within them."""
    return [weight for layer in layers_within(layers) for weight in layer._trainable_variables if weight.name in BIASES]


def _normalises(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def _chosen(assembled: Assembled, names: list[str], stage: Stage) -> set[str]:
    kind, _, rest = stage.train.partition(":")
    if kind == "unmatched":
        if assembled.matching is None:
            raise stage.nothing_matched()
        return {*assembled.unmatched_blocks(), HEAD}
    groups = assembled.groups()
    if kind == "top":
        return {name for blocks in groups.values() for name in _top(blocks, int(rest), stage)} | {HEAD}
    if kind == "blocks":
        return {name for glob in rest.split(",") for name in _fitting(glob.strip(), names, stage)} | {HEAD}
    if "." in kind:  # of several inputs
        chosen = {HEAD}
        for part in stage.train.split(","):
            network, _, which = part.partition(".")
            if network not in groups:
                raise RecipeError(
                    f"Stage `{stage.name}` names an input that has no network.",
                    received=network,
                    allowed=[name for name in groups if name] or "`head`, `all`, `top:K` or `blocks:GLOB,GLOB`",
                )
            blocks = groups[network]
            chosen.update(blocks if which == "all" else _top(blocks, int(which.partition(":")[2]), stage))
        return chosen
    return {*names, HEAD} if kind == "all" else {HEAD}


def _top(blocks: list[str], count: int, stage: Stage) -> list[str]:
    """The top `count` blocks of a network."""
    if count > len(blocks):
        raise RecipeError(
            f"Stage `{stage.name}` trains more blocks than the backbone has.",
            received=stage.train,
            allowed=f"`top:1` to `top:{len(blocks)}`, or `all`",
        )
    return blocks[len(blocks) - count :]


def _fitting(glob: str, names: list[str], stage: Stage) -> list[str]:
    fitting = fnmatch.filter(names, glob)
    if not fitting:
        raise RecipeError(
            f"Stage `{stage.name}` names a block that the backbone does not have.",
            received=glob,
            allowed=names,
            fix=did_you_mean(glob, names) or None,
        )
    return fitting


def _factors(networks: list[list[str]], of_head: list[str], stage: Stage) -> Mapping[str, float]:
    """By block, of each network, and by layer of the head."""
    factors = {name: stage.layer_decay ** (len(names) - at) for names in networks for at, name in enumerate(names)}
    names = [name for blocks in networks for name in blocks]
    factors |= dict.fromkeys((HEAD, *of_head), 1.0)
    for glob, factor in stage.multipliers.items():
        for name in _fitting(glob, [*names, HEAD, *of_head], stage):
            factors |= dict.fromkeys((name, *(of_head if name == HEAD else ())), factor)
    return factors


Snapshot = dict[str, dict[str, str]]
GROUPS = ("weights", "biases", "lora", "adapters", "batchnorm", "shifts")
"""The weights of a block by who may move them: `lora` are the factors of LoRA, `adapters` the weights of its residual adapter,
`batchnorm` and `shifts` belong to BatchNorm."""
_OF_BATCHNORM = frozenset({"batchnorm", "shifts"})


class Ledger:
    """Hashes of every block, and their comparison."""

    @staticmethod
    def snapshot(assembled: Assembled) -> Snapshot:
        """For each block and the head, the SHA-256 of each of the `GROUPS` of weights."""
        found: Snapshot = {}
        for name in (*(block.name for block in assembled.blocks), HEAD):
            grouped: dict[str, list[Any]] = {group: [] for group in GROUPS}
            for group, weight in _grouped(assembled, name):
                grouped[group].append(weight)
            found[name] = {group: hash_of(weights) for group, weights in grouped.items()}
        return found

    @staticmethod
    def compare(before: Snapshot, after: Snapshot, plan: Plan) -> list[dict[str, Any]]:
        """What was to move, and what moved, block by block: the rows of `ledger.json`.

        Raises:
            FrozenMovedError: A frozen block moved, or weights that the plan keeps as they are in a block that trains.
        """
        rows: list[dict[str, Any]] = []
        wrong: list[str] = []
        for row in plan.rows:
            moved = {group for group in GROUPS if before[row.block][group] != after[row.block][group]}
            rows.append(
                {
                    "stage": plan.stage,
                    "block": row.block,
                    "was_to_move": row.trainable,
                    "moved": bool(moved),
                    "batchnorm_was_to_move": bool(row.may_move & _OF_BATCHNORM),
                    "batchnorm_moved": bool(moved & _OF_BATCHNORM),
                    "moved_weights": sorted(moved),
                }
            )
            if secret := moved - row.may_move:
                wrong.append(f"{row.block} ({', '.join(sorted(secret))})")
        if wrong:
            raise FrozenMovedError(
                f"Stage `{plan.stage}` changed what it had frozen, so its result is void.",
                received=", ".join(wrong),
                fix="This is a defect of tfl, or `trainable` was changed by hand after the plan was applied.",
            )
        return rows


def _grouped(assembled: Assembled, block: str) -> Iterator[tuple[str, Any]]:
    """Every weight of a block once, with its group."""
    adapter = {layer.name for layer in assembled.adapter_of(block)}
    for layer in layers_within(assembled.layers_of(block)):
        for weight in (*layer._trainable_variables, *layer._non_trainable_variables):
            if weight.name in LORA:
                yield "lora", weight
            elif layer.name in adapter:
                yield "adapters", weight
            elif _normalises(layer):
                yield ("shifts" if weight.name in BIASES else "batchnorm"), weight
            else:
                yield ("biases" if weight.name in BIASES else "weights"), weight
