"""What is timed: the best of a few turns, a warm-up first, long runs not repeated."""

from tfl.model import timing
from tfl.model.timing import best_seconds


class Clock:
    """A clock that stands still but for what runs on it."""

    def __init__(self, monkeypatch):
        self.now, self.order = 0.0, []
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def run(self, name, *seconds):
        taken = iter(seconds)

        def act():
            self.order.append(name)
            self.now += next(taken)

        return act


def test_the_best_counts_and_the_first_does_not(monkeypatch):
    clock = Clock(monkeypatch)
    found = best_seconds({"a": clock.run("a", 0.01, 0.5, 0.25, 0.4), "b": clock.run("b", 9.0, 0.1, 0.2, 0.3)})
    assert {name: round(value, 6) for name, value in found.items()} == {"a": 0.25, "b": 0.1}


def test_runs_take_turns(monkeypatch):
    clock = Clock(monkeypatch)
    best_seconds({"a": clock.run("a", *[0.1] * 4), "b": clock.run("b", *[0.1] * 4)})
    assert clock.order == ["a", "b"] * 4


def test_a_long_run_is_not_repeated(monkeypatch):
    clock = Clock(monkeypatch)
    best_seconds({"long": clock.run("long", 5.0, 5.0), "short": clock.run("short", *[0.1] * 4)})
    assert clock.order.count("long") == 2
