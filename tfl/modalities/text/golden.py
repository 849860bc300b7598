"""The golden texts: of every kind that has made tokenizers disagree. They need no data."""

from __future__ import annotations


def golden_texts() -> dict[str, bytes]:
    """Texts by name, as UTF-8, the same in every process.

    Example:

    >>> from tfl.modalities.text.golden import golden_texts
    >>> sorted(golden_texts())[:3]
    ['accents', 'arabic', 'blank']
    """
    return {name: text.encode() for name, text in _TEXTS.items()}


_SENTENCE = "The quick brown fox jumps over the lazy dog, and nobody minds. "
_TEXTS = {
    "sentence": "A fine film, with a story that holds from the first scene to the last.",
    "short": "no",
    "empty": "",
    "blank": " \t\n ",
    "long": 60 * _SENTENCE,
    "long_word": 300 * "ab",
    "upper_case": "THIS IS THE BEST FILM OF THE YEAR!",
    "numbers": "In 2,024 it took 3.5 hours and $1,000,000 (or 12%) to see 7 of 9.",
    "punctuation": (
        "Well... (no), \u201cyes\u201d \u2013 it's \u2018fine\u2019; isn't it?! #1 @home _under_ [brackets] {braces} ~tilde^"
    ),
    "white_space": "two\tlines\r\nand   many    spaces\u00a0here\u2003and\u3000there",
    "accents": "Caf\u00e9 na\u00efve \u00fcber fa\u00e7ade co\u00f6perate, Dvo\u0159\u00e1k, \u00c5ngstr\u00f6m",
    "combining": "Cafe\u0301 nai\u0308ve",
    "russian": "\u041f\u0440\u0435\u043a\u0440\u0430\u0441\u043d\u044b\u0439 \u0444\u0438\u043b\u044c\u043c.",
    "greek": "\u039a\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1 \u03ba\u03cc\u03c3\u03bc\u03b5",
    "chinese": "\u8fd9\u90e8\u7535\u5f71\u5f88\u597d\u770b\u3002",
    "japanese": "\u3068\u3066\u3082\u9762\u767d\u3044\u6620\u753b\u3067\u3057\u305f\u3002",
    "arabic": "\u0641\u064a\u0644\u0645 \u062c\u0645\u064a\u0644 \u062c\u062f\u0627",
    "hindi": "\u092c\u0939\u0941\u0924 \u0905\u091a\u094d\u091b\u0940 \u092b\u093f\u0932\u094d\u092e",
    "emoji": "so good \U0001f600\U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f",
    "zero_width": "in\u200bvisible \ufeffmarks",
    "markup": '<p class="x">A &amp; B</p> https://example.org/a?b=1&c=2',
    "special_tokens": "[CLS] not a start [SEP] <s> nor an end </s> [MASK] [PAD]",
}
