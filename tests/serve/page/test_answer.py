"""What the page says of exports that earlier versions wrote."""

import numpy as np

from tfl.serve.page.answer import _said


def test_the_names_of_earlier_exports_are_read():
    outputs = {
        "label": np.array([b"ant"]),
        "probabilities": np.array([[0.75, 0.25]], np.float32),
        "unfamiliarity": np.array([0.5], np.float32),
        "is_unfamiliar": np.array([True]),
    }
    said = _said("classify", ("ant", "bee"), outputs)
    assert said["is_out_of_distribution"] is True and said["out_of_distribution_score"] == 0.5
    assert said["probabilities"] == {"ant": 0.75, "bee": 0.25} and said["prediction_set"] is None
