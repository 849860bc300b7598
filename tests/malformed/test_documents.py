"""Recipes that are none: from JSON, from `--set`, from files. A recipe that is taken can be written down and read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from damage import tfl_says
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tfl
from tfl.errors import RecipeError
from tfl.recipe import Recipe, load_recipe

few, many = (settings(settings.get_profile("malformed"), max_examples=count) for count in (200, 1500))
RECIPE = tfl.Recipe(
    name="leaves",
    data=tfl.Data("photos", labels=("a", "b")),
    backbone=tfl.Backbone("MobileNetV2", arguments={"alpha": 0.35}),
    stages=(
        tfl.Stage("head"),
        tfl.Stage("finetune", train="top:2", augment=tfl.Augment(flip="both"), multipliers={"block*": 0.5}),
    ),
    search=tfl.Search(space={"head.dropout": tfl.Choice((0.0, 0.5)), "stages.head.learning_rate": tfl.Between(1e-4, 1.0)}),
)
PLAIN = json.loads(RECIPE.to_json())
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([10**400, -1, 2**63, 1e308, "²"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into a plain document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of a plain document with another value at a path."""
    if not path:
        return value
    made = dict(document) if isinstance(document, dict) else list(document)
    made[path[0]] = put(made[path[0]], path[1:], value)
    return made


def check(text: str) -> None:
    try:
        recipe = Recipe.from_json(text)
    except RecipeError as error:
        assert 10 < len(str(error)) < 5000
    else:
        assert Recipe.from_json(recipe.to_json()) == recipe


EDITS = st.lists(st.tuples(st.sampled_from(places(PLAIN)), JSON), min_size=1, max_size=2)


def edited(edits: list[tuple[tuple[Any, ...], Any]]) -> str:
    document = PLAIN
    for path, value in edits:
        if path in places(document):
            document = put(document, path, value)
    return json.dumps(document)


@few
@given(edits=EDITS)
def test_an_edited_recipe_is_taken_or_refused(edits: list[tuple[tuple[Any, ...], Any]]) -> None:
    check(edited(edits))


@pytest.mark.slow
@many
@given(edits=EDITS)
def test_many_edited_recipes_are_taken_or_refused(edits: list[tuple[tuple[Any, ...], Any]]) -> None:
    check(edited(edits))


@few
@given(text=JSON.map(json.dumps) | st.text(max_size=40))
@example("[" * 100_000)
@example(RECIPE.to_json()[:-30])
@example("\ufeff" + RECIPE.to_json())
@example(json.dumps(PLAIN).replace('"seed": 0', '"seed": ' + "9" * 5000))
@example(json.dumps(PLAIN).replace('"leaves"', '"lea\\ud800ves"'))
def test_any_document_is_taken_or_refused(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        ("name", "x" * 101, "at most 100"),
        ("name", "../up", "folder name"),
        ("name", "a\n", "folder name"),
        ("stages.0.name", "x" * 65, "at most 64"),
        ("stages.0.train", "top:" + "9" * 5000, "what trains"),
        ("stages.0.train", "top:²", "what trains"),
        ("stages.0.learning_rate", 10**400, "64 bits"),
        ("stages.0.epochs", 10**30, "64 bits"),
        ("data.source", "a\0b", "NUL"),
        ("data.source", "\ud800", "UTF-8"),
        ("data.labels", ["a\0"], "NUL"),
        ("backbone.name", "\0", "NUL"),
        ("backbone.arguments", {"alpha": float("inf")}, "a number"),
        ("backbone.arguments", {"\0": 1}, "NUL"),
        ("head.hidden", [10**9] * 10_000, "at most 65536"),
        ("surprise", 1, "surprise"),
    ],
)
def test_what_no_file_and_no_network_could_take_is_refused(path: str, value: Any, part: str) -> None:
    keys = tuple(int(key) if key.isdecimal() else key for key in path.split("."))
    document = PLAIN | {"surprise": value} if path == "surprise" else put(PLAIN, keys, value)
    with pytest.raises(RecipeError, match=part) as caught:
        Recipe.from_json(json.dumps(document))
    assert len(str(caught.value)) < 2000


