"""One small network of bfloat16, exported to every format once, and the files that it is compared on."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tfl.data.examples import Examples
from tfl.export.certificate import Certifier
from tfl.export.kinds import KINDS
from tfl.export.ship import ship
from tfl.export.shipment import in_float32, prepare
from tfl.export.trial import Trial, tensors_of

sys.path.insert(0, str(Path(__file__).parent))
from small_network import LABELS, MODALITY, fit_small_confidence, make_network


@pytest.fixture(scope="session")
def examples():
    drawn = np.random.default_rng(5)
    images = np.kron(drawn.integers(0, 256, (40, 4, 6, 3)), np.ones((1, 12, 12, 1))).astype("uint8")
    return Examples(class_names=LABELS, labels=np.arange(40) % 3, arrays=images)


@pytest.fixture(scope="session")
def network():
    """Mixed: few runtimes compute in bfloat16, so every export has to be of the same weights in float32."""
    return make_network("mixed_bfloat16")


@pytest.fixture(scope="session")
def shipment(network, examples):
    images = tensors_of(examples, np.arange(20), modality=MODALITY, at_most=20)
    confidence = fit_small_confidence(in_float32(network), images)
    return prepare(
        network,
        class_names=LABELS,
        modality=MODALITY,
        metadata={"recipe": "leaves"},
        confidence=confidence,
        representative=images,
    )


@pytest.fixture(scope="session")
def trial(examples):
    return Trial.of(MODALITY, examples=examples, indices=np.arange(20, 40))


@pytest.fixture(scope="session")
def certifier(shipment, trial, network):
    return Certifier(shipment, trial, trained=network)


@pytest.fixture(scope="session")
def shipped(shipment, certifier, tmp_path_factory):
    """Every format in one folder, compared."""
    return ship(tuple(KINDS), shipment, tmp_path_factory.mktemp("shipped"), certifier=certifier)
