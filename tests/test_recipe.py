import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfl
from tfl.errors import DataError, RecipeError

RECIPES = sorted(path for path in Path("recipes").glob("*.py") if "recipe = tfl.Recipe(" in path.read_text())


@pytest.fixture
def recipe():
    return tfl.Recipe(
        name="leaves",
        data=tfl.Sample("strawberry", image_size=(96, 96), labels=("healthy", "leaf*")),
        backbone=tfl.Backbone("MobileNetV2", arguments={"alpha": 0.35}),
        stages=(
            tfl.Stage("head"),
            tfl.Stage("finetune", train=tfl.top_blocks(2), multipliers={"stem*": 0.0}, augment=tfl.Augment(flip="both")),
        ),
    )


def test_json_there_and_back(recipe):
    assert tfl.Recipe.from_json(recipe.to_json()) == recipe


def test_json_writes_every_default_out(recipe):
    for part in (tfl.Recipe, tfl.Data, tfl.Backbone, tfl.Head, tfl.Stage, tfl.Augment, tfl.Monitor):
        for field in dataclasses.fields(part):
            assert f'"{field.name}"' in recipe.to_json()


def test_parts_are_frozen(recipe):
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.seed = 1
    with pytest.raises(TypeError):
        recipe.backbone.arguments["alpha"] = 1.0


@pytest.mark.parametrize(
    ("path", "text", "read"),
    [
        ("seed", "3", lambda r: r.seed == 3),
        ("stages.finetune.epochs", "5", lambda r: [s.epochs for s in r.stages] == [10, 5]),
        ("stages.0.learning_rate", "1e-4", lambda r: r.stages[0].learning_rate == 1e-4),
        ("stages.finetune.augment.flip", "horizontal", lambda r: r.stages[1].augment.flip == "horizontal"),
        ("stages.finetune.augment", "none", lambda r: r.stages[1].augment is None),
        ("stages.head.multipliers.block_*", "0.5", lambda r: r.stages[0].multipliers == {"block_*": 0.5}),
        ("stages.head.weight_decay", "1", lambda r: r.stages[0].weight_decay == 1.0),
        ("data.image_size", "128,160", lambda r: r.data.image_size == (128, 160)),
        ("data.image_size", "[128, 160]", lambda r: r.data.image_size == (128, 160)),
        ("data.labels", "a,b", lambda r: r.data.labels == ("a", "b")),
        ("data.labels", "none", lambda r: r.data.labels is None),
        ("data.source", "123", lambda r: r.data.source == "123"),
        ("backbone", "mini", lambda r: r.backbone == tfl.Backbone("mini")),
        ("backbone.weights", "none", lambda r: r.backbone.weights is None),
        ("backbone.arguments.alpha", "0.5", lambda r: r.backbone.arguments == {"alpha": 0.5}),
        ("head.hidden", "64,32", lambda r: r.head.hidden == (64, 32)),
        ("monitor", "val_loss", lambda r: not r.monitor.higher_is_better),
        ("monitor.patience", "none", lambda r: r.monitor.patience is None),
        ("class_weight", "balanced", lambda r: r.class_weight == "balanced"),
        ("export", "", lambda r: r.export == ()),
    ],
)
def test_override(recipe, path, text, read):
    assert read(recipe.override(path, text))


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("sed", "3", "There is no `sed`.*Did you mean `seed`"),
        ("stages.finetun.epochs", "5", "Did you mean `finetune`"),
        ("stages.head.epoch", "5", "Did you mean `epochs`"),
        ("stages.head.epochs", "5.5", "5.5 .float.*a whole number"),
        ("stages.head.epochs", "-1", "out of range.*at least 0"),
        ("stages.head.epochs", "true", "a whole number"),
        ("stages.head.learning_rate", "nan", "does not fit"),
        ("stages.head.learning_rate", "1e999", "does not fit"),
        ("stages.head.train", "top:0", "does not say what trains"),
        ("stages.head.warmup_epochs", "11", "warms up for longer"),
        ("stages.head.multipliers.a", "-1", "negative"),
        ("stages.head", "x", "whole part"),
        ("stages.head.augment.flip", "both", "is not set"),
        ("precision", "float23", "Did you mean `float32`"),
        ("data.image_size", "96", "2 values"),
        ("data.validation", "0.9", "next to nothing"),
        ("data.source", " ", "empty"),
        ("name", "../x", "folder name"),
        ("seed.x", "1", "no fields of its own"),
        ("image_size", "96,96", r"There is no `image_size`. Did you mean `data.image_size`\?"),
        ("dropout", "0.5", r"Did you mean `head.dropout`\?"),
        ("epochs", "5", r"Did you mean one of `stages.head.epochs`, `stages.finetune.epochs`\?"),
        ("data.epochs", "5", "one of `stages.head.epochs`"),
        ("preprocessing", "tf", r"Did you mean `backbone.preprocessing`\?"),
        ("data.image_sise", "96,96", r"Did you mean `image_size`\?"),
    ],
)
def test_a_bad_override_says_why(recipe, path, text, message):
    with pytest.raises(RecipeError, match=message):
        recipe.override(path, text)


