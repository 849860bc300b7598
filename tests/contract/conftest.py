"""Which server the contract's tests judge: the one at TFL_SERVING_ADDRESS, or else `tfl serve`, started here.

To judge another one (with an export of tfl), such as TensorFlow Serving itself:

    export TFL_SERVING_ADDRESS=http://host:8501 TFL_SERVING_GRPC=host:8500 TFL_SERVING_MODEL=leaves
    pytest tests/contract/test_contract.py
"""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from serving_process import Serving, write_export


@pytest.fixture(scope="session")
def serving(tmp_path_factory):
    """`address`, `grpc` (or None) and `model` of the server under test."""
    if "TFL_SERVING_ADDRESS" in os.environ:
        address, grpc = os.environ["TFL_SERVING_ADDRESS"].rstrip("/"), os.environ.get("TFL_SERVING_GRPC")
        yield SimpleNamespace(address=address, grpc=grpc, model=os.environ.get("TFL_SERVING_MODEL", "model"))
        return
    folder = tmp_path_factory.mktemp("contract")
    write_export(folder)
    started = Serving(folder, folder, "--grpc-port", "0")
    yield SimpleNamespace(address=started.address, grpc=started.grpc, model=started.document["model"])
    assert started.end() == 0, started.log
    assert "Traceback" not in started.log
