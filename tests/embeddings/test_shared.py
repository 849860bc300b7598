"""An index of a pair of encoders, small and random: one kind of example is found by the other as KerasHub's forward pass says."""

import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import tfl
from tfl.cli.main import cli
from tfl.errors import DataError

pytest.importorskip("keras_hub", reason="KerasHub (the extra `text`) is not installed")
pytestmark = pytest.mark.slow
TEXTS = ("a red square", "a dark blue night", "grass")


@pytest.fixture(scope="module")
def by_keras_hub(small_clip, coloured):
    """The cosine of each photo and each text, `(photos, texts)`, and the photos."""
    import keras_hub

    backbone = keras_hub.models.Backbone.from_preset(str(small_clip))
    prepare = keras_hub.models.CLIPPreprocessor.from_preset(str(small_clip))
    files = sorted(coloured.glob("*/*.png"))
    inputs = prepare({"images": np.stack([np.asarray(Image.open(file)) for file in files]), "prompts": list(TEXTS)})
    logits = backbone({name: inputs[name] for name in ("images", "token_ids")})["vision_logits"]
    scale = np.exp(float(np.asarray(backbone.get_layer("clip_head").logit_scale).reshape(())))
    return np.asarray(logits) / scale, [str(file) for file in files]


def test_photos_are_found_by_words(small_clip, coloured, by_keras_hub, tmp_path):
    expected, files = by_keras_hub
    index = tfl.embed(small_clip, coloured, tmp_path / "photos.npy", settings={"features.dtype": "float32"})
    assert index.about["block"] == "shared" and index.about["width"] == 12 and index.about["kind"] == "image"
    assert set(index.rows.labels) == {"blue", "green", "red"}
    found = tfl.similar(index, words=TEXTS, top=len(files))
    for at, query in enumerate(found):
        assert query["file"] == TEXTS[at]
        said = {row["file"]: row["similarity"] for row in query["neighbours"]}
        assert [said[file] for file in files] == pytest.approx(expected[:, at], abs=1e-5)
    (own,) = tfl.similar(index, files[3], top=1)
    assert own["neighbours"][0]["same_content"]
    command = ["similar", str(tmp_path / "photos.npy"), "--words", TEXTS[0], "--top", "1", "--json"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["queries"][0]["neighbours"] == found[0]["neighbours"][:1]
    with pytest.raises(DataError, match="Search by words"):
        tfl.similar(index, texts=["grass"])
    index.add(coloured / "red" / "0.png", label="more")
    assert index.rows.labels.count("more") == 1 and len(index) == len(files)


def test_texts_are_found_by_a_photo(small_clip, by_keras_hub, tmp_path):
    expected, files = by_keras_hub
    table = tmp_path / "table.csv"
    table.write_text("text\n" + "\n".join(TEXTS))
    index = tfl.embed(small_clip, table, tmp_path / "texts.npy", settings={"features.dtype": "float32"})
    assert index.about["kind"] == "text" and len(index) == 3
    queries = tfl.similar(tfl.load_vectors(index.path), [files[0], files[10]], top=3)
    for at, query in zip((0, 10), queries, strict=True):
        said = {row["preview"]: row["similarity"] for row in query["neighbours"]}
        assert [said[text] for text in TEXTS] == pytest.approx(expected[at], abs=1e-5)
    same = tfl.similar(index, texts=[TEXTS[1]], top=1)[0]["neighbours"][0]
    assert same["preview"] == TEXTS[1] and same["similarity"] == pytest.approx(1, abs=1e-5)


def test_words_need_a_pair(embedded, small_clip, coloured, tmp_path):
    with pytest.raises(DataError, match="pair of encoders"):
        tfl.similar(embedded, words=["grass"])
    inner = tfl.embed(small_clip, coloured, tmp_path / "inner.npy", pooling="max")
    assert inner.about["block"] != "shared"
    with pytest.raises(DataError, match="without --block"):
        tfl.similar(inner, words=["grass"])


def test_siglip_says_what_keras_hub_says(coloured, tmp_path):
    """Its tokenizer is of SentencePiece, its encoders have no projection, and its logits a bias."""
    import keras
    import keras_hub

    from tfl.modalities.image.pair import load_pair

    sentencepiece, model = pytest.importorskip("sentencepiece"), io.BytesIO()
    options = {"model_writer": model, "vocab_size": 24, "minloglevel": 2}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a red square", "a dark blue night", "photos"] * 20), **options
    )
    small = {"hidden_dim": 16, "num_layers": 1, "num_heads": 2, "intermediate_dim": 16}
    keras.utils.set_random_seed(0)
    keras_hub.models.SigLIPBackbone(
        keras_hub.models.SigLIPVisionEncoder(patch_size=8, image_shape=(32, 32, 3), **small),
        keras_hub.models.SigLIPTextEncoder(vocabulary_size=24, embedding_dim=16, max_sequence_length=16, **small),
    ).save_to_preset(str(tmp_path))
    converter = keras_hub.layers.SigLIPImageConverter(image_size=(32, 32), scale=1 / 127.5, offset=-1.0)
    tokenizer = keras_hub.models.SigLIPTokenizer(proto=model.getvalue())
    keras_hub.models.SigLIPPreprocessor(tokenizer, converter, sequence_length=16).save_to_preset(str(tmp_path))
    backbone = keras_hub.models.Backbone.from_preset(str(tmp_path))
    prepare = keras_hub.models.SigLIPPreprocessor.from_preset(str(tmp_path))
    files = sorted(coloured.glob("red/*.png"))[:2]
    inputs = prepare({"images": np.stack([np.asarray(Image.open(file)) for file in files]), "prompts": list(TEXTS[:2])})
    expected = backbone({name: inputs[name] for name in ("images", "token_ids")})["vision_logits"]
    pair = load_pair(str(tmp_path))
    bias = float(np.asarray(backbone.get_layer("siglip_head").logit_bias).reshape(()))
    found = pair.scale * pair.vectors([file.read_bytes() for file in files]) @ pair.texts(TEXTS[:2]).T + bias
    np.testing.assert_allclose(found, np.asarray(expected), atol=1e-5)
