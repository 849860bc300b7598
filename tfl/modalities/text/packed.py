"""A KerasHub tokenizer as one `tokenizer.json` of the package tokenizers, for exports that take tokens.

It is read by Python, JavaScript, Rust and others without TensorFlow, special tokens, cutting and padding included. WordPiece and
byte-level BPE (Sennrich et al. 2016) can be written; SentencePiece (Kudo and Richardson 2018) cannot.
Format: https://huggingface.co/docs/tokenizers
"""

from __future__ import annotations

from typing import Any

FILE = "tokenizer.json"
_LONGEST_WORD = 100
"""Characters of a word that WordPiece takes apart, as KerasHub's."""


def packed_tokenizer(tokenizer: Any, length: int) -> str | None:
    """The content of `tokenizer.json`; None where the tokenizer is of another kind.

    Args:
        tokenizer: A KerasHub tokenizer.
        length: Integer, tokens of each text, special tokens included.
    """
    made = _word_piece(tokenizer) if hasattr(tokenizer, "suffix_indicator") else _byte_pair(tokenizer)
    if made is None:
        return None
    from tokenizers import processors

    start, end = (tokenizer.id_to_token(one) for one in (tokenizer.start_token_id, tokenizer.end_token_id))
    special = [(start, tokenizer.start_token_id), (end, tokenizer.end_token_id)]
    made.post_processor = processors.TemplateProcessing(single=[start, "$A", end], special_tokens=special)
    made.enable_truncation(length)
    made.enable_padding(length=length, pad_id=tokenizer.pad_token_id, pad_token=tokenizer.id_to_token(tokenizer.pad_token_id))
    text: str = made.to_str()
    return text


def _word_piece(tokenizer: Any) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {word: at for at, word in enumerate(tokenizer.get_vocabulary())}
    model = models.WordPiece(
        vocabulary,
        unk_token=tokenizer.oov_token,
        continuing_subword_prefix=tokenizer.suffix_indicator,
        max_input_chars_per_word=_LONGEST_WORD,
    )
    made = Tokenizer(model)
    made.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=bool(tokenizer.split_on_cjk),
        strip_accents=bool(tokenizer.strip_accents),
        lowercase=bool(tokenizer.lowercase),
    )
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


def _byte_pair(tokenizer: Any) -> Any:
    merges, vocabulary = getattr(tokenizer, "merges", None), getattr(tokenizer, "vocabulary", None)
    if not merges or not isinstance(vocabulary, dict):
        return None
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    pairs: Any = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in merges]
    made = Tokenizer(models.BPE({str(word): int(at) for word, at in vocabulary.items()}, pairs))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=bool(tokenizer.add_prefix_space), use_regex=True)
    made.decoder = decoders.ByteLevel()
    return made
