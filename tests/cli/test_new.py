"""The recipe that `tfl new` writes: the shares of its splits, and whether it flips images."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import tfl
from tfl.cli.main import cli


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder; no weights are at hand but those that ship."""
    monkeypatch.chdir(tmp_path)
    for name in ("KERAS_HOME", "KAGGLEHUB_CACHE", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path


def invoke(*words):
    return CliRunner().invoke(cli, ["new", *(str(word) for word in words)])


def class_folders(base, draw, **counts):
    for name, count in counts.items():
        (base / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(draw(name, np.random.default_rng([number, len(name)]))).save(base / name / f"{number}.png")


def plain(name, rng):
    return np.full((8, 8, 3), rng.integers(0, 256, 3), np.uint8)


def arrow(name, rng):
    """A bright triangle that points left or right, among noise."""
    image = rng.integers(0, 90, (32, 32, 3)).astype(np.uint8)
    top, left = rng.integers(4, 12, 2)
    rows, columns = np.indices((13, 13))
    triangle = np.abs(rows - 6) <= (columns if name == "left" else 12 - columns) / 2
    image[top : top + 13, left : left + 13][triangle] = 250
    return image


def confetti(name, rng):
    """Bright squares, each at a random place: as likely as in the mirror."""
    image = rng.integers(0, 90, (32, 32, 3)).astype(np.uint8)
    for top, left in rng.integers(0, 28, (6 if name == "many" else 2, 2)):
        image[top : top + 4, left : left + 4] = 250
    return image


@pytest.mark.slow
def test_one_rare_class_leaves_the_shares_of_the_others(here):
    class_folders(here / "photos", plain, ant=20, bee=20, fly=3)
    result = invoke("insects", "--data", "photos")
    assert result.exit_code == 0, result.stderr
    recipe = tfl.load_recipe("insects.py")
    assert (recipe.data.validation, recipe.data.test) == (0.2, 0.2)
    assert "Class `fly` has 3 images: 1 to train, 1 to validate, 1 to test" in result.stdout


def test_classes_are_rare_by_what_is_trained_on(here):
    """A test split that holds as many of each class does not hide that one of them is rare in training."""
    class_folders(here / "photos" / "train", plain, ant=12, bee=3)
    class_folders(here / "photos" / "test", plain, ant=9, bee=9)
    assert invoke("insects", "--data", "photos").exit_code == 0
    recipe = tfl.load_recipe("insects.py")
    assert recipe.class_weight == "balanced" and recipe.monitor.metric == "val_macro_f1"


def test_a_test_split_of_other_shares_changes_nothing(here):
    class_folders(here / "photos" / "train", plain, ant=9, bee=9)
    class_folders(here / "photos" / "test", plain, ant=30, bee=1)
    assert invoke("insects", "--data", "photos").exit_code == 0
    assert tfl.load_recipe("insects.py").class_weight is None


def test_few_images_leave_the_flip_out_and_say_so(here):
    class_folders(here / "photos", plain, ant=10, bee=10)
    result = invoke("insects", "--data", "photos")
    assert tfl.load_recipe("insects.py").stages == tfl.Auto()
    reason = "20 images are too few to find out whether mirrored copies can be told from the originals"
    assert f"Horizontal flips are left out: {reason}." in result.stdout
    assert "# No tfl.Augment(flip=" in here.joinpath("insects.py").read_text()


def test_the_best_network_at_hand_is_taken(here, whole_file):
    class_folders(here / "photos", plain, ant=10, bee=10)
    models = here / "KERAS_HOME" / "models"
    whole_file(models / "mobilenet_7_5_224_tf_no_top.h5")
    whole_file(models / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5")
    whole_file(models / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.4_160_no_top.h5")  # would want another image size
    result = invoke("insects", "--data", "photos", "--minutes", "0")
    assert result.exit_code == 0, result.stderr
    assert "The network is MobileNet alpha=0.75: of those whose" in result.stdout and "68.4% ImageNet top-1" in result.stdout
    assert tfl.load_recipe("insects.py").backbone == tfl.Backbone("MobileNet", arguments={"alpha": 0.75})
    text = here.joinpath("insects.py").read_text()
    assert 'backbone=tfl.Backbone("MobileNet", arguments={"alpha": 0.75}),' in text and "`tfl backbones --at-hand`" in text
    named = json.loads(invoke("others", "--data", "photos", "--backbone", "mini", "--json").stdout)
    assert (named["backbone"], named["arguments"], named["about_backbone"]) == ("mini", {}, "")


@pytest.mark.slow
@pytest.mark.real_weights
def test_the_networks_at_hand_are_compared_on_the_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "photos", confetti, few=15, many=15)
    result = invoke("dots", "--data", "photos", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    titles = [row["title"] for row in document["networks"]]
    assert titles[0] == "MobileNet alpha=0.75" and {"mini", "MobileNetV2 alpha=0.35"} <= set(titles)
    chosen = next(row for row in document["networks"] if row["chosen"])
    backbone = tfl.load_recipe("dots.py").backbone
    assert chosen["title"] == " ".join([backbone.name, *(f"{key}={value}" for key, value in backbone.arguments.items())])
    assert chosen is document["networks"][0] or (chosen["p"] <= 0.01 and chosen["gain"] >= 0)
    text = (tmp_path / "dots.py").read_text()
    assert (
        f"{chosen['title']} {chosen['value']:.3f}" in " ".join(text.replace("#", " ").split())
        and max(map(len, text.split("\n"))) < 131
    )


def test_mini_alone_says_what_is_left_on_the_table(here):
    class_folders(here / "photos", plain, ant=10, bee=10)
    result = invoke("insects", "--data", "photos")
    assert tfl.load_recipe("insects.py").backbone == tfl.Backbone("mini")
    for text in (result.stdout, here.joinpath("insects.py").read_text()):
        assert "3 to 7 points of accuracy" in text and "docs/weights.md" in text and "tfl backbones MobileNetV2 --fetch" in text


def test_small_pictures_are_enlarged_for_a_network_that_needs_it(here, whole_file):
    class_folders(here / "photos", plain, ant=10, bee=10)
    whole_file(here / "KERAS_HOME" / "models" / "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5")
    invoke("insects", "--data", "photos", "--minutes", "0")
    recipe = tfl.load_recipe("insects.py")
    assert recipe.backbone.name == "InceptionV3" and recipe.data.image_size is None


def test_sounds_begin_with_mini(here, whole_file):
    whole_file(here / "KERAS_HOME" / "models" / "mobilenet_7_5_224_tf_no_top.h5")
    result = invoke("noises", "--data", "sample:sounds", "--minutes", "0")
    assert "The network is mini: what is published of other networks" in result.stdout
    assert tfl.load_recipe("noises.py").backbone == tfl.Backbone("mini")


def test_an_encoder_at_hand_is_taken_for_texts(here, whole_file):
    from tfl.modalities.hub_cache import address_of

    (here / "reviews.csv").write_text(REVIEWS)
    assert json.loads(invoke("mood", "--data", "reviews.csv", "--json").stdout)["backbone"] == "distil_bert_base_en_uncased"
    if (address := address_of("bert_small_en_uncased")) is None:
        pytest.skip("KerasHub is not installed: pip install 'tfl[text]'")
    folder = here / "KAGGLEHUB_CACHE" / "models" / address.removeprefix("kaggle://")
    whole_file(folder / "model.weights.h5")
    (folder / "config.json").write_text('{"class_name": "BertBackbone", "config": {}}')
    (folder / "tokenizer.json").touch()
    for name in ("config.json", "model.weights.h5"):
        mark = folder.parent / ".complete" / folder.name / f"{name}.complete"
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    result = invoke("moods", "--data", "reviews.csv")
    assert "The network is bert_small_en_uncased" in result.stdout and "77.6% MNLI, fine-tuned" in result.stdout
    assert tfl.load_recipe("moods.py").backbone == tfl.Backbone("bert_small_en_uncased")


REVIEWS = "\n".join(
    ["text,label", *(f"the {word} is fine and so are all of its parts {n},{n % 2}" for n, word in enumerate("abcdefghijkl"))]
)


def test_texts_are_found_with_their_network(here):
    (here / "reviews.csv").write_text(REVIEWS)
    result = invoke("mood", "--data", "reviews.csv", "--backbone", "presets/small")
    assert result.exit_code == 0, result.stderr
    recipe = tfl.load_recipe("mood.py")
    assert recipe.data.input == tfl.Text() and recipe.backbone.name == "presets/small" and recipe.task == "classify"
    assert result.stdout.startswith("mood.py: 12 texts\n") and "save_to_preset" in result.stdout
    assert "one text → one of 2." in here.joinpath("mood.py").read_text()


def test_sounds_are_found_with_their_sample_rate(here):
    result = invoke("noises", "--data", "sample:sounds", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["kind"], document["task"], document["sounds"], document["flip"]) == ("audio", "classify", 300, None)
    recipe = tfl.load_recipe("noises.py")
    assert recipe.data.input == tfl.Audio() and recipe.backbone.name == "mini"
    assert recipe.stages == tfl.Auto()


def test_numbers_and_several_labels_are_found(here):
    class_folders(here, plain, shots=12)
    rows = [f"shots/{n}.png,{n * 1.7:.1f},{n % 2},{n % 3 // 2}" for n in range(12)]
    (here / "ages.csv").write_text("\n".join(["path,age", *(",".join(row.split(",")[:2]) for row in rows)]))
    assert "ages.py: 12 images, numbers for each" in invoke("ages", "--data", "ages.csv").stdout
    recipe = tfl.load_recipe("ages.py")
    assert (recipe.task, recipe.monitor.metric, recipe.class_weight) == ("regress", "val_mae", None)
    assert "12 images with age from 0 to 18.7" in here.joinpath("ages.py").read_text()
    (here / "marks.csv").write_text(
        "\n".join(["path,cat,dog", *(",".join(row.split(",")[::2] + row.split(",")[3:]) for row in rows)])
    )
    assert "marks.py: 12 images, several labels for each" in invoke("marks", "--data", "marks.csv").stdout
    assert tfl.load_recipe("marks.py").task == "multilabel"


def test_what_the_data_do_not_tell_is_said_with_set(here):
    class_folders(here, plain, shots=12)
    rows = [f"shots/{n}.png,{n * 1.7:.1f},{n * 2.3:.1f},{'ab'[n % 2]}" for n in range(12)]
    (here / "all.csv").write_text("\n".join(["path,height,weight,kind", *rows]))
    assert tfl.load_recipe(json.loads(invoke("kinds", "--data", "all.csv", "--json").stdout)["recipe"]).task == "classify"
    several = invoke("sizes", "--data", "all.csv", "--set", "task=regress")
    assert several.exit_code == 2 and "--set data.label_column=NAME or NAME,NAME" in several.stderr
    named = invoke("sizes", "--data", "all.csv", "--set", "task=regress", "--set", "data.label_column=height,weight")
    assert named.exit_code == 0, named.stderr
    assert tfl.load_recipe("sizes.py").data.label_column == "height,weight"
    other = invoke("more", "--data", "all.csv", "--set", "seed=3")
    assert other.exit_code == 2 and "does not take --set seed" in other.stderr


@pytest.mark.slow
def test_classes_that_swap_in_the_mirror_are_not_flipped(here):
    class_folders(here / "photos", arrow, left=60, right=60)
    document = json.loads(invoke("signs", "--data", "photos", "--json").stdout)
    assert document["flip"]["flip"] is False and document["flip"]["told_apart"] > 0.9
    assert document["flip"]["named"] > 0.9 > 0.2 > document["flip"]["named_mirrored"]
    assert tfl.load_recipe("signs.py").stages.augment is None
    assert "mirrored copies" in here.joinpath("signs.py").read_text()


@pytest.mark.slow
def test_images_like_their_mirror_images_are_flipped(here):
    class_folders(here / "photos", confetti, few=150, many=150)
    result = invoke("parties", "--data", "photos", "--json")
    document = json.loads(result.stdout)
    assert document["flip"]["flip"] is True, document["flip"]
    assert tfl.load_recipe("parties.py").stages.augment.flip == "horizontal"
    assert len(here.joinpath("parties.py").read_text().splitlines()) < 60
    assert "comparing 300 images with their mirrored copies" in result.stderr
