"""The sample `authors`: books of four writers who do not exist, two in English and two in Russian, written by templates.

Two writers of one language have the same things to write about and other habits: one writes short sentences and talks to
somebody, the other one long ones with semicolons and asides. A network that has read one can learn from the other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

WORKS, PARAGRAPHS = 5, 24
"""Works of each writer, and paragraphs of each work."""


@dataclass(frozen=True)
class _Writer:
    """The habits of a writer: forms of sentences with places such as `{thing}`, how many make a paragraph, and titles."""

    words: Mapping[str, Sequence[str]]
    forms: Sequence[str]
    sentences: tuple[int, int]
    opening: Sequence[str]
    titles: Sequence[str]


_ENGLISH: Mapping[str, Sequence[str]] = {
    "thing": ("the lamp", "the old boat", "the kettle", "the gate", "the map", "the wooden box", "the clock", "the rope"),
    "place": ("by the river", "at the harbour", "under the roof", "in the yard", "on the hill", "behind the mill", "at the well"),
    "person": ("the miller", "my sister", "the doctor", "a stranger", "the boy", "old Martha", "the postman"),
    "did": ("found", "carried", "mended", "sold", "forgot", "painted", "hid", "watched"),
    "when": ("in the morning", "before the rain", "after supper", "last winter", "on a Sunday", "late at night"),
    "how": ("slowly", "without a word", "with great care", "in a hurry", "as if nothing had happened", "twice"),
    "weather": ("the wind", "the rain", "the fog", "the frost", "the snow", "the sun"),
    "felt": ("glad", "tired", "afraid", "alone", "certain", "ashamed"),
}
_RUSSIAN: Mapping[str, Sequence[str]] = {
    "thing": ("лампу", "старую лодку", "чайник", "калитку", "карту", "шкатулку", "верёвку", "лопату"),
    "place": ("у реки", "на пристани", "под крышей", "во дворе", "на холме", "за мельницей", "у колодца"),
    "person": ("мельник", "мой брат", "доктор", "прохожий", "мальчик", "старый Фома", "почтальон"),
    "did": ("нашёл", "принёс", "починил", "продал", "забыл", "покрасил", "спрятал", "увидел"),
    "when": ("утром", "перед дождём", "после ужина", "прошлой зимой", "в воскресенье", "поздно ночью"),
    "how": ("медленно", "не сказав ни слова", "очень бережно", "второпях", "как ни в чём не бывало", "дважды"),
    "weather": ("ветер", "дождь", "туман", "мороз", "снег", "зной"),
    "felt": ("рад", "утомлён", "испуган", "одинок", "уверен", "смущён"),
}
_WRITERS: Mapping[str, _Writer] = {
    "captain": _Writer(
        words=_ENGLISH,
        forms=(
            "I {did} {thing}, sir.",
            "It was {when}.",
            "{person} {did} {thing} {place}. I said nothing.",
            "Was I {felt}? I was.",
            "{weather} came {when}, and we waited.",
            "No, sir. Not {place}.",
            "You know {person}, sir. He {did} it {how}.",
        ),
        sentences=(4, 8),
        opening=("Sir,", "Listen, sir.", "That year, sir,", "Here is the truth."),
        titles=("The First Log", "The Second Log", "Low Water", "A Quiet Watch", "The Last Log"),
    ),
    "gardener": _Writer(
        words=_ENGLISH,
        forms=(
            "And so {person}, who had been {felt} ever since {weather} had come, {did} {thing} {how}; and nobody asked why.",
            "It seems to me now, as it seemed to me then, that {thing} {place} was never what {person} took it for.",
            "When {weather} was over (and it is never quite over), {person} {did} {thing}, and then, {when}, {did} it again.",
            "One is, perhaps, {felt} only once in a life; it was {when}, {place}, while {person} {did} {thing}.",
        ),
        sentences=(2, 4),
        opening=("Of all that grew there I remember this:", "It is said, and it may be true, that", "In those years"),
        titles=("Notes on a Hedge", "What the Pears Knew", "Of Slow Things", "A Wall with Ivy", "The Second Spring"),
    ),
    "ledger": _Writer(
        words=_RUSSIAN,
        forms=(
            "Я {did} {thing}, сударь.",
            "Было это {when}.",
            "{person} {did} {thing} {place}. Я промолчал.",
            "Был ли я {felt}? Был.",
            "Пришёл {weather}, и мы ждали.",
            "Нет, сударь. Не {place}.",
            "Вы знаете, сударь, {person} {did} всё это {how}.",
        ),
        sentences=(4, 8),
        opening=("Сударь,", "Послушайте, сударь.", "В тот год, сударь,", "Вот вам правда."),
        titles=("Первая тетрадь", "Вторая тетрадь", "Малая вода", "Тихая вахта", "Последняя тетрадь"),
    ),
    "almanac": _Writer(
        words=_RUSSIAN,
        forms=(
            "И вот {person}, который был {felt} с тех пор, как пришёл {weather}, {did} {thing} {how}; и никто не спросил зачем.",
            "Мне кажется теперь, как казалось и тогда, что {person} вовсе не затем {did} {thing}, чтобы стоять {place}.",
            "Когда {weather} кончился (а он не кончается никогда), {person} {did} {thing}, а потом, {when}, {did} её снова.",
            "Человек бывает {felt}, может быть, один раз в жизни; было это {when}, {place}, пока {person} {did} {thing}.",
        ),
        sentences=(2, 4),
        opening=("Из всего, что там было, помню одно:", "Говорят, и это может быть правдой, что", "В те годы"),
        titles=("Заметки о заборе", "О чём молчали груши", "О медленном", "Стена с плющом", "Вторая весна"),
    ),
}


def books(seed: int = 0) -> Iterator[tuple[str, str, str]]:
    """Every work as (writer, title, text), the same on every machine; a hundred thousand letters in all.

    Example:

    >>> from tfl.modalities.passage.sample import books
    >>> author, title, text = next(iter(books()))
    >>> author, title, text == next(iter(books()))[2]
    ('captain', 'The First Log', True)
    """
    for name, writer in _WRITERS.items():
        for title in writer.titles[:WORKS]:
            draw = random.Random(f"{seed} {name} {title}")
            yield name, title, "\n\n".join(_paragraph(writer, draw) for _ in range(PARAGRAPHS)) + "\n"


def _paragraph(writer: _Writer, draw: random.Random) -> str:
    count = draw.randint(*writer.sentences)
    return " ".join([draw.choice(writer.opening), *(_sentence(writer, draw) for _ in range(count))])


def _sentence(writer: _Writer, draw: random.Random) -> str:
    text = draw.choice(writer.forms).format(**{name: draw.choice(words) for name, words in writer.words.items()})
    return text[0].upper() + text[1:]
