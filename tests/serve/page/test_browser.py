"""The page in a browser: Chromium without a window, through playwright. Skipped where either is missing."""

import io
import itertools
import os
import shutil
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import tfl
from tfl.modalities.shipping import shipping_of_about
from tfl.serve.limits import Limits

pytest.importorskip("fastapi", reason="fastapi is not installed: pip install 'tfl[serve]'")
uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'tfl[serve]'")
playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'tfl[dev]'")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]

from tfl.serve.app import create_app  # noqa: E402
from tfl.serve.page.routes import page_routes  # noqa: E402

CLASSES = ("angular_leafspot", "blossom blight", "healthy", *(f"rarely seen kind number {at}" for at in range(9)))
CHECKS = Path(__file__).with_name("page_checks.js").read_text()
STATES = ("start", "answer", "out_of_distribution", "error", "token")


class Answering:
    """A served model: green pictures are healthy, blue ones out of distribution, others have two classes in the set."""

    name = "leaves"
    latest = SimpleNamespace(number=2, class_names=CLASSES, folder=Path("nowhere"), shipping=shipping_of_about({}))

    def __init__(self, limits=None):
        self.limits = limits or Limits()

    def submit(self, rows, *, version, weight):
        red, green, blue = Image.open(io.BytesIO(rows[0])).convert("RGB").getpixel((0, 0))
        rest = np.full(9, 0.001)
        shares = (0.01, 0.04, 0.941, *rest) if green > red else (0.541, 0.3, 0.15, *rest)
        shares = np.array([shares], "float32")
        future = Future()
        future.set_result(
            {
                "label": np.array([CLASSES[shares.argmax()].encode()], object),
                "labels": np.array([[name.encode() for name in CLASSES]], object),
                "probabilities": shares**2 / (shares**2).sum(),
                "calibrated_probabilities": shares,
                "prediction_set": shares > 0.2,
                "out_of_distribution_score": np.array([0.612 if blue > 128 else 0.021], "float32"),
                "is_out_of_distribution": np.array([blue > 128]),
            }
        )
        return future


@contextmanager
def serving(app):
    """The address of a server of `app` in a thread."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def address():
    models = Answering()
    with serving(create_app(models, page=page_routes(models, None))) as found:
        yield found


@pytest.fixture(scope="module")
def guarded_address():
    models = Answering(Limits(max_body_bytes=50_000))
    with serving(create_app(models, token="strawberry", page=page_routes(models, None))) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    with playwright_api.sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Opens the page; at the end of the test, no script has failed and nothing was asked of anybody else."""
    contexts, troubles, asked = [], [], []

    def opening(address, *, width=1280, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda told: troubles.append(told.text) if told.type in ("error", "warning") else None)
        page.on("request", lambda request: asked.append((address, request.url)))
        page.on("filechooser", lambda chooser: None)  # choosers are caught from the start: turned on by a press, it can come late
        page.goto(address)
        page.wait_for_selector('#about:not(:empty), body[data-state="token"]')
        return page

    yield opening
    for context in contexts:
        context.close()
    refused = "Failed to load resource: the server responded with a status of 4"  # Chromium's note of a refusal that is meant
    assert [trouble for trouble in troubles if refused not in trouble and "ERR_FAILED" not in trouble] == []
    assert asked and all(url.startswith((address, "data:", "blob:")) for address, url in asked)


def picture(colour=(30, 160, 60), size=(320, 240), kind="JPEG"):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind, quality=90)
    return buffer.getvalue()


def file(content, name="leaf.jpg", kind="image/jpeg"):
    return {"name": name, "mimeType": kind, "buffer": content}


def give(page, content, **about):
    page.set_input_files("#file", file(content, **about))


def hold_back(page):
    """Questions to the server wait for the test from now on."""
    held = []
    page.route("**/page/look", lambda route: held.append(route))  # playwright takes no builtin
    return held


def wait_until_held(page, held):
    """The page is busy a moment before its question comes to where it is held."""
    for _ in range(600):
        if held:
            return
        page.wait_for_timeout(50)
    raise AssertionError("The page asked nothing.")


def wait_for(page, state):
    page.wait_for_selector(f'body[data-state="{state}"]')


def bring_to(page, state):
    """The page in one of its states; `page` is at a server that asks for the token `strawberry`."""
    wait_for(page, "token")
    if state == "token":
        return
    page.fill("#token-value", "strawberry")
    page.press("#token-value", "Enter")
    wait_for(page, "start")
    if state == "start":
        return
    give(
        page,
        b"once upon a time" if state == "error" else picture((60, 20, 200) if state == "out_of_distribution" else (200, 60, 20)),
    )
    wait_for(page, "error" if state == "error" else "answer")


