"""A running server in the certificate: asked as TensorFlow Serving is, and found out when it differs."""

import base64
import http.server
import json
import threading

import numpy as np
import pytest

from tfl.errors import ExportError
from tfl.export.certificate import Certifier
from tfl.export.runtimes import open_export
from tfl.export.server import open_server
from tfl.export.ship import ship

pytestmark = pytest.mark.slow


class Stub(http.server.BaseHTTPRequestHandler):
    """Stands for a server: the SavedModel behind the REST contract's row format."""

    served, wrong, asked = None, 0.0, []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append((self.path, self.headers.get("Authorization")))
        if "leaves" not in self.path:
            return self._answer(404, {"error": "Servable not found"})
        found = self.served([base64.b64decode(row["b64"]) for row in body["instances"]])
        found = {name: np.asarray(value) for name, value in found.items()}
        found["probabilities"] = found["probabilities"] + self.wrong
        rows = [{name: plain(value[at]) for name, value in found.items()} for at in range(len(body["instances"]))]
        return self._answer(200, {"predictions": rows})

    def _answer(self, code, document):
        content = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words):
        pass


def plain(value):
    return (
        value.decode()
        if isinstance(value, bytes)
        else [plain(v) for v in value]
        if value.ndim and value.dtype == object
        else value.tolist()
    )


@pytest.fixture(scope="module")
def address(shipment, tmp_path_factory):
    done = ship(("saved_model",), shipment, tmp_path_factory.mktemp("served"), certifier=None)
    [runtime] = open_export("saved_model", done.folders["saved_model"])
    Stub.served = staticmethod(runtime.answer)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_server_is_judged_like_an_export(address, shipment, trial, monkeypatch):
    monkeypatch.setenv("TFL_SERVE_TOKEN", "secret")
    certifier = Certifier(shipment, trial)
    row = certifier.certify(open_server(address, name="leaves"))
    assert (
        row["holds"] and row["decodes"] and row["count"] == len(trial) and row["other_outputs"]["prediction_set"]["changed"] == 0
    )
    assert Stub.asked[-1] == ("/v1/models/leaves:predict", "Bearer secret")
    monkeypatch.setattr(Stub, "wrong", 0.01)
    with pytest.raises(ExportError, match="`server` disagrees"):
        certifier.certify(open_server(f"{address}/v1/models/leaves", name="x"))


def test_a_server_that_refuses_or_is_not_there_is_told(address, trial):
    with pytest.raises(ExportError, match="404 Servable not found"):
        open_server(address, name="other").look_at(trial)
    with pytest.raises(ExportError, match="no answer"):
        open_server("http://127.0.0.1:9", name="x").look_at(trial)
    with pytest.raises(ExportError, match="not the address"):
        open_server("file:///etc/passwd", name="x")
