"""Books: read by author, cut at characters and white space, whole works held out."""

import numpy as np
import pytest

import tfl
from tfl.data.books import Work, authors_of, held_out_parts, passages_of, read_books, read_works
from tfl.errors import DataError


@pytest.fixture
def books(tmp_path):
    for author, titles in {"anna": "abcd", "boris": "ab"}.items():
        (tmp_path / author / "deep").mkdir(parents=True)
        for number, title in enumerate(titles):
            text = f"Слово {author} {title} и ещё. " * (30 + 10 * number)
            (tmp_path / author / "deep" / f"{title}.txt").write_text(text, encoding="utf-8")
    return tmp_path


def data(source, **options):
    return tfl.Data(str(source), input=tfl.Passages(length=64), **options)


@pytest.mark.parametrize("text", ["яблоко " * 50, "я" * 300, "a\n\nb " * 40, ""])
@pytest.mark.parametrize("length", [16, 33])
def test_passages_are_whole_characters_and_make_the_text_again(text, length):
    passages = passages_of(text, length)
    assert b"".join(passages).decode() == text
    assert all(0 < len(passage) <= length and passage.decode() for passage in passages)


def test_whole_works_are_held_out_and_parts_of_few(books):
    examples = read_books(data(books), seed=0)
    splits = {
        author: {
            group: set(examples.splits[examples.groups == group])
            for group in dict.fromkeys(examples.groups)
            if group.startswith(author)
        }
        for author in ("anna", "boris")
    }
    assert all(len(found) == 1 for found in splits["anna"].values()) and len(splits["anna"]) == 4
    assert set.union(*splits["anna"].values()) == {"train", "val", "test"}
    assert all(group.endswith(f"{next(iter(found))} part") for group, found in splits["boris"].items())
    assert [int(size) for size in examples.targets[:, 0]] == [len(content) for content in examples.contents]


def test_labels_choose_the_authors_and_others_are_the_rest(books):
    chosen = data(books, labels=("anna",))
    assert set(authors_of(read_books(chosen, seed=0))) == {"anna"}
    assert set(authors_of(read_books(chosen, seed=0, others=True))) == {"boris"}


def test_the_seed_draws_the_works():
    works = [Work("a", str(number), "x" * 100) for number in range(20)]

    def held(seed):
        return [title for split, title, _ in held_out_parts(works, validation=0.2, test=0.2, seed=seed) if split == "test"]

    assert held(0) == held(0) != held(1) and len(held(0)) == 4


def test_what_is_no_book_is_refused(books, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(DataError, match="no texts"):
        read_works(str(empty))
    with pytest.raises(DataError, match="no books"):
        read_works(str(empty / "missing"))
    (books / "stray.txt").write_text("beside the folders")
    with pytest.raises(DataError, match=r"(?s)beside these folders.*stray\.txt"):
        read_works(str(books))
    (books / "stray.txt").unlink()
    (books / "anna" / "old.txt").write_bytes("Слово".encode("cp1251"))
    with pytest.raises(DataError, match=r"(?s)not text in UTF-8.*old\.txt"):
        read_works(str(books))
    assert len(read_works(str(books), on_bad="skip")) == 6
    with pytest.raises(DataError, match="too short"):
        (empty / "one.txt").write_text("a")
        read_books(data(empty), seed=0)
    with pytest.raises(DataError, match="no other authors"):
        read_books(data(books, labels=("*",), on_bad="skip"), seed=0, others=True)


def test_stray_control_characters_are_dropped_and_a_binary_file_is_refused(books):
    (books / "anna" / "scan.txt").write_bytes(b"\xef\xbb\xbfThe\x01 end of the page.\x7f\r\n" + b"And the next one.\t" * 20)
    scan = next(work for work in read_works(str(books)) if work.title == "scan")
    assert scan.text == "The end of the page.\n" + "And the next one.\t" * 20
    (books / "anna" / "image.txt").write_bytes(bytes(range(32)) * 8)
    with pytest.raises(DataError, match=r"(?s)not text in UTF-8.*image\.txt"):
        read_works(str(books))


def test_the_sample_is_the_same_everywhere_and_in_two_languages():
    works = read_works("sample:authors")
    assert len(works) == 20 and sum(len(work.text) for work in works) < 200_000
    assert np.mean([work.text.isascii() for work in works]) == 0.5
