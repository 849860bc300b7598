"""Vectors of a source: with and without labels, of every kind, whole again after a kill."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tfl
from tfl.embeddings.embed import embed_source
from tfl.embeddings.network import HEAD_INPUT
from tfl.embeddings.wanted import wanted_vectors
from tfl.errors import BackboneError, BadContentError, DataError, RecipeError

SMALL = [("data.image_size", (32, 32))]


@pytest.mark.slow
def test_class_folders_are_labels(embedded, coloured):
    assert len(embedded) == 18 and embedded.about["block"] == "unit4_out" and embedded.about["engine"] == "keras float32"
    assert embedded.rows.files[0] == str(coloured / "blue" / "0.png") and set(embedded.rows.labels) == {"blue", "green", "red"}
    assert embedded.vectors().shape == (18, 24) and np.isfinite(embedded.vectors()).all()
    assert not list(embedded.path.parent.glob(".*"))


def test_vectors_are_those_of_the_network(embedded, coloured, small_network):
    """By Keras itself, without any of the ways that are quicker."""
    import tensorflow as tf

    from tfl.modalities.base import modality_of

    recipe = tfl.Recipe(name="x", data=tfl.Data("x", image_size=(32, 32)), backbone=tfl.Backbone(small_network))
    modality = modality_of(recipe)
    pixels = modality.encode(tf.constant([(coloured / "red" / "3.png").read_bytes()]))
    maps = np.asarray(modality.build_backbone(recipe.backbone)(pixels, training=False))
    row = embedded.rows.files.index(str(coloured / "red" / "3.png"))
    assert np.allclose(embedded.vectors([row])[0], maps.mean(axis=(1, 2))[0], rtol=2e-3, atol=2e-3)


@pytest.mark.slow
def test_files_without_labels_and_single_files(coloured, small_network, tmp_path):
    (tmp_path / "flat").mkdir()
    for name in ("blue", "red"):
        shutil.copy(coloured / name / "0.png", tmp_path / "flat" / f"{name}.png")
    flat = embed_source(wanted_vectors(small_network, settings=SMALL), [tmp_path / "flat"], tmp_path / "flat.npy")
    several = embed_source(
        wanted_vectors(small_network, settings=SMALL),
        [tmp_path / "flat" / "red.png", coloured / "green"],
        tmp_path / "several.npy",
    )
    assert (flat.count, flat.labelled, several.count, several.labelled) == (2, 0, 7, 0)
    bare = embed_source(wanted_vectors(small_network, settings=SMALL), [coloured], tmp_path / "bare.npy", labels=False)
    assert (bare.count, bare.labelled, bare.about["task"]) == (18, 0, "")
    with pytest.raises(DataError, match="have no labels"):
        tfl.verify(tfl.load_vectors(bare.path))


@pytest.mark.slow
def test_what_cannot_be_read_is_named_and_the_others_have_vectors(coloured, small_network, tmp_path):
    shutil.copytree(coloured / "red", tmp_path / "red")
    (tmp_path / "red" / "note.png").write_text("no picture")
    done = embed_source(wanted_vectors(small_network, settings=SMALL), [tmp_path / "red"], tmp_path / "v.npy")
    assert done.count == 6 and [Path(row["file"]).name for row in done.unreadable] == ["note.png"]
    assert "image" in done.unreadable[0]["why"]
    with pytest.raises(BadContentError, match=r"note\.png"):
        embed_source(wanted_vectors(small_network, settings=SMALL), [tmp_path / "red" / "note.png"], tmp_path / "w.npy")
    assert not (tmp_path / "w.npy").exists()


@pytest.mark.slow
def test_blocks_pooling_and_length_one(coloured, small_network, tmp_path):
    options = {"settings": {"data.image_size": (32, 32)}}
    low = tfl.embed(small_network, coloured, tmp_path / "a.npy", block="unit2_out", pooling="max", normalize=True, **options)
    assert low.about["block"] == "unit2_out" and low.about["pooling"] == "max"
    assert np.allclose(np.linalg.norm(low.vectors(), axis=1), 1, atol=1e-5)
    with pytest.raises(BackboneError, match="Did you mean `unit2_out`"):
        tfl.embed(small_network, coloured, tmp_path / "b.npy", block="unit2", **options)
    with pytest.raises(RecipeError, match="pooling"):
        tfl.embed(small_network, coloured, tmp_path / "b.npy", pooling="median", **options)
    with pytest.raises(DataError, match="already there"):
        tfl.embed(small_network, coloured, tmp_path / "a.npy", **options)


@pytest.mark.slow
def test_the_store_and_the_direct_way_agree(coloured, small_network, tmp_path):
    ways = ("always", "never")
    found = [
        tfl.embed(small_network, coloured, tmp_path / f"{way}.npy", settings={"data.image_size": (32, 32), "features.store": way})
        for way in ways
    ]
    assert np.array_equal(found[0].vectors(), found[1].vectors())


def test_a_model_file_asks_how_its_inputs_are_prepared(coloured, tmp_path):
    import keras

    inputs = keras.Input((32, 32, 3))
    keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs)).save(tmp_path / "own.keras")
    with pytest.raises(BackboneError, match=r"backbone\.preprocessing"):
        tfl.embed(tmp_path / "own.keras", coloured / "red", tmp_path / "a.npy")
    found = tfl.embed(tmp_path / "own.keras", coloured / "red", tmp_path / "a.npy", settings={"backbone.preprocessing": "tf"})
    assert found.about["width"] == 4


@pytest.mark.slow
def test_texts_in_a_table_with_and_without_labels(tmp_path):
    (tmp_path / "reviews.csv").write_text(
        "text,label\n" + "".join(f"this film was {word} number {at},{word}\n" for at in range(6) for word in ("good", "bad"))
    )
    (tmp_path / "bare.csv").write_text("text\n" + "".join(f"this film was quite long, number {at}\n" for at in range(4)))
    settings = {"backbone.weights": None}
    found = tfl.embed("tiny", tmp_path / "reviews.csv", tmp_path / "a.parquet", settings=settings)
    assert found.about["kind"] == "text" and set(found.rows.labels) == {"good", "bad"}
    assert found.rows.files[3] == f"{tmp_path / 'reviews.csv'}#3" and found.rows.previews[0].startswith("this film was good")
    assert tfl.similar(found, texts=["this film was bad number 3"], top=1)[0]["neighbours"][0]["same_content"]
    bare = tfl.embed("tiny", tmp_path / "bare.csv", tmp_path / "b.npy", settings=settings)
    assert len(bare) == 4 and not any(bare.rows.labels)


@pytest.mark.slow
def test_sounds(tmp_path):
    found = tfl.embed(
        "mini", "sample:sounds", tmp_path / "a.npy", kind="audio", settings={"data.per_class": 4, "data.input.seconds": 0.5}
    )
    assert found.about["kind"] == "audio" and len(found) > 8 and all(found.rows.labels)


KILLED = """
import os, signal, sys
from tfl.embeddings import embed, parts
from tfl.embeddings.wanted import wanted_vectors
embed.PART_ROWS = 4
write, left = parts.Parts.write, [2]
def dies(*arguments):
    write(*arguments)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
