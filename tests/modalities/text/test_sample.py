"""The reviews that come with tfl: the order of words decides, and words alone do not."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from tfl.modalities.text.sample import load_sample, write_reviews


def score(ngrams: tuple[int, int]) -> float:
    """Accuracy on a fifth of the sample of logistic regression on counted sequences of words."""
    sample = load_sample("reviews")
    texts = [content.decode() for content in sample.contents]
    vectors = TfidfVectorizer(ngram_range=ngrams, token_pattern=r"\S+").fit(texts[:1600])
    fitted = LogisticRegression(C=10, max_iter=1000).fit(vectors.transform(texts[:1600]), sample.labels[:1600])
    return float(fitted.score(vectors.transform(texts[1600:]), sample.labels[1600:]))


@pytest.mark.slow
def test_words_alone_do_not_decide_and_sequences_do() -> None:
    assert score((1, 1)) < 0.7 < score((1, 2))
    assert score((1, 4)) > 0.85


def test_texts_are_different_balanced_and_decided_by_the_seed() -> None:
    one, again, other = (write_reviews(seed=seed, per_class=50) for seed in (1, 1, 2))
    assert len(set(one.contents.tolist())) == 100 and np.bincount(one.labels).tolist() == [50, 50]
    assert one.contents.tolist() == again.contents.tolist() != other.contents.tolist()


def test_the_reviews_in_esperanto_are_different_and_balanced_and_words_alone_do_not_decide() -> None:
    sample = load_sample("reviews_esperanto")
    texts = [content.decode() for content in sample.contents]
    assert len(set(texts)) == 600 and np.bincount(sample.labels).tolist() == [300, 300]
    vectors = TfidfVectorizer(token_pattern=r"\S+").fit_transform(texts)
    fitted = LogisticRegression(C=10, max_iter=1000).fit(vectors[:450], sample.labels[:450])
    assert 0.5 < fitted.score(vectors[450:], sample.labels[450:]) < 0.75
