"""Progress: a bar on a terminal, one line where there is none, nothing without a console."""

import io

from rich.console import Console

from tfl.recipe import Stage
from tfl.train.callbacks.progress import StageProgress


def shown(*, terminal, interactive=None, first_epoch=1):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, force_interactive=interactive, width=100)
    progress = StageProgress(console, Stage("head", epochs=2), examples=10, nouns="images", first_epoch=first_epoch)
    progress.on_train_begin()
    for epoch in range(first_epoch, 3):
        progress.on_epoch_begin(epoch)
        progress.on_frozen_examples(5, 10)
        progress.on_train_batch_end(0, {"examples": 5.0, "loss": 1.0})
        progress.on_train_batch_end(0, {"examples": 5.0, "loss": 1.0})
        progress.on_epoch_end(epoch, {"loss": 0.5, "val_loss": 0.7, "val_accuracy": 0.9})
    progress.on_train_end()
    return out.getvalue()


def test_a_terminal_sees_epoch_metrics_and_rate():
    text = shown(terminal=True)
    assert "epoch 2/2" in text and "images/s" in text and "val acc 0.900" in text


def test_a_file_gets_one_plain_line():
    assert shown(terminal=False) == "Stage head: at most 2 epochs of 10 images\n"
    assert "from epoch 2" in shown(terminal=False, first_epoch=2)


def test_a_notebook_gets_a_plain_line_for_each_epoch():
    lines = shown(terminal=False, interactive=True).splitlines()
    assert lines[0] == "Stage head: at most 2 epochs of 10 images" and len(lines) == 3
    assert lines[1].startswith("  epoch 1/2, loss 0.500/0.700 val acc 0.900") and lines[2].startswith("  epoch 2/2, ")
    assert lines[2].endswith(" images/s")


def test_no_console_no_words(capsys):
    progress = StageProgress(None, Stage("head"), examples=10)
    progress.on_train_begin()
    progress.on_train_batch_end(0, {"examples": 5.0})
    progress.on_train_end()
    assert capsys.readouterr() == ("", "")