@given(st.text())
def test_any_text_as_a_value_is_taken_or_refused_in_words(text):
    stage = tfl.Recipe(name="a", data=tfl.Data("x"), backbone=tfl.Backbone("mini"))
    for path in ("stages.head.epochs", "data.image_size", "stages.head.multipliers.x", "export", "backbone", "name"):
        try:
            stage.override(path, text)
        except RecipeError as error:
            assert str(error)


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_document_as_a_recipe_is_refused_in_words(document):
    import json

    with pytest.raises(RecipeError):
        tfl.Recipe.from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "has no `recipe`"),
        ("recipe = 3\n", "has no `recipe`.*int"),
        ("\nraise KeyError('boom')\n", "line 2: KeyError.*boom"),
        ("import tfl\nrecipe = tfl.Recipe(name='a', data=tfl.Data(''), backbone=tfl.Backbone('mini'))\n", "line 2.*empty"),
        ("recipe = (\n", "line 1"),
        ("import nothing_like_this\n", "line 1: ModuleNotFoundError"),
    ],
)
def test_a_recipe_file_that_fails_says_where(tmp_path, text, message):
    path = tmp_path / "r.py"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message):
        tfl.load_recipe(path)


def test_a_missing_recipe_says_how_to_start_one(tmp_path):
    with pytest.raises(RecipeError, match="tfl new"):
        tfl.load_recipe(tmp_path / "none.py")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_load_are_short_and_name_their_command(path):
    recipe = tfl.load_recipe(path)
    text = path.read_text()
    assert len(text.splitlines()) < 60
    assert f"tfl run recipes/{path.name}" in text
    assert recipe.name == path.stem
    assert not any(word in text for word in ("\nfor ", "\nif ", "lambda", "open("))