def test_a_chosen_picture_is_answered(open_page, address):
    page = open_page(address)
    assert page.inner_text("#model") == "leaves, version 2"
    assert "12 classes: angular_leafspot" in page.inner_text("#about")
    give(page, picture())
    wait_for(page, "answer")
    assert page.inner_text("#answer-title").split() == ["healthy", "94.1%"]
    assert page.locator("#chips li").all_inner_texts() == ["healthy"]
    rows = page.locator("#bars li:visible")
    assert rows.count() == 8
    assert rows.nth(0).locator(".name").inner_text() == "healthy"
    assert rows.nth(0).text_content() == "healthy94.1%, before calibration 99.8%, in the prediction set"
    widths = [
        row.evaluate("row => row.querySelector('i').offsetWidth / row.querySelector('.track').offsetWidth") for row in rows.all()
    ]
    assert widths[0] == pytest.approx(0.941, abs=0.02) and widths == sorted(widths, reverse=True)
    assert page.inner_text("#status") == "healthy, 94.1%."
    assert page.get_attribute("#picture", "alt") == "Your picture, leaf.jpg"
    assert page.is_hidden("#out-of-distribution") and "tfl serve RUN" in page.inner_text("#looked-why")
    page.click("#more")
    assert rows.count() == 12 and page.get_attribute("#more", "aria-expanded") == "true"


def test_a_set_of_several_and_a_picture_out_of_distribution_are_said(open_page, address):
    page = open_page(address)
    give(page, picture((60, 20, 200), kind="PNG"), name="odd.png", kind="image/png")
    wait_for(page, "answer")
    assert page.locator("#chips li").all_inner_texts() == ["angular_leafspot", "blossom blight"]
    assert page.inner_text("#out-of-distribution").startswith("Out of distribution. This picture is unlike the training pictures")
    assert page.inner_text("#answer-eyebrow") == "Nearest class"
    assert page.inner_text("#status").startswith("Out of distribution. Nearest class: angular_leafspot, 54.1%. Prediction set:")


def test_dropped_and_pasted_pictures_are_taken(open_page, address):
    page = open_page(address)
    made = """async (colour) => {
        const canvas = new OffscreenCanvas(64, 64), drawing = canvas.getContext("2d");
        drawing.fillStyle = colour;
        drawing.fillRect(0, 0, 64, 64);
        const held = new DataTransfer();
        held.items.add(new File([await canvas.convertToBlob()], "drawn.png", { type: "image/png" }));
        return held;
    }"""
    page.dispatch_event("#well", "drop", {"dataTransfer": page.evaluate_handle(made, "green")})
    wait_for(page, "answer")
    assert page.inner_text("#label") == "healthy"
    held = page.evaluate_handle(made, "red")
    page.evaluate(
        "held => document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: held, bubbles: true }))", held
    )
    playwright_api.expect(page.locator("#label")).to_have_text("angular_leafspot")
    page.evaluate("document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: new DataTransfer(), bubbles: true }))")
    wait_for(page, "error")
    assert "no file" in page.inner_text("#error-text")


def test_what_is_no_picture_is_told(open_page, address):
    page = open_page(address)
    give(page, b"once upon a time", name="story.jpg")
    wait_for(page, "error")
    assert page.inner_text("#error-title") == "This cannot be looked at" and "not an image" in page.inner_text("#error-text")
    assert page.is_hidden("#again") and page.is_hidden("#answer")
    give(page, b"", name="empty.jpg")
    playwright_api.expect(page.locator("#error-text")).to_contain_text("empty.jpg is empty")
    give(page, picture())
    wait_for(page, "answer")
    assert page.is_hidden("#error")


def test_a_server_that_is_gone_is_told_and_asked_again(open_page, address):
    page = open_page(address)
    page.route("**/page/look", lambda route: route.abort())
    give(page, picture())
    wait_for(page, "error")
    assert page.inner_text("#error-title") == "The server is gone"
    page.unroute("**/page/look")
    page.click("#again")
    wait_for(page, "answer")
    assert page.inner_text("#label") == "healthy"


def test_the_last_of_several_pictures_is_the_one_that_is_shown(open_page, address):
    page = open_page(address)
    held = hold_back(page)
    give(page, picture((60, 20, 200)))
    wait_until_held(page, held)
    assert page.inner_text("#status").startswith("Looking at leaf.jpg") and page.get_attribute("#intake", "aria-busy") == "true"
    page.unroute("**/page/look")
    give(page, picture())
    wait_for(page, "answer")
    assert page.inner_text("#label") == "healthy" and len(held) == 1


def test_a_token_is_asked_for_and_kept_in_memory_alone(open_page, guarded_address):
    page = open_page(guarded_address)
    wait_for(page, "token")
    assert page.evaluate("document.activeElement.id") == "token-value"
    page.fill("#token-value", "raspberry")
    page.press("#token-value", "Enter")
    playwright_api.expect(page.locator("#token-wrong")).to_be_visible()
    page.fill("#token-value", "strawberry")
    page.click("#token button")
    wait_for(page, "start")
    give(page, picture())
    wait_for(page, "answer")
    kept = page.evaluate(
        "[JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.cookie, document.body.innerHTML]"
    )
    assert not any("strawberry" in place for place in kept) and page.input_value("#token-value") == ""
    give(page, os.urandom(60_000), name="large.jpg")
    wait_for(page, "error")
    assert page.inner_text("#error-text") == "large.jpg has 60 kB. At most 50 kB are taken."


