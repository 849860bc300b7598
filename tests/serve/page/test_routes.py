"""The page's routes: its files, what it answers, what it refuses, and what it says where something is missing."""

import base64
import io
import re
import time
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tfl
from tfl.modalities.shipping import shipping_of_about
from tfl.runs import Run
from tfl.serve.limits import Limits

pytest.importorskip("fastapi", reason="fastapi is not installed: pip install 'tfl[serve]'")
from fastapi.testclient import TestClient

from tfl.serve.app import create_app
from tfl.serve.page import routes as page

STATIC = Path(page.__file__).parent / "static"
CLASSES = ("ant", "bee", "cat")


class Version:
    number, class_names, folder, shipping = 3, CLASSES, Path("nowhere"), shipping_of_about({})


class Answering:
    """Stands for the served model: gives the same outputs for every picture, or raises."""

    name, latest = "insects", Version()

    def __init__(self, *, limits=None, confidence=True, names=CLASSES):
        self.limits = limits or Limits()
        self.outputs = {
            "label": np.array([names[1].encode()], object),
            "labels": np.array([[name.encode() for name in names]], object),
            "probabilities": np.array([[0.2, 0.7, 0.1]], "float32"),
        }
        if confidence:
            self.outputs |= {
                "calibrated_probabilities": np.array([[0.3, 0.6, 0.1]], "float32"),
                "prediction_set": np.array([[True, True, False]]),
                "out_of_distribution_score": np.array([0.25], "float32"),
                "is_out_of_distribution": np.array([False]),
            }

    def submit(self, rows, *, version, weight):
        future = Future()
        future.set_result(self.outputs)
        return future


def client_of(models, run=None):
    return TestClient(create_app(models, page=page.page_routes(models, run)))


def picture(size=(40, 20), kind="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(buffer, kind)
    return buffer.getvalue()


def opened(uri):
    head, content = uri.split(",")
    return head, Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.fixture(scope="module")
def client():
    return client_of(Answering())


def test_the_page_and_its_files_are_served_under_a_strict_policy(client):
    found = client.get("/")
    assert found.status_code == 200 and found.headers["content-type"].startswith("text/html")
    named = re.findall(r'(?:src|href)="(page/static/[^"]+)"', found.text)
    assert len(named) == 3
    imported = [f"page/static/{name}" for name in re.findall(r'from "\./([^"]+)"', (STATIC / "page.js").read_text())]
    for answer in [found, *(client.get(f"/{name}") for name in named + imported)]:
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy and "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_every_file_of_the_folder_is_served_and_packaged(client):
    files = {file.name for file in STATIC.iterdir()}
    assert files == {"page.html", *page._KINDS}
    assert "serve/page/static/*" in Path("setup.cfg").read_text()


def test_nothing_is_inline_and_nothing_is_asked_elsewhere():
    html = (STATIC / "page.html").read_text()
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*src=)", html)
    for file in STATIC.glob("*.*"):
        addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", file.read_text())
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}, file


@pytest.mark.parametrize(
    "name",
    ["page.html", "../page.py", "..%2fpage.py", "%2e%2e%2fpage.py", "page.css%00", "/etc/passwd", "~", "PAGE.CSS"],
)
def test_no_other_name_reaches_a_file(client, name):
    assert client.get(f"/page/static/{name}").status_code == 404


def test_the_page_knows_what_is_served(client):
    assert client.get("/page/about").json() == {
        "model": "insects",
        "version": 3,
        "task": "classify",
        "classes": list(CLASSES),
        "most_bytes": Limits().max_body_bytes,
        "kind": "image",
        "noun": "image",
        "nouns": "images",
    }


def test_a_picture_is_answered_and_what_is_missing_is_said(client):
    said = client.post("/page/look", content=picture((1600, 800), "JPEG")).json()
    assert (said["label"], said["version"], said["prediction_set"], said["is_out_of_distribution"]) == (
        "bee",
        3,
        ["ant", "bee"],
        False,
    )
    assert said["calibrated_probabilities"] == pytest.approx({"ant": 0.3, "bee": 0.6, "cat": 0.1})
    head, shown = opened(said["picture"]["source"])
    assert head == "data:image/jpeg;base64" and shown.size == (800, 400) == (said["picture"]["width"], said["picture"]["height"])
    assert said["grad_cam"] is None and said["neighbours"] is None
    assert set(said["missing"]) == {"grad_cam", "neighbours"} and "tfl serve RUN" in said["missing"]["grad_cam"]