def test_loading_a_recipe_imports_no_tensorflow():
    code = (
        "import sys, tfl; tfl.load_recipe('recipes/strawberry_disease.py').to_json();"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'numpy', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_smoke_keeps_every_part_and_shortens_it(recipe):
    small = recipe.smoke()
    assert [s.epochs for s in small.stages] == [1, 1]
    assert [s.train for s in small.stages] == [s.train for s in recipe.stages]
    assert small.data.per_class == 20


def test_paths_in_a_recipe_file_start_here_or_at_the_file(tmp_path, monkeypatch):
    for folder in ("project/photos", "here"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "project" / "leave_out.txt").write_text("a/1.jpg")
    file = tmp_path / "project" / "leaves.py"
    text = 'import tfl\ndata = tfl.Data("photos", exclude="leave_out.txt")\n'
    file.write_text(text + 'recipe = tfl.Recipe(name="leaves", data=data, backbone=tfl.Backbone("mini"))')
    monkeypatch.chdir(tmp_path / "here")
    data = tfl.load_recipe(file).data
    assert data.source == str(tmp_path / "project" / "photos") and data.exclude == str(tmp_path / "project" / "leave_out.txt")
    (tmp_path / "here" / "photos").mkdir()
    assert tfl.load_recipe(file).data.source == "photos"  # what is here goes before


FIELDS = {
    "data.source": 'tfl.Data("there/x"), backbone=tfl.Backbone("mini")',
    "data.exclude": 'tfl.Data("sample:digits", exclude="there/x"), backbone=tfl.Backbone("mini")',
    "backbone.name": 'tfl.Data("sample:digits"), backbone=tfl.Backbone("there/x")',
    "backbone.weights": 'tfl.Data("sample:digits"), backbone=tfl.Backbone("mini", weights="there/x")',
}


@pytest.mark.parametrize("field", FIELDS)
def test_each_path_of_a_recipe_starts_here_or_at_the_file_and_a_missing_one_is_told_with_both(tmp_path, monkeypatch, field):
    from tfl.recipe import refuse_missing_paths

    project, here = tmp_path / "project", tmp_path / "here"
    project.mkdir()
    here.mkdir()
    (project / "leaves.py").write_text(f'import tfl\nrecipe = tfl.Recipe(name="leaves", data={FIELDS[field]})')
    monkeypatch.chdir(here)
    file = Path("../project/leaves.py")
    with pytest.raises(DataError, match=field) as caught:
        refuse_missing_paths(tfl.load_recipe(file), file)
    assert str(here / "there" / "x") in str(caught.value) and "project/there/x" in str(caught.value)
    refuse_missing_paths(tfl.load_recipe(file), file, given=[field])
    (project / "there").mkdir()
    (project / "there" / "x").write_text("x")
    part, name = field.split(".")
    recipe = tfl.load_recipe(file)
    assert getattr(getattr(recipe, part), name) == str(project / "there" / "x"), "usable from every folder"
    refuse_missing_paths(recipe, file)


def test_a_folder_named_like_a_network_is_not_taken_for_it(tmp_path, monkeypatch):
    for folder in ("project/mini", "project/pretrained", "here"):
        (tmp_path / folder).mkdir(parents=True)
    file = tmp_path / "project" / "leaves.py"
    file.write_text('import tfl\nrecipe = tfl.Recipe(name="leaves", data=tfl.Sample("digits"), backbone=tfl.Backbone("mini"))')
    monkeypatch.chdir(tmp_path / "here")
    backbone = tfl.load_recipe(file).backbone
    assert (backbone.name, backbone.weights) == ("mini", "pretrained")


def test_one_number_for_two_says_what_to_write():
    recipe = tfl.Recipe(name="x", data=tfl.Sample("digits"), backbone=tfl.Backbone("mini"))
    with pytest.raises(RecipeError, match="such as 64,64"):
        recipe.override("data.image_size", "64")


def test_a_prior_of_probes_is_for_classes():
    recipe = tfl.Recipe(name="x", data=tfl.Data("x"), backbone=tfl.Backbone("mini"), search=tfl.Search(prior="probe"))
    with pytest.raises(RecipeError, match=r"another task.*regress.*Leave `prior` out"):
        recipe.override("task", "regress")


def test_the_kind_of_examples_by_its_name():
    recipe = tfl.Recipe(name="x", data=tfl.Data("x"), backbone=tfl.Backbone("mini"))
    assert recipe.override("data.input", "audio").data.input == tfl.Audio()
    assert recipe.override("data.input", "text").override("data.input", "none").data.input is None
    with pytest.raises(RecipeError, match=r"names no kind.*Received: image.*text, audio, passage, or none for images"):
        recipe.override("data.input", "image")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weights": "biases"}, r"trains the head alone.*Received: train=head, weights=biases.*Leave out `weights`"),
        ({"weights": "lora", "train": "top:2", "batchnorm": "train"}, r"keeps the statistics of BatchNorm.*set weights=all"),
        ({"weights": "lora", "train": "all", "lora_rank": 0}, "lora_rank"),
        ({"weights": "kernels", "train": "all"}, "all.*biases.*lora.*adapters"),
        ({"weights": "adapters", "train": "head"}, "trains the head alone"),
    ],
)
def test_what_does_not_go_with_a_part_of_the_weights(fields, message):
    with pytest.raises(RecipeError, match=message):
        tfl.Stage("s", **fields)


def test_a_recipe_of_an_earlier_version_trains_all_weights(recipe):
    document = json.loads(recipe.to_json())
    for stage in document["stages"]:
        del stage["weights"], stage["lora_rank"]
    assert tfl.Recipe.from_json(json.dumps(document)) == recipe
    assert all(stage.weights == "all" for stage in recipe.stages)


@pytest.mark.parametrize("options", [{}, {"start": "probe", "probe": "knn"}])
def test_a_penalty_needs_a_regression(options):
    with pytest.raises(RecipeError, match="starts from a regression"):
        tfl.Head(strengths=(1.0,), **options)
