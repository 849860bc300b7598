"""Out-of-distribution scores: the distance is that of a plain search, and the threshold keeps its promise."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from tfl.errors import TflError
from tfl.evaluate.out_of_distribution import make_bank, out_of_distribution_scores, score_threshold
from tfl.modalities.image.modality import ImageModality
from tfl.tasks.conformal import examples_needed, rank_of


@pytest.mark.parametrize("nearest", [1, 4])
def test_the_score_is_the_cosine_distance_to_the_kth_nearest(nearest):
    generator = np.random.default_rng(0)
    bank, features = make_bank(generator.random((60, 8))), generator.random((5000, 8)).astype(np.float32)
    search = NearestNeighbors(n_neighbors=nearest, metric="cosine").fit(bank)
    expected = search.kneighbors(features)[0][:, -1]
    np.testing.assert_allclose(out_of_distribution_scores(features, bank, nearest=nearest), expected, atol=1e-3)


def test_length_does_not_count_and_nothing_is_like_an_example_of_zeros():
    bank = make_bank(np.array([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0]]))
    scores = out_of_distribution_scores(np.array([[9.0, 0, 0], [0.001, 0, 0], [0, 0, 5.0], [0, 0, 0]]), bank)
    np.testing.assert_allclose(scores, [0, 0, 1, 1], atol=1e-3)


@pytest.mark.parametrize("share", [0.9, 0.95])
def test_new_examples_are_in_distribution_as_often_as_promised(share):
    generator, inside = np.random.default_rng(0), []
    for _ in range(400):
        threshold, note = score_threshold(generator.random(50), share=share)
        inside.append(threshold)  # of uniform scores, the threshold is the share below it
        assert note == ""
    assert share - 0.005 <= np.mean(inside) <= share + 0.03


def test_too_few_images_take_the_largest_score_and_say_so():
    threshold, note = score_threshold(np.array([0.1, 0.4, 0.2]), share=0.99)
    assert threshold == 0.4 and "3 validation examples are too few" in note and "99" in note and "0.75" in note


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_so_many_images_are_needed_and_not_one_less(share):
    needed = examples_needed(share)
    assert rank_of(needed, share) <= needed and rank_of(needed - 1, share) == needed


def test_a_bank_needs_images_and_numbers():
    with pytest.raises(TflError, match="no training examples"):
        make_bank(np.zeros((0, 4)))
    with pytest.raises(TflError, match="not numbers"):
        make_bank(np.array([[1.0, np.nan]]))


@pytest.mark.slow
@pytest.mark.real_photos
@pytest.mark.parametrize(("known", "other"), [("flowers", "strawberry"), ("strawberry", "flowers")])
def test_photos_of_another_set_are_found(photo_features, known, other):
    features = photo_features[known]
    order = np.random.default_rng(0).permutation(len(features))
    train, val, test = np.split(features[order], [len(order) // 2, 3 * len(order) // 4])
    bank = make_bank(train)
    threshold, _ = score_threshold(out_of_distribution_scores(val, bank), share=0.9)
    assert (out_of_distribution_scores(photo_features[other], bank) > threshold).mean() > 0.95
    assert (out_of_distribution_scores(test, bank) > threshold).mean() < 0.3


@pytest.fixture(scope="module")
def photo_features():
    """What the head of mini reads of some photos of each set."""
    import os

    import keras

    import tfl
    from tfl.data.pipeline import make_dataset
    from tfl.data.source import load_source
    from tfl.evaluate.explain import tensor_of
    from tfl.model.assemble import assemble

    found = {}
    for name, count in (("flowers", 24), ("strawberry", 60)):
        data = tfl.Data(f"{os.environ['TFL_TEST_DATA']}/{name}", image_size=(96, 96), per_class=count)
        examples = load_source(data, seed=0)
        model = assemble(tfl.Recipe(name="r", data=data, backbone=tfl.Backbone("mini")), examples.class_names).model
        dataset = make_dataset(examples, np.arange(len(examples)), modality=ImageModality(data), batch_size=60)
        found[name] = keras.Model(model.input, tensor_of(model, "head_pool")).predict(dataset, verbose=0)
    return found
