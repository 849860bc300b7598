"""A small set of drawn bars that a small network can learn, and stages over it."""

import dataclasses

import pytest

import tfl

SIZE = 32


@pytest.fixture(scope="session")
def bundle(draw_bars):
    from tfl.data.bundle import Bundle
    from tfl.data.examples import Examples
    from tfl.data.split import split

    images, labels = draw_bars(90, SIZE)
    examples = Examples(class_names=("lying", "none", "standing"), labels=labels, arrays=images, source="test")
    prints = tuple(examples.fingerprint_of(index) for index in range(len(examples)))
    parts = split(examples, validation=0.2, test=0.2, seed=0, fingerprints=prints)
    data = tfl.Data("test", image_size=(SIZE, SIZE))
    return Bundle(examples=examples, split=parts, data=data, seed=0, fingerprints=prints)


@pytest.fixture
def recipe(small_network):
    return tfl.Recipe(
        name="bars",
        data=tfl.Data("test", image_size=(SIZE, SIZE)),
        backbone=tfl.Backbone(small_network),
        head=tfl.Head(dropout=0.2),
        stages=(
            tfl.Stage("head", epochs=4, batch_size=16, learning_rate=0.01),
            tfl.Stage("finetune", train="top:2", epochs=3, batch_size=16, learning_rate=1e-3, layer_decay=0.7),
        ),
        monitor=tfl.Monitor("val_accuracy", patience=None),
    )


@pytest.fixture
def network():
    """Builds the recipe's network anew: the same weights every time."""
    from tfl.model.assemble import assemble

    return lambda recipe: assemble(recipe, ("lying", "none", "standing"))


@pytest.fixture
def changed():
    """A recipe with one of its stages changed."""

    def change(recipe, name, **fields):
        stages = tuple(dataclasses.replace(stage, **fields) if stage.name == name else stage for stage in recipe.stages)
        return dataclasses.replace(recipe, stages=stages)

    return change
