"""The plan and its ledger: which blocks train in a stage and how, and the proof that the others did not move."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import keras
from rich.markup import escape
from rich.table import Table

from tfl.backbones.weight_hash import layers_hash
from tfl.errors import FrozenMovedError, RecipeError, did_you_mean
from tfl.model.assemble import HEAD, Assembled
from tfl.recipe import Stage

BatchNorm = Literal["inference", "train"]
BATCHNORM_MOMENTUM = 0.9
"""The most that BatchNorm which trains keeps of its statistics in a step. Keras Applications have up to 0.999, made for a
million examples: on some hundred steps the statistics would lag behind the weights, and evaluation would see the old ones."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One block in a stage: does it train, at `multiplier` times the stage's rate, with BatchNorm how.

    Layers of the head may have rates of their own: `layer_multipliers` has those that differ, by name.
    """

    block: str
    trainable: bool
    multiplier: float
    batchnorm: BatchNorm
    layers: int
    parameters: int
    flops_share: float
    layer_multipliers: Mapping[str, float] = field(default_factory=dict)

    def multiplier_of(self, layer: str) -> float:
        """The rate multiplier of one of its layers."""
        return self.layer_multipliers.get(layer, self.multiplier)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What trains in a stage: a row a block, input side first, the head last."""

    stage: str
    rows: tuple[Row, ...]

    @property
    def first_trainable_block(self) -> int:
        """Index of the first block that trains; the number of blocks when only the head does. All below is the prefix."""
        return next(index for index, row in enumerate(self.rows) if row.trainable or row.block == HEAD)

    def row(self, block: str) -> Row:
        """The row of a block, or of `head`."""
        return next(row for row in self.rows if row.block == block)

    def apply(self, assembled: Assembled) -> None:
        """Sets `trainable` on every layer. Compile after this, not before: Keras ignores a later change."""
        for row in self.rows:
            for layer in assembled.layers_of(row.block):
                normalises = isinstance(layer, keras.layers.BatchNormalization)
                frozen = row.multiplier_of(layer.name) == 0 or (normalises and row.batchnorm == "inference")
                layer.trainable = row.trainable and not frozen
                if normalises and layer.trainable:
                    layer.momentum = min(layer.momentum, BATCHNORM_MOMENTUM)

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
        for column in ("layers", "parameters"):
            table.add_column(column, justify="right")
        for row in self.rows:
            own = [f"{name} {factor:.4g}" for name, factor in row.layer_multipliers.items()]
            rate = ", ".join([f"{row.multiplier:.4g}", *own]) if row.trainable else ""
            style = None if row.trainable else "dim"
            trains = "yes" if row.trainable else "frozen"
            table.add_row(escape(row.block), trains, rate, row.batchnorm, str(row.layers), f"{row.parameters:,}", style=style)
        return table

    def as_json(self) -> dict[str, Any]:
        """The plan as plain data: `stage`, `first_trainable_block` and `rows`; `layer_multipliers` where a row has any."""
        rows = [{key: value for key, value in vars(row).items() if key != "layer_multipliers" or value} for row in self.rows]
        return {"stage": self.stage, "first_trainable_block": self.first_trainable_block, "rows": rows}


def make_plan(assembled: Assembled, stage: Stage) -> Plan:
    """The plan of `stage` for this network; `Stage.train` says which blocks, `layer_decay` and `multipliers` how fast.

    A block `d` places below the head learns at `layer_decay ** d` times the rate, unless a glob of `multipliers` fits its
    name (the last that fits counts). The layers of the head can be named as well. A multiplier of zero freezes.

    Raises:
        RecipeError: The stage names a block that is not there, or more blocks than there are; or it trains what was not matched,
            and nothing was.
    """
    names = [block.name for block in assembled.blocks]
    chosen = _chosen(assembled, names, stage)
    of_head = [layer.name for layer in assembled.layers_of(HEAD) if layer.weights]
    factors = _factors(names, of_head, stage)
    rows = [_row(assembled, name, trains=name in chosen, factors=factors, stage=stage) for name in (*names, HEAD)]
    if not any(row.trainable for row in rows):
        raise RecipeError(f"Nothing trains in stage `{stage.name}`: every multiplier is zero.")
    return Plan(stage=stage.name, rows=tuple(rows))


