"""The same of whole stages as `tfl run` and `tfl tune` train them: through the store, after a kill, and in every trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from families import CLASSES, SIDE, Subject, bits, check_moves, expected_shares, recipe_of, stages
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tfl
from tfl.runs import Run
from tfl.train.stage import train_stage

pytestmark = pytest.mark.slow
few = settings(settings.get_profile("ledger"), max_examples=2)


class Killed(BaseException):
    pass


class Kill(keras.callbacks.Callback):
    """The process dies between an epoch's checkpoint and the next epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch == self.epoch:
            raise Killed


@pytest.fixture(scope="module")
def bundle(draw_bars: Callable[[int, int], tuple[np.ndarray, np.ndarray]]) -> Any:
    from tfl.data.bundle import Bundle
    from tfl.data.examples import Examples
    from tfl.data.split import split

    images, labels = draw_bars(45, SIDE)
    examples = Examples(class_names=CLASSES, labels=labels, arrays=images, source="bars")
    prints = tuple(examples.fingerprint_of(index) for index in range(len(examples)))
    parts = split(examples, validation=0.2, test=0.2, seed=0, fingerprints=prints)
    return Bundle(examples=examples, split=parts, data=tfl.Data("bars", image_size=(SIDE, SIDE)), seed=0, fingerprints=prints)


def check_resumed(found: Subject, bundle: Any, drawn: list[tfl.Stage], kill: tuple[int, int], folder: Path) -> None:
    """Trains the stages, killed once and gone on with on a network built anew; after each, the weights against those before."""
    recipe = recipe_of(found.family, found.folder, stages=tuple(drawn), monitor=tfl.Monitor("val_loss", patience=None))
    run = Run.create(folder, recipe, command=[])
    for number, stage in enumerate(drawn):
        before = bits(found.assembled)
        arrays = [np.array(weight) for weight in found.assembled.model.get_weights()]
        if number == kill[0]:
            with pytest.raises(Killed):
                train_stage(run, found.assembled, stage, bundle, recipe=recipe, watchers=[Kill(min(kill[1], stage.epochs))])
            found.restore()
            found.assembled.model.set_weights(arrays)
        result = train_stage(run, found.assembled, stage, bundle, recipe=recipe)
        after = bits(found.assembled)
        rows = {row["block"]: row for row in result.ledger}
        shares = expected_shares(found.blocks, stage)
        for block, share in shares.items():
            same = all(before[layer.name] == after[layer.name] for layer in found.assembled.layers_of(block))
            assert rows[block]["was_to_move"] == (share > 0)
            assert same or share > 0, f"{block} was frozen in {stage}"
            assert same or rows[block]["moved"]
        if result.best_epoch:  # else the stage went back to where it began
            check_moves(found.assembled, stage, before, after)
        assert run.read_json("ledger.json")[stage.name] == list(result.ledger)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@few
@given(data=st.data())
def test_a_run_that_was_killed_freezes_what_it_says(
    subject: Callable[..., Subject],
    bundle: Any,
    tmp_path_factory: pytest.TempPathFactory,
    precision: str,
    data: st.DataObject,
) -> None:
    found = subject("residual", precision)
    drawn = [data.draw(stages(found.blocks, number)) for number in range(data.draw(st.integers(1, 2)))]
    assume(all(any(expected_shares(found.blocks, stage).values()) for stage in drawn))
    drawn = [dataclasses.replace(stage, epochs=max(2, stage.epochs), learning_rate=0.01, batch_size=9) for stage in drawn]
    kill = data.draw(st.integers(0, len(drawn) - 1)), data.draw(st.integers(1, 2))
    check_resumed(found, bundle, drawn, kill, tmp_path_factory.mktemp("killed"))


def test_every_trial_of_a_search_freezes_what_it_says(
    tmp_path: Path, draw_bars: Callable[[int, int], tuple[np.ndarray, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tfl.tuning import trial
    from tfl.tuning.search import search

    images, labels = draw_bars(45, SIDE)
    np.savez(tmp_path / "bars.npz", images=images, labels=labels)
    seen: list[tuple[tfl.Stage, bool]] = []

    def watched(run: Any, assembled: Any, stage: tfl.Stage, *args: Any, **options: Any) -> Any:
        before = bits(assembled)
        result = train_stage(run, assembled, stage, *args, **options)
        if result.best_epoch:
            check_moves(assembled, stage, before, bits(assembled))
        shares = expected_shares([block.name for block in assembled.blocks], stage)
        assert {row["block"]: row["was_to_move"] for row in result.ledger} == {name: share > 0 for name, share in shares.items()}
        seen.append((stage, bool(result.best_epoch)))
        return result

    monkeypatch.setattr(trial, "train_stage", watched)
    recipe = recipe_of(
        "residual",
        tmp_path,
        data=tfl.Data(str(tmp_path / "bars.npz"), image_size=(SIDE, SIDE)),
        stages=(tfl.Stage("tuned", epochs=1, batch_size=9, learning_rate=0.01, batchnorm="train"),),
        export=(),
        search=tfl.Search(
            algorithm="grid",
            space={"stages.tuned.train": tfl.Choice(("top:3", "head"))},
            trials=None,
            seeds=0,
            stop_poor=False,
        ),
    )
    found = search(recipe, out=tmp_path / "search")
    assert [row["status"] for row in found.outcomes()] == ["done"] * 2
    assert len({stage.train for stage, _ in seen}) == 2 and all(moved for _, moved in seen)
