"""Networks are compared by probes on the same examples."""

import pytest

import tfl
from tfl.advise import networks
from tfl.advise.networks import compare_networks

RECIPE = tfl.Recipe(name="digits", data=tfl.Sample("digits", image_size=(32, 32), per_class=20), backbone=tfl.Backbone("mini"))


@pytest.mark.slow
def test_pretrained_weights_are_better_than_random_ones():
    best, worst = compare_networks(RECIPE, [tfl.Backbone("mini", weights=None), tfl.Backbone("mini")])
    assert best.backbone == tfl.Backbone("mini") and best.loss < worst.loss and best.value > worst.value
    assert best.examples == worst.examples == 160 and best.metric == "val_accuracy"


@pytest.mark.slow
def test_of_many_examples_a_sample_is_looked_at(monkeypatch):
    monkeypatch.setattr(networks, "SAMPLE", 80)
    (found,) = compare_networks(RECIPE, [tfl.Backbone("mini")])
    assert found.examples == 80


@pytest.mark.slow
def test_numbers_are_compared_by_their_error(tmp_path):
    rows = ["text,stars", *(f"{'good ' * (n % 5)}film number {n},{n % 5}" for n in range(40))]
    (tmp_path / "films.csv").write_text("\n".join(rows))
    data = tfl.Data(str(tmp_path / "films.csv"), input=tfl.Text(length=16))
    recipe = tfl.Recipe(name="films", data=data, task="regress", backbone=tfl.Backbone("tiny", weights=None))
    (found,) = compare_networks(recipe, [recipe.backbone])
    assert found.metric == "val_mae" and 0 <= found.value < 3
