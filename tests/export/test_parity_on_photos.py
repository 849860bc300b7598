"""A real network and real photos: the export says what the model says."""

import numpy as np
import pytest
import tensorflow as tf

import tfl
from tfl.export.parity import check_parity
from tfl.export.saved_model import export_saved_model
from tfl.modalities.base import modality_of_data
from tfl.modalities.image.resize import preprocess_batch
from tfl.model.assemble import assemble

LABELS = ("a", "b", "c", "d", "e")


def network(*, size=(160, 128)):
    recipe = tfl.Recipe(
        name="photos",
        data=tfl.Data("unused", image_size=size),
        backbone=tfl.Backbone("MobileNetV2", weights="imagenet", arguments={"alpha": 0.35}),
    )
    return recipe.data, assemble(recipe, LABELS).model


@pytest.mark.slow
@pytest.mark.real_weights
@pytest.mark.real_photos
def test_the_export_agrees_on_photos(photos, tmp_path):
    """And what Keras' own predict says."""
    data, model = network()
    files = sorted((photos / "flowers").rglob("*.jpg"))[::40][:12]
    assert len(files) > 10
    target = export_saved_model(model, class_names=LABELS, modality=modality_of_data(data), folder=tmp_path)
    assert check_parity(model, target, files, modality_of_data(data))["holds"]
    contents = tf.constant([file.read_bytes() for file in files])
    expected = model.predict(preprocess_batch(contents, data.image_size, data.fit), verbose=0)
    served = tf.saved_model.load(str(target)).signatures["serving_default"]
    np.testing.assert_allclose(served(image_bytes=contents)["probabilities"], expected, atol=1e-5)