def _row(assembled: Assembled, name: str, *, trains: bool, factors: Mapping[str, float], stage: Stage) -> Row:
    layers, factor = assembled.layers_of(name), factors[name]
    known = [factors[layer.name] for layer in layers if layer.weights] if name == HEAD else [factor]
    trainable = trains and any(known)
    own = {layer.name: factors[layer.name] for layer in layers if layer.weights} if name == HEAD and trainable else {}
    return Row(
        block=name,
        trainable=trainable,
        multiplier=factor if trainable else 0.0,
        layer_multipliers={layer: each for layer, each in own.items() if each != factor},
        batchnorm=stage.batchnorm if trainable else "inference",
        layers=len(layers),
        parameters=sum(layer.count_params() for layer in layers),
        flops_share=next((block.flops_share for block in assembled.blocks if block.name == name), 0.0),
    )


def _chosen(assembled: Assembled, names: list[str], stage: Stage) -> set[str]:
    kind, _, rest = stage.train.partition(":")
    if kind == "unmatched":
        if assembled.matching is None:
            raise stage.nothing_matched()
        return {*assembled.unmatched_blocks(), HEAD}
    if kind == "top":
        if int(rest) > len(names):
            raise RecipeError(
                f"Stage `{stage.name}` trains more blocks than the backbone has.",
                received=stage.train,
                allowed=f"`top:1` to `top:{len(names)}`, or `all`",
            )
        return {*names[len(names) - int(rest) :], HEAD}
    if kind == "blocks":
        return {name for glob in rest.split(",") for name in _fitting(glob.strip(), names, stage)} | {HEAD}
    return {*names, HEAD} if kind == "all" else {HEAD}


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


def _factors(names: list[str], of_head: list[str], stage: Stage) -> Mapping[str, float]:
    """By block, and by layer of the head."""
    factors = {name: stage.layer_decay ** (len(names) - index) for index, name in enumerate(names)}
    factors |= dict.fromkeys((HEAD, *of_head), 1.0)
    for glob, factor in stage.multipliers.items():
        for name in _fitting(glob, [*names, HEAD, *of_head], stage):
            factors |= dict.fromkeys((name, *(of_head if name == HEAD else ())), factor)
    return factors


Snapshot = dict[str, dict[str, str]]


class Ledger:
    """Hashes of every block, and their comparison."""

    @staticmethod
    def snapshot(assembled: Assembled) -> Snapshot:
        """For each block and the head: SHA-256 of its `weights`, and of its `batchnorm` (statistics, scale and shift)."""
        found: Snapshot = {}
        for name in (*(block.name for block in assembled.blocks), HEAD):
            layers = assembled.layers_of(name)
            normalising = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
            others = [layer for layer in layers if not isinstance(layer, keras.layers.BatchNormalization)]
            found[name] = {"weights": layers_hash(others), "batchnorm": layers_hash(normalising)}
        return found

    @staticmethod
    def compare(before: Snapshot, after: Snapshot, plan: Plan) -> list[dict[str, Any]]:
        """What was to move, and what moved, block by block: the rows of `ledger.json`.

        Raises:
            FrozenMovedError: A frozen block moved, or BatchNorm that the plan keeps as it is.
        """
        rows: list[dict[str, Any]] = []
        for row in plan.rows:
            rows.append(
                {
                    "stage": plan.stage,
                    "block": row.block,
                    "was_to_move": row.trainable,
                    "moved": before[row.block] != after[row.block],
                    "batchnorm_was_to_move": row.trainable and row.batchnorm == "train",
                    "batchnorm_moved": before[row.block]["batchnorm"] != after[row.block]["batchnorm"],
                }
            )
        wrong = [item["block"] for item in rows if item["moved"] and not item["was_to_move"]]
        wrong_batchnorm = [item["block"] for item in rows if item["batchnorm_moved"] and not item["batchnorm_was_to_move"]]
        if wrong or wrong_batchnorm:
            raise FrozenMovedError(
                f"Stage `{plan.stage}` changed what it had frozen, so its result is void.",
                received=_list(wrong, "blocks") + _list(wrong_batchnorm, "BatchNorm of blocks"),
                fix="This is a defect of tfl, or `trainable` was changed by hand after the plan was applied.",
            )
        return rows


def _list(names: list[str], what: str) -> str:
    return f" {what} {', '.join(names)}" if names else ""
