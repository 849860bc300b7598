"""Whose style is it? A classifier of authors by character n-grams, which has never seen the network.

Character n-grams with TF-IDF and a logistic regression are the usual simple method of telling authors (Stamatatos 2009, *A survey
of modern authorship attribution methods*).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfl.data.books import Work, held_out_parts, passages_of

MOST = 400
"""Passages of each author that the classifier learns from, and as many that it is tested on, evenly from all of theirs."""
FEW_AUTHORS = 2


def fit_authors(works: Sequence[Work], *, length: int, validation: float, test: float, seed: int) -> WhoseStyle | None:
    """The classifier of the authors of some works; None where there is one author.

    Args:
        works: Of all authors.
        length: Bytes of a passage, as long as what will be asked about.
        validation, test, seed: Of the split, as the language model has it: the classifier is tested on the same works.

    Example:

    >>> from tfl.data.books import read_works
    >>> from tfl.language.whose import fit_authors
    >>> whose = fit_authors(read_works("sample:authors"), length=200, validation=0.2, test=0.2, seed=0)
    >>> whose.ask(["Sir, I found the boat. It was late at night, sir."]).most_common(1)
    [('captain', 1)]
    """
    names = list(dict.fromkeys(work.author for work in works))
    if len(names) < FEW_AUTHORS:
        return None
    texts: dict[str, tuple[list[str], list[str]]] = {"train": ([], []), "test": ([], [])}
    for name in names:
        parts = held_out_parts([one for one in works if one.author == name], validation=validation, test=test, seed=seed)
        for split, (found, labels) in texts.items():
            passages = [one.decode() for own, _, text in parts if own == split for one in passages_of(text, length)]
            chosen = np.unique(np.linspace(0, len(passages) - 1, min(MOST, len(passages))).round().astype(int))
            found += [passages[at] for at in chosen]
            labels += [name] * len(chosen)
    return WhoseStyle(texts["train"], texts["test"], names, seed=seed)


class WhoseStyle:
    """The classifier, and how well it does on held-out text.

    Args:
        train, test: Texts, and the author of each.
        names: The authors.
        seed: Of the logistic regression.
    """

    def __init__(
        self, train: tuple[list[str], list[str]], test: tuple[list[str], list[str]], names: Sequence[str], *, seed: int
    ) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        words = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), min_df=2, max_features=50_000, sublinear_tf=True)
        self._model = make_pipeline(words, LogisticRegression(C=10.0, max_iter=1000, class_weight="balanced", random_state=seed))
        self._model.fit(*train)
        self.names = tuple(names)
        found = self._model.predict(test[0])
        right = found == np.array(test[1])
        self.accuracy, self.count = float(right.mean()), len(right)
        self.recall = {name: float(right[np.array(test[1]) == name].mean()) for name in names}

    def ask(self, texts: Sequence[str]) -> Counter[str]:
        """How many of some texts it takes for whose."""
        return Counter(str(name) for name in self._model.predict(list(texts)))

    def as_json(self) -> Mapping[str, Any]:
        """How well it does on held-out text."""
        return {"authors": list(self.names), "accuracy": self.accuracy, "count": self.count, "recall": self.recall}