def test_an_export_without_confidence_is_not_called_calibrated():
    said = client_of(Answering(confidence=False)).post("/page/look", content=picture()).json()
    assert said["calibrated_probabilities"] is said["prediction_set"] is said["is_out_of_distribution"] is None
    assert "no calibration" in said["missing"]["confidence"]


def test_what_cannot_be_looked_at_is_refused():
    client = client_of(Answering(limits=Limits(max_body_bytes=3000, max_cost=5000)))
    for content, status, words in (
        (b"", 400, "empty"),
        (b"once upon a time", 400, "not an image"),
        (picture((100, 100)), 400, "5,000 pixels"),
        (b"x" * 3001, 413, "3,000 bytes"),
    ):
        answer = client.post("/page/look", content=content)
        assert answer.status_code == status and words in answer.json()["error"]
    assert client.get("/page/look").status_code == 405


def test_only_so_many_wait(monkeypatch):
    """Three come at once, one may wait behind the first; a refused one leaves no trace."""
    monkeypatch.setattr(page, "_MOST_WAITING", 1)
    models, asked = Answering(), []
    monkeypatch.setattr(models, "submit", lambda *rows, **about: asked.append(Future()) or asked[-1])
    with client_of(models) as client, ThreadPoolExecutor() as pool:
        answers = [pool.submit(client.post, "/page/look", content=picture()) for _ in range(3)]
        refused = next(as_completed(answers, timeout=60)).result()
        while len(asked) < 2:
            time.sleep(0.01)
        for future in asked:
            future.set_result(models.outputs)
        statuses = sorted(answer.result().status_code for answer in answers)
        monkeypatch.undo()
        statuses.append(client.post("/page/look", content=picture()).status_code)
    assert refused.status_code == 503 and "Try again" in refused.json()["error"]
    assert statuses == [200, 200, 503, 200]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with an untrained network, as `tfl run` leaves it; the fit is `pad`."""
    from tfl.model.assemble import assemble
    from tfl.model.freeze import make_plan

    data = tfl.Data("unused", image_size=(96, 96), fit="pad")
    recipe = tfl.Recipe(name="insects", data=data, backbone=tfl.Backbone("mini"))
    run = Run.create(tmp_path_factory.mktemp("runs") / "insects", recipe, command=[])
    run.update_manifest(data={"class_names": list(CLASSES)})
    assembled = assemble(recipe, CLASSES)
    logits = assembled.model.get_layer("logits")
    logits.set_weights([np.abs(values) for values in logits.get_weights()])  # so that something speaks for every class
    assembled.model.save(run.path("model.keras"))
    run.write_json("plans.json", {"head": make_plan(assembled, recipe.stages[0]).as_json()})
    return run


@pytest.fixture(scope="module")
def with_run(run):
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (100, 200, 3)).astype("uint8")).save(noise, "PNG")
    return client_of(Answering(), run).post("/page/look", content=noise.getvalue()).json()


@pytest.mark.slow
def test_grad_cam_lies_over_the_whole_picture(with_run):
    head, layer = opened(with_run["grad_cam"])
    assert head == "data:image/png;base64" and (layer.mode, layer.size) == ("RGBA", (160, 80))
    assert np.asarray(layer)[..., 3].max() > 100
    assert with_run["looked"].startswith("It looked most at the ")


def test_a_run_without_training_pictures_says_how_they_come(with_run):
    assert with_run["neighbours"] is None and "tfl evaluate" in with_run["missing"]["neighbours"]


def test_a_version_of_other_classes_is_not_explained_by_the_run(run):
    said = client_of(Answering(names=("x", "y", "z")), run).post("/page/look", content=picture()).json()
    assert said["label"] == "y" and said["grad_cam"] is None and "other classes" in said["missing"]["grad_cam"]


@pytest.mark.parametrize("file", ["model.keras", "plans.json"])
def test_a_damaged_run_costs_the_explanation_and_not_the_answer(run, tmp_path, file, caplog):
    import shutil

    damaged = Run(shutil.copytree(run.folder, tmp_path / "secret"))
    damaged.path(file).write_bytes(b"{}")
    said = client_of(Answering(), damaged).post("/page/look", content=picture()).json()
    assert said["label"] == "bee" and said["grad_cam"] is None
    assert "secret" not in str(said["missing"]) and "secret" in caplog.text
