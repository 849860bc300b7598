"""The sample `reviews_esperanto`: film reviews as those of `reviews`, in Esperanto, a language with few labelled texts.

The same forms, in which negation and contrast decide more than single words. Written by templates, not by people.
"""

from __future__ import annotations

import random

_GOOD = (
    *("brila", "kortuŝa", "amuza", "kaptiva", "lerta", "ĉarma", "emocia", "eleganta", "ekscita", "varma", "sprita"),
    *("freŝa", "konvinka", "bela", "inspira"),
)
_BAD = (
    *("teda", "mallerta", "enuiga", "antaŭvidebla", "malplena", "senviva", "brua", "konfuza", "malprofunda", "malsprita"),
    *("trudita", "laciga", "embarasa", "ĥaosa", "malfreŝa"),
)
_PARTS = (
    *("intrigo", "scenaro", "aktorado", "muziko", "fino", "filmado", "dialogo", "unua duono", "dua duono", "ĉefrolulo"),
    *("ritmo", "humuro", "rakonto", "rolularo", "reĝisorado"),
)
_FILMS = ("filmo", "verko", "krimfilmo", "komedio", "dramo", "daŭrigo", "debuto", "animacio", "dokumentfilmo")
_STARTS = ("", "", "honeste , ", "laŭ mi , ", "finfine , ", "entute , ", "kiel ŝatanto de la ĝenro mi opinias , ke ")
_ENDS = ("", "", " de komenco ĝis fino", " ĉie", " dum du horoj", " en ĉiu sceno")


def review(draw: random.Random, *, praise: bool) -> str:
    """One review."""
    good, bad = draw.choice(_GOOD), draw.choice(_BAD)
    word, other = (good, bad) if praise else (bad, good)
    first, second = draw.sample(_PARTS, 2)
    film, end, start = draw.choice(_FILMS), draw.choice(_ENDS), draw.choice(_STARTS)
    link, subject = draw.choice(("kvankam", "dum")), f"la {first} de ĉi tiu {film}"
    forms = (
        (f"la {first} estas {other} , sed la {second} estas {word}{end}",),
        (
            f"{link} la {first} estas {other} , la {second} estas {word}",
            f"la {first} estas {word} , {link} la {second} estas {other}",
        ),
        (f"{subject} estas {word} , ne {other}", f"{subject} estas ne {other} , sed {word}"),
        (f"mi ne trovis ĉi tiun {film}n {other}{end}", f"mi ne konis ĉi tiun {film}n , kaj trovas ĝin {word}{end}"),
        (f"mi atendis {other}n {film}n kaj vidis {word}n", f"mi vidis {word}n {film}n kaj atendis {other}n"),
        *[(f"{subject} estas {word}{end}", f"{word} {film}{end}")] * 2,
    )
    return start + draw.choice(draw.choice(forms))
