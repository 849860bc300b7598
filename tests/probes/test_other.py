"""The linear SVM and the nearest class mean beside scikit-learn's own."""

import numpy as np
import pytest

import tfl
from tfl.errors import RecipeError
from tfl.probes.head import linear_head
from tfl.probes.other import class_means, linear_svm


def blobs(count=90, classes=3, width=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    return (rng.normal(size=(classes, width)) * 3)[labels] + rng.normal(size=(count, width)) * [1, 5, 1, 1, 0.1], labels


def test_class_means_are_scikit_learns_nearest_centroid():
    from sklearn.neighbors import NearestCentroid
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, labels = blobs()
    kernel, bias, temperature = class_means(features, labels, np.arange(90) // 3 % 5)
    others = blobs(seed=0)[0] + np.random.default_rng(1).normal(size=features.shape)
    expected = make_pipeline(StandardScaler(), NearestCentroid()).fit(features, labels).predict(others)
    assert ((others @ kernel + bias).argmax(axis=1) == expected).all() and temperature > 0


@pytest.mark.parametrize("classes", [2, 3])
def test_the_svm_is_scikit_learns(classes):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    features, labels = blobs(classes=classes)
    kernel, bias, strength = linear_svm(features, labels, np.arange(90) // 3 % 5)
    reference = make_pipeline(StandardScaler(), LinearSVC(C=strength, max_iter=2000, tol=1e-3, random_state=0)).fit(
        features, labels
    )
    assert kernel.shape == (5, classes) and ((features @ kernel + bias).argmax(axis=1) == reference.predict(features)).all()


@pytest.mark.parametrize("method", ["svm", "class_means"])
def test_a_head_by_another_method_has_a_column_for_every_class(method):
    features, labels = blobs(classes=2)
    targets = np.eye(4)[2 * labels]  # the classes 1 and 3 do not occur
    found = linear_head(features, targets, np.arange(90), task="classify", method=method)
    assert found.kernel.shape == (5, 4)
    assert ((features @ found.kernel + found.bias).argmax(axis=1) == 2 * labels).mean() > 0.9


@pytest.mark.parametrize("method", ["svm", "class_means"])
def test_two_examples_of_a_class_are_enough(method):
    features, labels = blobs(count=6)
    found = linear_head(features, np.eye(3)[labels], np.arange(6), task="classify", method=method)
    assert np.isfinite(found.kernel).all() and len(found.strengths) == 1


def test_other_tasks_have_no_such_probe():
    with pytest.raises(RecipeError, match="has another task"):
        tfl.Recipe(
            name="ages",
            data=tfl.Data("ages.csv"),
            backbone=tfl.Backbone("mini"),
            task="regress",
            head=tfl.Head(start="probe", probe="svm"),
        )
