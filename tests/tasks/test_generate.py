"""The text itself: perplexity for each byte, its interval, and the loss against a distribution that is known."""

import numpy as np
import pytest

import tfl
from tfl.errors import RecipeError
from tfl.tasks.base import task_of
from tfl.tasks.generate import interval_of

TASK = task_of("generate")


def test_perplexity_is_that_of_all_bytes_and_not_the_mean_of_passages():
    nats, sizes = np.log([[4.0], [8.0]]), np.array([[1.0], [4.0]])
    found = TASK.evaluate(nats, sizes, ["passage"])
    assert found["perplexity"] == pytest.approx(2.0) and found["bits_per_byte"] == pytest.approx(1.0)
    assert TASK.validate(nats, sizes)["val_perplexity"] == pytest.approx(2.0)
    assert found["bytes"] == 5 and found["count"] == 2


def test_the_interval_holds_the_mean_and_narrows_with_more_text():
    draw = np.random.default_rng(0)

    def width(count):
        mean, (low, high) = interval_of(draw.normal(2.0, 0.3, count), np.ones(count))
        assert low < mean < high
        return high - low

    assert width(5000) < width(50)


REFUSED = [
    ({"export": ("saved_model",)}, "export"),
    ({"confidence": tfl.Calibration()}, "confidence"),
    ({"task": "regress"}, "no other target"),
    ({"head": tfl.Head(hidden=(8,))}, "head.hidden"),
    ({"stages": (tfl.Stage("a", on="others"),)}, "names no author"),
    ({"data": tfl.Data("books", input=tfl.Text())}, "task=generate"),
]


@pytest.mark.parametrize("changes, words", REFUSED, ids=[words for _, words in REFUSED])
def test_a_recipe_that_asks_for_what_is_not_there_is_refused(changes, words):
    whole = {"name": "style", "backbone": tfl.Backbone("bytes", weights=None), "confidence": None, "export": ()}
    whole["data"] = tfl.Data("books", input=tfl.Passages())
    assert tfl.Recipe(**whole).task == "generate"
    extra = {"task": "generate"} if "data" in changes else {}
    with pytest.raises(RecipeError, match=words):
        tfl.Recipe(**{**whole, **extra, **changes})
