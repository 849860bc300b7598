"""The head starts from a probe: the network is scikit-learn's regression on its features, and a stage cannot lose to it."""

import dataclasses

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tfl
from tfl.errors import RecipeError
from tfl.evaluate.explain import tensor_of
from tfl.model.assemble import assemble_for
from tfl.model.head import POOL
from tfl.runs import Run
from tfl.train.stage import train_stage
from tfl.train.start import start_head


def started(recipe, **head):
    return dataclasses.replace(recipe, head=tfl.Head(dropout=0.2, start="probe", **head))


@pytest.mark.slow
@pytest.mark.parametrize("taps", [(), ("unit2_out", "unit3_out")])
def test_the_network_is_the_regression_on_its_own_features(recipe, bundle, network, taps):
    recipe = started(recipe, taps=taps)
    assembled = network(recipe)
    start_head(assembled, bundle, recipe=recipe)
    train, val = bundle.indices("train"), bundle.indices("val")
    images = bundle.examples.arrays.astype("float32")
    vectors = np.asarray(keras.Model(assembled.model.input, tensor_of(assembled.model, POOL))(images))
    labels = np.asarray(bundle.examples.labels)
    best = max(
        (
            make_pipeline(StandardScaler(), LogisticRegression(C=4.0**power, max_iter=500)).fit(vectors[train], labels[train])
            for power in range(-9, 6)
        ),
        key=lambda probe: -np.abs(probe.predict_proba(vectors[val]) - assembled.model(images[val]).numpy()).max(),
    )
    np.testing.assert_allclose(assembled.model(images[val]), best.predict_proba(vectors[val]), atol=0.05)


@pytest.mark.parametrize("probe", ["logistic", "knn"])
def test_a_probe_reads_the_flattened_map(recipe, bundle, probe):
    stages = (tfl.Stage("probe", epochs=0),)
    recipe = started(dataclasses.replace(recipe, stages=stages), pooling="flatten", probe=probe)
    assembled = assemble_for(recipe, bundle)
    start_head(assembled, bundle, recipe=recipe)
    images, labels = bundle.examples.arrays.astype("float32"), np.asarray(bundle.examples.labels)
    map_ = np.asarray(keras.Model(assembled.model.input, assembled.backbone_output)(images))
    vectors = np.asarray(keras.Model(assembled.model.input, tensor_of(assembled.model, POOL))(images))
    np.testing.assert_array_equal(vectors, map_.reshape(len(map_), -1))
    train = bundle.indices("train")
    assert (assembled.model(images[train]).numpy().argmax(axis=1) == labels[train]).mean() > 0.9


def test_a_first_stage_that_is_no_better_keeps_the_probe(tmp_path, recipe, bundle, network, changed):
    recipe = changed(started(recipe), "head", learning_rate=1.0, optimizer="sgd", epochs=1)
    assembled, alone = network(recipe), network(recipe)
    start_head(alone, bundle, recipe=recipe)
    run = Run.create(tmp_path / "run", recipe, command=[])
    result = train_stage(run, assembled, recipe.stages[0], bundle, recipe=recipe)
    assert result.best_epoch == 0
    for one, other in zip(assembled.model.get_weights(), alone.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_head_with_hidden_layers_has_no_probe(recipe):
    with pytest.raises(RecipeError, match=r"starts from a probe is linear.*hidden=\(8,\)"):
        started(recipe, hidden=(8,))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["multilabel", "regress"])
def test_labels_and_numbers_start_from_their_regressions(tmp_path, task):
    rng = np.random.default_rng(0)
    rows = ["text,first,second"]
    for _ in range(80):
        words = rng.choice(["good", "bad", "short", "long", "film"], 6)
        counts = [int((words == word).sum()) for word in ("good", "long")]
        cells = [min(1, count) if task == "multilabel" else 10 * count for count in counts]
        rows.append(",".join([" ".join(words), *map(str, cells)]))
    (tmp_path / "films.csv").write_text("\n".join(rows) + "\n")
    recipe = tfl.Recipe(
        name="films",
        data=tfl.Data(str(tmp_path / "films.csv"), input=tfl.Text(length=8), label_column="first,second"),
        backbone=tfl.Backbone("tiny", weights=None),
        head=tfl.Head(dropout=0.0, start="probe"),
        stages=(tfl.Stage("head", epochs=1, learning_rate=1e-6),),
        task=task,
        export=(),
    )
    test = tfl.run(recipe, tmp_path / "run").metrics["test"]
    if task == "regress":
        assert all(row["r2"] > 0 for row in test["per_target"].values())
    else:
        assert test["macro_f1"] > 0.7
