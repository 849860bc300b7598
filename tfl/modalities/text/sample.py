"""The texts that come with tfl: templated film reviews, for trying tfl and for tests; no evidence about what people write.

Words alone do not decide the label. Negation and contrast do: most sentences have words of praise and of blame alike, or negate
either, so that the same words in another order, or with another scope of `not`, make a review of the other kind. The same seed
gives the same texts everywhere Python's generator draws the same numbers.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tfl.errors import DataError, did_you_mean
from tfl.modalities.samples import SampleContents
from tfl.modalities.text import esperanto

if TYPE_CHECKING:
    pass

SEED = 20261127
PER_CLASS = 1000
SAMPLES = ("reviews", "reviews_esperanto")
PER_CLASS_OF_ESPERANTO = 300
CLASS_NAMES = ("negative", "positive")
NOTE = "templated, not written by people"

_GOOD = (
    *("brilliant", "touching", "funny", "gripping", "clever", "charming", "moving", "elegant", "thrilling", "warm", "witty"),
    *("fresh", "convincing", "beautiful", "inspired"),
)
_BAD = (
    *("dull", "clumsy", "tedious", "predictable", "hollow", "lifeless", "noisy", "confusing", "shallow", "bland", "forced"),
    *("tiresome", "awkward", "messy", "stale"),
)
_PARTS = (
    *("plot", "script", "acting", "music", "ending", "camera work", "dialogue", "first half", "second half", "lead actor"),
    *("pacing", "humour", "story", "cast", "direction"),
)
_FILMS = ("film", "movie", "thriller", "comedy", "drama", "sequel", "debut", "remake", "documentary")
_STARTS = ("", "", "honestly , ", "to my mind , ", "for once , ", "all in all , ", "as a fan of the genre , i think ")
_ENDS = ("", "", " from start to finish", " throughout", " for two hours", " in every scene")


def load_sample(name: str) -> SampleContents:
    """A sample by name.

    Raises:
        DataError: There is no such sample.

    Example:

    >>> from tfl.modalities.text.sample import load_sample
    >>> sample = load_sample("reviews")
    >>> len(sample.contents), sample.class_names
    (2000, ('negative', 'positive'))
    """
    if name not in SAMPLES:
        raise DataError(
            "There is no such sample of texts.", received=name, allowed=SAMPLES, fix=did_you_mean(name, SAMPLES) or None
        )
    if name == "reviews_esperanto":
        return write_reviews(per_class=PER_CLASS_OF_ESPERANTO, review=esperanto.review)
    return write_reviews()


def _review(draw: random.Random, *, praise: bool) -> str:
    """One review; all forms but the plain one have the same words in a review of praise and in one of blame."""
    form = draw.choice(_FORMS)
    return draw.choice(_STARTS) + form(draw, praise)


def write_reviews(*, seed: int = SEED, per_class: int = PER_CLASS, review: Callable[..., str] = _review) -> SampleContents:
    """Different reviews, classes taking turns.

    Args:
        seed: Integer, decides the texts. Defaults to `SEED`.
        per_class: Integer, how many texts of each class. Defaults to 1,000.
        review: Writes one, given a `random.Random` and `praise`; English by default.
    """
    draw = random.Random(seed)
    texts: dict[str, int] = {}
    for number in range(2 * per_class):
        praise = number % 2
        text = review(draw, praise=bool(praise))
        while text in texts:
            text = review(draw, praise=bool(praise))
        texts[text] = praise
    contents = np.empty(len(texts), object)
    contents[:] = [text.encode() for text in texts]
    return SampleContents(contents=contents, labels=np.array(list(texts.values()), np.int32), class_names=CLASS_NAMES, note=NOTE)


def _pair(draw: random.Random, praise: bool) -> tuple[str, str]:
    """A word of the kind wanted, and one of the other kind."""
    good, bad = draw.choice(_GOOD), draw.choice(_BAD)
    return (good, bad) if praise else (bad, good)


def _contrast(draw: random.Random, praise: bool) -> str:
    """What comes after `but` counts."""
    word, other = _pair(draw, praise)
    first, second = draw.sample(_PARTS, 2)
    return f"the {first} is {other} , but the {second} is {word}{draw.choice(_ENDS)}"


def _although(draw: random.Random, praise: bool) -> str:
    """What `although` introduces does not count, wherever it stands."""
    word, other = _pair(draw, praise)
    first, second = draw.sample(_PARTS, 2)
    link = draw.choice(("although", "even though", "while"))
    if draw.random() < 0.5:
        return f"{link} the {first} is {other} , the {second} is {word}"
    return f"the {first} is {word} , {link} the {second} is {other}"


def _not_but(draw: random.Random, praise: bool) -> str:
    """`A , not B` and `not B but A`."""
    word, other = _pair(draw, praise)
    subject = f"the {draw.choice(_PARTS)} of this {draw.choice(_FILMS)}"
    if draw.random() < 0.5:
        return f"{subject} is {word} , not {other}"
    return f"{subject} is not {other} , but {word}"


def _negated(draw: random.Random, praise: bool) -> str:
    """The scope of `not` decides: in half of them it negates the word, in half something else."""
    film, end = draw.choice(_FILMS), draw.choice(_ENDS)
    if draw.random() < 0.5:
        return f"i did not find this {film} {draw.choice(_BAD if praise else _GOOD)}{end}"
    return f"i did not know this {film} , and find it {draw.choice(_GOOD if praise else _BAD)}{end}"


def _expected(draw: random.Random, praise: bool) -> str:
    """What was expected does not count."""
    word, other = _pair(draw, praise)
    film = draw.choice(_FILMS)
    if draw.random() < 0.5:
        return f"i expected a {other} {film} and saw a {word} one"
    return f"i saw a {word} {film} and expected a {other} one"


def _plain(draw: random.Random, praise: bool) -> str:
    """Praise or blame and nothing else: what the words mean has to be learnt somewhere."""
    word, _ = _pair(draw, praise)
    if draw.random() < 0.5:
        return f"the {draw.choice(_PARTS)} of this {draw.choice(_FILMS)} is {word}{draw.choice(_ENDS)}"
    return f"a {word} {draw.choice(_FILMS)}{draw.choice(_ENDS)}"


_FORMS: tuple[Callable[[random.Random, bool], str], ...] = (
    *(_contrast, _although, _not_but, _negated, _expected),
    *(_plain, _plain),
)
"""Two of seven are plain: without them a small network that begins with random weights finds no way to begin."""
