"""How far a pass is: a bar on a terminal, a line now and then in a notebook, nothing in a log."""

import io

from rich.console import Console

from tfl import progress


def shown(monkeypatch, *, terminal=False, interactive=None, total=100):
    out, clock = io.StringIO(), iter(range(0, 1000, 6))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    console = Console(file=out, force_terminal=terminal, force_interactive=interactive, width=80)
    with progress.progress_shown(console, "frozen blocks", total) as tell:
        for done in (25, 50, 75, 100):
            tell(done)
    return out.getvalue()


def test_a_notebook_gets_a_line_now_and_then(monkeypatch):
    text = shown(monkeypatch, interactive=True)
    assert text == "frozen blocks: 50 of 100 examples\nfrozen blocks: 100 of 100 examples\n"
    assert shown(monkeypatch, interactive=True, total=None).startswith("frozen blocks: 50 examples\n")


def test_a_terminal_gets_a_bar_and_a_log_nothing(monkeypatch):
    assert "frozen blocks" in shown(monkeypatch, terminal=True) and shown(monkeypatch) == ""
    with progress.progress_shown(None, "x", 3) as tell:
        tell(1)


def test_outside_a_notebook_progress_goes_to_standard_error(capsys):
    progress.progress_console().print("words")
    assert capsys.readouterr() == ("", "words\n")