def focused(page):
    return page.evaluate("document.activeElement.id || document.activeElement.className")


def test_the_keyboard_alone_is_enough(open_page, address):
    page = open_page(address)
    page.keyboard.press("Tab")
    assert focused(page) == "skip"
    page.keyboard.press("Tab")
    assert focused(page) == "choose"
    outline = page.evaluate("getComputedStyle(document.activeElement).outline")
    assert "solid 3px" in outline
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(file(picture()))
    wait_for(page, "answer")
    assert focused(page) == "choose"  # the focus stays where it was: the status line tells the answer
    page.keyboard.press("Tab")
    assert focused(page) == "more"
    page.keyboard.press("Space")
    assert page.locator("#bars li:visible").count() == 12


def checked(page, name):
    return page.evaluate(f"() => {{ {CHECKS} return {name}(); }}")


@pytest.mark.parametrize("state", STATES)
def test_text_is_readable_and_everything_has_a_name(open_page, guarded_address, state):
    page = open_page(guarded_address)
    bring_to(page, state)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = checked(page, "contrasts")
        assert len(found) > 5 and [row for row in found if row[0] < 4.5] == []
    about = checked(page, "structure")
    assert about["unnamed"] == [] and about["language"] == "en" and about["status"] == "polite"
    assert len(set(about["ids"])) == len(about["ids"]) and set(about["references"]) <= set(about["ids"])
    headings = about["headings"]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(headings))


@pytest.mark.parametrize("state", STATES)
def test_a_phone_shows_all_of_it(open_page, guarded_address, state):
    page = open_page(guarded_address, width=360, height=640, is_mobile=True, has_touch=True)
    bring_to(page, state)
    for width in (360, 320):
        page.set_viewport_size({"width": width, "height": 640})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert checked(page, "cutOff") == checked(page, "tooSmall") == []
    if state != "token":
        assert page.is_visible("#photograph") and page.get_attribute("#camera", "capture") == "environment"


def test_reduced_motion_is_kept_to(open_page, address):
    page = open_page(address, reduced_motion="reduce")
    held = hold_back(page)
    give(page, picture())
    wait_until_held(page, held)
    wait_for(page, "waiting")
    assert page.evaluate("getComputedStyle(document.querySelector('.progress')).animationName") == "none"
    held[0].abort()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small real run, as `tfl run` leaves it."""
    from rich.console import Console

    from tfl.job import run_recipe

    recipe = tfl.Recipe(
        name="digits",
        data=tfl.Sample("digits", image_size=(64, 64), per_class=15, labels=("0", "3", "8")),
        backbone=tfl.Backbone("mini"),
        stages=(tfl.Stage("head", epochs=2),),
        precision="float32",
    )
    return run_recipe(recipe, out=tmp_path_factory.mktemp("runs") / "digits", console=Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def real_address(run):
    """The address of what `tfl serve RUN` starts."""
    from tfl.serve.server import bind, open_server

    server = open_server(run.folder, bind("127.0.0.1", 0))
    server.listener.close()
    with serving(server.application) as found:
        yield found
    server.close()


def test_a_run_is_served_with_its_reasons(open_page, run, real_address):
    from tfl.modalities.image.sample import load_sample

    digit, content = load_sample("digits").images[0], io.BytesIO()
    Image.fromarray(digit).save(content, "PNG")
    page = open_page(real_address)
    assert page.inner_text("#model") == "digits, version 1"
    give(page, content.getvalue(), name="digit.png", kind="image/png")
    page.wait_for_selector('body[data-state="answer"]', timeout=60_000)
    assert page.inner_text("#label") in run.class_names
    assert page.inner_text("#bars-note").startswith("Calibrated.") and page.is_visible("#chips")
    assert "at least 90% of the time" in page.inner_text("#set-note")
    assert page.locator("#gallery li").count() == 6 and page.is_visible("#gallery img")
    assert page.locator("#gallery img").first.evaluate("image => image.naturalWidth") == 64
    page.focus("#strength")
    page.keyboard.press("End")
    assert page.locator("#heat").evaluate("heat => [heat.style.opacity, heat.naturalWidth]") == ["1", 160]
    page.keyboard.press("Home")
    assert page.inner_text("#strength-value") == "hidden" and "digit" in page.get_attribute("#picture", "alt")
    assert checked(page, "contrasts") and checked(page, "structure")["unnamed"] == []
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") == 320 and checked(page, "cutOff") == []
