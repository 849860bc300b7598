"""Takes the pictures of the page for the guide: `python docs/pictures/serve_page.py RUN`, with a run of `strawberry_disease.py`.

The leaf is drawn by tfl, and is in no part of the run's data. Needs Chromium and the extra `dev`.
"""

import contextlib
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tfl.modalities.image.leaves import draw_leaf_photo

HERE = Path(__file__).parent
SEED, DISEASE = 3, "leaf_scorch"


def main(run: str) -> None:
    leaf = io.BytesIO()
    Image.fromarray(draw_leaf_photo(np.random.default_rng(SEED), DISEASE, size=480)).save(leaf, "JPEG", quality=90)
    with served(run) as address, sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        take(browser, address, leaf.getvalue(), HERE / "serve_page.png", width=1000, height=900)
        take(browser, address, leaf.getvalue(), HERE / "serve_page_phone.png", width=390, height=844, phone=True)


@contextlib.contextmanager
def served(run: str) -> Iterator[str]:
    """The address of `tfl serve RUN`."""
    command = [shutil.which("tfl") or "tfl", "serve", run, "--port", "0", "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        said = ""
        while not said.endswith("}\n"):
            said += server.stdout.readline()
        yield json.loads(said)["address"]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def take(browser: Browser, address: str, leaf: bytes, file: Path, *, width: int, height: int, phone: bool = False) -> None:
    page = browser.new_page(viewport={"width": width, "height": height}, is_mobile=phone, has_touch=phone)
    page.goto(address)
    page.set_input_files("#file", {"name": "leaf.jpg", "mimeType": "image/jpeg", "buffer": leaf})
    page.wait_for_selector('body[data-state="answer"]', timeout=60_000)
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate("scrollTo(0, 0)")
    with_few_colours(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).save(file, optimize=True)
    page.close()


def with_few_colours(picture: Image.Image) -> Image.Image:
    """256 colours: those of the page as they are, so that only the photos are dithered."""
    flat = [colour for colour, _ in Counter(picture.getdata()).most_common(32)]
    rest = picture.quantize(224, method=Image.Quantize.MAXCOVERAGE).getpalette()
    palette = Image.new("P", (1, 1))
    palette.putpalette([*itertools.chain.from_iterable(flat), *rest[: 3 * 224]])
    return picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


if __name__ == "__main__":
    main(*sys.argv[1:])