def test_what_contains_itself_or_cannot_be_written_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = [loop]
    with pytest.raises(RecipeError, match="contains itself"):
        tfl.Backbone("mini", arguments=loop)
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    with pytest.raises(RecipeError, match="too deeply"):
        tfl.Choice((deep,))
    with pytest.raises(RecipeError, match="does not fit"):
        tfl.Backbone("mini", arguments={"alpha": object()})
    with pytest.raises(RecipeError, match=r"no `\w+\.data\.1`"):
        tfl.Recipe(name="x", data={1: 2}, backbone="mini")  # type: ignore[arg-type]


WORDS = st.sampled_from(
    ["0", "1", "2", "²", "-1", "9" * 30, "data", "stages", "head", "finetune", "search", "space", "multipliers", "train", ""]
) | st.text(max_size=5)
VALUES = st.sampled_from(
    ["1e999", "nan", "[" * 3000, "[" * 300 + "]" * 300, "9" * 5000, "{}", "[]", "none", "", "\0", '{"a": {}}']
)


@pytest.mark.slow
@few
@given(words=st.lists(WORDS, min_size=1, max_size=4), text=VALUES | st.text(max_size=10) | JSON.map(json.dumps))
@example(words=["stages", "²", "epochs"], text="3")
@example(words=["stages", "head", "train"], text="top:" + "1" * 5000)
def test_any_setting_is_taken_or_refused(words: list[str], text: str) -> None:
    for path in (".".join(words), *(".".join([*place, *words]) for place in (["backbone", "arguments"], ["stages", "head"]))):
        try:
            recipe = RECIPE.override(path, text)
        except RecipeError as error:
            assert len(str(error)) < 5000
        else:
            assert Recipe.from_json(recipe.to_json()) == recipe


@few
@given(field=st.sampled_from([".".join(map(str, path)) for path in places(PLAIN) if path]), text=VALUES | JSON.map(json.dumps))
def test_any_value_of_any_field_is_taken_or_refused(field: str, text: str) -> None:
    try:
        recipe = RECIPE.override(field, text)
    except RecipeError:
        return
    assert Recipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"recipe = None\0", "r.py"),
        (b"\xff\xfe" + "recipe = 1".encode("utf-16-le"), "not a text file"),
        (b"(" * 500, "r.py"),
        (b"raise SystemExit(0)", "SystemExit"),
        (b"recipe = 1 if", "line 1"),
        (b"def f(): f()\nf()", "RecursionError"),
        (
            b"import tfl\nd = {}\nd['x'] = d\nrecipe = tfl.Backbone('mini', arguments=d)",
            "line 4",
        ),
        (b"recipe = 'x'", "no `recipe`"),
    ],
)
def test_a_recipe_file_that_is_none_is_told(tmp_path: Path, content: bytes, part: str) -> None:
    (tmp_path / "r.py").write_bytes(content)
    with pytest.raises(RecipeError, match=part):
        load_recipe(tmp_path / "r.py")
    result = tfl_says("run", tmp_path / "r.py", "--out", tmp_path / "out")
    assert result.exit_code == 2 and not (tmp_path / "out").exists()


def test_files_as_windows_writes_them_are_read(tmp_path: Path) -> None:
    text = "import tfl\r\nrecipe = tfl.Recipe(name='x', data=tfl.Data('y'), backbone=tfl.Backbone('mini'))\r\n"
    (tmp_path / "r.py").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_recipe(tmp_path / "r.py").name == "x"
    (tmp_path / "r.json").write_bytes(b"\xef\xbb\xbf" + RECIPE.to_json().encode())
    assert load_recipe(tmp_path / "r.json") == RECIPE


@pytest.mark.parametrize(
    "words", [("--image-size", "²"), ("--image-size", "9" * 5000), ("--image-size", "0"), ("--image-size", "-5,5")]
)
def test_a_size_that_is_none_is_told(tmp_path: Path, words: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert tfl_says("backbones", "mini", *words).exit_code == 2