parts.Parts.write = dies
embed.embed_source(wanted_vectors(sys.argv[3], settings=[("data.image_size", (32, 32))]), [sys.argv[1]], sys.argv[2])
"""


@pytest.mark.slow
def test_a_killed_pass_goes_on_to_the_same_file(embedded, coloured, small_network, tmp_path, monkeypatch):
    monkeypatch.setattr("tfl.embeddings.embed.PART_ROWS", 4)
    again = tmp_path / "again.parquet"
    command = [sys.executable, "-c", KILLED, str(coloured), str(again), small_network]
    killed = subprocess.run(command, env=os.environ, check=False)
    assert killed.returncode == -9 and not again.exists()
    assert len(list(tmp_path.glob(".again.parquet.part/*.npz"))) == 2
    done = embed_source(wanted_vectors(small_network, settings=SMALL), [coloured], again)
    assert done.resumed == 8 and again.read_bytes() == embedded.path.read_bytes()
    assert not (tmp_path / ".again.parquet.part").exists()


@pytest.mark.slow
def test_parts_of_other_vectors_or_of_changed_files_are_made_anew(coloured, small_network, tmp_path, monkeypatch):
    from tfl.embeddings import embed

    shutil.copytree(coloured, tmp_path / "photos")
    monkeypatch.setattr(embed, "PART_ROWS", 4)
    monkeypatch.setattr(embed, "write_vectors", lambda *arguments, **options: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        embed_source(wanted_vectors(small_network, settings=SMALL), [tmp_path / "photos"], tmp_path / "v.npy")
    monkeypatch.undo()
    monkeypatch.setattr(embed, "PART_ROWS", 4)
    Image.new("RGB", (32, 32), "white").save(tmp_path / "photos" / "blue" / "5.png")
    done = embed_source(wanted_vectors(small_network, settings=SMALL), [tmp_path / "photos"], tmp_path / "v.npy")
    assert done.resumed == 14
    (tmp_path / "v.npy").rename(tmp_path / "old.npy")
    for name in ("v.csv", "v.json"):
        (tmp_path / name).unlink()


@pytest.fixture(scope="module")
def run(coloured, small_network, tmp_path_factory):
    recipe = tfl.Recipe(
        name="colours",
        data=tfl.Data(str(coloured), image_size=(32, 32)),
        backbone=tfl.Backbone(small_network),
        stages=(tfl.Stage("head", epochs=1),),
        export=(),
    )
    return tfl.run(recipe, tmp_path_factory.mktemp("run"))


@pytest.mark.slow
def test_a_run_gives_what_its_head_reads(run, coloured, tmp_path):
    found = tfl.embed(run.folder, coloured, tmp_path / "a.npy")
    assert found.about["block"] == HEAD_INPUT and found.about["run"] == str(run.folder)
    kept = np.load(run.path("neighbours.npz"))
    own = found.vectors(kept["indices"])
    assert np.allclose(own / np.linalg.norm(own, axis=1, keepdims=True), kept["vectors"].astype(np.float32), atol=4e-3)
    named = tfl.embed(run.folder, coloured, tmp_path / "b.npy", block="unit4_out")
    assert np.allclose(named.vectors(), found.vectors(), atol=1e-2)
    with pytest.raises(RecipeError, match="cannot be set"):
        tfl.embed(run.folder, coloured, tmp_path / "c.npy", settings={"data.image_size": (64, 64)})


@pytest.mark.slow
def test_another_run_is_refused_and_a_moved_one_is_named(run, coloured, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(run.folder, moved)
    found = tfl.embed(moved, coloured, tmp_path / "a.npy")
    moved.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="--network RUN"):
        tfl.similar(tfl.load_vectors(found.path), coloured / "red" / "0.png")
    there = tfl.load_vectors(found.path, network=tmp_path / "elsewhere")
    assert tfl.similar(there, coloured / "red" / "0.png")[0]["neighbours"][0]["same_content"]
    file = tmp_path / "a.json"
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, "weights": "0" * 64}))
    with pytest.raises(DataError, match=r"another network.*its weights"):
        tfl.similar(tfl.load_vectors(found.path, network=tmp_path / "elsewhere"), coloured / "red" / "0.png")


def test_versions_of_packages_are_no_other_network():
    from tfl.embeddings.network import refuse_other_network

    before = {"weights": "w", "versions": {"keras": "3.15.1"}, "graph": "g", "modality": {"decode": "tfl 3, keras 3.15.1"}}
    after = {"weights": "w", "versions": {"keras": "3.16.0"}, "graph": "h", "modality": {"decode": "tfl 3, keras 3.16.0"}}
    refuse_other_network(before, after, Path("v.npy"))
    with pytest.raises(DataError, match="how examples become tensors"):
        refuse_other_network(before, {**after, "modality": {"decode": "tfl 4, keras 3.16.0"}}, Path("v.npy"))
