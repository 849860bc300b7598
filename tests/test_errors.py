import pickle

import pytest

from tfl import errors


def every_error(kind=errors.TflError):
    yield kind
    for child in kind.__subclasses__():
        yield from every_error(child)


def test_the_tree_in_the_docstring_names_every_error():
    for kind in every_error():
        assert kind.__name__ in errors.__doc__, kind


@pytest.mark.parametrize("kind", list(every_error()), ids=lambda kind: kind.__name__)
def test_a_message_says_what_received_allowed_and_fix(kind):
    error = kind("It is wrong.", received=3, allowed=("a", "b"), fix="Do this.")
    assert str(error) == "It is wrong. Received: 3. Allowed: a, b. Do this."


@pytest.mark.parametrize("kind", list(every_error()), ids=lambda kind: kind.__name__)
def test_an_error_survives_another_process(kind):
    again = pickle.loads(pickle.dumps(kind("Wrong.", received="x", fix="Mend it.")))
    assert type(again) is kind and str(again) == "Wrong. Received: x. Mend it."


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [(errors.RecipeError, ValueError), (errors.WeightsNotFoundError, FileNotFoundError), (errors.StorageError, OSError)],
)
def test_errors_are_also_the_matching_builtin(kind, builtin):
    assert issubclass(kind, builtin) and issubclass(kind, errors.TflError)


@pytest.mark.parametrize(("word", "near"), [("mobilenetv2", "MobileNetV2"), ("epoch", "epochs"), ("zzz", "")])
def test_did_you_mean(word, near):
    assert errors.did_you_mean(word, ["MobileNetV2", "epochs"]) == (f"Did you mean `{near}`?" if near else "")
